"""What is not safetensors is made so once, and kept in the cache: everything downstream reads one format.

A checkpoint of another format is known by the digest of all that its conversion reads. Under that name it lies in the cache as
a folder with ``model.safetensors``, config and tokenizer; who comes second, in this process or another one, finds it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sprachbund import cache, digests, locks

__all__ = ["copy_files", "file_digests", "kept", "place"]

CONVERSION_VERSION = 1
"""Raised when a change to this package makes other tensors from the same files."""


def place() -> Path:
    """Return the folder of all conversions; it need not exist."""
    return cache.folder() / "converted"


def kept(made_of: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """Return the folder of what is made of these (digests, by what they are of); ``make`` fills it if it is not there."""
    key = digests.of_value({"version": CONVERSION_VERSION, **made_of})
    return locks.made_once(place(), key, make)


def file_digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the digests of those of these files that are there."""
    return {name: digests.of_file(folder / name) for name in names if (folder / name).is_file()}


def copy_files(folder: Path, names: Iterable[str], out: Path) -> None:
    """Copy those of these files that are there."""
    for name in names:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)
