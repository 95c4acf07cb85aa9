"""Stretches of tensors, read from their files into buffers that are used again and again.

Every thread has buffers of its own. What a reader returns is good until the same thread reads again into the same
buffer, so memory is that of a chunk, however large the sources and however many there are.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sprachbund.checkpoints import DTYPES, Checkpoint, Extent, ShardedTensors, TensorFile
from sprachbund.errors import MixError, naming
from sprachbund.merging.numbers import widen

__all__ = ["Readers", "check_finite", "not_finite"]


class Readers:
    """Reads on any number of threads, which share the files; to be closed when the work is done."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self._opened: dict[tuple[Path, bool], int] = {}
        self._opening = threading.Lock()

    def buffer(self, use: str, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return ``count`` elements of this thread's memory for one use, whatever they hold."""
        size = count * np.dtype(dtype).itemsize
        buffers: dict[str, npt.NDArray[np.uint8]] = self._mine.__dict__.setdefault("buffers", {})
        if use not in buffers or buffers[use].size < size:
            buffers[use] = np.empty(size, dtype=np.uint8)
        return buffers[use][:size].view(dtype)

    def read(self, file: TensorFile | ShardedTensors, name: str, start: int, out: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Fill ``out``, float32 or float64, with elements of a tensor from ``start`` on, and return it."""
        extent = file.locate(name)
        dtype = DTYPES[extent.info.dtype]
        raw = out if dtype == out.dtype else self.buffer("raw", out.size, dtype)
        self._fill(extent, start * dtype.itemsize, raw.view(np.uint8))
        return widen(raw, out)

    def read_rows(
        self,
        file: TensorFile | ShardedTensors,
        name: str,
        rows: npt.NDArray[np.int64],
        out: npt.NDArray[Any],
    ) -> npt.NDArray[Any]:
        """Fill ``out`` [rows * width] with these rows of a tensor, and return it; a number under 0 gives any row.

        What lies side by side is read at once, and nothing around it.
        """
        extent = file.locate(name)
        dtype = DTYPES[extent.info.dtype]
        raw = out if dtype == out.dtype else self.buffer("raw", out.size, dtype)
        data = raw.view(np.uint8)
        width = data.size // max(1, len(rows))
        wanted = np.maximum(rows, 0)
        starts = np.concatenate([[0], np.flatnonzero(np.diff(wanted) != 1) + 1]) if len(rows) else np.empty(0, int)
        ends = np.append(starts[1:], len(rows))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            self._fill(extent, int(wanted[start]) * width, data[start * width : end * width], scattered=True)
        return widen(raw, out)

    def _fill(self, extent: Extent, offset: int, data: npt.NDArray[np.uint8], *, scattered: bool = False) -> None:
        """Read bytes of a tensor from ``offset`` on; what is ``scattered`` is not read ahead of."""
        with naming(extent.path):
            descriptor = self._descriptor(extent.path, scattered=scattered)
            done = 0
            while done < data.size:  # a system may return less than it is asked for
                got = _read_into(descriptor, data[done:], extent.offset + offset + done)
                if not got:
                    raise MixError(f"{extent.path} became shorter while it was read: download or save it again.")
                done += got

    def _descriptor(self, path: Path, *, scattered: bool) -> int:
        with self._opening:
            if (path, scattered) not in self._opened:
                self._opened[path, scattered] = descriptor = os.open(path, os.O_RDONLY)
                if scattered and hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
            return self._opened[path, scattered]

    def close(self) -> None:
        """Close all files."""
        while self._opened:
            os.close(self._opened.popitem()[1])


def _read_into(descriptor: int, data: npt.NDArray[np.uint8], offset: int) -> int:
    """Read bytes from there on without moving anybody's place in the file; return how many it were."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [data.data], offset)
    found = os.pread(descriptor, data.size, offset)
    data[: len(found)] = np.frombuffer(found, dtype=np.uint8)
    return len(found)


def check_finite(values: npt.NDArray[Any], tensor: str, source: Checkpoint) -> None:
    """Refuse NaN and infinite numbers.

    Raises:
        MixError: there is one; names tensor and checkpoint.
    """
    with np.errstate(all="ignore"):  # what is not finite, the sum isn't either
        total = np.add.reduce(values, axis=None)
    if not np.isfinite(total) and not np.isfinite(values).all():
        raise not_finite(tensor, source)


def not_finite(tensor: str, source: Checkpoint) -> MixError:
    """Return the complaint about a checkpoint that holds something else than numbers."""
    return MixError(
        f"Tensor {tensor} of {source.name} holds NaN or infinite numbers: "
        "leave this source out, or download or train it again."
    )
