"""All sources × all locales: the reference that every merge has to beat, source by source and resumable.

What is known of a source is one small file; a cell in it counts while source and data are still the same, and what the source
answered, where the cell says that this was kept, is still there. Where it was not kept the figure counts, too, and is made anew
only when asked for, with ``overwrite``. A source that fails leaves no row, does not stop the others,
and is tried again by the next run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sprachbund import inference, parallel
from sprachbund.checkpoints import Checkpoint, Zoo, unchanged, zoo_name, zoo_uses
from sprachbund.config import Precision
from sprachbund.data import DataSet, Partition
from sprachbund.errors import CheckpointError, StoreError
from sprachbund.evaluation import label_names
from sprachbund.measures import evaluate_transfer
from sprachbund.parallel import Executor, Failed, Report
from sprachbund.store import RunStore, Transfer, TransferCell
from sprachbund.uses import union_of_uses

__all__ = ["ZeroShot", "known_row", "run_zero_shot", "still_open"]


@dataclass(frozen=True)
class ZeroShot:
    """What a run came to."""

    rows: Sequence[Transfer]
    """In the order of the sources, without those that failed."""
    failures: Mapping[str, str]
    """Reasons by source."""


def run_zero_shot(
    store: RunStore,
    zoo: Zoo,
    data: DataSet,
    split: str,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    precision: Precision,
    jobs: Executor | int,
    report: Report,
    overwrite: bool = False,
    keep_answers: bool = True,
) -> ZeroShot:
    """Evaluate every source in every target, except where the store knows; and keep what it answers, unless told not to.

    With ``overwrite`` what is known without its answers is done again, if they are to be kept.

    Raises:
        StoreError: the store holds rows of other models, data or precision and ``overwrite`` is off.
    """
    rows, tasks, failures = _known_and_open(
        store, zoo, data, split, sources, targets, precision, overwrite, keep_answers
    )
    stage = f"zero-shot {split}"
    report(stage, len(rows) + len(failures), len(sources))
    while tasks:
        busy = []
        for task, outcome in parallel.attempts(_evaluate, tasks, jobs or parallel.cores()):
            if outcome is None:
                busy.append(task)
            elif isinstance(outcome, Failed):
                failures[task.row.source] = outcome.reason
            else:
                rows[outcome.source] = outcome
            report(stage, len(rows) + len(failures), len(sources))
        if busy:
            report(f"{stage}, waiting for another run", len(rows) + len(failures), len(sources))
            store.wait_for_claim(busy[0].claim)
        tasks = busy
    return ZeroShot(
        [rows[source] for source in sources if source in rows],
        {source: failures[source] for source in sources if source in failures},
    )


@dataclass(frozen=True)
class _Task:
    """All that a process needs for one source: its partitions, not the data set they are of."""

    checkpoint: Checkpoint
    names: tuple[str, ...]
    partitions: tuple[Partition, ...]
    precision: Precision
    row: Transfer
    """What is known already."""
    store: RunStore
    before: Transfer | None
    """What stood in the store when the work was shared out: if something else stands there, another run has done it."""
    keep_answers: bool

    @property
    def claim(self) -> str:
        """What the work on it is called, for other runs."""
        return f"{self.row.split} {self.row.source}"


def _known_and_open(
    store: RunStore,
    zoo: Zoo,
    data: DataSet,
    split: str,
    sources: Sequence[str],
    targets: Sequence[str],
    precision: Precision,
    overwrite: bool,
    keep_answers: bool,
) -> tuple[dict[str, Transfer], list[_Task], dict[str, str]]:
    """Return the rows that are complete, what is to be done for the others, and why some sources cannot be used."""
    rows: dict[str, Transfer] = {}
    failures: dict[str, str] = {}
    tasks = []
    for source in sources:
        try:
            checkpoint = zoo.checkpoint(source)
            row = known_row(store, checkpoint, source, data, split, precision, overwrite)
            open_targets = still_open(row, targets, with_answers=overwrite and keep_answers)
            if open_targets:
                names = label_names(checkpoint.labels, data, checkpoint.name).names
                partitions = tuple(data.partitions(split, open_targets))
                before = store.transfer(source, split)
                tasks.append(_Task(checkpoint, names, partitions, precision, row, store, before, keep_answers))
                continue
        except CheckpointError as error:
            failures[source] = str(error)
            continue
        if row != store.transfer(source, split):  # it goes by another name by now
            store.write_transfer(row)
        rows[source] = row
    return rows, tasks, failures


def _evaluate(task: _Task) -> Transfer | None:
    """Return the row of a source, which is in the store by then; None if another run is working on it."""
    inference.quieten()
    with task.store.claim(task.claim) as ours:
        if not ours:
            return None
        there = task.store.transfer(task.row.source, task.row.split)
        row = task.row if there is None or there == task.before else there
        wanted = still_open(row, [each.locale for each in task.partitions], with_answers=False)
        if row is there and not wanted:
            return row
        partitions = [each for each in task.partitions if row is task.row or each.locale in wanted]
        with unchanged([task.checkpoint]):
            cells, answers = evaluate_transfer(task.checkpoint, task.names, partitions, task.precision)
        made = row.model_copy(update={"cells": {**row.cells, **cells}})
        made = made if task.keep_answers else made.without_answers()
        task.store.write_transfer(made, answers if task.keep_answers else None)
        return made


def still_open(row: Transfer, targets: Sequence[str], *, with_answers: bool) -> tuple[str, ...]:
    """Return the targets that a row knows nothing of or, ``with_answers``, nothing but a figure."""
    return tuple(
        target
        for target in targets
        if (cell := row.cells.get(target)) is None or (with_answers and not cell.predictions_digest)
    )


def known_row(
    store: RunStore,
    checkpoint: Checkpoint,
    source: str,
    data: DataSet,
    split: str,
    precision: Precision,
    overwrite: bool,
) -> Transfer:
    """Return what is known of a source, an empty row where that is nothing.

    Raises:
        StoreError: the store holds a row of other models, data or precision and ``overwrite`` is off.
    """
    fresh = Transfer(
        source=source,
        digest=checkpoint.digest,
        zoo=zoo_name(checkpoint, source),
        split=split,
        dataset=data.name,
        uses=union_of_uses(zoo_uses(checkpoint)),
        precision=precision,
    )
    row = store.transfer(source, split)
    if row is None:
        return fresh
    same_data = all(_holds(cell, data, locale, split) for locale, cell in row.cells.items())
    if (row.digest, row.precision) == (fresh.digest, precision) and same_data:
        lost = store.lost_answers(row)
        kept = {locale: cell for locale, cell in row.cells.items() if locale not in lost}
        named = {"zoo": fresh.zoo, "dataset": fresh.dataset}  # they may have been moved since
        return row.model_copy(update={**named, "cells": kept})
    if overwrite:
        return fresh
    raise StoreError(
        f"{store.root}/transfer/{split}/{source}.json is about other models or data, or in another precision "
        f"({row.zoo}, {row.dataset}, {row.precision}): choose another folder, or replace it with --overwrite."
    )


def _holds(cell: TransferCell, data: DataSet, locale: str, split: str) -> bool:
    """Return whether a cell is about the data at hand; what this holds no rows of speaks neither for it nor against it."""
    return locale not in data.locales or cell.data_digest == data.partition(locale, split).digest
