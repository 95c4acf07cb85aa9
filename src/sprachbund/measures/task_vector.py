"""Who was changed alike by fine-tuning: the cosine of task vectors τ = θ − θ₀ (Ilharco et al. 2023, arXiv:2212.04089).

It compares the target's own source with the others, over the body: heads have no counterpart in the base. The own source was
fine-tuned on labels of the target, so this similarity has seen them, too. All tensors are read chunk by chunk, in step, and
only the table of inner products is kept: memory hangs on the chunk and the number of sources, not on the size of a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sprachbund.checkpoints import Checkpoint, body_counterparts, check_base
from sprachbund.errors import MixError
from sprachbund.measures.similarities import MEASURES, Context, FloatArray, Measure, digests_of

__all__ = ["task_vector"]

ELEMENTS_PER_CHUNK = 1 << 17
"""1 MiB of float64 for each source."""


def task_vector(context: Context) -> FloatArray:
    """Return [targets, sources], cosines in [-1, 1].

    Raises:
        UserError: there is no base, a target has no source, or a source does not fit the base or equals it.
    """
    base = context.needed_base()
    models = _models(context)
    for model in models.values():
        check_base(base, model)
    products = _inner_products(base, list(models.values()), context)
    lengths = np.sqrt(np.diagonal(products))
    for name, length in zip(models, lengths, strict=True):
        if length == 0:
            raise MixError(
                f"The body of the source {name} is that of the base, fine-tuning changed nothing: leave it out."
            )
    place = {name: number for number, name in enumerate(models)}
    cosines = products / np.outer(lengths, lengths)
    return np.asarray(
        cosines[np.ix_([place[target] for target in context.targets], [place[source] for source in context.sources])]
    )


def _models(context: Context) -> dict[str, Checkpoint]:
    """Return the columns and, where they are none, the targets' own sources."""
    return dict(context.sources) | {t: context.own(t) for t in context.targets if t not in context.sources}


def _inner_products(base: Checkpoint, models: Sequence[Checkpoint], context: Context) -> FloatArray:
    """Return ⟨τᵢ, τⱼ⟩, [K, K], summed in float64."""
    products = np.zeros((len(models), len(models)))
    counterparts = {
        name: there
        for name, there in body_counterparts(base, models[0]).items()
        if there is not None and models[0].tensors[name].is_float
    }
    for number, (name, there) in enumerate(counterparts.items(), start=1):
        start = base.file.read(there).reshape(-1)
        ends = [model.file.read(name).reshape(-1) for model in models]
        for first in range(0, start.size, ELEMENTS_PER_CHUNK):
            part = slice(first, first + ELEMENTS_PER_CHUNK)
            moved = np.stack([end[part].astype(np.float64) for end in ends]) - start[part].astype(np.float64)
            _check_finite(moved, name, models)
            products += moved @ moved.T
        context.report("task-vector", number, len(counterparts))
    return products


def _check_finite(moved: FloatArray, tensor: str, models: Sequence[Checkpoint]) -> None:
    finite = [bool(np.isfinite(row).all()) for row in moved]
    for model, is_finite in zip(models, finite, strict=True):
        if not is_finite:
            raise MixError(
                f"Tensor {tensor} of {model.name}, or of its base, holds NaN or infinite numbers: "
                "leave this source out, or download or train it again."
            )


def _hangs_on(context: Context) -> Any:
    return [context.needed_base().digest, digests_of(_models(context))]


MEASURES.add("task-vector", Measure(task_vector, _hangs_on))
