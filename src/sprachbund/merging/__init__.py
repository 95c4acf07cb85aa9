"""The merge engine: sources and weights in, checkpoints or tensors in memory out, chunk by chunk.

Each chunk of each source is read straight from its file, and whatever the dtype of the sources, it is worked on in fp32:
sixteen-bit sums would lose what the sources differ in. Numbers are rounded once, when they are written. Memory depends on the
chunk, not on the model or the number of sources; a few threads read and add up at the same time.

:mod:`job` says what a merge means for each tensor; :mod:`sums` adds up for any number of merges in one pass; :mod:`by_method`
asks methods that need more than a sum; :mod:`sinks` take what comes out. :mod:`resident` is another engine, which this package
does not import: for sums of sources that stay on a GPU.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sprachbund.checkpoints import (
    COMPANIONS,
    CONFIG,
    DTYPES,
    WEIGHTS,
    Alignment,
    Checkpoint,
    TensorFile,
    TensorWriter,
)
from sprachbund.merging.by_method import coefficients, products, put_by_method
from sprachbund.merging.job import STATISTICS, Job, Merge, Weights, WeightsOf, settle
from sprachbund.merging.reading import Readers, not_finite
from sprachbund.merging.sinks import Arrays, Nowhere, Sink
from sprachbund.merging.sums import Sum, chunks_of, put_copy, put_rows, put_stretch, shared_out, shares_pass
from sprachbund.parallel import cores, in_order

__all__ = [
    "ELEMENTS_PER_CHUNK",
    "STATISTICS",
    "Arrays",
    "InMemory",
    "Merge",
    "Nowhere",
    "Sink",
    "WeightsOf",
    "in_memory",
    "merge",
    "merge_all",
    "merged_tensors",
    "not_finite",
    "run",
    "settle",
    "shared_out",
]

ELEMENTS_PER_CHUNK = 1 << 18
"""At most; 1 MiB of fp32."""
ELEMENTS_AT_ONCE = 1 << 24
"""Of all merges that share a pass: what a thread holds in memory."""
MOST_THREADS = 8
"""More don't make memory any faster."""


def merge(
    sources: Sequence[Checkpoint],
    weights: Weights | WeightsOf,
    out: Path,
    *,
    method: str = "linear",
    options: Mapping[str, object] | None = None,
    base: Checkpoint | None = None,
    statistics: Mapping[str, Sequence[TensorFile]] | None = None,
    seed: int = 0,
    dtype: str | None = None,
    scales: Mapping[str, float] | None = None,
) -> Alignment | None:
    """Merge checkpoints into the existing folder ``out``; return how their vocabularies were aligned, None if they are one.

    Config and tokenizer are those of the first source, where vocabularies are aligned those of the one with the most tokens.
    The weights are one per source or, for each tensor by name, one per source, perhaps for each row that it has in the merge.

    Raises:
        IncompatibleError: the checkpoints do not fit together.
        MixError: a source holds NaN or infinite numbers, weights and sources differ in number, or the method cannot be used in
            this way.
    """
    wanted = Merge(sources, weights, method, options or {}, base, statistics or {}, seed, dtype, scales=scales)
    return merge_all([wanted], [out])[0]


def merge_all(merges: Sequence[Merge], outs: Sequence[Path]) -> list[Alignment | None]:
    """Merge into existing folders, all in one pass over the sources; see :func:`merge`."""
    jobs = [settle(each) for each in merges]
    with ExitStack() as stack:
        writers = [
            stack.enter_context(TensorWriter(out / WEIGHTS, job.infos, {"format": "pt"}))
            for job, out in zip(jobs, outs, strict=True)
        ]
        _run(jobs, writers)
    for job, out in zip(jobs, outs, strict=True):
        _copy_companions(job.lead.folder, out)
        _say_dtype(out, {info.dtype for info in job.infos if info.is_float})
    return [job.aligned for job in jobs]


@dataclass(frozen=True)
class InMemory:
    """A merged checkpoint in memory."""

    lead: Checkpoint
    """Whose config and tokenizer it has."""
    tensors: Mapping[str, Any]
    """By name: arrays of numpy, or tensors on a device, as the engine makes them."""
    alignment: Alignment | None


def in_memory(merges: Sequence[Merge], names: Sequence[str] = ()) -> list[InMemory]:
    """Merge into memory, all in one pass over the sources: all tensors, or those of these ``names``."""
    jobs = [settle(each).only(names) for each in merges]
    arrays = [Arrays(job.infos) for job in jobs]
    _run(jobs, arrays)
    return [InMemory(job.lead, each.tensors, job.aligned) for job, each in zip(jobs, arrays, strict=True)]


def merged_tensors(
    sources: Sequence[Checkpoint], weights: Weights | WeightsOf, *, names: Sequence[str] = (), **settings: Any
) -> Mapping[str, npt.NDArray[Any]]:
    """Return the tensors of one merge in memory; settings as of :class:`Merge`."""
    return in_memory([Merge(sources, weights, **settings)], names)[0].tensors


def run(merges: Sequence[Merge], sinks: Sequence[Sink], threads: int | None = None) -> None:
    """Merge into any sinks, all in one pass over the sources."""
    _run([settle(each) for each in merges], sinks, threads)


def _run(jobs: Sequence[Job], sinks: Sequence[Sink], threads: int | None = None) -> None:
    threads = threads or min(cores(), MOST_THREADS)
    with closing(Readers()) as readers:
        found = partial(products, readers=readers, threads=threads)
        sums: list[Sum] = []
        for job, sink in zip(jobs, sinks, strict=True):
            if job.method.kind == "tensor":
                put_by_method(job, sink, readers, threads)
            for work in job.works:
                if not work.info.is_float:
                    put_copy(job, work, sink)
                elif job.method.kind == "coefficient" or not work.by_method:
                    sums.append(Sum(job, work, *coefficients(job, work, found), sink))
        _put_sums(sums, readers, threads)


def _put_sums(sums: Sequence[Sum], readers: Readers, threads: int) -> None:
    """Read each tensor once for all who want it; what is looked up row by row, once for each."""
    together: dict[tuple[str, tuple[int, ...], np.dtype[Any]], list[Sum]] = {}
    for each in sums:
        if shares_pass(each.job, each.work):
            together.setdefault((each.work.info.name, each.work.info.shape, each.accumulator), []).append(each)
        else:
            _put_looked_up(each, readers, threads)
    tasks = ((users, *chunk) for users in together.values() for chunk in chunks_of(users[0].work, _elements(users)))
    for _ in in_order(lambda task: put_stretch(readers, *task), tasks, threads):
        pass


def _elements(users: Sequence[Sum]) -> int:
    """Return how many elements of a tensor are read at once: the more merges, the fewer."""
    return max(1, min(ELEMENTS_PER_CHUNK, ELEMENTS_AT_ONCE // (len(users) + 2)))


def _put_looked_up(each: Sum, readers: Readers, threads: int) -> None:
    rows = each.work.info.shape[0]
    step = max(1, ELEMENTS_PER_CHUNK * rows // max(1, each.work.info.size))
    tasks = ((start, min(start + step, rows)) for start in range(0, rows, step))
    for _ in in_order(lambda task: put_rows(readers, each, *task), tasks, threads):
        pass


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
