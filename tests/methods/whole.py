"""A method applied to one tensor as a whole: what the engine, which cuts tensors up, must come to as well."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sprachbund.methods import METHODS
from sprachbund.methods.registry import Array, Granularity


def apply(
    name: str, vectors: Array, weights: Sequence[float], *, handed: Mapping[str, Any] | None = None, **options: object
) -> Array:
    """Return what a method makes of ``vectors`` [n, *shape] (taus or thetas, as it wants) and weights [n].

    ``handed`` is what the engine would hand in by name (generators, fisher, gram); summaries and products are made here.
    """
    method, shape, numbers = METHODS[name], vectors.shape[1:], np.asarray(weights, dtype=np.float64)
    method.check_sources(numbers)
    settled = method.settle(options, len(vectors))
    given = dict(handed or {})
    if method.kind == "coefficient":
        flat = vectors.reshape(len(vectors), -1).astype(np.float64)
        if "products" in method.needs:
            given["products"] = flat @ flat.T
        return (np.asarray(method.function(numbers, **given, **settled)) @ flat).reshape(shape)
    cut = as_cut(vectors, method.granularity)
    summary: dict[str, Array] = {}
    for each in method.passes:
        summary |= each.of(cut, numbers, summary, **named(each.of, settled))
    if "summary" in method.needs:
        given["summary"] = summary
    return np.asarray(method.function(cut.copy(), numbers, **given, **settled)).reshape(shape)


def as_cut(vectors: Array, granularity: Granularity) -> Array:
    """Return [n, *shape] as a method of this granularity gets it."""
    if granularity == "element":
        return vectors.reshape(len(vectors), math.prod(vectors.shape[1:]))
    if granularity == "row":
        rows = vectors.shape[1] if vectors.ndim > 2 else 1
        return vectors.reshape(
            len(vectors), rows, math.prod(vectors.shape[2:] if vectors.ndim > 2 else vectors.shape[1:])
        )
    return vectors


def named(function: Callable[..., Any], settled: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options that a function names."""
    return {name: value for name, value in settled.items() if name in inspect.signature(function).parameters}
