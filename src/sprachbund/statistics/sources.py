"""The statistics that a method needs of all sources of a merge, each on texts of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sprachbund import inference, parallel
from sprachbund.checkpoints import Checkpoint, TensorFile
from sprachbund.errors import CellsFailed, DataError, MixError
from sprachbund.parallel import Failed, Report
from sprachbund.statistics.fisher import fisher_file
from sprachbund.statistics.gram import gram_file
from sprachbund.statistics.regmean_pp import layerwise_gram_files

__all__ = ["KINDS", "Kind", "for_sources"]

Kind = Literal["fisher", "gram", "gram++"]
"""Fisher diagonals; Gram matrices of each source by itself; Gram matrices through the merged layers below (RegMean++)."""
KINDS: tuple[Kind, ...] = get_args(Kind)


def for_sources(
    kind: Kind,
    sources: Mapping[str, Checkpoint],
    texts: Mapping[str, Sequence[str]],
    labels: Mapping[str, Sequence[str]] | None = None,
    *,
    weights: Sequence[float] | None = None,
    options: Mapping[str, object] | None = None,
    jobs: int = 1,
    report: Report = lambda stage, done, total: None,
) -> Mapping[str, Sequence[TensorFile]]:
    """Return statistics in the order of the sources, under the name by which a method asks for them.

    ``labels`` are for ``fisher`` alone, ``weights`` and ``options`` (those of regmean) for ``gram++`` alone: there the
    statistics hang on the merge. Of ``fisher`` and ``gram``, ``jobs`` sources are asked at a time (0: as many as cores).

    Raises:
        DataError: a source has no texts, or labels that are not its own.
        MixError: RegMean++ has no weights to go by.
        CellsFailed: says of which sources there are none, and why.
    """
    for name in sources:
        if not texts.get(name):
            raise DataError(f"There are no texts to find out the statistics of {name} on: give some of its own locale.")
        if labels is not None and name not in labels:
            raise DataError(f"The texts of {name} have no labels: give them, or leave out those of the others.")
    if kind == "gram++":
        if weights is None:
            raise MixError("RegMean++ hangs on the weights of the merge: give them.")
        own = [texts[name] for name in sources]
        return {"gram": layerwise_gram_files(list(sources.values()), weights, own, options=options, report=report)}
    tasks = [
        _Task(kind, name, source, texts[name], labels[name] if labels is not None else None)
        for name, source in sources.items()
    ]
    _make_all(tasks, jobs, report)
    return {kind: [_file(task) for task in tasks]}


@dataclass(frozen=True)
class _Task:
    """All that a process needs to find out the statistics of one source."""

    kind: Kind
    name: str
    source: Checkpoint
    texts: Sequence[str]
    labels: Sequence[str] | None


def _file(task: _Task) -> TensorFile:
    if task.kind == "fisher":
        return fisher_file(task.source, task.texts, task.labels)
    return gram_file(task.source, task.texts)


def _make(task: _Task) -> None:
    inference.quieten()
    _file(task)


def _make_all(tasks: Sequence[_Task], jobs: int, report: Report) -> None:
    reasons: dict[str, str] = {}
    report("statistics", 0, len(tasks))
    for done, (task, outcome) in enumerate(parallel.attempts(_make, tasks, jobs or parallel.cores()), start=1):
        if isinstance(outcome, Failed):
            reasons[task.name] = outcome.reason
        report("statistics", done, len(tasks))
    if reasons:
        raise CellsFailed("statistics", len(tasks), reasons)
