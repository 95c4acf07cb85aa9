"""A method applied chunk by chunk, as the engine does: passes add up over chunks, then chunks are merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from methods.whole import as_cut, named

from sprachbund.methods import METHODS
from sprachbund.methods.registry import Array


def apply_in_chunks(
    name: str,
    vectors: Array,
    weights: Sequence[float],
    chunk: int,
    *,
    handed: Mapping[str, Any] | None = None,
    **options: object,
) -> Array:
    """Return what a tensor method makes of vectors [n, *shape], by chunks of so many elements, or rows."""
    method, numbers = METHODS[name], np.asarray(weights, dtype=np.float64)
    settled, given = method.settle(options, len(vectors)), dict(handed or {})
    cut = as_cut(vectors, method.granularity)
    chunks = [cut[:, start : start + chunk] for start in range(0, cut.shape[1], chunk)]
    summary: dict[str, Array] = {}
    for each in method.passes:
        found: dict[str, Array] = {}
        for piece in reversed(chunks):
            for key, value in each.of(piece, numbers, summary, **named(each.of, settled)).items():
                found[key] = found[key] + value if key in found else value
        summary |= found
    if "summary" in method.needs:
        given["summary"] = summary
    merged = [np.asarray(method.function(piece.copy(), numbers, **given, **settled)) for piece in chunks]
    return np.concatenate(merged).reshape(vectors.shape[1:])
