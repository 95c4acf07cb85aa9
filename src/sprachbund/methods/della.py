"""DELLA-Merging: the larger a change within its row, the likelier it is kept (Deep et al. 2024, arXiv:2406.11617).

    pᵢⱼ = density + epsilon · (2 rⱼ / (m − 1) − 1)   for the rank rⱼ = 0, …, m − 1 of |τᵢⱼ| in its row of m, ascending
    τ̂ᵢⱼ = mᵢⱼ τᵢⱼ / pᵢⱼ,  mᵢⱼ ~ Bernoulli(pᵢⱼ)

whose expectation is τᵢ; then the weighted sum, or with ``elect_sign`` election and disjoint mean as in TIES, which is the
paper's. A vector is one row, equal magnitudes are ranked by position, a row of one has p = density, and density 1 keeps
everything. mergekit's ``rescale`` restores each tensor's L1 norm instead, one factor per tensor, and ranks tensors of more than
two dimensions along the second; this is the paper's 1 / p, and a row is all that the first index leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from sprachbund.errors import MixError
from sprachbund.methods.blocks import BLOCK
from sprachbund.methods.election import merge
from sprachbund.methods.quantiles import magnitudes
from sprachbund.methods.registry import Array, Density, ElectSign, PerSource, Rescale, Scale, tensor_method

__all__ = ["della"]

Epsilon = Annotated[
    PerSource, Field(ge=0, lt=1, description="How far the probabilities of a row reach below and above its density.")
]


@tensor_method(
    "della",
    granularity="row",
    formula="θ = θ₀ + λ Σ wᵢ τ̂ᵢ / Σ wᵢ over those that agree, τ̂ᵢ = mᵢ τᵢ / pᵢ, mᵢ ~ Bernoulli(pᵢ)",
    paper="arXiv:2406.11617",
    reference="mergekit 0.1.5",
)
def della(
    taus: Array,
    weights: Array,
    generators: Sequence[np.random.Generator],
    *,
    density: Density = 0.3,
    epsilon: Epsilon = 0.15,
    elect_sign: ElectSign = True,
    rescale: Rescale = True,
    scale: Scale = 1.0,
) -> Array:
    """Return the task vector [rows, m] of taus [n, rows, m]."""
    _, rows, width = taus.shape
    spreads = zip(np.asarray(density).tolist(), np.asarray(epsilon).tolist(), strict=True)
    by_rank = [_by_rank(width, *each) for each in spreads]
    merged = np.empty((rows, width), dtype=taus.dtype)
    step = max(1, BLOCK // (2 * width)) if width else 1  # keys take 8 bytes
    for start in range(0, rows, step):
        block = taus[:, start : start + step]
        for tau, weight, generator, ramp in zip(block, weights.tolist(), generators, by_rank, strict=True):
            p = _kept(tau, ramp)
            tau *= generator.random(tau.shape, dtype=np.float32) < p
            if rescale:
                tau /= p
            tau *= weight
        merged[start : start + step] = merge(block, weights, elect=elect_sign)
    return scale * merged


def _by_rank(width: int, density: float, epsilon: float) -> Array:
    """Return [width]: the probability of being kept, for the smallest magnitude first.

    Raises:
        MixError: it would leave (0, 1].
    """
    if density == 1:
        return np.ones(width, dtype=np.float32)
    if not (density - epsilon > 0 and density + epsilon <= 1):
        raise MixError(
            f"The method della keeps elements with probabilities from density − epsilon to density + epsilon, which cannot be "
            f"{density:g} − {epsilon:g} to {density:g} + {epsilon:g}: choose an epsilon so that they are above 0 and at most 1."
        )
    ranks = np.arange(width)
    return (density + epsilon * (2 * ranks - (width - 1)) / max(1, width - 1)).astype(np.float32)


def _kept(tau: Array, by_rank: Array) -> Array:
    """Return the probabilities of tau [rows, width], given those by rank [width].

    Magnitude and position stand in one integer, which sorts several times faster than an argsort runs.
    """
    keys = magnitudes(tau).view(np.uint32).astype(np.uint64)
    keys <<= 32
    keys |= np.arange(tau.size, dtype=np.uint64).reshape(tau.shape)
    keys.sort(axis=-1)
    keys &= 0xFFFFFFFF
    p = np.empty(tau.shape, dtype=np.float32)
    p.ravel()[keys.view(np.int64)] = by_rank
    return p
