"""SHA-256 digests: of values (through canonical JSON), of files (remembered by path, size and modification time).

A large file in the cache of the Hugging Face hub need not be read at all: it is a link to ``blobs/{its SHA-256}``, a name that
the hub gave it. That is as safe as the download: the client gives a file this name only once all of it has arrived (it
compares sizes and, where it speaks Xet, the hash of each chunk), and nothing writes to it afterwards. Who edits a cache by hand
makes the name lie. It saves reading 52 sources of a gigabyte before any work.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

__all__ = ["of_file", "of_value"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_known_files: dict[tuple[str, int, int], str] = {}


def of_value(value: Any) -> str:
    """Return the digest of a JSON-like value; dict order does not matter, NaN is refused."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def of_file(path: Path) -> str:
    """Return the digest of a file's bytes; an unchanged file is read once per process, one of the hub's cache not at all."""
    if named := _named_by_hub(path):
        return named
    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    if key not in _known_files:
        with path.open("rb") as stream:
            _known_files[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _known_files[key]


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
