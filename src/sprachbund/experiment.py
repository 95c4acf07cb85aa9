"""The main job: plan − records → work → records, locale by locale.

Everything that can be known beforehand is checked beforehand, by :mod:`sprachbund.preparing`. After that a cell that fails is
recorded with its reason and does not stop the others. What is finished is never done again. One process at a time works on a
results folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sprachbund import cards, cells, files, inference, merging, plan, store
from sprachbund.adapt import Material, adapt, ensemble
from sprachbund.adaptation import Adaptation
from sprachbund.candidates import (
    Engine,
    InMemory,
    Wanted,
    can_live_in_memory,
    merge_candidates,
    merges_in_memory,
    resident_for,
    seen_by,
)
from sprachbund.checkpoints import Checkpoint, open_checkpoint
from sprachbund.choosing import (
    Choice,
)
from sprachbund.config import ExperimentConfig, as_yaml
from sprachbund.data import Partition
from sprachbund.data.few import Labelled
from sprachbund.errors import SprachbundError, is_no_room
from sprachbund.evaluation import label_names
from sprachbund.heads import unlabelled_for
from sprachbund.inputs import Inputs
from sprachbund.measures import AnswerStore
from sprachbund.merging.resident import Resident
from sprachbund.methods import METHODS
from sprachbund.parallel import Report
from sprachbund.plan import Cell
from sprachbund.recipe import Mix, Variant
from sprachbund.similarity import SimilarityMatrix
from sprachbund.store import PROGRESS, RESULTS, Failure, Progress, Record, RunStore
from sprachbund.zero_shot import run_zero_shot

__all__ = [
    "CONFIGURATION",
    "FINAL",
    "MERGED_MODELS",
    "Experiment",
    "Outcome",
    "Told",
    "answers",
    "described",
    "material_for",
]

FINAL = "experiment_final_results.json"
CONFIGURATION = "experiment_config.yaml"
"""The settings of the last run in a folder; ``--config`` reads them back."""
SAID_ANEW = ("overwrite", "track")
"""Settings that are typed each time, not read back from a file: to replace what is in the way, to tell somebody."""
MERGED_MODELS, ANSWERS = "merged_models", "answers"
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
class Experiment:
    """A checked experiment, ready to run."""

    config: ExperimentConfig
    inputs: Inputs
    targets: tuple[str, ...]
    variants: tuple[Variant, ...]
    choices: Mapping[tuple[str, str], Choice]
    """By target and variant."""
    materials: Mapping[str, Material]
    """What adaptations may see, by target; empty where no variant is one. No label is among it."""
    labelled: Mapping[tuple[str, int], Labelled]
    """A few labels, by target and number per intent: handed to those adaptations alone that say that they see them."""
    cells: tuple[Cell, ...]
    checkpoints: Mapping[str, Checkpoint]
    """Of the sources that stand in a mix, by locale."""
    sources: tuple[str, ...]
    """The pool: whose sources merges choose from and zero-shot evaluates."""
    zoo: str
    """The name of the zoo that records carry."""
    notes: tuple[str, ...] = field(default=())
    similarity: SimilarityMatrix | None = None
    """By which sources are ranked; None where no variant ranks any."""

    @property
    def store(self) -> RunStore:
        """Where the records go."""
        return RunStore(self.config.output_dir / RESULTS)

    def run(self, report: Report, told: Told = lambda result, was_there: None) -> Outcome:
        """Do what is missing; write progress at the beginning and after each locale, and all results at the end.

        ``told`` gets what each cell came to, and whether that was there before.

        Raises:
            StoreError: another process works on these results.
        """
        with self.store.exclusive():
            files.remove_leftovers(self.config.output_dir, self.config.output_dir / MERGED_MODELS)
            settings = {name: value for name, value in dict(self.config).items() if name not in SAID_ANEW}
            files.write_text(self.config.output_dir / CONFIGURATION, as_yaml(settings))
            return self._run(report, told)

    def _run(self, report: Report, told: Told) -> Outcome:
        records: dict[tuple[str, str], Record] = {}
        failures: list[Failure] = []
        reused = 0
        done = sum(self.finished(cell) is not None for cell in self.cells)
        started = store.now()
        self._write_progress(started, 0, records, failures)
        self._ask(report)
        report("cells", done, len(self.cells))
        finished = 0
        resident = self._resident()
        for group in self.groups() if resident is None else [(target,) for target in self.targets]:
            live = self._merge_together(group, report, done, resident.merge if resident else merging.in_memory)
            if resident:
                live = {target: live.get(target, {}) | self._singles(target, resident) for target in group}
            for target in group:
                made = live.pop(target, {})
                for cell in self._cells_of(target):
                    result, was_there = self._cell(cell, made.pop(cell.variant.name, None))
                    if isinstance(result, Record):
                        records[target, cell.variant.name] = result
                    else:
                        failures.append(result)
                    reused += was_there
                    done += not was_there
                    told(result, was_there)
                    report(f"cells, {target}", done, len(self.cells))
                finished += 1
                self._write_progress(started, finished, records, failures)
        outcome = Outcome(records, failures, reused)
        self._write_final(started, outcome)
        if self.config.wants_zero_shot and (failed_sources := self._zero_shot(report)):
            outcome = replace(outcome, failed_sources=failed_sources)
            self._write_final(started, outcome)
        return outcome

    def _ask(self, report: Report) -> None:
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
            kept.collect(sources, list(texts), jobs=self.config.jobs, report=report)

    def _material(self, adaptation: Adaptation, target: str) -> Material:
        return material_for(adaptation, target, self.materials, self.labelled)

    def _partition(self, target: str) -> Partition:
        return self.inputs.data.partition(target, self.config.split)

    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Return the targets in groups whose open merges are made in one pass over the sources."""
        bytes_of = {target: sum(map(self._bytes_of, self.open_merges(target))) for target in self.targets}
        return plan.groups(self.targets, bytes_of, plan.memory_for_merges(self.config))

    def _resident(self) -> Resident | None:
        """Return what makes the merges on a GPU, if there is one that holds all their sources, and nobody keeps the merges."""
        if self.config.keep_models == "all":
            return None
        merges = [self._wanted(cell) for target in self.targets for cell in self.open_merges(target)]
        wanted = [each for each in merges if can_live_in_memory(each)]
        singles = [cell.target for target in self.targets for cell in self._open_singles(target)]
        with suppress(SprachbundError):  # who cannot be merged says so in its turn
            return resident_for(wanted, self.inputs.zoo, inference.chosen(), base=self._base(), singles=singles)
        return None

    def _open_singles(self, target: str) -> list[Cell]:
        """Return the cells of a target whose model is a source as it is."""
        return [
            cell
            for cell in self._cells_of(target)
            if cell.model_folder is None and not cell.variant.adaptation and self.finished(cell) is None
        ]

    def _singles(self, target: str, resident: Resident) -> dict[str, InMemory]:
        """Return the models of those cells, by variant, from the device that holds the sources."""
        found = {}
        with suppress(SprachbundError):  # the cell says in its turn what is wrong with its source
            for cell in self._open_singles(target):
                source = self.inputs.zoo.checkpoint(target)
                rows = cells.tokens_of(source, self._partition(target).texts)[1]
                found[cell.variant.name] = InMemory(source, resident.single(source, rows), rows, None)
        return found

    def _cells_of(self, target: str) -> list[Cell]:
        return [cell for cell in self.cells if cell.target == target]

    def open_merges(self, target: str) -> list[Cell]:
        """Return the cells of a target whose model has to be merged before it can be evaluated."""
        return [
            cell
            for cell in self._cells_of(target)
            if self._chosen(cell) and self.finished(cell) is None and not self._is_kept(cell)
        ]

    def _is_kept(self, cell: Cell) -> bool:
        return self.config.keep_models == "all" and cell.model_folder is not None and cell.model_folder.exists()

    def _wanted(self, cell: Cell) -> Wanted:
        choice = self.choices[cell.target, cell.variant.name]
        texts = unlabelled_for(choice.recipe.head_policy, cell.target, self.inputs.data)
        return Wanted(choice, cell.variant.name, texts, self._intents(self.checkpoints[choice.mix.sources[0]]))

    def _intents(self, source: Checkpoint) -> tuple[str, ...]:
        """Return what the logits of what is made of a source stand for; the source itself may only number them."""
        return label_names(source.labels, self.inputs.data, source.name).names

    def _base(self) -> Checkpoint | None:
        """Return the base if merges are about task vectors."""
        about = any(METHODS[choice.recipe.method].needs_base for choice in self.choices.values())
        return self.inputs.base if about else None

    def _bytes_of(self, cell: Cell) -> int:
        return self.checkpoints[self.mix(cell).sources[0]].nbytes

    def mix(self, cell: Cell) -> Mix:
        """Return the mix of a cell that is merged, or of one source."""
        return self.choices[cell.target, cell.variant.name].mix

    def _merge_together(
        self, group: Sequence[str], report: Report, done: int, engine: Engine
    ) -> dict[str, dict[str, InMemory]]:
        """Make the open merges of these targets in one pass over their sources: on the disk or, not to be kept, in memory.

        Those in memory are returned by target and variant. Where one merge cannot be made, or there is no memory for them,
        none is: each is made by itself in its turn, and who fails says why.
        """
        cells_ = [cell for target in group for cell in self.open_merges(target)]
        if not cells_:
            return {}
        report(f"cells, merging {len(cells_)} models", done, len(self.cells))
        # Whatever goes wrong, the cell that it is about meets it again, and its record tells of it.
        with suppress(Exception):
            if self.config.keep_models == "all":
                outs = [cell.model_folder for cell in cells_ if cell.model_folder]
                wanted = [self._wanted(cell) for cell in cells_]
                merge_candidates(wanted, self.inputs.zoo, outs, base=self._base(), overwrite=self.config.overwrite)
            else:
                return self._in_memory([cell for cell in cells_ if can_live_in_memory(self._wanted(cell))], engine)
        return {}

    def _in_memory(self, cells_: Sequence[Cell], engine: Engine) -> dict[str, dict[str, InMemory]]:
        wanted = [self._wanted(cell) for cell in cells_]
        texts = [self._partition(cell.target).texts for cell in cells_]
        rows_of = [lambda lead, texts=each: cells.tokens_of(lead, texts)[1] for each in texts]
        found: dict[str, dict[str, InMemory]] = {}
        made = merges_in_memory(wanted, self.inputs.zoo, rows_of, base=self._base(), engine=engine)
        for cell, each in zip(cells_, made, strict=True):
            found.setdefault(cell.target, {})[cell.variant.name] = each
        return found

    def finished(self, cell: Cell) -> Record | None:
        """Return the record of a cell, None as long as there is none."""
        return store.find_record(cell.results_folder, cell.identity, overwrite=self.config.overwrite)

    def _cell(self, cell: Cell, live: InMemory | None) -> tuple[Record | Failure, bool]:
        known = self.finished(cell)
        if known:
            self._complete_card(cell, known)
            return self._as_named_now(cell, known), True
        try:
            record = self._work(cell, live)
            self._complete_card(cell, record)
            return self._as_named_now(cell, record), False
        except Exception as error:  # whatever it was, it is recorded with its traceback and the next cell gets its turn
            if is_no_room(error):  # which would not fare better
                raise
            failure = store.failure_of(
                error,
                variant=cell.variant.name,
                locale=cell.target,
                dataset=self.inputs.data.name,
                split=self.config.split,
                zoo=self.zoo,
                identity=cell.identity,
            )
            return store.write_failure(cell.results_folder, failure), False

    def _as_named_now(self, cell: Cell, record: Record) -> Record:
        info = cells.dataset_info(self.inputs.data, self._partition(cell.target))
        chosen = self._chosen(cell)
        if chosen is None:
            return store.renamed(cell.results_folder, record, zoo=self.zoo, data=info)
        recipe, uses = chosen.recipe.model_dump(), seen_by(chosen, self.inputs.zoo)
        scores = dict(zip(chosen.mix.sources, chosen.scores, strict=True))
        return store.renamed(
            cell.results_folder, record, zoo=self.zoo, data=info, recipe=recipe, uses=uses, scores=scores
        )

    def _chosen(self, cell: Cell) -> Choice | None:
        """Return the choice of a merge; None for single sources and adaptations, which nobody chose by a similarity."""
        return self.choices.get((cell.target, cell.variant.name)) if cell.model_folder else None

    def _work(self, cell: Cell, live: InMemory | None) -> Record:
        started = time.monotonic()
        config = self.config
        if cell.variant.adaptation and cell.variant.adaptation.kind == "ensemble":
            return self._ensemble(cell, cell.variant.adaptation, started)
        where = (self.inputs.data, config.split, cell.variant.name, cell.results_folder)
        if live and live.details:
            nowhere = Checkpoint(live.lead.folder, str(cell.model_folder))
            subject = cells.Subject(nowhere, cell.target, live.details)
            return cells.evaluate(subject, *where, precision=config.precision, started=started, live=live)
        with self._model(cell) as checkpoint:
            subject = cells.describe(checkpoint, cell.target)
            return cells.evaluate(subject, *where, precision=config.precision, started=started, live=live)

    def _complete_card(self, cell: Cell, record: Record) -> None:
        """Write the card of a kept model anew, with what was measured, where it is still the one that tells of no result."""
        folder = cell.model_folder
        if folder and self.config.keep_models == "all" and cards.lacks_results(folder):
            files.remove_leftovers(folder)  # of a run that was killed right here
            details = cards.read_details(folder)
            if details and cards.model_digest(details) == record.model_info.digest:
                cards.write_card(folder, details, [record])

    def _ensemble(self, cell: Cell, adaptation: Adaptation, started: float) -> Record:
        material = self._material(adaptation, cell.target)
        texts, precision = self._partition(cell.target).texts, self.config.precision
        found = ensemble(adaptation, cell.target, material, texts, mode=cell.variant.name, precision=precision)
        first = next(iter(material.sources.values()))
        with np.errstate(divide="ignore"):  # what nobody votes for has the probability 0
            logits = np.log(found.probabilities)
        together = Checkpoint(first.folder, f"{cell.variant.name} of {len(material.sources)} sources")
        subject = cells.Subject(together, cell.target, found.details, members=len(material.sources))
        return cells.record(
            subject,
            self.inputs.data,
            self.config.split,
            cell.variant.name,
            cell.results_folder,
            logits,
            precision=precision,
            started=started,
        )

    @contextmanager
    def _model(self, cell: Cell) -> Iterator[Checkpoint]:
        """Give the cell's checkpoint; a made model that is not to be kept is gone afterwards."""
        if cell.model_folder is None:
            yield self.inputs.zoo.checkpoint(cell.target)
            return
        if self.config.keep_models == "all":
            self._make(cell, cell.model_folder, overwrite=self.config.overwrite)
            yield open_checkpoint(cell.model_folder)
            return
        with files.temporary_folder(self.config.output_dir, "merging") as temporary:
            folder = temporary / cell.model_folder.name
            self._make(cell, folder)
            yield open_checkpoint(folder, name=str(cell.model_folder))

    def _make(self, cell: Cell, folder: Path, *, overwrite: bool = False) -> None:
        adaptation, mode = cell.variant.adaptation, cell.variant.name
        if adaptation is None:
            merge_candidates([self._wanted(cell)], self.inputs.zoo, [folder], base=self._base(), overwrite=overwrite)
        else:
            material = self._material(adaptation, cell.target)
            names = self._intents(next(iter(material.sources.values())))
            adapt(adaptation, cell.target, material, folder, mode=mode, overwrite=overwrite, names=names)

    def _zero_shot(self, report: Report) -> Mapping[str, str]:
        return run_zero_shot(
            self.store,
            self.inputs.zoo,
            self.inputs.data,
            self.config.split,
            self.sources,
            self.targets,
            precision=self.config.precision,
            jobs=self.config.jobs,
            report=report,
            overwrite=self.config.overwrite,
        ).failures

    def _write_progress(
        self,
        started: str,
        finished: int,
        records: Mapping[tuple[str, str], Record],
        failures: Sequence[Failure],
    ) -> None:
        progress = Progress(
            started=started,
            updated=store.now(),
            cells={t: {cell.variant.name: cell.identity for cell in self._cells_of(t)} for t in self.targets},
            split=self.config.split,
            zero_shot=self.sources if self.config.wants_zero_shot else (),
            total_locales=len(self.targets),
            completed_locales=self.targets[:finished],
            remaining_locales=self.targets[finished:],
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


def material_for(
    adaptation: Adaptation,
    target: str,
    materials: Mapping[str, Material],
    labelled: Mapping[tuple[str, int], Labelled],
) -> Material:
    """Return what an adaptation may see: labels if it says that it sees them, and then no more than it says."""
    material = materials[target]
    return replace(material, labelled=labelled[target, adaptation.labels]) if adaptation.labels else material


def answers(config: ExperimentConfig) -> AnswerStore:
    """Return where an experiment keeps what its sources answer."""
    return AnswerStore(config.output_dir / ANSWERS)
