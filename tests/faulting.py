"""Faults that a command meets at a change to the disk, or from there on: see ``killing``, which counts the changes.

A fault is told of the change at which it begins, and of each one after it, and does what such a fault does.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

Strike = Callable[[bool, str, str], None]
"""Called with whether it begins, the event, and the change in words."""

OTHER = "other.safetensors"
"""Beside the folder in which a command runs: the weights that the source gets that changes."""
CHANGING = "zoo/*_nb-NO/*/model.safetensors"


def by_signal(number: signal.Signals, folder: str) -> Strike:
    """Once."""

    def strike(begins: bool, event: str, change: str) -> None:
        if begins:
            os.kill(os.getpid(), number)

    return strike


def full(folder: str) -> Strike:
    """Nothing new finds room any more; what is there can be opened, moved and removed."""

    def strike(begins: bool, event: str, change: str) -> None:
        place = Path(folder, change.partition(" ")[2])
        if event in {"open", "os.mkdir"} and not place.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))

    return strike


def read_only(folder: str) -> Strike:
    """No change is allowed any more, as where a file system was mounted anew after an error."""

    def strike(begins: bool, event: str, change: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), change.split()[-1])

    return strike


def no_memory(folder: str) -> Strike:
    """Once."""

    def strike(begins: bool, event: str, change: str) -> None:
        if begins:
            raise MemoryError("Unable to allocate 2.00 GiB for an array with shape (536870912,) and data type float32")

    return strike


def torch_memory(folder: str) -> Strike:
    """As torch says it on a CPU."""

    def strike(begins: bool, event: str, change: str) -> None:
        if begins:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
            )

    return strike


def gpu_memory(folder: str) -> Strike:
    """As torch says it on a GPU."""

    def strike(begins: bool, event: str, change: str) -> None:
        if begins:
            import torch

            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of …"
            )

    return strike


def changed(folder: str) -> Strike:
    """A source gets other weights, as a download or a training that replaces it does."""

    def strike(begins: bool, event: str, change: str) -> None:
        if begins:
            (weights,) = Path(folder).glob(CHANGING)
            new = weights.with_name("new")
            shutil.copyfile(Path(folder).parent / OTHER, new)
            new.replace(weights)

    return strike


def cut(folder: str) -> Strike:
    """A source is cut short where it lies, whoever has mapped it."""

    def strike(begins: bool, event: str, change: str) -> None:
        if begins:
            (weights,) = Path(folder).glob(CHANGING)
            os.truncate(weights, weights.stat().st_size // 2)

    return strike


def clock_back(folder: str) -> Strike:
    """The clock is a day behind from there on, and its seconds run backwards for those who look at it."""

    def strike(begins: bool, event: str, change: str) -> None:
        if begins:
            real = time.time
            began = real()
            time.time = lambda: began - 86_400 - (real() - began)
            time.time_ns = lambda: int(time.time() * 1e9)

            class Clock(datetime):
                """Of those who asked for the class before."""

                @classmethod
                def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
                    """Return that time."""
                    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time.time())

            from sprachbund import locks
            from sprachbund.store import records

            locks.datetime = records.datetime = Clock  # type: ignore[attr-defined]

    return strike


FAULTS: Mapping[str, Callable[[str], Strike]] = {
    **{each.name: partial(by_signal, each) for each in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)},
    "full": full,
    "read-only": read_only,
    "memory": no_memory,
    "torch-memory": torch_memory,
    "gpu-memory": gpu_memory,
    "changed": changed,
    "cut": cut,
    "clock": clock_back,
}
