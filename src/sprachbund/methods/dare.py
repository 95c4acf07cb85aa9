"""DARE: drop changes at random and rescale the others (Yu et al. 2023, arXiv:2311.03099).

    τ̂ᵢ = mᵢ τᵢ / density,  mᵢ ~ Bernoulli(density) element by element

whose expectation is τᵢ; then the weighted sum, or with ``elect_sign`` election and disjoint mean as in TIES. mergekit's
``rescale`` restores each tensor's L1 norm instead, one factor per tensor; this is the paper's 1 / density. Without
``rescale`` both are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sprachbund.methods.blocks import in_blocks
from sprachbund.methods.election import merge
from sprachbund.methods.registry import Array, Density, ElectSign, Rescale, Scale, tensor_method

__all__ = ["dare"]


@tensor_method(
    "dare",
    granularity="element",
    formula="θ = θ₀ + λ Σ wᵢ mᵢ τᵢ / p, mᵢ ~ Bernoulli(p)",
    paper="arXiv:2311.03099",
    reference="mergekit 0.1.5",
)
def dare(
    taus: Array,
    weights: Array,
    generators: Sequence[np.random.Generator],
    *,
    density: Density = 0.1,
    elect_sign: ElectSign = False,
    rescale: Rescale = True,
    scale: Scale = 1.0,
) -> Array:
    """Return the task vector [m] of taus [n, m]."""
    keep = np.asarray(density).tolist()

    def merged(block: Array) -> Array:
        for tau, weight, generator, p in zip(block, weights.tolist(), generators, keep, strict=True):
            tau *= generator.random(tau.shape, dtype=np.float32) < p
            tau *= weight / p if rescale else weight
        return merge(block, weights, elect=elect_sign)

    return scale * in_blocks(merged, taus)
