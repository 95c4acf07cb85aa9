"""Linear merging, θ = Σ wᵢ θᵢ: model soups (Wortsman et al. 2022, arXiv:2203.05482), with a weight for each source."""

from __future__ import annotations

from sprachbund.methods.registry import Array, coefficient_method

__all__ = ["linear"]


@coefficient_method("linear", of="thetas", formula="θ = Σ wᵢ θᵢ", paper="arXiv:2203.05482", reference="mergekit 0.1.5")
def linear(weights: Array) -> Array:
    """Return the weights as they are."""
    return weights
