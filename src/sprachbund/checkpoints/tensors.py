"""Reading safetensors lazily, and writing them bit by bit: header first, then the parts of tensors as they come.

The format: 8 bytes length of the header (little endian), the header as JSON (name → dtype, shape, offsets), the bytes. Files
are mapped into memory, so that a tensor costs nothing before somebody reads it; who reads all of a file in stretches, into
memory of its own, asks where they lie (:class:`Extent`). numpy alone, no torch.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ml_dtypes
import numpy as np

from sprachbund.errors import CheckpointError, naming
from sprachbund.untrusted import parse_json

__all__ = ["DTYPES", "Extent", "TensorFile", "TensorInfo", "TensorWriter", "label_tensors", "write_tensors"]

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
MOST_AXES = 32
"""Of a tensor: more than numpy could always take."""
_LENGTH_BYTES = 8
ROOM = 96
"""Blanks behind the header of a new file, for words that are only known once its tensors are: see :func:`label_tensors`."""


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


@dataclass(frozen=True)
class Extent:
    """Where the bytes of a tensor lie."""

    path: Path
    offset: int
    info: TensorInfo


class TensorFile:
    """One safetensors file, mapped into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._header, self._data_start = _read_header(path)

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the header says beside the tensors."""
        words: Mapping[str, str] = self._header.get("__metadata__", {})
        return words

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

    def locate(self, name: str) -> Extent:
        """Return where a tensor lies."""
        begin, _ = self._header[name]["data_offsets"]
        return Extent(self.path, self._data_start + begin, self.tensors[name])

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
        if length > size - _LENGTH_BYTES:
            raise _broken(path, f"its header claims {length} bytes, the file has {size}")
        if length > LARGEST_HEADER:
            raise _broken(path, f"its header claims {length} bytes, and none has more than {LARGEST_HEADER}")
        raw = stream.read(length)
    try:
        header = parse_json(raw)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        for name, entry in entries.items():
            _check_entry(path, name, entry, size - _LENGTH_BYTES - length)
        _check_metadata(header.get("__metadata__", {}))
        _check_cover(path, [entry["data_offsets"] for entry in entries.values()], size - _LENGTH_BYTES - length)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise _broken(path, "its header is no safetensors header") from error
    return header, _LENGTH_BYTES + length


def _header_of(header: Mapping[str, Any], room: int = 0) -> bytes:
    """Return a header as bytes, with blanks behind it so that the data is aligned, as the safetensors library writes it."""
    raw = json.dumps(header, separators=(",", ":")).encode() + b" " * room
    return raw + b" " * (-len(raw) % _LENGTH_BYTES)


def _check_entry(path: Path, name: str, entry: Mapping[str, Any], available: int) -> None:
    if entry["dtype"] not in DTYPES:
        raise CheckpointError(
            f"{path}: tensor {name} has dtype {entry['dtype']}, which cannot be merged: convert it to F32, F16 or BF16."
        )
    lengths = entry["shape"]
    if not (all(map(_is_count, lengths)) and len(lengths) <= MOST_AXES and math.prod(filter(None, lengths)) < 1 << 63):
        raise _broken(path, f"tensor {name} has the shape {entry['shape']}")
    begin, end = entry["data_offsets"]
    expected = TensorInfo(name, entry["dtype"], tuple(entry["shape"])).nbytes
    if not (_is_count(begin) and _is_count(end) and begin <= end <= available):
        raise _broken(path, f"tensor {name} should end at byte {end} of its data, but there are {available}")
    if end - begin != expected:
        raise _broken(path, f"tensor {name} has {end - begin} bytes, its shape and dtype say {expected}")


def _check_metadata(words: Mapping[str, str]) -> None:
    if not all(isinstance(word, str) for word in words.values()):
        raise TypeError("metadata maps words to words")


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


class TensorWriter:
    """A safetensors file that is being written: header first, then parts of tensors, in any order and from any thread.

    The file has its size from the start, and what nobody writes is zero: who opens it writes all of it.
    """

    def __init__(self, path: Path, infos: Iterable[TensorInfo], metadata: Mapping[str, str]) -> None:
        header: dict[str, Any] = {"__metadata__": dict(metadata)}
        size = 0
        for info in infos:
            header[info.name] = {
                "dtype": info.dtype,
                "shape": list(info.shape),
                "data_offsets": [size, size + info.nbytes],
            }
            size += info.nbytes
        raw = _header_of(header, ROOM)
        self.size = size
        """Bytes of all tensors."""
        self._path = path
        self._places = {name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
        self._data_start = _LENGTH_BYTES + len(raw)
        with naming(path):
            self._stream = path.open("wb")
            try:
                self._stream.write(len(raw).to_bytes(_LENGTH_BYTES, "little") + raw)
                self._stream.flush()
                self._stream.truncate(self._data_start + size)
            except BaseException:  # nobody else can close what is not there yet
                self._stream.close()
                raise

    def put(self, info: TensorInfo, start: int, part: np.ndarray) -> None:
        """Write elements of a tensor, in its dtype, from element ``start`` on."""
        if part.dtype != DTYPES[info.dtype]:
            raise ValueError(f"{info.name} is {info.dtype}, not {part.dtype}")
        self.put_bytes(info, start * part.itemsize, part)

    def put_bytes(self, info: TensorInfo, start: int, part: np.ndarray) -> None:
        """Write some of a tensor's bytes, from byte ``start`` on, whatever they are taken for."""
        begin, end = self._places[info.name]
        offset = begin + start
        if offset + part.nbytes > end:
            raise ValueError(f"{info.name}: {part.nbytes} bytes do not fit at byte {start}")
        data = _as_bytes(part).data
        with naming(self._path):
            while data:  # a disk may take less than it is given
                done = os.pwrite(self._stream.fileno(), data, self._data_start + offset)
                data, offset = data[done:], offset + done

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with naming(self._path):
            self._stream.close()


def write_tensors(
    path: Path, infos: Sequence[TensorInfo], chunks: Iterable[np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file as a stream; ``chunks`` yields each tensor's elements in order, in as many parts as it likes."""
    with TensorWriter(path, infos, metadata) as writer:
        places = (info for info in infos if info.nbytes)
        info, start, written = None, 0, 0
        for chunk in (chunk for chunk in chunks if chunk.size):
            if info is None or start == info.nbytes:
                info, start = next(places), 0
            writer.put_bytes(info, start, chunk)
            start, written = start + chunk.nbytes, written + chunk.nbytes
    if written != writer.size:
        raise ValueError(f"{path}: {written} bytes of tensors written, the header says {writer.size}")


def label_tensors(path: Path, words: Mapping[str, str]) -> None:
    """Write words into the metadata of a file that was just made, beside those that are there; its tensors stay as they are.

    Where the header has no room for them, as of files that other libraries wrote, the whole file is written anew.
    """
    header, data_start = _read_header(path)
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    raw = _header_of({"__metadata__": {**header.get("__metadata__", {}), **words}, **tensors})
    room = data_start - _LENGTH_BYTES
    with naming(path):
        if len(raw) <= room:
            with path.open("r+b") as stream:
                stream.seek(_LENGTH_BYTES)
                stream.write(raw.ljust(room))
            return
        new = path.with_name(f"{path.name}.new")
        with path.open("rb") as old, new.open("wb") as stream:
            old.seek(data_start)
            stream.write(len(raw).to_bytes(_LENGTH_BYTES, "little") + raw)
            shutil.copyfileobj(old, stream, 1 << 24)
        os.replace(new, path)


def _as_bytes(part: np.ndarray) -> np.ndarray:
    """Return a part as bytes: memoryview knows no bfloat16, and none without elements."""
    return np.ascontiguousarray(part).reshape(-1).view(np.uint8)
