"""Reading safetensors lazily, and writing them as a stream: header first, then one tensor's bytes after the other.

The format: 8 bytes length of the header (little endian), the header as JSON (name → dtype, shape, offsets), the bytes. Files
are mapped into memory, so that a tensor costs nothing before somebody reads it; numpy alone, no torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from sprachbund.errors import CheckpointError, naming

__all__ = ["DTYPES", "TensorFile", "TensorInfo", "write_tensors"]

DTYPES: Mapping[str, np.dtype[Any]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library."""
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class TensorInfo:
    """What the header says of one tensor."""

    name: str
    dtype: str
    """A key of :data:`DTYPES`."""
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return self.size * DTYPES[self.dtype].itemsize

    @property
    def is_float(self) -> bool:
        """Whether the tensor can be merged; integers (position ids, say) can only be equal."""
        return self.dtype in {"F64", "F32", "F16", "BF16"}


class TensorFile:
    """One safetensors file, mapped into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._header, self._data_start = _read_header(path)

    @cached_property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """All tensors by name, in the order of the file's header."""
        return {
            name: TensorInfo(name, entry["dtype"], tuple(entry["shape"]))
            for name, entry in self._header.items()
            if name != "__metadata__"
        }

    def read(self, name: str) -> np.ndarray:
        """Return a tensor in its own dtype and shape, as a read-only view of the file."""
        info = self.tensors[name]
        begin, _ = self._header[name]["data_offsets"]
        flat = self._bytes[begin : begin + info.nbytes].view(DTYPES[info.dtype])
        return flat.reshape(info.shape)

    @cached_property
    def _bytes(self) -> np.ndarray:
        if self.path.stat().st_size == self._data_start:  # an empty map is an error of the operating system
            return np.empty(0, dtype=np.uint8)
        return np.memmap(self.path, dtype=np.uint8, mode="r", offset=self._data_start)


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header and where the data begins; anything that does not add up is one clear error."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES:
            raise _broken(path, f"it has only {size} bytes" if size else "it is empty")
        if length > min(size - _LENGTH_BYTES, LARGEST_HEADER):
            raise _broken(path, f"its header claims {length} bytes, the file has {size}")
        raw = stream.read(length)
    try:
        header = json.loads(raw)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        for name, entry in entries.items():
            _check_entry(path, name, entry, size - _LENGTH_BYTES - length)
        _check_cover(path, [entry["data_offsets"] for entry in entries.values()], size - _LENGTH_BYTES - length)
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise _broken(path, "its header is no safetensors header") from error
    return header, _LENGTH_BYTES + length


def _check_entry(path: Path, name: str, entry: Mapping[str, Any], available: int) -> None:
    if entry["dtype"] not in DTYPES:
        raise CheckpointError(
            f"{path}: tensor {name} has dtype {entry['dtype']}, which cannot be merged: convert it to F32, F16 or BF16."
        )
    if not all(_is_count(length) for length in entry["shape"]):
        raise _broken(path, f"tensor {name} has the shape {entry['shape']}")
    begin, end = entry["data_offsets"]
    expected = TensorInfo(name, entry["dtype"], tuple(entry["shape"])).nbytes
    if not (_is_count(begin) and _is_count(end) and begin <= end <= available):
        raise _broken(path, f"tensor {name} should end at byte {end} of its data, but there are {available}")
    if end - begin != expected:
        raise _broken(path, f"tensor {name} has {end - begin} bytes, its shape and dtype say {expected}")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _check_cover(path: Path, offsets: Iterable[tuple[int, int]], available: int) -> None:
    """Refuse gaps, overlaps and a rest, as the safetensors library does: the file would open here and not there."""
    reached = 0
    for begin, end in sorted(offsets):
        if begin != reached:
            raise _broken(path, f"a tensor begins at byte {begin} of its data, where the one before ends at {reached}")
        reached = end
    if reached != available:
        raise _broken(path, f"its tensors end at byte {reached} of its data, but there are {available}")


def _broken(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is truncated or corrupt ({reason}): download or save it again.")


def write_tensors(
    path: Path, infos: Sequence[TensorInfo], chunks: Iterable[np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file as a stream; ``chunks`` yields each tensor's elements in order, in as many parts as it likes."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    for info in infos:
        header[info.name] = {
            "dtype": info.dtype,
            "shape": list(info.shape),
            "data_offsets": [offset, offset + info.nbytes],
        }
        offset += info.nbytes
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % _LENGTH_BYTES)  # data aligned, as the safetensors library writes it
    with naming(path), path.open("wb") as stream:
        stream.write(len(raw).to_bytes(_LENGTH_BYTES, "little"))
        stream.write(raw)
        written = sum(stream.write(part.data) for part in _contiguous(chunks))
    if written != offset:
        raise ValueError(f"{path}: {written} bytes of tensors written, the header says {offset}")


def _contiguous(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield chunks as bytes: memoryview knows no bfloat16, and none without elements."""
    return (np.ascontiguousarray(chunk).reshape(-1).view(np.uint8) for chunk in chunks if chunk.size)
