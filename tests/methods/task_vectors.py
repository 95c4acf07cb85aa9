"""Task vectors to merge, and generators: the same whenever they are asked for."""

from __future__ import annotations

import numpy as np

from sprachbund.methods.registry import Array

WEIGHTS = (0.4, 0.3, 0.2, 0.1)


def task_vectors(*shape: int, sources: int = 4, seed: int = 0) -> Array:
    """Return float32 [sources, *shape], agreeing in part, of the size that fine-tuning brings; one element in eight is 0."""
    rng = np.random.default_rng(seed)
    taus = 1e-3 * (rng.normal(size=shape) + rng.normal(size=(sources, *shape)))
    taus[rng.random(taus.shape) < 0.125] = 0
    return taus.astype(np.float32)


def generators(sources: int = 4, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, source]) for source in range(sources)]
