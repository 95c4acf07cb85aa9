"""The energy that a piece of work took, by the machine's own counters.

NVML counts what a GPU of NVIDIA draws (Volta and newer; package ``nvidia-ml-py``, the extra ``energy``), RAPL what a processor
of Intel or AMD and its memory draw, as Linux shows it under ``/sys/class/powercap`` (to root alone on most machines). Both
count without end, idle or not and whoever is at work: a piece of work took the difference of two readings, *with all that ran
beside it*. Work that shares the machine with other work of ours therefore has no figure of its own, and its caller hands in
no counter.

A counter of RAPL begins again at 0 after some minutes under load. It is read more often than that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path

__all__ = ["Counter", "Meter", "counters", "metered"]

POWERCAP = Path("/sys/class/powercap")
SECONDS_BETWEEN_READINGS = 20.0
"""The smallest range in use, 2³² × 15.3 µJ = 65.5 kJ of AMD's processors, would take 3.3 kW to be passed in that time."""


@dataclass(frozen=True)
class Counter:
    """Something that is fed, and what it has taken since some moment in the past."""

    name: str
    """For people: ``CPU package-0``."""
    read: Callable[[], float]
    """Gives joules; raises OSError where there is no reading any more."""
    range: float | None = None
    """Joules after which it begins again at 0; None where it never does."""

    def between(self, before: float, now: float) -> float:
        """Return the joules between two readings.

        Raises:
            OSError: it was set back in between.
        """
        if now >= before:
            return now - before
        if self.range is None:
            raise OSError(f"{self.name} was set back")
        return now + self.range - before


@dataclass
class Meter:
    """Adds up what counters say from the moment that it is made."""

    counters: Sequence[Counter]
    _last: list[float] = field(init=False, default_factory=list)
    _joules: float | None = field(init=False, default=0.0)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        try:
            self._last = [counter.read() for counter in self.counters]
        except OSError:
            self._joules = None

    def read(self) -> tuple[float | None, tuple[str, ...]]:
        """Return the energy so far, in joules, and what it is of; None of nothing without a counter, or if one has failed."""
        with self._lock:
            if self._joules is not None:
                try:
                    self._joules += self._since()
                except OSError:  # a sum that lacks a part would look like a small one
                    self._joules = None
            if self._joules is None or not self.counters:
                return None, ()
            return self._joules, tuple(counter.name for counter in self.counters)

    def _since(self) -> float:
        now = [counter.read() for counter in self.counters]
        parts = [each.between(*span) for each, *span in zip(self.counters, self._last, now, strict=True)]
        self._last = now
        return sum(parts)


@contextmanager
def metered(counters: Sequence[Counter]) -> Iterator[Meter]:
    """Give a meter of counters, which is kept up to date while the block runs."""
    meter, over = Meter(counters), threading.Event()
    if not any(counter.range for counter in counters):
        yield meter
        return
    thread = threading.Thread(target=_keep_up, args=(meter, over), name="energy", daemon=True)
    thread.start()
    try:
        yield meter
    finally:
        over.set()
        thread.join()


def _keep_up(meter: Meter, over: threading.Event) -> None:
    while not over.wait(SECONDS_BETWEEN_READINGS):
        meter.read()


def counters(gpu: str | None) -> tuple[Counter, ...]:
    """Return what can be read on this machine: the GPU of that UUID (``GPU-…``), all processors and their memory."""
    return (*(_of_gpu(gpu) if gpu else ()), *_of_processors())


def _of_processors() -> Iterator[Counter]:
    """Yield the packages and their memory: what is inside a package, and what counts the whole board, would count twice."""
    for zone in sorted(POWERCAP.glob("intel-rapl:*")):  # AMD's, too; intel-rapl-mmio:0 is a package once more
        with suppress(OSError):  # root alone may read it
            name, package = _name_of(zone), _name_of(zone.with_name(":".join(zone.name.split(":")[:2])))
            what = f"CPU {package}" if name == package else f"memory of CPU {package}"
            if name == "dram" or (name == package and name.startswith("package-")):
                read = partial(_joules_in, zone / "energy_uj")
                read()
                yield Counter(what, read, _joules_in(zone / "max_energy_range_uj"))


def _name_of(zone: Path) -> str:
    return (zone / "name").read_text().strip()


def _joules_in(file: Path) -> float:
    return int(file.read_text()) / 1e6


def _of_gpu(uuid: str) -> Sequence[Counter]:
    if find_spec("pynvml") is None:  # an extra
        return ()
    import pynvml

    def read() -> float:
        try:
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error

    try:
        pynvml.nvmlInit()  # NVML counts how often: once more is no harm
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        name = pynvml.nvmlDeviceGetName(handle)
        read()
    except (pynvml.NVMLError, OSError):  # no driver, a part of a GPU (MIG), one that does not count
        return ()
    return (Counter(f"GPU {name}", read),)
