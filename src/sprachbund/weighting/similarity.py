"""The more similar, the more weight.

``similarity`` is a softmax, wᵢ ∝ exp(sharpness · scoreᵢ). Cosines of related languages lie so close together that
weights proportional to them are almost uniform; the sharpness says how much a difference in similarity counts. 0 is
the average, ∞ the most similar source alone. Only differences matter, so a constant added to all scores changes
nothing.

``proportional`` is what the original experiment did, wᵢ = scoreᵢ / Σ scores: right for its Sinkhorn entries, nearly
uniform for cosines.
"""

from __future__ import annotations

import math

import numpy as np

from sprachbund.errors import MixError
from sprachbund.weighting.weights import WEIGHTINGS, FloatArray, Scores, finite, normalise

__all__ = ["DEFAULT_SHARPNESS", "proportional", "similarity"]

DEFAULT_SHARPNESS = 20.0
"""In 1 / unit of similarity: a cosine 0.1 higher weighs e² ≈ 7.4 times as much. Fixed on the embedded dev data."""


@WEIGHTINGS.register("similarity")
def similarity(scores: Scores, *, sharpness: float = DEFAULT_SHARPNESS) -> FloatArray:
    """Return softmax(sharpness · scores)."""
    if not (math.isfinite(sharpness) and sharpness >= 0):
        raise MixError(f"A sharpness is a finite number ≥ 0 (0 = uniform weights); got {sharpness}.")
    s = finite(scores)
    # Too far below the best for a float: -inf, whose weight is 0, as it should be; but 0 · -inf would be no number.
    with np.errstate(over="ignore"):
        below_best = np.maximum(s - s.max(), np.finfo(np.float64).min)
        return normalise(np.exp(sharpness * below_best))


@WEIGHTINGS.register("proportional")
def proportional(scores: Scores) -> FloatArray:
    """Return scores / Σ scores; negative scores are refused."""
    return normalise(scores)
