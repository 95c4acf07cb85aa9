"""The same weight for everyone: how many scores there are matters, what they are does not."""

from __future__ import annotations

import numpy as np

from sprachbund.weighting.weights import WEIGHTINGS, FloatArray, Scores, finite, normalise

__all__ = ["uniform"]


@WEIGHTINGS.register("uniform")
def uniform(scores: Scores) -> FloatArray:
    """Return 1/n for each of the n sources."""
    return normalise(np.ones_like(finite(scores)))
