"""Writing files so that nobody ever reads half of one, whatever moment the process is killed at.

What is being written stands beside its place under a name of its own,

    .{name}.{process}-{token}@{host}.{random}.partial

and takes its place by a rename, which the file system does as a whole or not at all. A killed process leaves such a name
behind, and the name says whose it was: who begins to work in a folder removes those of dead processes of the same host.
The token is one per process, so that a successor with the same process number (in containers the rule) is told apart.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sprachbund.errors import naming

__all__ = [
    "PARTIAL",
    "atomic_folder",
    "is_alive",
    "json_text",
    "remove_leftovers",
    "temporary_folder",
    "write_bytes",
    "write_json",
    "write_text",
]

PARTIAL = ".partial"
LONGEST_NAME = 255
"""Bytes of one name, on nearly all file systems."""
_TOKEN = secrets.token_hex(3)
_RANDOM = 8
"""Letters that :mod:`tempfile` puts in."""
_OWNER = re.compile(rf"\.(?P<process>\d+)-(?P<token>[0-9a-f]+)@(?P<host>.+)\.[^.]{{{_RANDOM}}}{re.escape(PARTIAL)}")


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file atomically: it is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path.name), suffix=PARTIAL)
    try:
        with naming(path), os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # gone, or no change is allowed any more: why is told by the first error
            Path(temporary).unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; NaN is refused."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return a value as indented JSON, as files have it; NaN is refused."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """Give a new folder in ``parent`` that is gone afterwards; ``name`` tells people what it was for."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=_prefix(name), suffix=PARTIAL))
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except KeyboardInterrupt:  # Ctrl-C or SIGTERM, while it was at it
            shutil.rmtree(folder, ignore_errors=True)
            raise


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder to fill; it takes the place of ``folder`` when, and only when, the block ends well.

    What stood there is moved aside as a whole before it is deleted: at no moment is half of it under its name.
    """
    with temporary_folder(folder.parent, folder.name) as temporary:
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        yield new
        _flush(new)
        try:
            if os.path.lexists(folder):
                os.rename(folder, old)
            os.rename(new, folder)
        except BaseException:
            if os.path.lexists(old) and not os.path.lexists(folder):
                os.rename(old, folder)
            raise


def remove_leftovers(*folders: Path) -> None:
    """Remove what killed processes of this host have left directly in these folders; a folder may be missing.

    What cannot be removed (somebody else's, say) stays: it is in nobody's way.
    """
    for path in (path for folder in folders for path in folder.glob(f".*{PARTIAL}") if _is_leftover(path.name)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def is_alive(process: int) -> bool:
    """Return whether a process of this host lives; where that cannot be asked without harm, it does."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(process)


def _is_zombie(process: int) -> bool:
    """Return whether a process is dead and only not yet buried: in a container there may be nobody to do it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:  # no /proc on this system, or gone in the meantime
        return False


def _prefix(name: str) -> str:
    """Return how the temporary name for ``name`` begins; a name that is too long with all that is cut, not refused."""
    owner = f".{os.getpid()}-{_TOKEN}@{socket.gethostname()}."
    room = LONGEST_NAME - len(os.fsencode(f".{owner}{PARTIAL}")) - _RANDOM
    return f".{os.fsencode(name)[:room].decode(errors='ignore')}{owner}"


def _is_leftover(name: str) -> bool:
    owner = _OWNER.search(name)
    if owner is None or owner["host"] != socket.gethostname():
        return False
    process = int(owner["process"])
    return owner["token"] != _TOKEN if process == os.getpid() else not is_alive(process)


def _flush(folder: Path) -> None:
    """See that the files are on the disk before their folder gets its name: a power cut must not leave empty ones."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
