"""The weighted mean, which methods fall back on where what they weigh by says nothing."""

from __future__ import annotations

import numpy as np

from sprachbund.errors import MixError
from sprachbund.methods.registry import Array

__all__ = ["weighted_mean"]


def weighted_mean(method: str, thetas: Array, weights: Array) -> Array:
    """Return Σ wᵢ θᵢ / Σ wᵢ of [n, *cut] in float64.

    Raises:
        MixError: a weight is negative, or all are 0: there is no mean under such weights, and the method needs one.
    """
    if (weights < 0).any() or not weights.any():
        raise MixError(
            f"The method {method} takes a mean of its sources: its weights must be 0 or more, and one of them above 0."
        )
    return np.tensordot(weights / weights.sum(), thetas.astype(np.float64, copy=False), axes=1)
