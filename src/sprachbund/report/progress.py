"""How far a run has come, read off its folder by who looks on: from another terminal, or another machine that sees the files.

Nothing is locked and nothing is written. What there is to do the run itself says at its beginning, in experiment_progress.json:
the identities of its cells. A cell is done if there is a record of its identity, as for the run. A failure counts if it was
written by this run: older ones are tried again. Where no run has said anything, what is there is all there is, of the one setup
that the latest record belongs to.

A look asks the file system about each file, and reads only those that are new: a file is known by inode, time of change and
size. Files are replaced by renames, so that none is ever half there; where somebody copies them from elsewhere in other ways,
one that cannot be read counts as not there until it changes.
"""

from __future__ import annotations

import errno
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from sprachbund import locales, store
from sprachbund.errors import StoreError
from sprachbund.locales import Locale
from sprachbund.report.table import Cell, Setup, column
from sprachbund.store import Progress, Transfer
from sprachbund.uses import union_of_uses

__all__ = ["CellState", "Finished", "Reader", "Row", "RunState", "VariantState", "run_state"]

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE})
"""What the system says of a file that somebody has just replaced or removed."""
T = TypeVar("T")


@dataclass(frozen=True)
class Finished:
    """What is kept of a record or of a failure."""

    variant: str
    locale: str
    identity: str
    timestamp: str
    setup: tuple[str, ...]
    """Data, split and zoo, which a failure knows too; then the revision, which only a record knows."""
    accuracy: float | None = None
    """None: it has failed."""
    seconds: float | None = None
    uses: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class CellState:
    """One variant in one locale."""

    state: Literal["done", "failed", "open"]
    accuracy: float | None = None
    seconds: float | None = None
    timestamp: str | None = None
    uses: tuple[str, ...] = ()
    """What it has seen of the target; empty as long as there is no result."""
    reason: str | None = None


@dataclass(frozen=True)
class Row:
    """One locale: the cells that there are to do in it, by variant."""

    locale: Locale
    cells: Mapping[str, CellState]


@dataclass(frozen=True)
class VariantState:
    """One variant so far."""

    done: int
    failed: int
    open: int
    mean: float | None
    """Mean accuracy over the locales where it is done; means of different locales are not to be compared."""
    best: float | None
    best_locale: str | None
    uses: tuple[str, ...]
    """What it has seen of its targets so far; empty as long as there is no result."""


@dataclass(frozen=True)
class RunState:
    """How far a run has come."""

    started: str | None
    """None: no run has said what is to be done."""
    updated: str | None
    variants: tuple[str, ...]
    rows: tuple[Row, ...]
    """In the order of the locale table."""
    zero_shot_done: int
    zero_shot_sources: int
    others: int
    """Results in the folder that belong to something else."""
    unreadable: tuple[str, ...]
    """What is wrong with files that cannot be read."""

    def count(self, state: Literal["done", "failed", "open"]) -> int:
        """Return how many cells are in a state."""
        return sum(cell.state == state for row in self.rows for cell in row.cells.values())

    @property
    def total(self) -> int:
        """How many cells there are to do, finished ones among them."""
        return sum(len(row.cells) for row in self.rows)

    @property
    def complete(self) -> bool:
        """Whether every cell was done or has failed, and every source is evaluated if that was asked for."""
        return self.total > 0 and not self.count("open") and self.zero_shot_done == self.zero_shot_sources

    @property
    def rate(self) -> float | None:
        """Cells per second of this run, from the first one that it finished on; None until there is another.

        What came before the first (sources that are asked, merges that are made together) tells nothing of those to come.
        Time is that of who wrote: clocks of other machines may go wrong.
        """
        if self.started is None:
            return None
        stamps = (cell.timestamp or "" for row in self.rows for cell in row.cells.values())
        fresh = sorted(stamp for stamp in stamps if stamp >= self.started)
        seconds = _seconds_between(fresh[0], fresh[-1]) if fresh else 0.0
        return (len(fresh) - 1) / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """What the open cells will take at the rate of this run; None until there is one. Zero-shot comes on top."""
        return self.count("open") / self.rate if self.rate else None

    @property
    def by_variant(self) -> dict[str, VariantState]:
        """Every variant so far."""
        return {variant: self._variant(variant) for variant in self.variants}

    @property
    def common(self) -> tuple[str, ...]:
        """The locales where every variant is done."""
        return tuple(
            row.locale.name
            for row in self.rows
            if all(variant in row.cells and row.cells[variant].state == "done" for variant in self.variants)
        )

    @property
    def leader(self) -> tuple[str, float] | None:
        """The variant with the highest mean over the locales that all have, and that mean."""
        common = {*self.common}
        if not common:
            return None
        accuracies = {
            variant: [row.cells[variant].accuracy or 0.0 for row in self.rows if row.locale.name in common]
            for variant in self.variants
        }
        means = {variant: statistics.fmean(values) for variant, values in accuracies.items()}
        best = max(means, key=lambda variant: means[variant])
        return best, means[best]

    @property
    def finished(self) -> list[tuple[str, str, CellState]]:
        """(variant, locale, state) of every cell that was done or has failed, the latest first."""
        cells = [
            (v, row.locale.name, cell) for row in self.rows for v, cell in row.cells.items() if cell.state != "open"
        ]
        return sorted(cells, key=lambda cell: cell[2].timestamp or "")[::-1]  # of one second: the later in the table

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "started": self.started,
            "updated": self.updated,
            "total": self.total,
            **{state: self.count(state) for state in ("done", "failed", "open")},
            "complete": self.complete,
            "zero_shot": {"done": self.zero_shot_done, "sources": self.zero_shot_sources},
            "cells_per_second": self.rate,
            "seconds_left": self.seconds_left,
            "variants": {name: vars(variant) for name, variant in self.by_variant.items()},
            "leader": self.leader and {"variant": self.leader[0], "mean": self.leader[1], "locales": len(self.common)},
            "cells": {row.locale.name: {name: vars(cell) for name, cell in row.cells.items()} for row in self.rows},
            "others": self.others,
            "unreadable": list(self.unreadable),
        }

    def _variant(self, variant: str) -> VariantState:
        cells = {row.locale.name: row.cells[variant] for row in self.rows if variant in row.cells}
        states = [cell.state for cell in cells.values()]
        known = {name: cell.accuracy for name, cell in cells.items() if cell.accuracy is not None}
        best = max(known, key=lambda name: known[name], default=None)
        return VariantState(
            done=states.count("done"),
            failed=states.count("failed"),
            open=states.count("open"),
            mean=statistics.fmean(known.values()) if known else None,
            best=None if best is None else known[best],
            best_locale=best,
            uses=union_of_uses(*(cell.uses for cell in cells.values())) if known else (),
        )


def run_state(
    progress: Progress | None,
    finished: Iterable[Finished],
    transfers: Mapping[str, Transfer],
    unreadable: Sequence[str] = (),
) -> RunState:
    """Return how far a run has come: what it said that it would do, and what was found in its folder."""
    found = {(each.variant, each.locale): each for each in finished}
    cells = _of_the_run(progress, found) if progress and progress.cells else _of_one_setup(found)
    names = sorted({locale for _, locale in cells}, key=locales.position)
    variants = tuple(dict.fromkeys(variant for variant, _ in cells))
    expected = set(names)
    done = sum(cell.state == "done" for cell in cells.values())
    return RunState(
        started=progress.started if progress and progress.cells else None,
        updated=progress.updated if progress and progress.cells else None,
        variants=variants,
        rows=tuple(
            Row(locales.describe(name), {v: cells[v, name] for v in variants if (v, name) in cells}) for name in names
        ),
        zero_shot_done=sum(expected <= transfers[s].cells.keys() for s in _sources(progress) if s in transfers),
        zero_shot_sources=len(_sources(progress)),
        others=sum(each.accuracy is not None for each in found.values()) - done,
        unreadable=tuple(unreadable),
    )


def _sources(progress: Progress | None) -> tuple[str, ...]:
    return progress.zero_shot if progress else ()


def _of_the_run(progress: Progress, found: Mapping[Cell, Finished]) -> dict[Cell, CellState]:
    return {
        (variant, locale): _state(found.get((variant, locale)), identity, progress.started)
        for locale, identities in progress.cells.items()
        for variant, identity in identities.items()
    }


def _state(found: Finished | None, identity: str, started: str) -> CellState:
    if found is None or found.identity != identity or (found.accuracy is None and found.timestamp < started):
        return CellState("open")
    return _as_it_is(found)


def _as_it_is(found: Finished) -> CellState:
    state: Literal["done", "failed"] = "failed" if found.accuracy is None else "done"
    return CellState(state, found.accuracy, found.seconds, found.timestamp, found.uses, found.reason)


def _of_one_setup(found: Mapping[Cell, Finished]) -> dict[Cell, CellState]:
    """Return all that belongs to the setup of the latest record, or of the latest failure where there is no record.

    Nobody has said in what order: variants stand as in every table.
    """
    latest = max(found.values(), key=lambda each: (each.accuracy is not None, each.timestamp), default=None)
    wanted = latest.setup if latest else ()
    return {
        cell: _as_it_is(each)
        for cell, each in sorted(found.items(), key=lambda item: column(item[0][0]))
        if cell[0] and each.setup == wanted[: len(each.setup)]
    }


def _seconds_between(first: str, last: str) -> float:
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


@dataclass
class Reader:
    """Looks at the folder of a run again and again; remembers what it has read."""

    output_dir: Path
    _known: dict[str, tuple[tuple[int, ...], Any]] = field(default_factory=dict)

    def look(self) -> RunState | None:
        """Return how far the run has come, None as long as there is nothing of one."""
        progress = self._read(self.output_dir / store.PROGRESS, lambda path: store.read_progress(path.parent))
        root = self.output_dir / store.RESULTS
        finished = [each for name in _folders(root) if (each := self._finished(root, name))]
        if progress is None and not finished and not self._errors():
            return None
        return run_state(progress, finished, self._transfers(progress), self._errors())

    def _transfers(self, progress: Progress | None) -> dict[str, Transfer]:
        """Return what is known of the sources that the run evaluates, by source."""
        known = store.RunStore(self.output_dir / store.RESULTS)
        rows = {}
        for source in _sources(progress):
            path = known.root / "transfer" / (progress.split if progress else "") / f"{source}.json"
            if row := self._read(path, lambda path: known.transfer(path.stem, path.parent.name)):
                rows[source] = row
        return rows

    def _finished(self, root: Path, name: str) -> Finished | None:
        folder = root / name
        return self._read(folder / store.RECORD, _of_record) or self._read(folder / store.FAILURE, _of_failure)

    def _errors(self) -> list[str]:
        return [str(value) for _, value in self._known.values() if isinstance(value, StoreError)]

    def _read(self, path: Path, read: Callable[[Path], T]) -> T | None:
        """Return what is in a file, from memory if it is the file that was read last time."""
        name = os.fspath(path)
        try:
            status = os.stat(name)
            key = (status.st_ino, status.st_mtime_ns, status.st_size)
            if name not in self._known or self._known[name][0] != key:
                try:
                    self._known[name] = key, read(path)
                except StoreError as error:
                    self._known[name] = key, error
        except OSError as error:
            if error.errno not in GONE:
                raise
            self._known.pop(name, None)
            return None
        value = self._known[name][1]
        return None if isinstance(value, StoreError) else value


def _folders(root: Path) -> list[str]:
    """Return the names of the folders that cells may be in."""
    try:
        with os.scandir(root) as entries:
            return sorted(each.name for each in entries if not each.name.startswith(".") and each.name != "transfer")
    except OSError as error:
        if error.errno not in GONE:
            raise
        return []


def _of_record(path: Path) -> Finished:
    record = store.read_record(path.parent)
    setup = Setup.of(record)
    return Finished(
        variant=record.evaluation_info.variant,
        locale=record.evaluation_info.locale,
        identity=record.identity,
        timestamp=record.evaluation_info.timestamp,
        setup=(setup.data, setup.split, setup.zoo, setup.revision),
        accuracy=record.performance.accuracy,
        seconds=record.evaluation_info.seconds,
        uses=record.evaluation_info.uses,
    )


def _of_failure(path: Path) -> Finished:
    failure = store.read_failure(path.parent)
    return Finished(
        variant=failure.variant,
        locale=failure.locale,
        identity=failure.identity or "",
        timestamp=failure.timestamp,
        setup=(failure.dataset, failure.split, failure.zoo),
        reason=failure.reason,
    )
