"""A checked experiment, and how each of its cells comes to its record, wherever the work is done.

A cell that fails is recorded with its reason and does not stop the others. Who works on a target holds the claim to it: several
workers, and several runs that share a folder, do nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from sprachbund import cards, cells, energy, files, inference, merging, plan, store
from sprachbund.adapt import Material, adapt, ensemble
from sprachbund.adaptation import Adaptation
from sprachbund.candidates import (
    InMemory,
    Wanted,
    can_live_in_memory,
    merge_candidates,
    merges_in_memory,
    resident_for,
    seen_by,
)
from sprachbund.cells import Subject
from sprachbund.checkpoints import Checkpoint, changed, open_checkpoint
from sprachbund.choosing import Choice
from sprachbund.config import ExperimentConfig
from sprachbund.data import Partition
from sprachbund.data.few import Labelled
from sprachbund.errors import SprachbundError, is_no_room
from sprachbund.evaluation import label_names
from sprachbund.heads import unlabelled_for
from sprachbund.inputs import Inputs
from sprachbund.measures import AnswerStore
from sprachbund.merging.resident import Resident
from sprachbund.methods import METHODS
from sprachbund.parallel import Failed, is_worker
from sprachbund.plan import Cell
from sprachbund.recipe import Mix, Variant
from sprachbund.similarity import SimilarityMatrix
from sprachbund.store import RESULTS, Failure, Record, RunStore

__all__ = ["ANSWERS", "MERGED_MODELS", "Done", "Prepared", "answers", "material_for"]

MERGED_MODELS, ANSWERS = "merged_models", "answers"


@dataclass(frozen=True)
class Done:
    """What a cell came to."""

    cell: Cell
    result: Record | Failure
    was_there: bool


@dataclass(frozen=True)
class Prepared:
    """A checked experiment, and how each of its cells is worked on: here, or where a copy of this is sent."""

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

    def _material(self, adaptation: Adaptation, target: str) -> Material:
        return material_for(adaptation, target, self.materials, self.labelled)

    def _partition(self, target: str) -> Partition:
        return self.inputs.data.partition(target, self.config.split)

    def groups(self, workers: int = 1) -> tuple[tuple[str, ...], ...]:
        """Return the targets in groups whose open merges are made in one pass over the sources, see :func:`plan.groups`."""
        bytes_of = {target: sum(map(self._bytes_of, self.open_merges(target))) for target in self.targets}
        return plan.groups(self.targets, bytes_of, plan.memory_for_merges(self.config), workers)

    def work(self, group: Sequence[Cell]) -> Iterator[str | Done]:
        """Do cells, and yield what each comes to as soon as it is known; before it, in words, what is being done.

        Their merges are made in one pass over the sources. Targets that another run is working on are left to it.
        """
        inference.quieten()  # in a worker, nobody else has
        with ExitStack() as stack:
            ours = {
                target: stack.enter_context(self.store.claim(target))
                for target in dict.fromkeys(c.target for c in group)
            }
            mine = [cell for cell in group if ours[cell.target]]
            merges = [cell for cell in mine if self._is_open_merge(cell)]
            if merges:
                yield f"merging {len(merges)} models"
            live = self._merge_together(merges)
            for cell in mine:
                yield Done(
                    cell, *self._cell(cell, live.pop((cell.target, cell.variant.name), None) or self._single(cell))
                )

    def reads(self, group: Sequence[Cell]) -> frozenset[str]:
        """Return the locales of the sources that cells read."""
        chosen = [self.choices.get((cell.target, cell.variant.name)) for cell in group]
        return frozenset(source for each in chosen if each for source in each.mix.sources)

    @cached_property
    def resident(self) -> Resident | None:
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
        return [cell for cell in self._cells_of(target) if self._is_open_single(cell)]

    def _is_open_single(self, cell: Cell) -> bool:
        return cell.model_folder is None and not cell.variant.adaptation and self.finished(cell) is None

    def _single(self, cell: Cell) -> InMemory | None:
        """Return a source that is a cell's model from the device that holds the sources; None where none does."""
        if self.resident is None or not self._is_open_single(cell):
            return None
        with suppress(SprachbundError):  # the cell says what is wrong with its source
            source = self.inputs.zoo.checkpoint(cell.target)
            rows = cells.tokens_of(source, self._partition(cell.target).texts)[1]
            return InMemory(source, self.resident.single(source, rows), rows, None)
        return None

    def _cells_of(self, target: str) -> list[Cell]:
        return [cell for cell in self.cells if cell.target == target]

    def open_merges(self, target: str) -> list[Cell]:
        """Return the cells of a target whose model has to be merged before it can be evaluated."""
        return [cell for cell in self._cells_of(target) if self._is_open_merge(cell)]

    def _is_open_merge(self, cell: Cell) -> bool:
        return self._chosen(cell) is not None and self.finished(cell) is None and not self._is_kept(cell)

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

    def _merge_together(self, merges: Sequence[Cell]) -> dict[tuple[str, str], InMemory]:
        """Make the open merges of a group in one pass over their sources: on the disk or, not to be kept, in memory.

        Those in memory are returned by target and variant. Where one merge cannot be made, or there is no memory for them,
        none is: each is made by itself in its turn, and who fails says why.
        """
        # Whatever goes wrong, the cell that it is about meets it again, and its record tells of it.
        with suppress(Exception):
            if self.config.keep_models == "all" and merges:
                outs = [cell.model_folder for cell in merges if cell.model_folder]
                wanted = [self._wanted(cell) for cell in merges]
                planned = [source for cell in merges for source in self._planned(cell)]
                merge_candidates(
                    wanted,
                    self.inputs.zoo,
                    outs,
                    base=self._base(),
                    overwrite=self.config.overwrite,
                    planned=planned,
                )
            elif merges:
                return self._in_memory([cell for cell in merges if can_live_in_memory(self._wanted(cell))])
        return {}

    def _in_memory(self, merges: Sequence[Cell]) -> dict[tuple[str, str], InMemory]:
        wanted = [self._wanted(cell) for cell in merges]
        texts = [self._partition(cell.target).texts for cell in merges]
        rows_of = [lambda lead, texts=each: cells.tokens_of(lead, texts)[1] for each in texts]
        engine = self.resident.merge if self.resident else merging.in_memory
        made = merges_in_memory(wanted, self.inputs.zoo, rows_of, base=self._base(), engine=engine)
        return {(cell.target, cell.variant.name): each for cell, each in zip(merges, made, strict=True)}

    def finished(self, cell: Cell) -> Record | None:
        """Return the record of a cell, None as long as there is none."""
        return store.find_record(cell.results_folder, cell.identity, overwrite=self.config.overwrite)

    def known(self, cell: Cell) -> Record | None:
        """Return the record of a cell as :meth:`complete` does, None as long as there is none."""
        record = self.finished(cell)
        return self.complete(cell, record) if record else None

    def _cell(self, cell: Cell, live: InMemory | None) -> tuple[Record | Failure, bool]:
        known = self.known(cell)
        if known:
            return known, True
        try:
            return self.complete(cell, self._work(cell, live)), False
        except Exception as error:  # whatever it was, it is recorded with its traceback and the next cell gets its turn
            if is_no_room(error):  # which would not fare better
                raise
            return self.failed(cell, error), False

    def failed(self, cell: Cell, how: BaseException | Failed) -> Failure:
        """Record how a cell failed."""
        failure = store.failure_of(
            how,
            variant=cell.variant.name,
            locale=cell.target,
            dataset=self.inputs.data.name,
            split=self.config.split,
            zoo=self.zoo,
            identity=cell.identity,
        )
        return store.write_failure(cell.results_folder, failure)

    def complete(self, cell: Cell, record: Record) -> Record:
        """Return the record of a cell under the names of today, and see that the card of its model tells of it."""
        self._complete_card(cell, record)
        return self._as_named_now(cell, record)

    def _as_named_now(self, cell: Cell, record: Record) -> Record:
        info = cells.dataset_info(self.inputs.data, self._partition(cell.target))
        licences = {source.digest: self._licence(source) for source in self._planned(cell)}
        named = partial(store.renamed, cell.results_folder, record, zoo=self.zoo, data=info, licences=licences)
        chosen = self._chosen(cell)
        if chosen is None:
            return named()
        recipe, uses = chosen.recipe.model_dump(), seen_by(chosen, self.inputs.zoo)
        return named(recipe=recipe, uses=uses, scores=dict(zip(chosen.mix.sources, chosen.scores, strict=True)))

    def _licence(self, source: Checkpoint) -> str | None:
        """Return the licence that a source's card names, which is read once for all cells."""
        if source.digest not in self._licences:
            self._licences[source.digest] = cards.origin_of(source).licence
        return self._licences[source.digest]

    @cached_property
    def _licences(self) -> dict[str, str | None]:
        return {}

    def _chosen(self, cell: Cell) -> Choice | None:
        """Return the choice of a merge; None for single sources and adaptations, which nobody chose by a similarity."""
        return self.choices.get((cell.target, cell.variant.name)) if cell.model_folder else None

    def _work(self, cell: Cell, live: InMemory | None) -> Record:
        with energy.metered(self._counters()) as meter:
            return self._metered(cell, live, meter)

    def _counters(self) -> Sequence[energy.Counter]:
        """Return what counts the energy of a cell: nothing where other workers of this run are on the machine, too."""
        shared = is_worker() or self.config.join or self.config.executor != "local"
        return () if shared else energy.counters(inference.uuid_of_gpu())

    def _metered(self, cell: Cell, live: InMemory | None, meter: energy.Meter) -> Record:
        started = time.monotonic()
        config = self.config
        for source in self._planned(cell):
            source.check_unchanged()
        if cell.variant.adaptation and cell.variant.adaptation.kind == "ensemble":
            return self._ensemble(cell, cell.variant.adaptation, started, meter)
        where = (self.inputs.data, config.split, cell.variant.name, cell.results_folder)
        evaluate = partial(cells.evaluate, precision=config.precision, started=started, meter=meter)
        if live and live.details:
            nowhere = Checkpoint(live.lead.folder, str(cell.model_folder))
            subject = self._checked(cell, Subject(nowhere, cell.target, live.details))
            return evaluate(subject, *where, live=live)
        with self._model(cell) as checkpoint:
            subject = self._checked(cell, cells.describe(checkpoint, cell.target))
            return evaluate(subject, *where, live=live)

    def _checked(self, cell: Cell, subject: Subject) -> Subject:
        """Return what is evaluated, where that is what the cell is about; a source may have changed since it was planned.

        Raises:
            CheckpointError: it is something else, whose record would take the cell's place.
        """
        partition = self._partition(cell.target)
        if subject.identity(partition.digest, self.config.split, self.config.precision) != cell.identity:
            raise changed(subject.checkpoint.name)
        return subject

    def _planned(self, cell: Cell) -> list[Checkpoint]:
        """Return the checkpoints that a cell was planned with; their digests are part of its identity."""
        if cell.variant.adaptation:
            return list(self._material(cell.variant.adaptation, cell.target).sources.values())
        chosen = self._chosen(cell)
        return [self.checkpoints[locale] for locale in (chosen.mix.sources if chosen else (cell.target,))]

    def _complete_card(self, cell: Cell, record: Record) -> None:
        """Write the card of a kept model anew, with what was measured, where it is still the one that tells of no result."""
        folder = cell.model_folder
        if folder and self.config.keep_models == "all" and cards.lacks_results(folder) and not cards.is_changed(folder):
            files.remove_leftovers(folder)  # of a run that was killed right here
            details = cards.read_details(folder)
            if details and cards.model_digest(details) == record.model_info.digest:
                cards.write_card(folder, details, [record])

    def _ensemble(self, cell: Cell, adaptation: Adaptation, started: float, meter: energy.Meter) -> Record:
        material = self._material(adaptation, cell.target)
        texts, precision = self._partition(cell.target).texts, self.config.precision
        found = ensemble(adaptation, cell.target, material, texts, mode=cell.variant.name, precision=precision)
        first = next(iter(material.sources.values()))
        with np.errstate(divide="ignore"):  # what nobody votes for has the probability 0
            logits = np.log(found.probabilities)
        together = Checkpoint(first.folder, f"{cell.variant.name} of {len(material.sources)} sources")
        subject = self._checked(cell, Subject(together, cell.target, found.details, members=len(material.sources)))
        return cells.record(
            subject,
            self.inputs.data,
            self.config.split,
            cell.variant.name,
            cell.results_folder,
            logits,
            precision=precision,
            started=started,
            meter=meter,
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
            merge_candidates(
                [self._wanted(cell)],
                self.inputs.zoo,
                [folder],
                base=self._base(),
                overwrite=overwrite,
                planned=self._planned(cell),
            )
        else:
            material = self._material(adaptation, cell.target)
            names = self._intents(next(iter(material.sources.values())))
            adapt(adaptation, cell.target, material, folder, mode=mode, overwrite=overwrite, names=names)


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
