"""Linear merging, θ = Σ wᵢ θᵢ: model soups (Wortsman et al. 2022, arXiv:2203.05482), with a weight for each source."""

from __future__ import annotations

from collections.abc import Sequence

from sprachbund.methods.registry import METHODS, Method

__all__ = ["linear"]


def linear(weights: Sequence[float]) -> Sequence[float]:
    """Return the weights as they are."""
    return weights


METHODS.add("linear", Method("linear", linear, "θ = Σ wᵢ θᵢ", "arXiv:2203.05482"))
