"""What is to be merged, and what that means for each tensor: settled before a number is read.

Sources are put into the order of their paths. Sums are then the same to the last bit in whatever order sources are named, and
with whatever others they share a pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sprachbund.checkpoints import (
    Alignment,
    Checkpoint,
    TensorFile,
    TensorInfo,
    check_base,
    check_mergeable,
    counterparts,
    vocabulary_tensors,
)
from sprachbund.errors import MixError
from sprachbund.methods import METHODS, Method

__all__ = ["STATISTICS", "Job", "Merge", "Weights", "WeightsOf", "Work", "place_of", "settle"]

Weights = Sequence[float] | npt.NDArray[Any]
"""One per source, [K], or one for each row of a tensor, [K, rows]."""
WeightsOf = Callable[[str], Weights]
"""From the name of a tensor to its weights, where they are not the same for all."""

STATISTICS: tuple[Literal["fisher", "gram"], ...] = ("fisher", "gram")
"""What a method can need of the sources besides their tensors."""


_TABLES = re.compile(r"embed|(^|\.)(wte|wpe)\.|relative_attention_bias|position_bias")
"""How matrices are called that are no weights of a layer, but tables: of tokens, of positions, of distances."""


@dataclass(frozen=True)
class Merge:
    """One merge as it is asked for."""

    sources: Sequence[Checkpoint]
    weights: Weights | WeightsOf
    method: str = "linear"
    options: Mapping[str, object] = field(default_factory=dict)
    base: Checkpoint | None = None
    """θ₀, for methods on task vectors."""
    statistics: Mapping[str, Sequence[TensorFile]] = field(default_factory=dict)
    """By name (``fisher``, ``gram``), a file per source."""
    seed: int = 0
    """Of methods that drop at random."""
    dtype: str | None = None
    """What is written (a key of DTYPES); None for the widest of the sources."""
    rows: npt.NDArray[np.int64] | None = None
    """The rows of the vocabulary that are wanted, where not all are; for coefficient methods."""
    scales: Mapping[str, float] | None = None
    """What the method's ``scale`` is multiplied by in each tensor, by name; None for 1 in all."""
    plain: Collection[str] = ()
    """Tensors that the method is not asked for: weighted means of the sources', whatever it is."""


@dataclass(frozen=True)
class Work:
    """What a merge does for one tensor."""

    info: TensorInfo
    """As it comes out."""
    weights: npt.NDArray[np.float64]
    """[K], or [K, rows] with a weight for each row."""
    options: Mapping[str, Any]
    """Of the method, in this tensor."""
    base: str | None
    """Its name in the base; None if the base lacks it, or there is none."""
    by_token: bool
    """Whether it has a row for each token."""
    by_method: bool
    """Whether the method is asked; if not it is summed linearly or, an integer, copied."""


@dataclass(frozen=True)
class Job:
    """A merge that has been checked, its sources in the order of their paths."""

    sources: tuple[Checkpoint, ...]
    lead: Checkpoint
    """Whose config, tokenizer and shapes the merge has."""
    method: Method
    options: Mapping[str, Any]
    """Of the method, but for what is said of single tensors."""
    base: Checkpoint | None
    alignment: tuple[npt.NDArray[Any], ...] | None
    """Where the rows of the lead's vocabulary stand in each source, -1 where they don't; None if it is one vocabulary."""
    aligned: Alignment | None
    """As it was found."""
    rows: npt.NDArray[np.int64] | None
    statistics: Mapping[str, Sequence[TensorFile]]
    seed: int
    works: tuple[Work, ...]

    @property
    def infos(self) -> list[TensorInfo]:
        """The tensors that come out."""
        return [work.info for work in self.works]

    def only(self, names: Sequence[str]) -> Job:
        """Return the same for these tensors alone; without names, for all."""
        return replace(self, works=tuple(work for work in self.works if not names or work.info.name in names))


@cache
def _resolved(folder: Path) -> str:
    return str(folder.resolve())


def place_of(checkpoint: Checkpoint) -> str:
    """Return where a checkpoint lies, however its path is spelled: by this, sources are put into their order."""
    return _resolved(checkpoint.folder)


def settle(merge: Merge) -> Job:
    """Check a merge and say what it does for each tensor; headers are read, and nothing else.

    Raises:
        IncompatibleError: the checkpoints do not fit together.
        MixError: weights and sources differ in number, or the method cannot be used in this way.
    """
    if not merge.sources:
        raise MixError("A merge needs at least one source; got none.")
    method = METHODS[merge.method]
    count = len(merge.sources)
    if merge.rows is not None and method.kind == "tensor":
        raise ValueError(f"{method.name} looks at whole tensors, and makes them whole")
    options = method.settle(merge.options, count)
    if merge.scales is not None and "scale" not in options:
        raise MixError(f"The method {method.name} has no scale that could differ between tensors.")
    aligned = check_mergeable(merge.sources)
    order = sorted(range(count), key=lambda place: place_of(merge.sources[place]))
    sources = tuple(merge.sources[place] for place in order)
    lead = merge.sources[aligned.carrier if aligned else 0]
    base = _check_base(merge, method, lead, aligned)
    job = Job(
        sources=sources,
        lead=lead,
        method=method,
        options={name: value[order] if method.options[name].per_source else value for name, value in options.items()},
        base=base,
        alignment=tuple(aligned.rows[place] for place in order) if aligned else None,
        aligned=aligned,
        rows=merge.rows,
        statistics=_statistics(merge, method, order),
        seed=merge.seed,
        works=(),
    )
    names = counterparts(base, lead) if base else {}
    by_token = vocabulary_tensors(lead)
    works = tuple(
        _work(
            replace(job, options=_scaled(job.options, merge.scales, info.name)),
            info,
            _of(merge.weights, info.name, count)[order],
            None if info.name in merge.plain else names.get(info.name),
            info.name in by_token,
            is_plain=info.name in merge.plain,
        )
        for info in _merged_infos(sources, lead, merge.dtype)
    )
    for work in works:
        if work.by_method:
            method.check_sources(work.weights)
    return replace(job, works=works)


def _scaled(options: Mapping[str, Any], scales: Mapping[str, float] | None, tensor: str) -> Mapping[str, Any]:
    """Return the options of the method in a tensor."""
    return options if scales is None else {**options, "scale": options["scale"] * scales[tensor]}


def _check_base(merge: Merge, method: Method, lead: Checkpoint, aligned: Alignment | None) -> Checkpoint | None:
    """Return the base if the method is about task vectors; complain of what it cannot be used with."""
    sums_alone = method.kind == "coefficient" and "products" not in method.needs
    if aligned and (method.needs_base or not sums_alone):
        raise MixError(
            f"The sources have different vocabularies, which the method {method.name} cannot merge: "
            "take linear, or sources with one vocabulary."
        )
    if not method.needs_base:
        return None
    if merge.base is None:
        raise MixError(
            f"The method {method.name} is about what the sources learned since their base: name it (--base)."
        )
    if check_base(merge.base, lead) is not None:
        raise MixError(
            f"{merge.base.name} has not the vocabulary of {lead.name}, which the method {method.name} needs: "
            "take linear, or the base with all tokens."
        )
    return merge.base


def _statistics(merge: Merge, method: Method, order: Sequence[int]) -> Mapping[str, Sequence[TensorFile]]:
    found: dict[str, Sequence[TensorFile]] = {}
    for name in set(STATISTICS) & set(method.needs):
        files = merge.statistics.get(name, ())
        if len(files) != len(merge.sources):
            raise MixError(
                f"The method {method.name} needs {name} statistics of each source: "
                f"got {len(files)} for {len(merge.sources)} sources."
            )
        found[name] = [files[place] for place in order]
    return found


def _of(weights: Weights | WeightsOf, tensor: str, count: int) -> npt.NDArray[np.float64]:
    numbers = np.asarray(weights(tensor) if callable(weights) else weights, dtype=np.float64)
    if len(numbers) != count:
        raise MixError(
            f"A merge needs one weight per source; got {count} sources and {len(numbers)} weights for {tensor}."
        )
    return numbers


def _work(
    job: Job,
    info: TensorInfo,
    weights: npt.NDArray[np.float64],
    base: str | None,
    by_token: bool,
    *,
    is_plain: bool,
) -> Work:
    if job.rows is not None and by_token:
        info = TensorInfo(info.name, info.dtype, (len(job.rows), *info.shape[1:]))
        weights = weights[:, job.rows] if weights.ndim == 2 else weights
    method = job.method
    applies = info.is_float and not is_plain and not (method.needs_base and base is None)
    if method.matrices_only:
        applies = applies and _is_layer_matrix(info, by_token)
    if "gram" in method.needs:
        applies = applies and all(info.name in file.tensors for file in job.statistics["gram"])
    return Work(info, weights, job.options, base if info.is_float else None, by_token, applies)


def _is_layer_matrix(info: TensorInfo, by_token: bool) -> bool:
    """Return whether a tensor is the weight of a linear layer: a matrix, and no table of embeddings."""
    return len(info.shape) == 2 and not by_token and not _TABLES.search(info.name)


def _merged_infos(sources: Sequence[Checkpoint], lead: Checkpoint, dtype: str | None) -> list[TensorInfo]:
    """Describe the merged tensors: shapes of the source that leads, in the dtype that is asked for or the widest of all."""
    return [
        TensorInfo(
            name,
            dtype if dtype and info.is_float else _widest([source.tensors[name].dtype for source in sources]),
            info.shape,
        )
        for name, info in lead.tensors.items()
    ]


def _widest(dtypes: Sequence[str]) -> str:
    """Return the dtype that holds all: the same for one dtype, F32 for a mix of sixteen-bit ones."""
    if len(set(dtypes)) == 1:
        return dtypes[0]
    return "F64" if "F64" in dtypes else "F32"
