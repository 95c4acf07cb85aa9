"""SHA-256 digests: of values (through canonical JSON), of files (remembered by path, size and modification time).

A large file in the cache of the Hugging Face hub need not be read at all: it is a link to ``blobs/{its SHA-256}``, a name that
the hub gave it. That is as safe as the download: the client gives a file this name only once all of it has arrived (it
compares sizes and, where it speaks Xet, the hash of each chunk), and nothing writes to it afterwards. Who edits a cache by hand
makes the name lie. It saves reading 52 sources of a gigabyte before any work.

Other large files are read once on a machine: what came out is kept in the cache, and believed as long as path, size, inode
and the times of modification and change are the same. What was modified in the last seconds is not kept, since a second change
might not show.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from sprachbund import cache

__all__ = ["of_file", "of_value"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
LARGE = 64_000_000
"""Bytes from which on a digest is worth keeping: a tenth of a second of work."""
SECONDS_TO_SETTLE = 5
_known_files: dict[str, str] = {}


def of_value(value: Any) -> str:
    """Return the digest of a JSON-like value; dict order does not matter, NaN is refused."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def of_file(path: Path) -> str:
    """Return the digest of a file's bytes; an unchanged file is read once per process, a large one once on this machine."""
    if named := _named_by_hub(path):
        return named
    status = path.stat()
    # Inode and time of change, since a copy can have the size and the modification time of what it takes the place of.
    key = of_value([str(path.resolve()), status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns])
    if key not in _known_files:
        _known_files[key] = _kept(path, status, key) if status.st_size >= LARGE else _read(path)
    return _known_files[key]


def _read(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _kept(path: Path, status: os.stat_result, key: str) -> str:
    """Return the digest of a large file from the cache, or read the file and keep it there."""
    place = cache.folder() / "digests" / key
    with suppress(OSError, UnicodeDecodeError):
        if _SHA256.fullmatch(known := place.read_text(encoding="ascii")):
            return known
    found = _read(path)
    settled = time.time_ns() - status.st_mtime_ns > SECONDS_TO_SETTLE * 1_000_000_000
    if settled and path.stat().st_mtime_ns == status.st_mtime_ns:
        with suppress(OSError):  # no room, no right to write: then it is read again next time
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=place.parent, delete=False) as new:
                new.write(found)
            os.replace(new.name, place)
    return found


def _named_by_hub(path: Path) -> str | None:
    """Return the digest that a link into the hub's cache has in its target's name; None for all other files.

    ``models--{owner}--{name}/snapshots/{commit}/… → models--{owner}--{name}/blobs/{digest}``. Small files are named by a SHA-1
    of 40 digits.
    """
    if not path.is_symlink():
        return None
    folder = path.parent.resolve()
    target = Path(os.path.normpath(folder / path.readlink()))
    in_cache = target.parent.name == "blobs" and folder.is_relative_to(target.parent.parent / "snapshots")
    return target.name if in_cache and _SHA256.fullmatch(target.name) and target.is_file() else None
