"""Sums where the sources are: on a GPU that holds them all, each loaded once and in its own dtype.

52 sources of XLM-R base are 58 GB, and a card of 80 GB or more has room for them. A sum then takes the time that the card's
memory takes, and what comes out is where it is asked.

Each number is made as the engine makes it (:mod:`sums`): times its coefficient in fp32, added up source by source in the same
order, rounded once; float64 where that comes out. Product and sum are operations of their own, which no device fuses into one
with a single rounding. Methods that ask for inner products get them in float64, but added up in another order than by the
engine: their coefficients, and so their numbers, differ in the last bit or two.

Methods that make whole tensors, and sources whose vocabularies have to be aligned, are left to the engine.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sprachbund.checkpoints import Checkpoint
from sprachbund.merging import InMemory, Merge, Nowhere, in_memory, not_finite, settle
from sprachbund.merging.by_method import coefficients, working_dtype
from sprachbund.merging.job import Job, Work
from sprachbund.merging.numbers import too_large
from sprachbund.merging.sums import Sum, by_source
from sprachbund.parallel import cores, in_order

__all__ = ["MODELS", "ROOM", "Resident", "can_take", "fits", "for_merges", "needed"]

_log = logging.getLogger(__name__)

ROOM = 6e9
"""Bytes beside the models: batches of 32,768 tokens in XLM-R large take about half of it, a block of products less."""
MODELS = 4
"""How many merged models, whole and in fp32, there is room for: those of one target stand side by side."""
BLOCK = 1 << 20
"""Elements of each source over which products are added up at once."""
READERS = 8
"""Threads, at most."""
STRETCH = 1 << 25
"""Bytes that a thread reads at once."""
TORCH = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""By the names of safetensors."""


def can_take(job: Job) -> bool:
    """Return whether a merge is made of sums of tensors as they lie in the sources."""
    return job.method.kind == "coefficient" and job.alignment is None


def needed(sources: Sequence[Checkpoint], base: Checkpoint | None) -> float:
    """Return the bytes that a device must have free to hold these and to merge and evaluate there."""
    held = {each.folder: each for each in (*sources, *([base] if base else []))}
    return sum(each.nbytes for each in held.values()) + MODELS * max(4 * each.parameters for each in sources) + ROOM


def fits(sources: Sequence[Checkpoint], base: Checkpoint | None, device: torch.device) -> bool:
    """Return whether a device has memory of its own, and enough of it that is free."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return needed(sources, base) <= free


def for_merges(merges: Sequence[Merge], device: torch.device, singles: Sequence[Checkpoint] = ()) -> Resident | None:
    """Return an engine for these merges; None if it cannot take all of them, or if the device has no room.

    ``singles`` are sources that are wanted as they are.

    Raises:
        IncompatibleError, MixError: as :func:`~sprachbund.merging.settle`.
    """
    jobs = [settle(each) for each in merges]
    if not jobs or not all(map(can_take, jobs)):
        return None
    sources = [*singles, *(source for job in jobs for source in job.sources)]
    base = next((job.base for job in jobs if job.base), None)
    return Resident(device) if fits(sources, base, device) else None


class Resident:
    """Holds sources on a device, and merges them there."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._held: dict[tuple[Path, str], torch.Tensor] = {}
        self._is_full = False

    def merge(self, merges: Sequence[Merge]) -> Iterator[InMemory]:
        """Yield the merges in turn, with tensors on the device where it can take them, else with arrays as the engine's.

        Raises:
            IncompatibleError: the checkpoints do not fit together.
            MixError: a source holds NaN or infinite numbers, or the method cannot be used in this way.
        """
        jobs = [settle(each) for each in merges]
        others = iter(in_memory([each for each, job in zip(merges, jobs, strict=True) if not can_take(job)]))
        for each, job in zip(merges, jobs, strict=True):
            yield self._taken(each, job) if can_take(job) else next(others)

    def single(self, source: Checkpoint, rows: npt.NDArray[np.int64] | None = None) -> Mapping[str, Any]:
        """Return the tensors of a source, of the vocabulary these rows; as a merge they are copies, which may be written to."""
        (found,) = self.merge([Merge([source], [1.0], rows=rows)])
        return found.tensors

    def _taken(self, merge: Merge, job: Job) -> InMemory:
        """Merge on the device; as the engine does from when another program has taken its memory."""
        if not self._is_full:
            try:
                self._load(job)
                return InMemory(job.lead, {work.info.name: self._made(job, work) for work in job.works}, job.aligned)
            except torch.OutOfMemoryError:
                _log.warning("%s ran out of memory for the sources: merges are made from their files.", self.device)
                self._held.clear()
                self._is_full = True
        return in_memory([merge])[0]

    def _load(self, job: Job) -> None:
        """Load what is not here yet of that which a merge needs."""
        wanted = [
            (source, work.info.name)
            for work in job.works
            for source in (job.sources if work.info.is_float else [job.lead])
        ]
        if job.base is not None:
            wanted += [(job.base, work.base) for work in job.works if work.base is not None]
        missing = {(each.folder, name): (each, name) for each, name in wanted if (each.folder, name) not in self._held}
        loaded = in_order(lambda task: self.read(*task), missing.values(), min(cores(), READERS))
        for key, tensor in zip(missing, loaded, strict=True):
            self._held[key] = tensor

    def read(self, source: Checkpoint, name: str) -> torch.Tensor:
        """Return a tensor on the device, in its own dtype.

        Raises:
            MixError: it holds NaN or infinite numbers.
        """
        info = source.file.tensors[name]
        raw = source.file.read(name).reshape(-1).view(np.uint8)
        there = torch.empty(info.nbytes, dtype=torch.uint8, device=self.device)
        # A card reads pinned memory by itself; there is little of it, since nobody else can have it.
        host = torch.empty(min(STRETCH, info.nbytes), dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        for start in range(0, info.nbytes, STRETCH):
            part = host[: min(STRETCH, info.nbytes - start)]
            part.numpy()[...] = raw[start : start + STRETCH]
            there[start : start + STRETCH].copy_(part)
        tensor = there.view(TORCH[info.dtype]).reshape(info.shape)
        if info.is_float and not _is_finite(tensor):
            raise not_finite(name, source)
        return tensor

    def _made(self, job: Job, work: Work) -> torch.Tensor:
        """Return a tensor of a merge."""
        name, shape = work.info.name, work.info.shape
        rows = None
        if work.by_token and job.rows is not None:
            rows = torch.from_numpy(job.rows).to(self.device)
        if not work.info.is_float:
            return _rows_of(self._held[job.lead.folder, name], rows).clone()
        each = Sum(job, work, *coefficients(job, work, self._products), Nowhere())
        accumulator = TORCH["F64"] if each.accumulator == np.float64 else TORCH["F32"]
        total = torch.zeros(shape, dtype=accumulator, device=self.device)
        for source, there, coefficient in _terms(each):
            if np.ndim(coefficient) or coefficient:
                values = _rows_of(self._held[source.folder, there], rows).to(accumulator)
                total += values * self._factor(coefficient, total)
        made = total.to(TORCH[work.info.dtype])
        if not _is_finite(made):
            raise too_large(work.info)
        return made

    def _factor(self, coefficient: npt.NDArray[np.float64] | float, like: torch.Tensor) -> torch.Tensor | float:
        """Return a coefficient in the dtype that is added up in: a number, or one for each row of a tensor."""
        rounded = np.asarray(coefficient, np.float64 if like.dtype == torch.float64 else np.float32)
        if rounded.ndim == 0:
            return float(rounded)
        by_row = like.shape[:1] + (1,) * (like.dim() - 1)
        return torch.from_numpy(rounded).to(self.device).reshape(by_row)

    def _products(self, job: Job, work: Work) -> npt.NDArray[np.float64]:
        """Return the inner products of the sources' vectors, [n, n]."""
        dtype = TORCH["F64"] if working_dtype(job, work) == np.float64 else TORCH["F32"]
        thetas = [self._held[source.folder, work.info.name].reshape(-1) for source in job.sources]
        base = None
        if job.method.needs_base and job.base is not None and work.base is not None:
            base = self._held[job.base.folder, work.base].reshape(-1)
        total = torch.zeros(len(thetas), len(thetas), dtype=torch.float64, device=self.device)
        for start in range(0, len(thetas[0]), BLOCK):
            vectors = torch.stack([theta[start : start + BLOCK].to(dtype) for theta in thetas])
            if base is not None:
                vectors -= base[start : start + BLOCK].to(dtype)
            vectors = vectors.double()
            total += vectors @ vectors.T
        found: npt.NDArray[np.float64] = total.cpu().numpy()
        return found


def _terms(each: Sum) -> list[tuple[Checkpoint, str, npt.NDArray[np.float64] | float]]:
    """Return the terms of a sum in the order in which the engine adds them up."""
    return [(*where, coefficient) for where, wanted in by_source([each]).items() for _, coefficient in wanted]


def _rows_of(tensor: torch.Tensor, rows: torch.Tensor | None) -> torch.Tensor:
    return tensor if rows is None else tensor.index_select(0, rows)


def _is_finite(tensor: torch.Tensor) -> bool:
    """Return whether all numbers are; where one is not, the sum isn't either, and takes no memory."""
    total = tensor.sum(dtype=torch.float64 if tensor.dtype == torch.float64 else torch.float32)
    return bool(torch.isfinite(total)) or bool(torch.isfinite(tensor).all())
