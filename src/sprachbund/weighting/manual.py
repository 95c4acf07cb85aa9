"""Weights given by hand, in the order of the sources; any scale, since they are made to sum to 1."""

from __future__ import annotations

from sprachbund.weighting.weights import WEIGHTINGS, FloatArray, Scores, normalise

__all__ = ["manual"]


@WEIGHTINGS.register("manual")
def manual(weights: Scores) -> FloatArray:
    """Return ``weights`` / Σ weights; a negative or non-finite one, or nothing but zeros, is refused.

    Here the scores of the selection *are* what was typed: sources named by hand carry their weights as scores.
    """
    return normalise(weights)
