"""Signs are elected, and those that agree are merged: the steps that TIES-Merging (arXiv:2306.01708) added.

Written as loops over the sources: sums are then taken in the order of the sources however tensors are cut, while numpy's own
sum over an axis rounds differently when the cut is narrow.
"""

from __future__ import annotations

import numpy as np

from sprachbund.methods.registry import Array

__all__ = ["disjoint_merge", "elect_sign", "merge", "total"]


def total(deltas: Array) -> Array:
    """Return Σ δᵢ of deltas [n, ...]."""
    added: Array = deltas[0].copy()
    for delta in deltas[1:]:
        added += delta
    return added


def elect_sign(deltas: Array) -> Array:
    """Return the sign of Σ δᵢ, deltas [n, ...]: 1 where they cancel."""
    return np.asarray(np.copysign(deltas.dtype.type(1), total(deltas)))


def disjoint_merge(deltas: Array, weights: Array, sign: Array) -> Array:
    """Return Σ δᵢ / Σ wᵢ over the sources whose δᵢ has the elected sign; 0 where there is none.

    Args:
        deltas: [n, ...], with the weights in them.
        weights: [n].
        sign: [...], 1 or -1.
    """
    agreeing, agreed = np.zeros_like(sign), np.zeros_like(sign)
    for delta, weight in zip(deltas, weights.astype(deltas.dtype), strict=True):
        agrees = delta * sign > 0
        agreeing += delta * agrees
        agreed += weight * agrees
    agreed += agreed == 0
    agreeing /= agreed
    return agreeing


def merge(deltas: Array, weights: Array, *, elect: bool) -> Array:
    """Return the disjoint merge of deltas [n, ...] under the sign that they elect, or else their plain sum."""
    return disjoint_merge(deltas, weights, elect_sign(deltas)) if elect else total(deltas)
