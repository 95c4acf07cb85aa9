"""The main job: plan − records → work → records.

Everything that can be known beforehand is checked beforehand, by :mod:`sprachbund.preparing`; how a cell comes to its record is
:mod:`sprachbund.prepared`, and where, an executor. What is finished is never done again. One run at a time works on a results
folder, unless another is told to join it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sprachbund import files, store
from sprachbund.config import as_yaml
from sprachbund.errors import CheckpointError, InUse
from sprachbund.executors import Executors, executors_of
from sprachbund.measures import AnswerStore
from sprachbund.parallel import Executor, Failed, Report
from sprachbund.plan import Cell
from sprachbund.prepared import ANSWERS, MERGED_MODELS, Done, Prepared, answers
from sprachbund.store import PROGRESS, Failure, Progress, Record
from sprachbund.zero_shot import run_zero_shot

__all__ = ["CONFIGURATION", "FINAL", "Experiment", "Outcome", "Told", "described"]

FINAL = "experiment_final_results.json"
CONFIGURATION = "experiment_config.yaml"
"""The settings of the last run in a folder; ``--config`` reads them back."""
SAID_ANEW = ("overwrite", "track", "join")
"""Settings that are typed each time, not read back from a file: to replace what is in the way, to tell somebody, to share."""
Told = Callable[[Record | Failure, bool], None]
"""Called with what a cell came to, and whether that was there before."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    records: Mapping[tuple[str, str], Record]
    """By target and variant."""
    failures: Sequence[Failure]
    reused: int
    """Cells that were finished before."""
    failed_sources: Mapping[str, str] = field(default_factory=dict)
    """Sources that zero-shot could not evaluate, with the reason."""

    @property
    def reasons(self) -> dict[str, str]:
        """Why things failed, by what they are called."""
        cells_ = {f"{failure.locale} {failure.variant}": failure.reason for failure in self.failures}
        return cells_ | {f"zero-shot of {source}": reason for source, reason in self.failed_sources.items()}


@dataclass(frozen=True)
class Experiment(Prepared):
    """A checked experiment, ready to run."""

    def run(
        self, report: Report, told: Told = lambda result, was_there: None, executors: Executors | None = None
    ) -> Outcome:
        """Do what is missing; write progress at the beginning and after each locale, and all results at the end.

        ``told`` gets what each cell came to, and whether that was there before. Without ``executors`` the settings say where
        the work is done. With ``--join``, where another run is at work in the folder, this one does what that has not begun,
        and leaves the files about the whole run to it, as long as that lives.

        Raises:
            StoreError: another process works on these results, and this run was not told to join it.
        """
        with executors_of(self.config, self._largest()) if executors is None else nullcontext(executors) as found:
            try:
                with self.store.exclusive():
                    self._remove_leftovers()
                    settings = {name: value for name, value in dict(self.config).items() if name not in SAID_ANEW}
                    files.write_text(self.config.output_dir / CONFIGURATION, as_yaml(settings))
                    try:
                        return self._run(report, told, found, is_first=True)
                    finally:  # workers that were killed on the way had no time to clean up
                        self._remove_leftovers()
            except InUse:
                if not self.config.join:
                    raise
            outcome = self._run(report, told, found, is_first=False)
            with suppress(InUse), self.store.exclusive():  # the other one is gone, or done
                started = store.now()
                failed = {(failure.locale, failure.variant): failure for failure in outcome.failures}
                results: dict[tuple[str, str], Record | Failure] = {**outcome.records, **failed}
                self._write_progress(started, results)
                self._write_final(started, outcome)
            return outcome

    def _remove_leftovers(self) -> None:
        root = self.config.output_dir
        files.remove_leftovers(root, root / MERGED_MODELS, root / ANSWERS, *(root / ANSWERS).glob("*"))

    def _largest(self) -> int:
        return max(checkpoint.nbytes for checkpoint in self.checkpoints.values())

    def _run(self, report: Report, told: Told, executors: Executors, *, is_first: bool) -> Outcome:
        results: dict[tuple[str, str], Record | Failure] = {}
        started, reused = store.now(), 0
        write = partial(self._write_progress, started) if is_first else _nothing_written
        write(results)
        for cell in self.cells:
            if known := self.finished(cell):
                results[cell.target, cell.variant.name] = self.complete(cell, known)
                told(known, True)
        reused = len(results)
        self._ask(report, executors.asking)
        report("cells", len(results), len(self.cells))
        write(results)
        for what in self._attempted(executors.working):
            if isinstance(what, str):
                report(f"cells, {what}", len(results), len(self.cells))
                continue
            cell = what.cell
            results[cell.target, cell.variant.name] = what.result
            reused += what.was_there
            told(what.result, what.was_there)
            report(f"cells, {cell.target}", len(results), len(self.cells))
            if all((cell.target, each.variant.name) in results for each in self._cells_of(cell.target)):
                write(results)
        outcome = Outcome(*self._sorted(results), reused)
        if is_first:
            self._write_final(started, outcome)
        if self.config.wants_zero_shot and (failed_sources := self._zero_shot(report, executors.asking)):
            outcome = replace(outcome, failed_sources=failed_sources)
            if is_first:
                self._write_final(started, outcome)
        return outcome

    def _attempted(self, executor: Executor) -> Iterator[str | Done]:
        """Yield what each cell without a record comes to, and before it, in words, what is being done.

        Where a worker was killed, nobody knows by which of its cells: each of them that is left is done alone. What another run
        is working on is looked at again when that has left it.
        """
        # A GPU that holds the sources needs no pass over them, and a target at a time is told of soonest.
        groups = [(target,) for target in self.targets] if self.resident else self.groups(executor.workers)
        waiting = [found for group in groups if (found := self._open_cells(group))]
        while waiting:
            left = {(cell.target, cell.variant.name): cell for group in waiting for cell in group}
            cut_off: list[Cell] = []
            for group, what in executor.stream(self.work, waiting, self.reads):
                if isinstance(what, Failed):
                    cut_off += [cell for cell in group if (cell.target, cell.variant.name) in left]
                elif isinstance(what, Done):
                    del left[what.cell.target, what.cell.variant.name]
                    yield what
                elif isinstance(what, str):
                    yield what
            for (cell,), what in executor.alone().stream(self.work, [(cell,) for cell in cut_off]):
                if (cell.target, cell.variant.name) not in left:  # its worker was killed after it was done
                    continue
                if isinstance(what, Failed):  # it may have come as far as the record
                    what = Done(cell, self.known(cell) or self.failed(cell, what), was_there=False)
                if isinstance(what, Done):
                    del left[cell.target, cell.variant.name]
                    yield what
            if left:
                target = next(iter(left))[0]
                yield f"waiting for another run, {target}"
                self.store.wait_for_claim(target)
            waiting = [tuple(each for each in left.values() if each.target == target) for target in _targets(left)]

    def _open_cells(self, group: Sequence[str]) -> tuple[Cell, ...]:
        return tuple(cell for target in group for cell in self._cells_of(target) if self.finished(cell) is None)

    def _sorted(
        self, results: Mapping[tuple[str, str], Record | Failure]
    ) -> tuple[dict[tuple[str, str], Record], list[Failure]]:
        """Return records and failures in the order of the cells, whoever was done first."""
        found = [(cell.target, cell.variant.name) for cell in self.cells if (cell.target, cell.variant.name) in results]
        in_order = [(key, results[key]) for key in found]
        records = {key: result for key, result in in_order if isinstance(result, Record)}
        return records, [result for _, result in in_order if isinstance(result, Failure)]

    def _ask(self, report: Report, executor: Executor) -> None:
        """Ask all sources about all texts that open cells need answers to, at once: sources are loaded once, on all cores.

        A source that fails here fails again, and is told of, in each cell that needs it.
        """
        known = answers(self.config)
        lots: dict[AnswerStore, dict[Sequence[str], None]] = {}
        for cell in self.cells:
            if cell.variant.adaptation and not self.finished(cell):
                material = self._material(cell.variant.adaptation, cell.target)
                lots.setdefault(known, {})[material.texts] = None
                if cell.variant.adaptation.kind == "few-soup" and material.labelled:
                    lots[known][material.labelled.texts] = None
                if cell.variant.adaptation.kind == "ensemble":
                    evaluated = replace(known, precision=self.config.precision)
                    lots.setdefault(evaluated, {})[self._partition(cell.target).texts] = None
        sources = {name: source for each in self.materials.values() for name, source in each.sources.items()}
        for kept, texts in lots.items():
            kept.collect(sources, list(texts), jobs=executor, report=report)

    def _zero_shot(self, report: Report, executor: Executor) -> Mapping[str, str]:
        changed: dict[str, str] = {}
        for source, checkpoint in self.checkpoints.items():
            try:
                checkpoint.check_unchanged()
            except CheckpointError as error:  # the table would compare a merge with what it was not made of
                changed[source] = str(error)
        found = run_zero_shot(
            self.store,
            self.inputs.zoo,
            self.inputs.data,
            self.config.split,
            [source for source in self.sources if source not in changed],
            self.targets,
            precision=self.config.precision,
            jobs=executor,
            report=report,
            overwrite=self.config.overwrite,
        )
        return {**{source: why for source, why in changed.items() if source in self.sources}, **found.failures}

    def _write_progress(self, started: str, results: Mapping[tuple[str, str], Record | Failure]) -> None:
        records, failures = self._sorted(results)
        completed = [t for t in self.targets if all((t, c.variant.name) in results for c in self._cells_of(t))]
        progress = Progress(
            started=started,
            updated=store.now(),
            cells={t: {cell.variant.name: cell.identity for cell in self._cells_of(t)} for t in self.targets},
            split=self.config.split,
            zero_shot=self.sources if self.config.wants_zero_shot else (),
            total_locales=len(self.targets),
            completed_locales=tuple(completed),
            remaining_locales=tuple(target for target in self.targets if target not in completed),
            total_experiments=len(self.cells),
            successful_experiments=len(records),
            failed_experiments=len(failures),
            results=_by_locale(records, failures),
        )
        files.write_json(self.config.output_dir / PROGRESS, progress.model_dump())

    def _write_final(self, started: str, outcome: Outcome) -> None:
        files.write_json(
            self.config.output_dir / FINAL, self.final(outcome) | {"started": started, "finished": store.now()}
        )

    def final(self, outcome: Outcome) -> dict[str, Any]:
        """Return all results as plain values, times aside."""
        return {
            "schema_version": store.SCHEMA_VERSION,
            "configuration": self.config.model_dump(mode="json"),
            "data": {
                "name": self.inputs.data.name,
                "revision": self.inputs.data.revision,
                "notice": self.inputs.data.notice,
                "demonstration": self.inputs.data.demonstration,
            },
            "total_experiments": len(self.cells),
            "successful_experiments": len(outcome.records),
            "failed_experiments": len(outcome.failures),
            "failed_sources": dict(outcome.failed_sources),
            "results": _by_locale(outcome.records, outcome.failures),
        }


def described(result: Record | Failure, was_there: bool) -> str:
    """Say in a line what a cell came to."""
    if isinstance(result, Failure):
        return f"{result.locale} {result.variant}: failed, {result.reason}"
    info, weights = result.evaluation_info, result.model_info.sources
    mix = " ".join(f"{source.locale}:{source.weight:.3f}" for source in weights)
    how = "from before" if was_there else f"{info.seconds:.1f} s"
    return f"{info.locale} {info.variant}: accuracy {result.performance.accuracy:.4f}, {how}, of {mix}"


def _by_locale(records: Mapping[tuple[str, str], Record], failures: Sequence[Failure]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for (target, variant), record in records.items():
        results.setdefault(target, {})[variant] = {
            "accuracy": record.performance.accuracy,
            "correct": record.performance.correct,
            "total": record.performance.total,
            "uses": list(record.evaluation_info.uses),
        }
    for failure in failures:
        results.setdefault(failure.locale, {})[failure.variant] = {"error": failure.reason}
    return results


def _targets(left: Iterable[tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(target for target, _ in left))


def _nothing_written(results: Mapping[tuple[str, str], Record | Failure]) -> None:
    """Leave the files about the whole run to the run that was there first."""
