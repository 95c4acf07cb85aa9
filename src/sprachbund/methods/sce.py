"""SCE: select, calculate, erase (Wan et al. 2024, arXiv:2408.07990).

    select      the elements whose variance over the sources is among the ⌊select_topk · #{variance ≠ 0}⌋ largest
    calculate   cᵢ = Σ τᵢ² / Σⱼ Σ τⱼ², sums over the selected elements of a tensor
    erase       the sources whose sign differs from that of Σ τᵢ, which is 1 where that is 0
    τ = Σ cᵢ τᵢ / Σ cᵢ over the sources that are left

Coefficients come from the task vectors, so there are no weights. ``select_topk`` 1 selects everything. mergekit takes the same
coefficient for all sources of a tensor where Σ (mean of τᵢ²) < 1e-6, an absolute threshold that common fine-tuning stays below;
here that happens only where all of τ is 0. It also keeps some of equal variances, this all. Of one source, or of equal
ones, nothing varies: with any other ``select_topk`` than 1 nothing is selected, and the merge is θ₀, as it is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from sprachbund.methods.blocks import blocks, in_blocks
from sprachbund.methods.election import disjoint_merge, elect_sign, total
from sprachbund.methods.quantiles import kth_smallest, lower_counts, magnitudes, upper_counts
from sprachbund.methods.registry import Array, Pass, Scale, tensor_method

__all__ = ["sce"]

SelectTopk = Annotated[float, Field(gt=0, le=1, description="Fraction of the elements that differ which is selected.")]


def _variances(taus: Array) -> Array:
    """Return [m]: the variance of taus [n, m] over the sources."""
    mean = total(taus)
    mean /= len(taus)
    squares = np.zeros_like(mean)
    for tau in taus:
        squares += np.square(tau - mean)
    squares /= len(taus)
    return squares


def _count_upper(taus: Array, weights: Array, summary: Mapping[str, Array]) -> dict[str, Array]:
    variances = in_blocks(_variances, taus)
    return {"upper": upper_counts(variances[None]), "nonzero": np.count_nonzero(variances, keepdims=True)}


def _count_lower(taus: Array, weights: Array, summary: Mapping[str, Array], select_topk: float) -> dict[str, Array]:
    variances = in_blocks(_variances, taus)
    return {"lower": lower_counts(variances[None], summary["upper"], _ks(summary, select_topk))}


def _add_squares(taus: Array, weights: Array, summary: Mapping[str, Array], select_topk: float) -> dict[str, Array]:
    least, squares = _least(summary, select_topk), np.zeros(len(taus))
    for block in blocks(taus):
        selected = magnitudes(_variances(block)) >= least
        squares += [np.square(tau * selected, dtype=np.float64).sum() for tau in block]
    return {"squares": squares}


def _ks(summary: Mapping[str, Array], select_topk: float) -> Array:
    """Return [1, 1]: the how manieth smallest variance is the smallest that is selected; beyond the last if none is."""
    elements = summary["upper"].sum(axis=-1)
    selected = elements if select_topk == 1 else (select_topk * summary["nonzero"]).astype(np.int64)
    return np.asarray(elements - selected)[:, None]


def _least(summary: Mapping[str, Array], select_topk: float) -> np.float32:
    ks = _ks(summary, select_topk)
    none = ks[0, 0] == summary["upper"].sum()
    return np.float32(np.inf) if none else np.float32(kth_smallest(summary["upper"], summary["lower"], ks)[0, 0])


@tensor_method(
    "sce",
    granularity="element",
    passes=[Pass("upper halves", _count_upper), Pass("lower halves", _count_lower), Pass("squares", _add_squares)],
    formula="θ = θ₀ + λ Σ cᵢ τ̂ᵢ / Σ cᵢ over those that agree, cᵢ ∝ Σ τ̂ᵢ²",
    paper="arXiv:2408.07990",
    reference="mergekit 0.1.5",
    uses_weights=False,
)
def sce(
    taus: Array,
    weights: Array,
    summary: Mapping[str, Array],
    *,
    select_topk: SelectTopk = 0.1,
    scale: Scale = 1.0,
) -> Array:
    """Return the task vector [m] of taus [n, m]."""
    least, squares = _least(summary, select_topk), summary["squares"]
    coefficients = squares / squares.sum() if squares.any() else np.full(len(taus), 1 / len(taus))

    def merged(block: Array) -> Array:
        selected = magnitudes(_variances(block)) >= least
        for tau in block:
            tau *= selected
        sign = elect_sign(block)
        for tau, coefficient in zip(block, coefficients.tolist(), strict=True):
            tau *= coefficient
        return disjoint_merge(block, coefficients, sign)

    return scale * in_blocks(merged, taus)
