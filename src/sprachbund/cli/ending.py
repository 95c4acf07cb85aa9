"""How a command ends that is told to: by Ctrl-C, or by SIGTERM, as ``kill``, ``timeout`` and schedulers send it.

Both raise an exception where the program stands, so that what is under way is put away, workers are ended and locks are let go;
then one line says that the same command goes on. A second SIGTERM, which schedulers like to send, disturbs nothing of that.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["INTERRUPTED", "TERMINATED", "Terminated", "of_interrupt", "told_to_end", "undisturbed"]

INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses, 128 + the signal's number, as of programs that the signal ends."""


class Terminated(KeyboardInterrupt):
    """SIGTERM has come: to all that stands between, the same as Ctrl-C."""


_has_come = threading.Event()
"""SIGTERM has: where it comes while Ray's core waits, a plain KeyboardInterrupt is all that is left of the exception."""


@contextmanager
def told_to_end() -> Iterator[None]:
    """Let SIGTERM raise :class:`Terminated` while the block runs, unless whoever started this wants it to be ignored.

    Only the main thread may say so; elsewhere SIGTERM means what it meant.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_IGN:
        yield
        return
    _has_come.clear()
    signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def _raise(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _has_come.set()
    raise Terminated


def undisturbed() -> None:
    """Ignore SIGTERM until the block of :func:`told_to_end` is over: the command has ended, and only has to say how."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is _raise:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def of_interrupt(interrupt: KeyboardInterrupt) -> tuple[str, int]:
    """Return what has come, in a word, and the exit status."""
    told = isinstance(interrupt, Terminated) or _has_come.is_set()
    return ("Terminated", TERMINATED) if told else ("Interrupted", INTERRUPTED)
