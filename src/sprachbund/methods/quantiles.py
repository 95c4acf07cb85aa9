"""The k-th smallest of many magnitudes, exactly, without a sort: two rounds of counting.

Read as an integer, the bit pattern of a float32 grows with its magnitude (the sign bit left off). The first round counts the
upper halves of the patterns, which says in which of 2¹⁵ bins the k-th smallest lies; the second counts the lower halves of
those in that bin. Counts add up over chunks, in any order, to the same numbers.

Selection is done in float32: magnitudes in float64 are rounded to it, where they are counted and where they are compared
(:func:`magnitudes`). What is selected are all values ≥ (or ≤) a threshold that is one of the values, so equal magnitudes stay
together: with many of them, as there are between checkpoints in bfloat16, more than the k asked for may be kept.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np

from sprachbund.methods.blocks import blocks
from sprachbund.methods.registry import Array

__all__ = ["count_upper", "kth_smallest", "lower_counts", "magnitudes", "upper_counts"]

UPPER, LOWER, GROUP = 1 << 15, 1 << 16, 1 << 8
UPPER_HALF = 1 if sys.byteorder == "little" else 0


def magnitudes(values: Array) -> Array:
    """Return |values| in float32, by which they are selected."""
    return np.abs(values).astype(np.float32, copy=False)


def upper_counts(values: Array) -> Array:
    """Count values [n, m] by the upper halves of their magnitudes' bit patterns: [n, 2¹⁵]."""
    counts = np.zeros((len(values), 2 * UPPER), dtype=np.int64)
    for row, counted in zip(values, counts, strict=True):
        for block in blocks(row):
            halves = np.ascontiguousarray(block, dtype=np.float32).view(np.uint16)[UPPER_HALF::2]
            np.add.at(counted, halves.astype(np.intp), 1)
    return counts[:, :UPPER] + counts[:, UPPER:]


def count_upper(taus: Array, weights: Array, summary: Mapping[str, Array]) -> dict[str, Array]:
    """Count the magnitudes of taus [n, m], as the first pass of a method that ranks them."""
    return {"upper": upper_counts(taus)}


def lower_counts(values: Array, upper: Array, ks: Array) -> Array:
    """Count the lower halves of those values [n, m] that share a bin with the k-th smallest.

    Args:
        values: [n, m].
        upper: [n, 2¹⁵], what :func:`upper_counts` found in all chunks.
        ks: [n, q], from 0.

    Returns:
        [n, q, 2¹⁶].
    """
    bins, _ = _locate(upper[:, None], ks)
    counts = np.zeros((*bins.shape, LOWER), dtype=np.int64)
    for row, wanted, counted in zip(values, bins.tolist(), counts, strict=True):
        for block in blocks(row):
            bits = np.ascontiguousarray(block, dtype=np.float32).view(np.uint32)
            halves = (bits << 1) >> 17
            for each, into in zip(wanted, counted, strict=True):
                inside = bits[np.flatnonzero(halves == each)]
                np.add.at(into, (inside & (LOWER - 1)).astype(np.intp), 1)
    return counts


def kth_smallest(upper: Array, lower: Array, ks: Array) -> Array:
    """Return the k-th smallest magnitudes [n, q], float32, from the counts of both rounds and the same ``ks`` [n, q]."""
    bins, rest = _locate(upper[:, None], ks)
    halves, _ = _locate(lower, rest)
    return (bins << 16 | halves).astype(np.uint32).view(np.float32)


def _locate(counts: Array, ks: Array) -> tuple[Array, Array]:
    """Return in which bin of counts [..., bins] the k-th smallest lies, and the how manieth it is in there.

    In two steps, since summing groups of bins is several times faster than adding all of them up one after the other.
    """
    groups = counts.reshape(*counts.shape[:-1], -1, GROUP)
    group, rest = _first_to_reach(groups.sum(axis=-1), ks)
    within = np.take_along_axis(groups, group[..., None, None], axis=-2)[..., 0, :]
    bins, rest = _first_to_reach(within, rest)
    return group * GROUP + bins, rest


def _first_to_reach(counts: Array, ks: Array) -> tuple[Array, Array]:
    reached = counts.cumsum(axis=-1)
    bins = np.minimum((reached <= ks[..., None]).sum(axis=-1), counts.shape[-1] - 1)
    before = np.take_along_axis(reached - counts, bins[..., None], axis=-1)[..., 0]
    return bins, ks - before
