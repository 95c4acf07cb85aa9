"""TIES-Merging: trim, elect sign, disjoint merge (Yadav et al. 2023, arXiv:2306.01708).

    τ̂ᵢ = τᵢ where |τᵢ| is among the ⌊density · m⌋ largest of m, else 0          (trim)
    γ  = sign(Σ wᵢ τ̂ᵢ), 1 where that is 0                                      (elect)
    τ  = Σ wᵢ τ̂ᵢ / Σ wᵢ over the sources with sign(wᵢ τ̂ᵢ) = γ                  (merge)

The paper has no weights, and ranks magnitudes over the whole model (``scope`` "model"); mergekit weighs before the election and
ranks within each tensor, which is the default here too. At least one element is kept. Where mergekit keeps some of equal
magnitudes, this keeps all.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sprachbund.methods.blocks import in_blocks
from sprachbund.methods.election import merge
from sprachbund.methods.quantiles import count_upper, kth_smallest, lower_counts, magnitudes
from sprachbund.methods.registry import Array, Density, Pass, Scale, Scope, tensor_method

__all__ = ["ties"]


def _count_lower(taus: Array, weights: Array, summary: Mapping[str, Array], density: Array) -> dict[str, Array]:
    return {"lower": lower_counts(taus, summary["upper"], _ks(summary["upper"], density))}


def _ks(upper: Array, density: Array) -> Array:
    """Return [n, 1]: the how manieth smallest magnitude is the smallest that is kept."""
    elements = upper.sum(axis=-1)
    return np.asarray(elements - np.maximum(1, (density * elements).astype(np.int64)))[:, None]


@tensor_method(
    "ties",
    granularity="element",
    passes=[Pass("upper halves", count_upper), Pass("lower halves", _count_lower)],
    formula="θ = θ₀ + λ Σ wᵢ τ̂ᵢ / Σ wᵢ over those that agree",
    paper="arXiv:2306.01708",
    reference="mergekit 0.1.5",
)
def ties(
    taus: Array,
    weights: Array,
    summary: Mapping[str, Array],
    *,
    density: Density = 0.2,
    scope: Scope = "tensor",
    scale: Scale = 1.0,
) -> Array:
    """Return the task vector [m] of taus [n, m]."""
    least = kth_smallest(summary["upper"], summary["lower"], _ks(summary["upper"], np.asarray(density)))[:, 0]

    def merged(block: Array) -> Array:
        for tau, weight, smallest in zip(block, weights.tolist(), least, strict=True):
            tau *= magnitudes(tau) >= smallest
            tau *= weight
        return merge(block, weights, elect=True)

    return scale * in_blocks(merged, taus)
