"""What people and programs see: results on standard output, everything else on standard error.

A command hands its result to :func:`result` once: people get it as text, programs (``--json``) as one JSON document. While
something runs, a TTY shows live bars and anything else gets a plain line now and then; ``--quiet`` shows neither.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from sprachbund.errors import UserError
from sprachbund.plan import size

__all__ = ["MODE", "Mode", "Reporter", "console", "detail", "duration", "rate", "result", "say", "set_mode"]


class _Console(Console):
    """A console that leaves it to the command line what happens when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        """Let the BrokenPipeError go on; rich's own answer is to exit with the status that failed cells have here."""
        raise  # the error that is being handled where this is called


console = _Console(highlight=False)
"""Results, on standard output."""
_notes = _Console(stderr=True, highlight=False)
SECONDS_BETWEEN_LINES = 10.0
OVERALL = "overall"
IN_BYTES = frozenset({"downloading"})
"""Stages whose pieces are bytes; people read them as kB, MB and GB."""


@dataclass
class Mode:
    """How much is said, and to whom; set once, before a command begins."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False


MODE = Mode()


def set_mode(*, quiet: bool = False, verbose: bool = False, json: bool = False) -> None:
    """Settle how much is said, and to whom.

    Raises:
        UserError: it was asked for less and for more.
    """
    if quiet and verbose:
        raise UserError("--quiet and --verbose contradict each other: leave one out.")
    MODE.quiet, MODE.verbose, MODE.json = quiet, verbose, json


def result(value: Callable[[], Any], show: Callable[[], None]) -> None:
    """Give a command's result: ``show`` prints it for people, ``value`` returns it for programs."""
    if MODE.json:
        plain = TypeAdapter(Any).dump_python(value(), mode="json")
        sys.stdout.write(json.dumps(plain, ensure_ascii=False, indent=2) + "\n")
    else:
        show()


def say(text: str) -> None:
    """Tell the user something that is not a result."""
    if not MODE.quiet:
        _notes.print(text, markup=False, soft_wrap=True)


class _Said(logging.Handler):
    """What the package logs while it works, said like any other note."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say one record."""
        say(record.getMessage())


logging.getLogger("sprachbund").addHandler(_Said(logging.WARNING))


def detail(text: str) -> None:
    """Tell the user something that only ``--verbose`` asks for."""
    if MODE.verbose:
        _notes.print(text, markup=False, soft_wrap=True, style="dim")


def duration(seconds: float) -> str:
    """Write a time as people say it: 42 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def rate(per_second: float) -> str:
    """Write how many pieces a second are done or, if they are slow, a minute."""
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{60 * per_second:.1f}/min"


@dataclass
class _Stage:
    """What is known of one stage."""

    expected: float | None
    """Seconds, as estimated beforehand; None if nobody did."""
    started: float | None = None
    already: int = 0
    """What was finished when the stage began: it tells nothing about the rate."""
    done: int = 0
    total: int = 0
    end_told: bool = False
    """Whether a line has said that all is done: it is said once, however often that is reported."""

    def elapsed(self, now: float) -> float:
        return now - self.started if self.started is not None else 0.0

    def rate(self, now: float) -> float | None:
        """Return pieces per second, None as long as nothing was seen to be done."""
        fresh = self.done - self.already
        return fresh / self.elapsed(now) if fresh > 0 and self.elapsed(now) > 0 else None

    def left(self, now: float) -> float | None:
        """Return the seconds that are left, from the measured rate or else from what was expected."""
        if self.total and self.done >= self.total:
            return 0.0
        rate = self.rate(now)
        return (self.total - self.done) / rate if rate else self.expected


@dataclass
class _Clock:
    """The stages of a run, and the time they take."""

    begun: float
    stages: dict[str, _Stage] = field(default_factory=dict)

    def update(self, name: str, done: int, total: int, now: float) -> _Stage:
        stage = self.stages.setdefault(name, _Stage(None))
        if stage.started is None:
            stage.started, stage.already = now, done
        stage.done, stage.total = done, total
        return stage

    def expect(self, seconds: Mapping[str, float]) -> None:
        for name, expected in seconds.items():
            self.stages.setdefault(name, _Stage(expected))

    def left(self, now: float) -> float | None:
        """Return the seconds that are left of all stages, None if one of them is a riddle."""
        each = [stage.left(now) for stage in self.stages.values()]
        return None if any(part is None for part in each) else sum(part or 0.0 for part in each)

    def share(self, now: float) -> float | None:
        """Return how much of all the time has passed, a fraction in [0, 1]."""
        passed, left = now - self.begun, self.left(now)
        return None if left is None or passed + left == 0 else passed / (passed + left)


class Reporter:
    """Called with (stage, done, total) by whatever takes time; a context manager."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._now = clock
        self._live = _notes.is_terminal and not MODE.quiet
        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=12),
            _DoneColumn(),
            _RateColumn(),
            _LeftColumn(),
            console=_notes,
            disable=not self._live,
        )
        self._clock = _Clock(clock())
        self._tasks: dict[str, TaskID] = {}
        self._last_line = -SECONDS_BETWEEN_LINES

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Announce the stages to come with the seconds that each will take, so that the time left of all can be told."""
        self._clock.expect(seconds)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are finished; what follows a comma in the stage is what is being done now."""
        name, _, current = stage.partition(",")
        now = self._now()
        known = self._clock.update(name, done, total, now)
        if self._live:
            self._draw(name, current.strip(), known, now)
        elif not MODE.quiet:
            self._print(name, known, now)

    def _draw(self, name: str, current: str, stage: _Stage, now: float) -> None:
        shown = f"{name} {current}" if current else name
        self._bar(name, shown[:24], stage.done, stage.total, stage.rate(now), stage.left(now))
        if len(self._clock.stages) > 1:
            share = self._clock.share(now)
            self._bar(OVERALL, OVERALL, round(100 * (share or 0)), 100, None, self._clock.left(now))

    def _bar(self, name: str, shown: str, done: int, total: int, rate: float | None, left: float | None) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(shown, total=total)
        self._progress.update(
            self._tasks[name],
            description=shown,
            completed=done,
            total=total,
            done=_done(name, done, total),
            rate=_rate(name, rate),
            left=_left(left),
        )

    def _print(self, name: str, stage: _Stage, now: float) -> None:
        over = stage.done >= stage.total
        if stage.end_told if over else now - self._last_line < SECONDS_BETWEEN_LINES:
            return
        self._last_line, stage.end_told = now, over
        done = _done(name, stage.done, stage.total).strip()
        parts = [f"{name}: {done}", duration(stage.elapsed(now)), _rate(name, stage.rate(now))]
        if not over:
            parts.append(_left(stage.left(now)))
        if len(self._clock.stages) > 1 and (overall := self._clock.left(now)):
            parts.append(f"overall {duration(overall)} left")
        print(", ".join(part for part in parts if part), file=sys.stderr, flush=True)


class _DoneColumn(ProgressColumn):
    """How much of how much."""

    def render(self, task: Task) -> Text:
        return Text(task.fields.get("done", ""), style="progress.download")


class _RateColumn(ProgressColumn):
    """Pieces per second or, if they are slow, per minute."""

    def render(self, task: Task) -> Text:
        return Text(task.fields.get("rate", ""), style="dim")


class _LeftColumn(ProgressColumn):
    """Time left."""

    def render(self, task: Task) -> Text:
        return Text(task.fields.get("left", "") if not task.finished else "done")


def _done(name: str, done: int, total: int) -> str:
    """Return both numbers, the first one as wide as the second."""
    if name in IN_BYTES:
        return f"{size(done):>{len(size(total))}}/{size(total)}"
    return f"{done:>{len(str(total))}}/{total}"


def _rate(name: str, per_second: float | None) -> str:
    if per_second is None:
        return ""
    return f"{size(per_second)}/s" if name in IN_BYTES else rate(per_second)


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"{duration(seconds)} left"
