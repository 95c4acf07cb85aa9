"""One run at a time in a folder; the second one is told who is there.

Two runs in one folder would do the same work twice, and each could take for a leftover, or replace, what the other is about
to use. So a run holds the lock of the folder that it writes to: of a results folder, of the root of a zoo that is trained.

The lock is the kernel's (flock, through filelock) on the empty hidden file ``.lock``. Whoever dies, by ``kill -9`` too, loses
it at once: there is no stale lock to take over, and a lock file that stays behind means nothing. It does stay behind: to
remove it would let two processes hold the lock of one name, on two files. Who holds the lock is written into a second file
beside it, ``.lock.holder``, which is read for the message and for nothing else.

Where a file system says that it has no flock (ENOSYS, on some network and FUSE mounts), filelock warns and falls back on a
lock that is the existence of its file, with host and process in it. There the file goes when the lock is released. A process
that died on the same host is noticed and its file taken over; one that died on another host is not, and its ``.lock`` has to
be removed by hand. filelock has done so since 3.24, but before 4.1 whoever came second removed the file of the first: hence the
bound in ``pyproject.toml``. Any other refusal of flock is an error like that of any file. Where flock holds on one machine
only (NFS mounted with ``local_lock``), runs on two machines do not see each other, and nobody can tell.
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from sprachbund import files
from sprachbund.errors import InUse
from sprachbund.untrusted import read_json

__all__ = ["Holder", "check_free", "claim", "exclusive", "holder", "made_once", "wait_for_claim"]

SECONDS_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    host: str
    process: int
    started: str
    """ISO 8601, UTC."""
    command: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, at work since {self.started} ({self.command})"


@contextmanager
def exclusive(
    folder: Path, name: str = "", *, instead: str = "--output-dir", wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Keep other processes out of ``folder`` (or of ``name`` in it) while the block runs; the folder is made if need be.

    A process may take the same lock again inside the block. With ``wait``, which is told whom it waits for, a second process
    waits for the first one; without, it is refused, and told to choose another folder with the flag ``instead``.

    Raises:
        InUse: another process holds the lock, and nobody wants to wait for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = _path(folder, name)
    note = _note(path)
    lock = FileLock(path, is_singleton=True)
    again = lock.is_locked
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = _alive(note) or "another process"
        if wait is None:
            raise InUse(
                f"{folder / name} is in use by {who}: wait until it is done, or choose another {instead}."
            ) from None
        wait(str(who))
        lock.acquire(timeout=-1, poll_interval=SECONDS_BETWEEN_LOOKS)
    try:
        if not again:
            files.write_json(note, asdict(_me()))
        yield
    finally:
        if not again:
            # Where nothing can be removed any more it stays, and is the note of one who is dead.
            with suppress(OSError):
                note.unlink()
        lock.release()


@contextmanager
def claim(folder: Path, name: str) -> Iterator[bool]:
    """Tell whether ``name`` in ``folder`` is ours while the block runs: not if another process has claimed it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_path(folder, name))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def wait_for_claim(folder: Path, name: str) -> None:
    """Wait until nobody claims ``name`` in ``folder``."""
    with FileLock(_path(folder, name)).acquire(poll_interval=SECONDS_BETWEEN_LOOKS):
        pass


def check_free(folder: Path, name: str = "", *, instead: str = "--output-dir") -> None:
    """Complain if another process holds the lock; where nobody ever took it, nothing is made.

    Raises:
        InUse: says who holds it.
    """
    if _path(folder, name).exists():
        with exclusive(folder, name, instead=instead):
            pass


def holder(folder: Path, name: str = "") -> Holder | None:
    """Return who says that he holds the lock, without touching it; None where nobody does, or who did is dead.

    For who only looks on: a look by way of the lock itself would, at that moment, keep out a run that is about to begin. Of a
    process on another host nobody here can tell whether it lives.
    """
    return _alive(_note(_path(folder, name)))


def made_once(parent: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder ``name`` in ``parent``; ``make`` fills it if it is not there, and who asks in the meantime waits."""
    folder = parent / name
    if folder.is_dir():
        return folder
    with exclusive(parent, name, wait=lambda holder: None):
        if not folder.is_dir():
            files.remove_leftovers(parent)
            with files.atomic_folder(folder) as new:
                make(new)
    return folder


def _path(folder: Path, name: str) -> Path:
    return folder.resolve() / f".{name and f'{name}.'}lock"


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.holder")


def _me() -> Holder:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(socket.gethostname(), os.getpid(), started, shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))


def _alive(note: Path) -> Holder | None:
    """Return who holds the lock; None where that is not written yet, or was written by one who is dead."""
    try:
        written = Holder(**read_json(note))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    here = written.host == socket.gethostname()
    return None if here and not files.is_alive(written.process) else written
