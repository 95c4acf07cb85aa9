"""Tell an experiment tracker how a run goes: trackio or Weights & Biases, which have the same interface.

    --track trackio:PROJECT     into files on this machine, unless its own settings name a server
    --track wandb:PROJECT       to the account that wandb is logged in to

Nobody is told anything unasked, and neither package is loaded. Both have ``init``, ``log`` and ``finish``, so that one adapter
does for both. Each cell is one entry, with its variant and locale and, so that there are curves to draw,
``accuracy/{variant}`` and ``macro_f1/{variant}``; the last entry has the means.

A tracker that cannot be begun is said before any work. After that the results matter more than who is told of them: whatever a
tracker raises is said once, it is told nothing more, and the run goes on.
"""

from __future__ import annotations

import importlib
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any, Protocol, cast

from sprachbund.errors import UnknownName, UserError
from sprachbund.store import Failure, Record

__all__ = ["TRACKERS", "Tracker", "check_tracker", "tracker"]

TRACKERS = {"trackio": 'pip install "sprachbund[trackio]"', "wandb": "pip install wandb"}
"""What can be told, and how it is installed."""


class _Package(Protocol):
    """What both packages have; they know themselves which run is open."""

    def init(self, *, project: str, config: dict[str, Any]) -> object: ...

    def log(self, entry: dict[str, Any], /) -> object: ...

    def finish(self) -> object: ...


class Tracker:
    """An open run of a tracker; is called with each cell. After the first thing that goes wrong it is told nothing more."""

    def __init__(self, name: str, package: _Package, warn: Callable[[str], None]) -> None:
        self._name, self._package, self._warn = name, package, warn
        self._works = True
        self._accuracies: dict[str, list[float]] = {}
        self._cells = self._failed = 0

    def __call__(self, cell: Record | Failure, was_there: bool) -> None:
        """Tell what a cell came to, and whether that was there before this run."""
        self._cells += 1
        entry = {"cell": self._cells, "from_before": was_there}
        self._tell(entry | (self._failure(cell) if isinstance(cell, Failure) else self._record(cell)))

    def end(self) -> None:
        """Tell the means over the locales that each variant has by now, and that this was all."""
        means = {f"mean_accuracy/{name}": statistics.fmean(values) for name, values in self._accuracies.items()}
        counts = {f"locales/{name}": len(values) for name, values in self._accuracies.items()}
        self._tell({**means, **counts, "failed": self._failed})
        self._try(self._package.finish)

    def _record(self, record: Record) -> dict[str, Any]:
        info, performance = record.evaluation_info, record.performance
        self._accuracies.setdefault(info.variant, []).append(performance.accuracy)
        return {
            "variant": info.variant,
            "locale": info.locale,
            f"accuracy/{info.variant}": performance.accuracy,
            f"macro_f1/{info.variant}": performance.macro_f1,
            "uses": ", ".join(info.uses),
            "seconds": info.seconds,
        }

    def _failure(self, failure: Failure) -> dict[str, Any]:
        self._failed += 1
        return {"variant": failure.variant, "locale": failure.locale, "failure": failure.reason, "failed": self._failed}

    def _tell(self, entry: dict[str, Any]) -> None:
        if self._works:
            self._try(self._package.log, entry)

    def _try(self, how: Callable[..., object], *what: Any) -> None:
        try:
            with redirect_stdout(sys.stderr):  # standard output is for results
                how(*what)
        except Exception as error:
            # Of somebody else's program, with somebody else's server behind it: there is no list of what may come.
            if self._works:
                self._warn(f"{self._name} is told nothing more, since it failed ({_said(error)}); the run goes on.")
            self._works = False


@contextmanager
def tracker(asked: str, settings: Mapping[str, Any], warn: Callable[[str], None]) -> Iterator[Tracker]:
    """Begin a run of the tracker that ``--track`` asks for, and end it after the block, however that ends.

    Raises:
        UserError: it is unknown, not installed, or cannot be begun.
    """
    name, project = _parts(asked)
    package = _loaded(name)
    try:
        with redirect_stdout(sys.stderr):
            package.init(project=project, config=dict(settings))
    except Exception as error:  # see above; here nothing is lost yet, and who asked can mend it
        raise UserError(
            f"--track {asked}: {name} cannot begin ({_said(error)}): mend that, or leave out --track."
        ) from error
    told = Tracker(name, package, warn)
    try:
        yield told
    finally:
        told.end()


def check_tracker(asked: str) -> None:
    """Complain about a tracker that is unknown or not installed, before any work; it is not begun.

    Raises:
        UserError: says how it is written, or installed.
    """
    _loaded(_parts(asked)[0])


def _parts(asked: str) -> tuple[str, str]:
    name, _, project = asked.partition(":")
    if name not in TRACKERS:
        raise UnknownName("tracker", name, TRACKERS, "Write --track NAME:PROJECT.")
    if not project:
        raise UserError(f"--track {asked} names no project: write --track {name}:PROJECT.")
    return name, project


def _loaded(name: str) -> _Package:
    try:
        package: Any = importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"--track {name}:… takes the package {name} ({error}): {TRACKERS[name]}.") from error
    return cast(_Package, package)


def _said(error: Exception) -> str:
    """Return what an error says, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
