"""What methods are asked: their passes, inner products, and the tensors that they make; cut as fine as they allow.

A chunk holds all sources of a merge, [n, *cut], as thetas or as taus. Cuts for sums that are no counts are the same whatever
else is set (BLOCK), and are added up in their order, so that these sums are always the same as well.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from sprachbund.checkpoints import Checkpoint, TensorWriter
from sprachbund.merging.job import Job, Work
from sprachbund.merging.numbers import OVERFLOW, rounded
from sprachbund.merging.reading import Readers, check_finite
from sprachbund.merging.sinks import Sink
from sprachbund.methods import Pass
from sprachbund.parallel import ALONE, Team, can_fork, in_order, together

__all__ = ["coefficients", "products", "put_by_method", "working_dtype"]

Array = npt.NDArray[Any]

BLOCK = 1 << 16
"""Elements of each source over which products are added up at once."""
FEWEST_CUTS = 4
"""For each process, where a tensor is shared out."""
STACK = 1 << 20
"""Elements of all sources in a chunk."""


@dataclass(frozen=True)
class _Cut:
    """A part of a tensor, in elements."""

    work: Work
    start: int
    end: int
    shape: tuple[int, ...]
    """As a method of the granularity sees it, of one source."""


def coefficients(job: Job, work: Work, find_products: Callable[[Job, Work], Array]) -> tuple[Array, float]:
    """Return the coefficients of a tensor, [K] or [K, rows], and that of θ₀; a method may ask for :func:`products`."""
    if not work.by_method:
        return _linear(job, work)
    given: dict[str, Array] = {}
    if "products" in job.method.needs:
        given["products"] = find_products(job, work)
    of = job.method.function
    if work.weights.ndim == 1:
        found = np.asarray(of(work.weights, **given, **work.options), dtype=np.float64)
    else:
        found = np.apply_along_axis(lambda column: np.asarray(of(column, **work.options)), 0, work.weights)
    return found, float(1 - found.sum()) if job.method.needs_base else 0.0


def _linear(job: Job, work: Work) -> tuple[Array, float]:
    """Return the coefficients of a tensor that the method is not about.

    What the base has moves along the weighted sum of the task vectors; what it lacks (a new head) is a weighted mean, since
    there is nothing that it could be added to.
    """
    scale = float(work.options.get("scale", 1.0))
    if job.method.needs_base and work.base is not None:
        found = scale * work.weights
        return found, float(1 - found.sum())
    total = work.weights.sum(axis=0)
    even = np.full_like(work.weights, 1 / len(work.weights))
    return np.where(total != 0, work.weights / np.where(total != 0, total, 1), even), 0.0


def products(job: Job, work: Work, readers: Readers, threads: int) -> Array:
    """Return the inner products of the sources' vectors, [n, n], in float64."""
    size = job.lead.tensors[work.info.name].size  # of all rows, also where some are wanted alone
    cuts = [_Cut(work, start, min(start + BLOCK, size), ()) for start in range(0, size, BLOCK)]

    def of(cut: _Cut) -> Array:
        vectors = _vectors(job, cut, readers).astype(np.float64)
        product: Array = vectors @ vectors.T
        return product

    count = len(job.sources)
    return sum(in_order(of, cuts, threads), np.zeros((count, count)))


def working_dtype(job: Job, work: Work) -> np.dtype[Any]:
    """Return the dtype of the vectors that a method sees."""
    is_double = any(source.file.tensors[work.info.name].dtype == "F64" for source in job.sources)
    return np.dtype(np.float64 if is_double else np.float32)


def put_by_method(job: Job, sink: Sink, readers: Readers, threads: int) -> None:
    """Make all tensors of a merge that its method is asked for.

    Counting holds Python's lock, and so do short steps between long ones: threads hardly help. What is written to a file can
    be made by several processes; whole tensors are the business of LAPACK, which has threads of its own.
    """
    works = [work for work in job.works if work.by_method]
    if "generators" in job.method.needs:
        _ = [source.digest for source in job.sources]  # found once, and not by each thread
    if job.method.granularity == "tensor":
        _put_all(job, works, sink, readers, 1, ALONE)
    elif isinstance(sink, TensorWriter) and can_fork():
        together(lambda team: _put_all(job, works, sink, readers, 1, team), threads)
    else:
        _put_all(job, works, sink, readers, threads, ALONE)


def _put_all(job: Job, works: Sequence[Work], sink: Sink, readers: Readers, threads: int, team: Team) -> None:
    if job.options.get("scope", "tensor") == "model":
        summary = _summary(job, works, readers, threads, team)
        for work in works:
            _put(job, work, summary, sink, readers, threads, team)
        return
    for number, work in enumerate(works):
        shared = len(list(_cuts(job, work))) >= FEWEST_CUTS * team.size
        if shared:
            _put(job, work, _summary(job, [work], readers, threads, team), sink, readers, threads, team)
        elif number % team.size == team.rank:  # a small tensor is not worth talking about
            _put(job, work, _summary(job, [work], readers, threads, ALONE), sink, readers, threads, ALONE)


def _summary(job: Job, works: Sequence[Work], readers: Readers, threads: int, team: Team) -> dict[str, Array]:
    """Return what the passes of the method find in these tensors together."""
    found: dict[str, Array] = {}
    cuts = [cut for work in works for cut in _cuts(job, work)]
    for number, each in enumerate(job.method.passes):
        named = _named(each.of, job.options)

        before = dict(found)

        def of(
            cut: _Cut,
            each: Pass = each,
            before: Mapping[str, Array] = before,
            named: Mapping[str, Any] = named,
            checked: bool = number > 0,
        ) -> Mapping[str, Array]:
            vectors = _vectors(job, cut, readers, checked=checked).reshape(len(job.sources), *cut.shape)
            return each.of(vectors, cut.work.weights, before, **named)

        found |= _added_up(of, cuts, threads, team)
    return found


def _added_up(
    of: Callable[[_Cut], Mapping[str, Array]], cuts: Sequence[_Cut], threads: int, team: Team
) -> dict[str, Array]:
    """Return what the chunks come to together: counts as they are made, other sums in the order of the chunks.

    Counts are large, and those of many sources at a time would be many; in whatever order they are added up, they are the same.
    """
    total: dict[str, Array] = {}
    mine = Lock()

    def counted(task: tuple[int, _Cut]) -> tuple[int, Mapping[str, Array]]:
        number, cut = task
        sums = {}
        for name, numbers in of(cut).items():
            if not np.issubdtype(numbers.dtype, np.integer):
                sums[name] = numbers
                continue
            with mine:
                if name in total:
                    total[name] += numbers
                else:
                    total[name] = numbers
        return number, sums

    sums = list(in_order(counted, team.mine(cuts), threads))
    gathered = team.gather((total, sums))
    in_turn = sorted((part for _, others in gathered for part in others), key=itemgetter(0))
    parts: list[Mapping[str, Array]] = [*(counts for counts, _ in gathered), *(part for _, part in in_turn)]
    found: dict[str, Array] = {}
    for part in parts:
        for name, numbers in part.items():
            found[name] = found[name] + numbers if name in found else numbers
    return found


def _put(
    job: Job,
    work: Work,
    summary: Mapping[str, Array],
    sink: Sink,
    readers: Readers,
    threads: int,
    team: Team,
) -> None:
    base, name, method = job.base, work.base, job.method
    needs_summary = {"summary": summary} if "summary" in method.needs else {}

    @OVERFLOW
    def of(task: tuple[int, _Cut]) -> None:
        _, cut = task
        vectors = _vectors(job, cut, readers, checked=bool(method.passes)).reshape(len(job.sources), *cut.shape)
        handed = needs_summary | _handed(job, cut, readers)
        merged = np.asarray(method.function(vectors, work.weights, **handed, **work.options)).reshape(-1)
        if merged.size != cut.end - cut.start:
            raise ValueError(f"{method.name} made {merged.size} elements of {cut.end - cut.start}")
        merged = merged.astype(vectors.dtype, copy=False)
        if method.needs_base and base is not None and name is not None:
            start = readers.read(base.file, name, cut.start, readers.buffer("base", merged.size, vectors.dtype))
            merged = merged + start
        sink.put(work.info, cut.start, rounded(merged, work.info))

    for _ in in_order(of, team.mine(list(_cuts(job, work))), threads):
        pass


def _cuts(job: Job, work: Work) -> Iterator[_Cut]:
    """Yield the parts of a tensor in order, as fine as the method allows."""
    size, shape = work.info.size, work.info.shape
    if job.method.granularity == "tensor":
        yield _Cut(work, 0, size, shape)
        return
    each = max(1, STACK // len(job.sources))
    if job.method.granularity == "element":
        each += each % 2  # of the random numbers two are made at once
        for start in range(0, size, each):
            end = min(start + each, size)
            yield _Cut(work, start, end, (end - start,))
        return
    rows = shape[0] if len(shape) > 1 else 1
    width = size // max(1, rows)
    step = max(1, each // max(1, width))
    for row in range(0, rows if size else 0, step):
        end = min(row + step, rows)
        yield _Cut(work, row * width, end * width, (end - row, width))


def _vectors(job: Job, cut: _Cut, readers: Readers, *, checked: bool = False) -> Array:
    """Return the thetas or taus of a part, [n, elements], in a buffer of this thread's.

    What was ``checked`` in an earlier pass is finite.
    """
    size, count = cut.end - cut.start, len(job.sources)
    dtype = working_dtype(job, cut.work)
    stack = readers.buffer("stack", count * size, dtype).reshape(count, size)
    for source, vector in zip(job.sources, stack, strict=True):
        readers.read(source.file, cut.work.info.name, cut.start, vector)
        if not checked:
            check_finite(vector, cut.work.info.name, source)
    if job.method.needs_base and job.base is not None and cut.work.base is not None:
        base = readers.read(job.base.file, cut.work.base, cut.start, readers.buffer("base", size, dtype))
        if not checked:
            check_finite(base, cut.work.base, job.base)
        stack -= base
    return stack


def _handed(job: Job, cut: _Cut, readers: Readers) -> dict[str, Any]:
    """Return what else the method asked for by name."""
    needs, name = job.method.needs, cut.work.info.name
    handed: dict[str, Any] = {}
    if "generators" in needs:
        handed["generators"] = _generators(job, name, cut.start)
    if "fisher" in needs:
        files = job.statistics["fisher"]
        stack = readers.buffer("fisher", len(files) * (cut.end - cut.start), np.float32).reshape(len(files), -1)
        for file, row in zip(files, stack, strict=True):
            readers.read(file, name, cut.start, row)
        handed["fisher"] = stack.reshape(len(files), *cut.shape)
    if "gram" in needs:
        handed["gram"] = np.stack([file.read(name) for file in job.statistics["gram"]])
    return handed


def _generators(job: Job, tensor: str, start: int) -> list[np.random.Generator]:
    """Return the random numbers of each source in a tensor, from that element on."""
    return [_generator([job.seed, zlib.crc32(tensor.encode()), *key], start) for key in _keys(job.sources)]


def _keys(sources: Sequence[Checkpoint]) -> list[tuple[int, int]]:
    """Return by what the random numbers of each source are told apart: its content, wherever it lies; and its copies."""
    digests = [source.digest for source in sources]
    return [(int(digest[:16], 16), digests[:place].count(digest)) for place, digest in enumerate(digests)]


def _generator(key: Sequence[int], start: int) -> np.random.Generator:
    """Return the random numbers of a source and tensor, from that element on: the same however a tensor is cut."""
    numbers = np.random.PCG64(key)
    numbers.advance(start // 2)  # a step makes two of float32
    generator = np.random.Generator(numbers)
    if start % 2:
        generator.random(dtype=np.float32)
    return generator


def _named(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options that a function names."""
    return {name: value for name, value in options.items() if name in inspect.signature(function).parameters}
