"""All sources × all locales: the reference that every merge has to beat, source by source and resumable.

What is known of a source is one small file; a cell in it counts while source and data are still the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sprachbund import inference, parallel
from sprachbund.checkpoints import Checkpoint, Zoo, zoo_name, zoo_uses
from sprachbund.data import DataSet, Partition
from sprachbund.errors import StoreError
from sprachbund.evaluation import label_names
from sprachbund.inference import Encoded
from sprachbund.measures import evaluate_transfer
from sprachbund.parallel import Report
from sprachbund.recipe import union_of_uses
from sprachbund.store import RunStore, Transfer, TransferCell

__all__ = ["run_zero_shot"]


def run_zero_shot(
    store: RunStore,
    zoo: Zoo,
    data: DataSet,
    split: str,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    jobs: int,
    report: Report,
    overwrite: bool = False,
) -> list[Transfer]:
    """Evaluate every source in every target, except where the store knows; return the rows in order of ``sources``.

    Raises:
        StoreError: the store holds rows of other models or data and ``overwrite`` is off.
    """
    rows = {source: _known(store, zoo.checkpoint(source), source, data, split, overwrite) for source in sources}
    tasks = [
        _task(zoo.checkpoint(source), data, split, open_targets, row)
        for source, row in rows.items()
        if (open_targets := tuple(target for target in targets if target not in row.cells))
    ]
    finished = len(sources) - len(tasks)
    stage = f"zero-shot, {split}"
    report(stage, finished, len(sources))
    for row in parallel.unordered(_evaluate, tasks, jobs or parallel.cores()):
        store.write_transfer(row)
        rows[row.source] = row
        finished += 1
        report(stage, finished, len(sources))
    return [rows[source] for source in sources]


@dataclass(frozen=True)
class _Task:
    """All that a process needs for one source: its partitions, not the data set they are of."""

    checkpoint: Checkpoint
    names: tuple[str, ...]
    partitions: tuple[Partition, ...]
    row: Transfer


def _task(checkpoint: Checkpoint, data: DataSet, split: str, targets: Sequence[str], row: Transfer) -> _Task:
    names = label_names(checkpoint.labels, data, checkpoint.name).names
    return _Task(checkpoint, names, tuple(data.partitions(split, targets)), row)


_encoded: dict[tuple[str, str], Encoded] = {}
"""Token ids by tokenizer and partition, shared by all sources that a process evaluates."""


def _evaluate(task: _Task) -> Transfer:
    inference.quieten()
    cells = evaluate_transfer(task.checkpoint, task.names, task.partitions, _encoded)
    return task.row.model_copy(update={"cells": {**task.row.cells, **cells}})


def _known(
    store: RunStore, checkpoint: Checkpoint, source: str, data: DataSet, split: str, overwrite: bool
) -> Transfer:
    """Return the row of a source with the cells that still hold."""
    fresh = Transfer(
        source=source,
        digest=checkpoint.digest,
        zoo=zoo_name(checkpoint, source),
        split=split,
        dataset=data.name,
        uses=union_of_uses(zoo_uses(checkpoint)),
    )
    row = store.transfer(source, split)
    if row is None:
        return fresh
    if row.digest == fresh.digest and all(_holds(cell, data, locale, split) for locale, cell in row.cells.items()):
        return row
    if overwrite:
        return fresh
    raise StoreError(
        f"{store.root}/transfer/{split}/{source}.json is about other models or data ({row.zoo}, {row.dataset}): "
        "choose another folder, or replace it with --overwrite."
    )


def _holds(cell: TransferCell, data: DataSet, locale: str, split: str) -> bool:
    return locale in data.locales and cell.data_digest == data.partition(locale, split).digest
