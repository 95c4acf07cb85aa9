"""Model Breadcrumbs: neither the largest nor the smallest changes count (Davari & Belilovsky 2023, arXiv:2312.06795).

Of a task vector's m magnitudes in ascending order, those at positions b, …, b + k − 1 stay:

    k = ⌊density · m⌋,  t = ⌊gamma · m⌋,  b = max(0, m − k − t)

so the t largest are dropped (fewer where they are needed to keep k), and then the smallest. Ranks are within each tensor, as in
the paper; k may be 0 in a tiny one. The paper adds up what stays; with ``elect_sign`` signs are elected and those that agree
are averaged, as in TIES. mergekit drops some of equal magnitudes at either end, this keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from sprachbund.methods.blocks import in_blocks
from sprachbund.methods.election import merge
from sprachbund.methods.quantiles import count_upper, kth_smallest, lower_counts, magnitudes
from sprachbund.methods.registry import Array, Density, ElectSign, Pass, PerSource, Scale, tensor_method

__all__ = ["breadcrumbs"]

Gamma = Annotated[
    PerSource, Field(ge=0, lt=1, description="Fraction of a source's task vector that is dropped as too large.")
]


def _count_lower(
    taus: Array, weights: Array, summary: Mapping[str, Array], density: Array, gamma: Array
) -> dict[str, Array]:
    return {"lower": lower_counts(taus, summary["upper"], _ks(summary["upper"], density, gamma))}


def _ks(upper: Array, density: Array, gamma: Array) -> Array:
    """Return [n, 2]: where the magnitudes that stay begin, and where they end; the end before the beginning if none does."""
    elements = upper.sum(axis=-1)
    kept, largest = (density * elements).astype(np.int64), (gamma * elements).astype(np.int64)
    first = np.maximum(0, elements - kept - largest)
    return np.stack([first, first + kept - 1], axis=-1)


@tensor_method(
    "breadcrumbs",
    granularity="element",
    passes=[Pass("upper halves", count_upper), Pass("lower halves", _count_lower)],
    formula="θ = θ₀ + λ Σ wᵢ mᵢ τᵢ, mᵢ = 1 for middling |τᵢ|, else 0",
    paper="arXiv:2312.06795",
    reference="mergekit 0.1.5",
)
def breadcrumbs(
    taus: Array,
    weights: Array,
    summary: Mapping[str, Array],
    *,
    density: Density = 0.15,
    gamma: Gamma = 0.01,
    elect_sign: ElectSign = False,
    scale: Scale = 1.0,
) -> Array:
    """Return the task vector [m] of taus [n, m]."""
    ks = _ks(summary["upper"], np.asarray(density), np.asarray(gamma))
    least, most = kth_smallest(summary["upper"], summary["lower"], ks).T
    most = np.where(ks[:, 1] < ks[:, 0], np.float32(-1), most)

    def merged(block: Array) -> Array:
        for tau, weight, smallest, largest in zip(block, weights.tolist(), least, most, strict=True):
            sizes = magnitudes(tau)
            tau *= (sizes >= smallest) & (sizes <= largest)
            tau *= weight
        return merge(block, weights, elect=elect_sign)

    return scale * in_blocks(merged, taus)
