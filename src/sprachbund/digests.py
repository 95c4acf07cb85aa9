"""SHA-256 digests: of values (through canonical JSON), of files (remembered by path, size and modification time)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

__all__ = ["of_file", "of_value"]

_known_files: dict[tuple[str, int, int], str] = {}


def of_value(value: Any) -> str:
    """Return the digest of a JSON-like value; dict order does not matter, NaN is refused."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def of_file(path: Path) -> str:
    """Return the digest of a file's bytes; an unchanged file is read once per process."""
    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    if key not in _known_files:
        with path.open("rb") as stream:
            _known_files[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _known_files[key]
