"""What the terminal shows while something runs: a live bar on a TTY, now and then a plain line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Reporter", "console", "say"]

console = Console(highlight=False)
"""Results, on standard output."""
_progress_console = Console(stderr=True, highlight=False)
SECONDS_BETWEEN_LINES = 10.0


def say(text: str) -> None:
    """Tell the user something that is not a result."""
    _progress_console.print(text, markup=False, soft_wrap=True)


class Reporter:
    """Called with (stage, done, total) by whatever takes time; a context manager."""

    def __init__(self) -> None:
        self._live = _progress_console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=_progress_console,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._last_line = 0.0

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are finished; what follows a comma in the stage is what is being done now."""
        name, _, _ = stage.partition(",")
        self._started.setdefault(name, time.monotonic())
        if self._live:
            self._draw(name, stage, done, total)
        else:
            self._print(name, stage, done, total)

    def _draw(self, name: str, stage: str, done: int, total: int) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(stage, total=total)
        self._progress.update(self._tasks[name], description=stage, completed=done, total=total)

    def _print(self, name: str, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done < total and now - self._last_line < SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        print(f"{stage}: {done}/{total}, {now - self._started[name]:.0f} s", file=sys.stderr, flush=True)
