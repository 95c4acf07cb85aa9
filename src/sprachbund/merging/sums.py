"""Weighted sums: one pass over the sources for any number of merges.

A chunk of a source is read once, and added, times its coefficient, to each merge that wants it. Products and sums are taken
number by number, source by source in the order of their paths: how chunks are cut, how many threads there are and which merges
share the pass changes no bit. (A matrix product would, since its kernels add up in an order that hangs on its shape.)

Where the vocabularies of the sources are aligned, or not all rows of them are wanted, each merge looks up its rows by itself.
The weight of a source that has no such row is shared out among those that have it, in proportion to their weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sprachbund.checkpoints import Checkpoint
from sprachbund.merging.job import Job, Work, place_of
from sprachbund.merging.numbers import OVERFLOW, rounded
from sprachbund.merging.reading import Readers, check_finite
from sprachbund.merging.sinks import Sink

__all__ = ["Sum", "by_source", "chunks_of", "put_copy", "put_rows", "put_stretch", "shared_out", "shares_pass"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Sum:
    """A tensor of one merge that is a weighted sum, and where it goes."""

    job: Job
    work: Work
    coefficients: Array
    """[K], or [K, rows]."""
    base: float
    """The coefficient of θ₀."""
    sink: Sink

    @property
    def accumulator(self) -> np.dtype[Any]:
        """Sixteen-bit sums would lose what the sources differ in: float32 is added up in, float64 where that comes out."""
        return np.dtype(np.float64 if self.work.info.dtype == "F64" else np.float32)

    @property
    def terms(self) -> list[tuple[Checkpoint, str, Array | float]]:
        """Checkpoint, name of the tensor in it, coefficient."""
        name = self.work.info.name
        terms: list[tuple[Checkpoint, str, Array | float]] = [
            (source, name, coefficient) for source, coefficient in zip(self.job.sources, self.coefficients, strict=True)
        ]
        if self.work.base is not None and self.job.base is not None and self.base != 0:
            terms.append((self.job.base, self.work.base, self.base))
        return terms


def shares_pass(job: Job, work: Work) -> bool:
    """Return whether a tensor is read as it lies in the files, so that merges can share the reading."""
    return work.info.is_float and not (work.by_token and (job.alignment is not None or job.rows is not None))


def chunks_of(work: Work, elements: int) -> Iterator[tuple[int, int]]:
    """Yield the chunks of a tensor as (first element, end); none of a tensor without elements."""
    for start in range(0, work.info.size, elements):
        yield start, min(start + elements, work.info.size)


@OVERFLOW
def put_stretch(readers: Readers, sums: Sequence[Sum], start: int, end: int) -> None:
    """Sum a stretch of one tensor for several merges, whose tensor has one shape and accumulator."""
    size, accumulator = end - start, sums[0].accumulator
    values = readers.buffer("values", size, accumulator)
    product = readers.buffer("product", size, accumulator)
    totals = readers.buffer("totals", len(sums) * size, accumulator).reshape(len(sums), size)
    totals[...] = 0
    for (source, name), wanted in by_source(sums).items():
        readers.read(source.file, name, start, values)
        check_finite(values, name, source)
        for place, coefficient in wanted:
            here = _elements(coefficient, sums[place].work, start, end)
            if np.ndim(here) or here:
                np.multiply(values, np.asarray(here, dtype=accumulator), out=product)
                totals[place] += product
    for each, total in zip(sums, totals, strict=True):
        info = each.work.info
        each.sink.put(info, start, rounded(total, info))


def by_source(sums: Sequence[Sum]) -> Mapping[tuple[Checkpoint, str], list[tuple[int, Array | float]]]:
    """Return who wants which tensor of which checkpoint, and with which coefficient; in the order of the paths."""
    found: dict[str, tuple[tuple[Checkpoint, str], list[tuple[int, Array | float]]]] = {}
    for place, each in enumerate(sums):
        for source, name, coefficient in each.terms:
            _, wanted = found.setdefault(f"{place_of(source)}\0{name}", ((source, name), []))
            wanted.append((place, coefficient))
    return dict(found[key] for key in sorted(found))


def _elements(coefficient: Array | float, work: Work, start: int, end: int) -> Array | float:
    """Return the coefficient of a stretch of a tensor's elements: one, or one for each where each row has its own."""
    if np.ndim(coefficient) == 0:
        return coefficient
    width = math.prod(work.info.shape[1:])
    return np.asarray(coefficient)[np.arange(start, end) // width]


def put_copy(job: Job, work: Work, sink: Sink) -> None:
    """Hand on integers, which the sources have been seen to share."""
    values = job.lead.file.read(work.info.name)
    if work.by_token and job.rows is not None:
        values = values[job.rows]
    sink.put(work.info, 0, values.reshape(-1))


@OVERFLOW
def put_rows(readers: Readers, each: Sum, start: int, end: int) -> None:
    """Sum the rows from ``start`` to ``end`` of a tensor with a row for each token, which are looked up in each source."""
    job, work = each.job, each.work
    wanted = np.arange(start, end) if job.rows is None else job.rows[start:end]
    width = math.prod(work.info.shape[1:])
    size, accumulator = (end - start) * width, each.accumulator
    values, product = (readers.buffer(use, size, accumulator) for use in ("values", "product"))
    total = readers.buffer("totals", size, accumulator)
    total[...] = 0
    own = np.asarray(each.coefficients, dtype=np.float64)
    own = own[:, start:end] if own.ndim == 2 else own
    places = [rows[wanted] for rows in job.alignment] if job.alignment else [wanted] * len(own)
    by_row = shared_out(own, np.stack([rows >= 0 for rows in places]))
    looked_up = [*zip(places, by_row, strict=True)]
    if len(each.terms) > len(looked_up):
        looked_up.append((wanted, np.full(len(wanted), each.base)))
    terms = zip(each.terms, looked_up, strict=True)
    for (source, name, _), (rows, coefficient) in sorted(terms, key=lambda term: place_of(term[0][0])):
        readers.read_rows(source.file, name, rows, values)
        check_finite(values, name, source)
        np.multiply(
            values.reshape(-1, width),
            coefficient.astype(accumulator)[:, np.newaxis],
            out=product.reshape(-1, width),
        )
        total += product
    each.sink.put(work.info, start * width, rounded(total, work.info))


def shared_out(weights: Array, present: Array) -> Array:
    """Return the weights [K, rows], 0 where a source has no such row, for ``weights`` [K] or [K, rows].

    ``present`` [K, rows] says who has which row. The sum of the weights stays what it was. Where nobody who has a row has a
    weight, all who have it count the same.
    """
    each = weights if weights.ndim == 2 else weights[:, np.newaxis]
    wanted = each.sum(axis=0)
    held = each * present
    total = held.sum(axis=0)
    among = np.where(total > 0, held, present)
    shares = among / among.sum(axis=0) * wanted
    return np.where(present.all(axis=0), each, shares)
