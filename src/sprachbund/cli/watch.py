"""``sprachbund watch``: how far a run has come, on the terminal, until it ends; the run may be on another machine.

All that is known comes from the folder of the run: it is not asked, and not kept from anything. Whoever looks before a run has
begun waits for it, and where one was seen at work the end of its process is the end of the watch. A run that nobody works on is
given a few looks: somebody may just be starting it again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Group
from rich.live import Live
from rich.text import Text

from sprachbund import locks
from sprachbund.cli.app import app
from sprachbund.cli.console import MODE, console, duration, rate, result, say
from sprachbund.cli.ending import of_interrupt
from sprachbund.config import WatchConfig
from sprachbund.errors import CellsFailed, SprachbundError, StoreError
from sprachbund.report import Reader, RunState, frame
from sprachbund.store import RESULTS

__all__ = ["watch"]

PATIENCE = 5
"""Looks at a run that is not done and that nobody works on; the last of them ends the watch."""


@app.command
def watch(*, config: Annotated[WatchConfig, Parameter(name="*")] = WatchConfig()) -> int:
    """Show how far the run in a folder has come: locales × variants, rate, time left, failures. Nothing is written.

    On a terminal the picture is renewed until the run ends: exit status 0 if all is done, 1 if something has failed or
    is missing by then, 130 after Ctrl-C, which the run does not notice. Elsewhere, and with --json, it is one look.
    """
    _check_folder(config.output_dir)
    reader = Reader(config.output_dir)
    if config.once or MODE.json or not console.is_terminal:
        _look_once(config, reader)
        return 0
    try:
        last = _follow(config, reader)
    except KeyboardInterrupt as interrupt:
        say("No longer watched: the run goes on without it.")
        return of_interrupt(interrupt)[1]
    _judge(last)
    return 0


def _check_folder(output_dir: Path) -> None:
    for path in (output_dir, output_dir / RESULTS):
        if path.exists() and not path.is_dir():
            raise StoreError(f"{path} is a file, not a folder: name the folder of a run with --output-dir.")


def _look_once(config: WatchConfig, reader: Reader) -> None:
    at_work = locks.holder(config.output_dir / RESULTS)
    state = reader.look()
    if state is None:
        raise StoreError(
            f"{config.output_dir} holds nothing of a run yet: name the folder of one with --output-dir, or start it; "
            "on a terminal, `sprachbund watch` waits for it."
        )
    _check_readable(state)

    def show() -> None:
        height = console.height if console.is_terminal else None
        for line in frame(state, _head(config, state, at_work), width=console.width, height=height):
            console.print(line, soft_wrap=True)

    result(lambda: _document(state, at_work), show)


def _check_readable(state: RunState) -> None:
    """Refuse a folder of which nothing can be shown because files in it are damaged."""
    if state.unreadable and not state.total and not state.others:
        raise StoreError(state.unreadable[0])


def _document(state: RunState, at_work: locks.Holder | None) -> dict[str, Any]:
    return {"at_work": at_work and vars(at_work), **state.as_json()}


def _follow(config: WatchConfig, reader: Reader) -> RunState:
    """Show the picture until the run ends; return how far it had come by then."""
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for at_work, state in _looks(config, reader):
            live.update(Group(*_picture(config, state, at_work)), refresh=True)
    assert state is not None
    return state


def _looks(config: WatchConfig, reader: Reader) -> Iterator[tuple[locks.Holder | None, RunState | None]]:
    """Yield who is at work and how far the run has come, again and again; the last time when there is no more to come.

    Who is at work is asked first: when nobody is any more, what is read after that is all.
    """
    seen_at_work = False
    at_rest = 0
    while True:
        at_work = locks.holder(config.output_dir / RESULTS)
        state = reader.look()
        yield at_work, state
        seen_at_work = seen_at_work or at_work is not None
        at_rest = at_rest + 1 if state is not None and at_work is None else 0
        if state is not None and at_rest and (seen_at_work or state.complete or at_rest == PATIENCE):
            return
        time.sleep(config.interval)


def _picture(config: WatchConfig, state: RunState | None, at_work: locks.Holder | None) -> list[Text]:
    if state is None:
        return [Text(f"Nothing of a run in {config.output_dir} yet: waiting for it. Ctrl-C ends that.")]
    return frame(state, _head(config, state, at_work), width=console.width, height=console.height - 1)


def _head(config: WatchConfig, state: RunState, at_work: locks.Holder | None) -> list[str]:
    failed = f", {state.count('failed')} failed" if state.count("failed") else ""
    counts = f"{config.output_dir}: {state.count('done')} of {state.total} results{failed}, {state.count('open')} to do"
    return [counts, _pace(state) if at_work else _at_rest(state), *([str(at_work)] if at_work else [])]


def _pace(state: RunState) -> str:
    if state.count("open") == 0:
        return "every cell had its turn"
    if state.rate is None or state.seconds_left is None:
        return "no cell was finished by this run yet"
    return f"{rate(state.rate)}, about {duration(state.seconds_left)} left"


def _at_rest(state: RunState) -> str:
    return "nobody is at work" if state.complete else "nobody is at work: the command of the run goes on from here"


def _judge(state: RunState) -> None:
    """End with status 1 where the run has ended, but not everything is there.

    Raises:
        CellsFailed: cells have failed; lists them.
        StoreError: nothing can be read.
        SprachbundError: cells or sources are missing.
    """
    _check_readable(state)
    if not state.total:
        raise SprachbundError("Nobody is at work, and of a run there is nothing in the folder that can be shown.")
    if state.count("open"):
        raise SprachbundError(
            f"The run has ended, and {state.count('open')} of {state.total} results are missing: its command goes on from here."
        )
    failures = {
        f"{locale} {variant}": cell.reason or "" for variant, locale, cell in state.finished if cell.state == "failed"
    }
    if failures:
        raise CellsFailed("experiments", state.total, failures)
    if not state.complete:
        raise SprachbundError(
            f"The run has ended, and {state.zero_shot_sources - state.zero_shot_done} of {state.zero_shot_sources} sources "
            "were not evaluated in all locales: its command tries them again."
        )
