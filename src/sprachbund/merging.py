"""The merge engine: sources and coefficients in, one checkpoint out, chunk by chunk.

Each chunk of each source is read straight from its file, multiplied by its coefficient and added up in fp32, whatever the
dtype of the sources: sixteen-bit sums would lose what the sources differ in. The sum is cast once, when it is written. Memory
depends on the chunk, not on the model or the number of sources.

Where the vocabularies of the sources are aligned, a row of the embedding is summed over its token's rows. The weight of a
source that has no such row is shared out among those that have it, in proportion to their weights.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from sprachbund.checkpoints import (
    COMPANIONS,
    CONFIG,
    DTYPES,
    WEIGHTS,
    Alignment,
    Checkpoint,
    TensorInfo,
    check_mergeable,
    vocabulary_tensors,
    write_tensors,
)
from sprachbund.errors import MixError
from sprachbund.methods import METHODS

__all__ = ["ELEMENTS_PER_CHUNK", "merge", "merged_tensors", "not_finite", "shared_out"]

ELEMENTS_PER_CHUNK = 1 << 20
"""4 MiB of fp32."""

WeightsOf = Callable[[str], Sequence[float] | np.ndarray]
"""From the name of a tensor to its weights [K] or, for each of its rows, [K, rows], where they are not the same for all."""
Weights = Sequence[float] | np.ndarray


def merge(
    sources: Sequence[Checkpoint], weights: Sequence[float] | WeightsOf, out: Path, *, method: str = "linear"
) -> Alignment | None:
    """Merge checkpoints into the existing folder ``out``; return how their vocabularies were aligned, None if they are one.

    Config and tokenizer are those of the first source, where vocabularies are aligned those of the one with the most tokens.
    The weights are one per source or, for each tensor by name, one per source, perhaps for each row that it has in the merge.

    Raises:
        IncompatibleError: the checkpoints do not fit together.
        MixError: a source holds NaN or infinite numbers, or weights and sources differ in number.
    """
    if not sources:
        raise MixError("A merge needs at least one source; got none.")
    alignment = check_mergeable(sources)
    lead = sources[alignment.carrier if alignment else 0]
    infos = _merged_infos(sources, lead)
    given = {info.name: _of(weights, info.name) for info in infos}
    for name, numbers in given.items():
        if len(numbers) != len(sources):
            raise MixError(
                f"A merge needs one weight per source; got {len(sources)} sources and {len(numbers)} weights for {name}."
            )
    by_token = vocabulary_tensors(lead)
    chunks = (
        chunk
        for info in infos
        for chunk in _chunks(sources, method, given[info.name], info, alignment if info.name in by_token else None)
    )
    write_tensors(out / WEIGHTS, infos, chunks, metadata={"format": "pt"})
    _copy_companions(lead.folder, out)
    _say_dtype(out, {info.dtype for info in infos if info.is_float})
    return alignment


def merged_tensors(
    sources: Sequence[Checkpoint], weights: Sequence[float], *, method: str = "linear", names: Sequence[str] = ()
) -> Mapping[str, np.ndarray]:
    """Return the merged tensors in memory: all of a small model, or those of these ``names``."""
    alignment = check_mergeable(sources)
    lead = sources[alignment.carrier if alignment else 0]
    by_token = vocabulary_tensors(lead)
    return {
        info.name: np.concatenate(
            [
                np.empty(0, DTYPES[info.dtype]),
                *_chunks(sources, method, weights, info, alignment if info.name in by_token else None),
            ]
        ).reshape(info.shape)
        for info in _merged_infos(sources, lead)
        if not names or info.name in names
    }


def _chunks(
    sources: Sequence[Checkpoint], method: str, weights: Weights, info: TensorInfo, alignment: Alignment | None
) -> Iterator[np.ndarray]:
    """Yield the elements of a merged tensor, in order and in parts."""
    if alignment is None:
        return _merged_chunks(sources, _coefficients(method, weights), info)
    return _aligned_chunks(sources, method, weights, info, alignment)


def _coefficients(method: str, weights: Weights) -> Weights:
    """Apply a coefficient method, row by row where each has weights of its own."""
    of = METHODS[method].function
    if np.ndim(weights) < 2:
        return np.asarray(of(np.asarray(weights)))
    return np.apply_along_axis(lambda column: np.asarray(of(column)), 0, np.asarray(weights))


def _of(weights: Sequence[float] | WeightsOf, tensor: str) -> Weights:
    return weights(tensor) if callable(weights) else weights


def _merged_infos(sources: Sequence[Checkpoint], lead: Checkpoint) -> list[TensorInfo]:
    """Describe the merged tensors: shapes of the source that leads, the widest dtype of all."""
    return [
        TensorInfo(name, _widest([source.tensors[name].dtype for source in sources]), info.shape)
        for name, info in lead.tensors.items()
    ]


def _widest(dtypes: Sequence[str]) -> str:
    """Return the dtype that holds all: the same for one dtype, F32 for a mix of sixteen-bit ones."""
    if len(set(dtypes)) == 1:
        return dtypes[0]
    return "F64" if "F64" in dtypes else "F32"


def _merged_chunks(sources: Sequence[Checkpoint], coefficients: Weights, info: TensorInfo) -> Iterator[np.ndarray]:
    views = [source.file.read(info.name).reshape(-1) for source in sources]
    for start in range(0, info.size, ELEMENTS_PER_CHUNK):
        parts = [view[start : start + ELEMENTS_PER_CHUNK] for view in views]
        here = _elements(coefficients, info, slice(start, start + len(parts[0])))
        if info.is_float:
            yield _weighted_sum(sources, here, parts, parts[0].shape, info)
        else:
            yield parts[0]  # integers: the sources have been seen to share them


def _elements(coefficients: Weights, info: TensorInfo, where: slice) -> Weights:
    """Return the coefficients of a stretch of a tensor's elements: [K], or [K, elements] where each row has its own."""
    if np.ndim(coefficients) < 2:
        return coefficients
    rows = np.arange(where.start, where.stop) // (info.size // info.shape[0])
    return np.asarray(coefficients)[:, rows]


def _aligned_chunks(
    sources: Sequence[Checkpoint], method: str, weights: Weights, info: TensorInfo, alignment: Alignment
) -> Iterator[np.ndarray]:
    """Do the same for a tensor with a row for each token, which is looked up in each source; chunks are whole rows."""
    views = [source.file.read(info.name) for source in sources]
    width = math.prod(info.shape[1:])
    step = max(1, ELEMENTS_PER_CHUNK // max(1, width))
    for start in range(0, info.shape[0], step):
        where = slice(start, min(start + step, info.shape[0]))
        parts = (view[rows[where]].reshape(-1, width) for view, rows in zip(views, alignment.rows, strict=True))
        shares = shared_out(weights, alignment.present(where), where)
        by_row = np.asarray(_coefficients(method, shares))[:, :, np.newaxis]
        yield _weighted_sum(sources, by_row, parts, (where.stop - start, width), info).reshape(-1)


def shared_out(weights: Weights, present: np.ndarray, where: slice) -> np.ndarray:
    """Return the weights [K, rows] of the rows ``where``, 0 where a source has no such row, for ``present`` [K, rows].

    Their sum stays what it was. Where nobody who has a row has a weight, all who have it count the same.
    """
    each = np.asarray(weights, dtype=np.float64)
    each = each[:, where] if each.ndim == 2 else each[:, np.newaxis]
    wanted = each.sum(axis=0)
    held = each * present
    total = held.sum(axis=0)
    among = np.where(total > 0, held, present)
    shares = among / among.sum(axis=0) * wanted
    return np.where(present.all(axis=0), each, shares)


def _weighted_sum(
    sources: Sequence[Checkpoint],
    coefficients: Weights,
    parts: Iterable[np.ndarray],
    shape: tuple[int, ...],
    info: TensorInfo,
) -> np.ndarray:
    accumulator = np.float64 if info.dtype == "F64" else np.float32
    total = np.zeros(shape, dtype=accumulator)
    for source, coefficient, part in zip(sources, coefficients, parts, strict=True):
        values: np.ndarray = part.astype(accumulator)
        if not np.isfinite(values).all():
            raise not_finite(info.name, source)
        total += values * np.asarray(coefficient, dtype=accumulator)
    return total.astype(DTYPES[info.dtype])


def not_finite(tensor: str, source: Checkpoint) -> MixError:
    """Return the complaint about a source that holds something else than numbers."""
    return MixError(
        f"Tensor {tensor} of {source.name} holds NaN or infinite numbers: "
        "leave this source out, or download or train it again."
    )


def _copy_companions(folder: Path, out: Path) -> None:
    for name in COMPANIONS:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)


def _say_dtype(out: Path, dtypes: Iterable[str]) -> None:
    """Let the config name the dtype of the merged tensors: transformers loads a model in what its config says."""
    config = json.loads((out / CONFIG).read_text(encoding="utf-8"))
    names = {str(DTYPES[dtype]) for dtype in dtypes}
    if len(names) == 1:
        config["dtype"] = names.pop()
        config.pop("torch_dtype", None)
        (out / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
