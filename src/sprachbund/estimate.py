"""What an experiment will cost: counted where it can be counted, measured on a small piece of it where it cannot.

The measurements are of this machine and these models: how fast sources are read and merged, how long a model takes to load,
how many texts it classifies in a second. They take a moment, not minutes; what comes of them is good to a factor of two.
"""

from __future__ import annotations

import resource
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from torch.nn import Module

from sprachbund import executors, inference, merging, parallel, plan
from sprachbund.candidates import Wanted, can_live_in_memory
from sprachbund.checkpoints import Checkpoint, TensorInfo
from sprachbund.config import Precision
from sprachbund.data import Partition
from sprachbund.errors import UserError
from sprachbund.experiment import Experiment
from sprachbund.methods import METHODS, Method
from sprachbund.plan import Cell
from sprachbund.prepared import answers
from sprachbund.recipe import OWN
from sprachbund.uses import union_of_uses
from sprachbund.zero_shot import known_row, still_open

__all__ = ["Estimate", "Rates", "estimate", "seconds_to_start"]

PROBE_TEXTS = 128
BACK_AND_FORTH = 3
PROBE_BYTES = 64_000_000
"""Of each source: enough to see a rate, little enough to take no time."""
PROBE_LOADS = 5
"""Of which the median counts: in one of them Python may tidy up, which takes as long as several small models."""
PROBE_SECONDS = 5.0
"""After which no more tensors are merged, one by one, and no more models loaded, where each may take long."""


@dataclass(frozen=True)
class Rates:
    """What was measured on this machine."""

    load: float
    """Seconds to load a model; texts are tokenised once, whoever is asked about them."""
    texts: float
    """Texts per second that a model classifies."""
    merge: float
    """Bytes per second of the sources that are merged by the method of the experiment."""


@dataclass(frozen=True)
class Estimate:
    """What is to be done, and what it takes."""

    cells: int
    finished: int
    """Cells that have a record."""
    by_variant: Mapping[str, int]
    """Cells that are missing, by variant."""
    sources: int
    source_bytes: int
    """Of all sources that are read."""
    passes: int
    """Over the sources of merges: weighted sums of a group of targets share one, see :func:`sprachbund.plan.groups`; what a
    method looks at besides, it looks at for each merge by itself."""
    bytes_read: int
    """Over the whole run: sources, and the base where the method needs it, once for each pass that they are in; sources once
    before, to know them by their content."""
    bytes_written: int
    bytes_free: int
    """On the disk of the output folder."""
    memory: int
    """Bytes, of all processes at the peak."""
    zero_shot: int
    """Evaluations of a source in a locale that are missing."""
    seconds: Mapping[str, float]
    """By stage; nothing that is finished counts."""
    rates: Rates | None
    """None where there is nothing left to do."""
    similarity: str | None = None
    """What ranks the sources, with where its numbers come from; None where no variant ranks any."""
    similarity_uses: tuple[str, ...] = ()
    """What that has seen of the targets."""

    @property
    def total_seconds(self) -> float:
        """Of all stages."""
        return sum(self.seconds.values())


def estimate(experiment: Experiment) -> Estimate:
    """Count what is missing and measure how long it will take; nothing is written."""
    missing = [cell for cell in experiment.cells if not experiment.finished(cell)]
    rows = _open_rows(experiment)
    rates = _measure(experiment) if missing or rows else None
    config = experiment.config
    processes = min(config.jobs or parallel.cores(), len(rows)) or 1
    merged = [cell for cell in missing if cell.model_folder is not None and not cell.model_folder.exists()]
    read = dict(experiment.checkpoints)
    if config.wants_zero_shot:
        read |= {source: experiment.inputs.zoo.checkpoint(source) for source in experiment.sources}
    ranked, passes = experiment.similarity, _passes(experiment)
    seconds = {}
    if rates and missing:
        if asked := _answer_seconds(experiment, missing, rates):
            seconds["answers"] = asked
        seconds["cells"] = sum(_cell_seconds(experiment, cell, rates) for cell in missing)
    if rates and rows:
        seconds[f"zero-shot {config.split}"] = (
            sum(_row_seconds(experiment, row, rates) for row in rows.values()) / processes
        )
    return Estimate(
        cells=len(experiment.cells),
        finished=len(experiment.cells) - len(missing),
        by_variant={v.name: sum(cell.variant == v for cell in missing) for v in experiment.variants},
        sources=len(read),
        source_bytes=_nbytes(read.values()),
        passes=len(passes),
        bytes_read=_nbytes(read.values())
        + sum(_nbytes(sources) for sources in passes)
        + sum(_bytes_read(experiment, cell) for cell in missing)
        + _nbytes(read[source] for source in rows),
        bytes_written=sum(_merged_size(experiment, cell) for cell in merged),
        bytes_free=shutil.disk_usage(plan.existing_parent(config.output_dir)).free,
        memory=_memory(experiment, processes),
        zero_shot=sum(len(row) for row in rows.values()),
        seconds=seconds,
        rates=rates,
        similarity=f"{ranked.name}: {ranked.provenance}" if ranked else None,
        similarity_uses=union_of_uses(ranked.uses) if ranked else (),
    )


def seconds_to_start(experiment: Experiment) -> float:
    """Return how long it takes until worker processes have begun, and each has loaded its first model: two at once.

    Raises:
        UserError: they do not come so far.
    """
    source = next(iter(experiment.checkpoints.values()))
    workers = executors.local.for_working(2, source.nbytes)
    start = time.perf_counter()
    for _, failed in parallel.attempts(partial(_begin, experiment.config.precision), [source.folder] * 2, workers):
        if failed is not None:
            raise UserError(
                f"What it takes to start workers cannot be measured ({failed.reason.rstrip('.')}): name it (--costs)."
            )
    return time.perf_counter() - start


def _begin(precision: Precision, folder: Path) -> None:
    inference.quieten()
    _load(folder, precision)


def _open_rows(experiment: Experiment) -> dict[str, list[str]]:
    """Return the locales in which each source is still to be evaluated; none without zero-shot."""
    if not experiment.config.wants_zero_shot:
        return {}
    rows = {source: _open_targets(experiment, source) for source in experiment.sources}
    return {source: left for source, left in rows.items() if left}


def _open_targets(experiment: Experiment, source: str) -> list[str]:
    config, inputs = experiment.config, experiment.inputs
    if experiment.store.transfer(source, config.split) is None:  # nothing to compare a source with: it need not be read
        return list(experiment.targets)
    row = known_row(
        experiment.store,
        inputs.zoo.checkpoint(source),
        source,
        inputs.data,
        config.split,
        config.precision,
        config.overwrite,
    )
    return list(still_open(row, experiment.targets, with_answers=config.overwrite))


def _sources(experiment: Experiment, cell: Cell) -> list[Checkpoint]:
    if cell.variant.adaptation:
        return list(experiment.materials[cell.target].sources.values())
    return [experiment.checkpoints[locale] for locale in experiment.mix(cell).sources]


def _nbytes(checkpoints: Iterable[Checkpoint]) -> int:
    return sum(checkpoint.nbytes for checkpoint in checkpoints)


def _merged_size(experiment: Experiment, cell: Cell) -> int:
    return _sources(experiment, cell)[0].nbytes


def _passes(experiment: Experiment) -> list[list[Checkpoint]]:
    """Return what each pass that merges reads: the sources, and the base as often as it is wanted (in sums, if it does not
    cancel).
    """
    method = METHODS[experiment.config.method]
    base = [experiment.inputs.base] if method.needs_base and experiment.inputs.base else []
    return [
        each
        for cells in _together(experiment)
        for each in _rounds(method, [_sources(experiment, cell) for cell in cells], base)
    ]


def _together(experiment: Experiment) -> list[list[Cell]]:
    """Return the cells whose merges are made at once: a group's, but for models that are made on the disk and not kept."""
    found: list[list[Cell]] = []
    for group in experiment.groups():
        merges = [cell for target in group for cell in experiment.open_merges(target)]
        live = [cell for cell in merges if experiment.config.keep_models == "all" or _in_memory(experiment, cell)]
        found += [live, *([cell] for cell in merges if cell not in live)]
    return [cells for cells in found if cells]


def _in_memory(experiment: Experiment, cell: Cell) -> bool:
    """Return whether a merged model that nobody keeps is held in memory alone."""
    choice = experiment.choices[cell.target, cell.variant.name]
    return experiment.config.keep_models == "none" and can_live_in_memory(Wanted(choice, cell.variant.name))


def _rounds(method: Method, merges: list[list[Checkpoint]], base: list[Checkpoint]) -> list[list[Checkpoint]]:
    """Return what is read for merges that are made at once, pass by pass.

    Sums are made in one pass for all. Inner products are found for each merge by itself, and so are the passes of a method that
    makes tensors; at the end it reads the base once more, to add what it made.
    """
    if method.kind == "tensor":
        return [
            [*sources, *base, *(base if last else [])]
            for sources in merges
            for last in [*[False] * len(method.passes), True]
        ]
    own = [[*sources, *base] for sources in merges] if "products" in method.needs else []
    everybody = {source.folder: source for sources in merges for source in sources}
    return [*own, [*everybody.values(), *base]]


def _bytes_read(experiment: Experiment, cell: Cell) -> int:
    """Return the bytes of the model that is evaluated, and of the sources where these are read for this cell alone."""
    made = _merged_size(experiment, cell) if cell.model_folder else 0
    return made + (_nbytes(_sources(experiment, cell)) if cell.variant.adaptation or not cell.model_folder else 0)


def _partition(experiment: Experiment, target: str) -> Partition:
    return experiment.inputs.data.partition(target, experiment.config.split)


def _cell_seconds(experiment: Experiment, cell: Cell, rates: Rates) -> float:
    summed = _nbytes(_sources(experiment, cell)) if cell.model_folder else 0
    evaluated = rates.load + len(_partition(experiment, cell.target)) / rates.texts
    return summed / rates.merge + evaluated + _adaptation_seconds(experiment, cell, rates)


def _adaptation_seconds(experiment: Experiment, cell: Cell, rates: Rates) -> float:
    """Return how long it takes to train, or to find out, what an adaptation needs; a step forward and back is three forward."""
    adaptation = cell.variant.adaptation
    if adaptation is None:
        return 0.0
    texts = len(experiment.materials[cell.target].texts)
    few = len(experiment.labelled.get((cell.target, adaptation.labels), ()))
    coefficients = BACK_AND_FORTH * adaptation.coefficients.steps * adaptation.coefficients.batch
    student = BACK_AND_FORTH * adaptation.distillation.epochs
    tried = len(_sources(experiment, cell)) - 1  # merges on the way to a soup
    read = {
        "learned": coefficients,
        "distilled": student * texts,
        "auto": student * texts,
        "few-soup": tried * few,
        "few-coefficients": coefficients,
        "few-head": texts + few,
        "few-finetuned": student * few,
    }.get(adaptation.kind, 0)
    merged = tried * _nbytes(_sources(experiment, cell)) if adaptation.kind == "few-soup" else 0
    return read / rates.texts + merged / rates.merge


def _answer_seconds(experiment: Experiment, missing: Sequence[Cell], rates: Rates) -> float:
    """Return how long it takes to ask the sources about texts to which they have not answered yet."""
    known = answers(experiment.config)
    asked = {cell.target: experiment.materials[cell.target] for cell in missing if cell.variant.adaptation}
    open_texts = sum(
        len(material.texts)
        for material in asked.values()
        for source in material.sources.values()
        if known.read(source, material.texts) is None
    )
    return open_texts / rates.texts / (experiment.config.jobs or parallel.cores())


def _row_seconds(experiment: Experiment, targets: list[str], rates: Rates) -> float:
    return rates.load + sum(len(_partition(experiment, target)) for target in targets) / rates.texts


def _measure(experiment: Experiment) -> Rates:
    sources = _sources(experiment, max(experiment.cells, key=lambda cell: len(_sources(experiment, cell))))
    texts = _partition(experiment, experiment.targets[0]).texts[:PROBE_TEXTS]
    encoded = inference.encode(sources[0].folder, texts)
    model_of = sources[0].folder, experiment.config.precision
    _load(*model_of)  # the first time imports libraries
    loads: list[float] = []
    while len(loads) < PROBE_LOADS and sum(loads) < PROBE_SECONDS:
        start = time.perf_counter()
        model = _load(*model_of)
        loads.append(time.perf_counter() - start)
    inference.logits(model, encoded[:1])
    start = time.perf_counter()
    inference.logits(model, encoded)
    return Rates(median(loads), len(texts) / (time.perf_counter() - start), _merge_rate(_probe(experiment, sources)))


def _load(folder: Path, precision: Precision) -> Module:
    return inference.ready(inference.load_classifier(folder), precision)


def _probe(experiment: Experiment, sources: Sequence[Checkpoint]) -> merging.Merge:
    """Return the merge of the most sources as it will be made; where none is chosen, a weighted sum of these ``sources``."""
    choices = [choice for choice in experiment.choices.values() if choice.recipe.selection != OWN]
    if not choices:
        return merging.Merge(sources, [1 / len(sources)] * len(sources))
    choice = max(choices, key=lambda choice: len(choice.mix.sources))
    recipe, mix = choice.recipe, choice.mix
    merged = [experiment.checkpoints[source] for source in mix.sources]
    return merging.Merge(merged, mix.weights, recipe.method, recipe.options or {}, experiment.inputs.base)


def _merge_rate(probe: merging.Merge) -> float:
    """Return the bytes of sources per second that a merge takes, all passes of its method and its base among them.

    What the method is not asked for (embeddings, of a method on matrices) is summed, at another rate.
    """
    tensors = probe.sources[0].tensors
    asked = {work.info.name: tensors[work.info.name] for work in merging.settle(probe).works if work.by_method}
    nbytes, by_method = (sum(info.nbytes for info in infos.values()) for infos in (tensors, asked))
    seconds = by_method / _rate(probe, asked) if asked else 0.0
    if by_method < nbytes:
        seconds += (nbytes - by_method) / _rate(merging.Merge(probe.sources, probe.weights), tensors)
    return nbytes / seconds


def _rate(probe: merging.Merge, tensors: Mapping[str, TensorInfo]) -> float:
    """Return the bytes of sources per second that a merge of these tensors takes; some of them are merged."""
    method, names = METHODS[probe.method], _probed(tensors)
    # A method that looks at whole tensors may take long for one: as many as there is time for.
    lots = [[name] for name in names] if method.granularity == "tensor" and method.kind == "tensor" else [names]
    size, start = 0, time.perf_counter()
    for lot in lots:
        merging.in_memory([probe], lot)
        size += sum(tensors[name].nbytes for name in lot)
        if time.perf_counter() - start > PROBE_SECONDS:
            break
    return len(probe.sources) * size / (time.perf_counter() - start)


def _probed(tensors: Mapping[str, TensorInfo]) -> list[str]:
    """Return the names of tensors of at most PROBE_BYTES together, large ones first; of the smallest if none fits."""
    names: list[str] = []
    size = 0
    for name in sorted(tensors, key=lambda name: -tensors[name].nbytes):
        if size + tensors[name].nbytes <= PROBE_BYTES:
            names.append(name)
            size += tensors[name].nbytes
    return names or [min(tensors, key=lambda name: tensors[name].nbytes)]


def _memory(experiment: Experiment, processes: int) -> int:
    """Return the bytes of all processes at the peak: while merges are held in memory, or sources evaluated side by side."""
    groups = [
        sum(_merged_size(experiment, cell) for cell in cells if _in_memory(experiment, cell))
        for cells in _together(experiment)
    ]
    peak = _peak_memory()
    return max(peak + max(groups, default=0), peak * processes)


def _peak_memory() -> int:
    """Return the bytes that this process, which has just held a model, had at its peak."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
