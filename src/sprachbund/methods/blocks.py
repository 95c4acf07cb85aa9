"""Work on long vectors piece by piece, so that what numpy keeps in between stays in the processor's cache.

For what counts or computes element by element, pieces change the speed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sprachbund.methods.registry import Array

__all__ = ["BLOCK", "blocks", "in_blocks"]

BLOCK = 1 << 15
"""Elements of one source. Several float32 temporaries of that size fit into a second-level cache."""


def blocks(vectors: Array) -> Iterator[Array]:
    """Yield views [..., ≤ BLOCK] that make up vectors [..., m]."""
    for start in range(0, vectors.shape[-1], BLOCK):
        yield vectors[..., start : start + BLOCK]


def in_blocks(merge: Callable[[Array], Array], vectors: Array) -> Array:
    """Return [m]: what ``merge`` makes of vectors [n, m], done block by block."""
    merged = np.empty(vectors.shape[-1], dtype=vectors.dtype)
    for block, into in zip(blocks(vectors), blocks(merged), strict=True):
        into[...] = merge(block)
    return merged
