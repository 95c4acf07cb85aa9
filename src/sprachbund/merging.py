"""The merge engine: sources and coefficients in, one checkpoint out, chunk by chunk.

Each chunk of each source is read straight from its file, multiplied by its coefficient and added up in fp32, whatever the
dtype of the sources: sixteen-bit sums would lose what the sources differ in. The sum is cast once, when it is written. Memory
depends on the chunk, not on the model or the number of sources.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from sprachbund.checkpoints import (
    COMPANIONS,
    CONFIG,
    DTYPES,
    WEIGHTS,
    Checkpoint,
    TensorInfo,
    check_mergeable,
    write_tensors,
)
from sprachbund.errors import IncompatibleError, MixError
from sprachbund.methods import METHODS

__all__ = ["merge", "merged_tensors"]

ELEMENTS_PER_CHUNK = 1 << 20
"""4 MiB of fp32."""

WeightsOf = Callable[[str], Sequence[float] | np.ndarray]
"""From the name of a tensor to its weights [K] or, for each of its rows, [K, rows], where they are not the same for all."""
Weights = Sequence[float] | np.ndarray


def merge(
    sources: Sequence[Checkpoint], weights: Sequence[float] | WeightsOf, out: Path, *, method: str = "linear"
) -> None:
    """Merge checkpoints into the existing folder ``out``; config and tokenizer are those of the first source.

    The weights are one per source or, for each tensor by name, one per source, perhaps for each of its rows.

    Raises:
        IncompatibleError: the checkpoints do not fit together.
        MixError: a source holds NaN or infinite numbers, or weights and sources differ in number.
    """
    if not sources:
        raise MixError("A merge needs at least one source; got none.")
    check_mergeable(sources)
    infos = _merged_infos(sources)
    coefficients = {info.name: _coefficients(method, _of(weights, info.name)) for info in infos}
    for name, numbers in coefficients.items():
        if len(numbers) != len(sources):
            raise MixError(
                f"A merge needs one weight per source; got {len(sources)} sources and {len(numbers)} weights for {name}."
            )
    chunks = (chunk for info in infos for chunk in _merged_chunks(sources, coefficients[info.name], info))
    write_tensors(out / WEIGHTS, infos, chunks, metadata={"format": "pt"})
    _copy_companions(sources[0].folder, out)
    _say_dtype(out, {info.dtype for info in infos if info.is_float})


def merged_tensors(
    sources: Sequence[Checkpoint], weights: Sequence[float], *, method: str = "linear", names: Sequence[str] = ()
) -> Mapping[str, np.ndarray]:
    """Return the merged tensors in memory: all of a small model, or those of these ``names``."""
    coefficients = METHODS[method].coefficients(weights)
    return {
        info.name: np.concatenate(
            [np.empty(0, DTYPES[info.dtype]), *_merged_chunks(sources, coefficients, info)]
        ).reshape(info.shape)
        for info in _merged_infos(sources)
        if not names or info.name in names
    }


def _coefficients(method: str, weights: Weights) -> Weights:
    """Apply a coefficient method, row by row where each has weights of its own."""
    of = METHODS[method].coefficients
    if np.ndim(weights) < 2:
        return of(list(weights))
    return np.apply_along_axis(lambda column: np.asarray(of(column.tolist())), 0, np.asarray(weights))


def _of(weights: Sequence[float] | WeightsOf, tensor: str) -> Weights:
    return weights(tensor) if callable(weights) else weights


def _merged_infos(sources: Sequence[Checkpoint]) -> list[TensorInfo]:
    """Describe the merged tensors: shape of the first source, the widest dtype of all."""
    return [
        TensorInfo(name, _widest(name, [source.tensors[name].dtype for source in sources]), info.shape)
        for name, info in sources[0].tensors.items()
    ]


def _widest(name: str, dtypes: Sequence[str]) -> str:
    """Return the dtype that holds all: the same for one dtype, F32 for a mix of sixteen-bit ones."""
    if len(set(dtypes)) == 1:
        return dtypes[0]
    if not all(TensorInfo(name, dtype, ()).is_float for dtype in dtypes):
        raise IncompatibleError(
            f"Tensor {name} is {' and '.join(sorted(set(dtypes)))} in the sources: it cannot be merged."
        )
    return "F64" if "F64" in dtypes else "F32"


def _merged_chunks(sources: Sequence[Checkpoint], coefficients: Weights, info: TensorInfo) -> Iterator[np.ndarray]:
    views = [source.file.read(info.name).reshape(-1) for source in sources]
    for start in range(0, info.size, ELEMENTS_PER_CHUNK):
        parts = [view[start : start + ELEMENTS_PER_CHUNK] for view in views]
        here = _elements(coefficients, info, slice(start, start + len(parts[0])))
        yield _weighted_sum(sources, here, parts, info) if info.is_float else _the_same(sources, parts, info)


def _elements(coefficients: Weights, info: TensorInfo, where: slice) -> Weights:
    """Return the coefficients of a stretch of a tensor's elements: [K], or [K, elements] where each row has its own."""
    if np.ndim(coefficients) < 2:
        return coefficients
    rows = np.arange(where.start, where.stop) // (info.size // info.shape[0])
    return np.asarray(coefficients)[:, rows]


def _weighted_sum(
    sources: Sequence[Checkpoint], coefficients: Weights, parts: Sequence[np.ndarray], info: TensorInfo
) -> np.ndarray:
    accumulator = np.float64 if info.dtype == "F64" else np.float32
    total = np.zeros(parts[0].shape, dtype=accumulator)
    for source, coefficient, part in zip(sources, coefficients, parts, strict=True):
        values: np.ndarray = part.astype(accumulator)
        if not np.isfinite(values).all():
            raise MixError(
                f"Tensor {info.name} of {source.name} holds NaN or infinite numbers: "
                "leave this source out, or download or train it again."
            )
        total += values * np.asarray(coefficient, dtype=accumulator)
    return total.astype(DTYPES[info.dtype])


def _the_same(sources: Sequence[Checkpoint], parts: Sequence[np.ndarray], info: TensorInfo) -> np.ndarray:
    """Return what all sources share: integers are indices, there is no mean of them."""
    for source, part in zip(sources, parts, strict=True):
        if not np.array_equal(part, parts[0]):
            raise IncompatibleError(
                f"Tensor {info.name} holds integers that differ between {sources[0].name} and {source.name}: "
                "they cannot be merged."
            )
    return parts[0]


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
