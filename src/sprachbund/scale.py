"""How a sweep scales: what :mod:`sprachbund.simulation` plays through, of an experiment with its own models or of a mere shape.

Of an experiment, sizes are counted and rates measured on the spot, as :mod:`sprachbund.estimate` does. A shape needs no model:
who is merged for whom is chosen as ever, sizes follow from layers and widths, and what things take stands in a file, each
figure with whether it was measured, scaled from something measured, or assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sprachbund import locales, plan, simulation
from sprachbund.checkpoints import Checkpoint
from sprachbund.checkpoints.vocabulary import embedding_of
from sprachbund.choosing import Choice, by_method, check_method, choose, is_soup, ranks
from sprachbund.config import ExperimentConfig, SimulationConfig, wrong_setting
from sprachbund.errors import UnknownName, UserError
from sprachbund.estimate import Estimate, seconds_to_start
from sprachbund.experiment import Experiment
from sprachbund.merging.resident import MODELS, ROOM
from sprachbund.methods import METHODS
from sprachbund.recipe import OWN, Variant
from sprachbund.similarity import is_measured, load
from sprachbund.simulation import Cell, Costs, Simulated, Sweep
from sprachbund.untrusted import read_yaml

__all__ = ["SHAPES", "Figure", "Row", "Scale", "Shape", "of_experiment", "of_shape", "read_costs"]

TEXTS = 2974
"""In the test split of each locale of MASSIVE."""
WORKERS = (1, 8, 64)
FP32 = 4


@dataclass(frozen=True)
class Shape:
    """An encoder of the kind of XLM-R with a classifier of 60 intents, in float32."""

    layers: int
    hidden: int
    vocabulary: int = 250_002
    positions: int = 514
    labels: int = 60

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of the embedding of tokens."""
        return FP32 * self.hidden

    @property
    def body_bytes(self) -> int:
        """Bytes of all else."""
        h = self.hidden
        layer = 4 * (h * h + h) + 8 * h * h + 5 * h + 4 * h
        others = (self.positions + 1 + 2) * h
        head = h * h + h + self.labels * (h + 1)
        return FP32 * (self.layers * layer + others + head)

    @property
    def nbytes(self) -> int:
        """Bytes of a source."""
        return self.body_bytes + self.vocabulary * self.row_bytes

    @property
    def tensors(self) -> int:
        """How many it has: 16 a layer, the embeddings and the head."""
        return 16 * self.layers + 5 + 4


SHAPES: Mapping[str, Shape] = {"xlm-r-base": Shape(12, 768), "xlm-r-large": Shape(24, 1024)}


class Figure(BaseModel):
    """A cost, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float = Field(gt=0, allow_inf_nan=False)
    """Bytes, seconds, or a rate of something per second, see :class:`~sprachbund.simulation.Costs`."""
    how: Literal["measured", "scaled", "assumed"]
    why: str
    """By which command and when; from what; on what grounds."""


@dataclass(frozen=True)
class Row:
    """A sweep on so many workers."""

    found: Simulated
    speed_up: float
    """Over one worker."""
    needed_bandwidth: float
    """Bytes/s of the file system, so that no faster one would save more than a tenth."""
    savings: Mapping[str, float]
    """Seconds that each cost would save if it were twice as fast: what binds stands first."""

    @property
    def efficiency(self) -> float:
        """Fraction in (0, 1] of the workers that is put to use."""
        return self.speed_up / self.found.workers


@dataclass(frozen=True)
class Scale:
    """What was simulated, with what, and what came of it."""

    cells: int
    targets: int
    sources: int
    source_bytes: int
    are_held: bool
    """Whether each worker keeps the sources that it has read."""
    figures: Mapping[str, Figure]
    """The costs that are not free of charge."""
    rows: tuple[Row, ...]


def read_costs(path: Path) -> dict[str, Figure]:
    """Return the costs in a YAML file, ``name: {value: …, how: measured|scaled|assumed, why: …}``.

    Raises:
        UserError: there is none, or it holds something else.
    """
    try:
        content = read_yaml(path)
    except FileNotFoundError as error:
        raise UserError(f"--costs {path}: there is no such file.") from error
    except OSError as error:
        raise UserError(f"--costs {path} cannot be read ({error.strerror}): name a YAML file.") from error
    except ValueError as error:
        raise UserError(f"--costs {path} is not YAML ({error}): mend it.") from error
    if not isinstance(content, dict):
        raise UserError(
            f"--costs {path} must hold lines `cost: {{value: …, how: …, why: …}}`, as docs/scale-h200.yaml."
        )
    names = [field.name for field in fields(Costs)]
    found = {}
    for name, figure in content.items():
        if name not in names:
            raise UnknownName(f"cost in {path}", str(name), names)
        try:
            found[str(name)] = Figure.model_validate(figure)
        except ValidationError as error:
            first = error.errors()[0]
            what = ".".join([str(name), *map(str, first["loc"])])
            advice = "A cost is {value: NUMBER, how: measured|scaled|assumed, why: TEXT}."
            raise UserError(f"--costs {path}: {wrong_setting(dict(first), what, advice)}") from error
    if "workers_per_node" in found and found["workers_per_node"].value < 1:
        raise UserError(f"--costs {path}: workers_per_node is a number of workers, 1 or more: mend it.")
    return found


def of_shape(config: ExperimentConfig, asked: SimulationConfig) -> Scale:
    """Simulate a sweep of models that are not there.

    Raises:
        UserError: there is no such shape, no costs are named, or a variant needs models to be chosen.
    """
    if asked.shape is None or asked.shape not in SHAPES:
        raise UnknownName("shape", str(asked.shape), SHAPES)
    if asked.costs is None:
        raise UserError(
            "--shape has no models to measure: name a file of what things take (--costs docs/scale-h200.yaml)."
        )
    shape = SHAPES[asked.shape]
    check_method(config)
    if METHODS[config.method].kind != "coefficient":
        raise UserError(f"--shape: sums are simulated, and {config.method} makes tensors: leave --method out.")
    if config.data or config.models or config.demo:
        raise UserError("--shape stands for models and data: leave out --models, --data and --demo.")
    for name in ("split", "precision", "head_policy"):
        if getattr(config, name) != type(config).model_fields[name].default:
            raise UserError(
                f"--{name.replace('_', '-')} has no effect with --shape, whose texts are those of the test split, and whose "
                "rates those of --costs: leave it out."
            )
    config = plan.with_pool(config, locales.names())
    choices = _chosen(config)
    involved = sorted({source for choice in choices for source in choice.mix.sources}, key=locales.position)
    figures = read_costs(asked.costs)
    costs = _costs(figures)
    cells = _by_target([(choice, TEXTS) for choice in choices], asked)
    sweep = Sweep(
        (),
        dict.fromkeys(involved, shape.nbytes),
        summed_bytes=_summed(shape.nbytes, shape.vocabulary, shape.row_bytes, costs, config),
        tensors=shape.tensors,
        are_held=_are_held([shape.nbytes] * len(involved), costs, config),
        written_bytes=shape.nbytes if config.keep_models == "all" else 0,
    )
    memory = config.memory * 1e9 if config.memory else costs.node_memory
    return _scale(sweep, cells, figures, config, asked, memory=memory, alone=costs)


def of_experiment(experiment: Experiment, found: Estimate, asked: SimulationConfig) -> Scale:
    """Simulate what is left to do of an experiment, by rates that were measured here, or those of ``--costs`` in their place.

    Raises:
        UserError: nothing is left, or a variant is no merge.
    """
    config = experiment.config
    if found.rates is None:
        raise UserError("Nothing is left to do: there is nothing to simulate.")
    _check_asked(config, experiment.variants)
    rates = found.rates
    named = read_costs(asked.costs) if asked.costs else {}
    figures = {
        "merge": Figure(value=rates.merge, how="measured", why="here and now, on these sources"),
        "build": Figure(value=max(rates.load, 1e-9), how="measured", why="here and now: to load a model"),
        "texts": Figure(value=rates.texts, how="measured", why="here and now, on these texts"),
    }
    if "start" not in named and max(asked.workers or WORKERS) > 1:
        seconds = max(seconds_to_start(experiment) - rates.load, 1e-9)
        figures["start"] = Figure(
            value=seconds, how="measured", why="here and now: two processes at once; one worker is the command itself"
        )
    figures |= named
    costs = _costs(figures)
    open_cells = [cell for cell in experiment.cells if experiment.finished(cell) is None]
    choices = [experiment.choices[cell.target, cell.variant.name] for cell in open_cells]
    sizes = {name: each.nbytes for name, each in experiment.checkpoints.items()}
    texts = [len(experiment.inputs.data.partition(cell.target, config.split)) for cell in open_cells]
    involved = {source for choice in choices for source in choice.mix.sources}
    sizes = {name: size for name, size in sizes.items() if name in involved}
    source = experiment.checkpoints[next(iter(sizes))]
    sweep = Sweep(
        (),
        sizes,
        summed_bytes=_summed(sum(sizes.values()) / len(sizes), *_vocabulary(source), costs, config),
        tensors=len(source.tensors),
        are_held=_are_held(list(sizes.values()), costs, config),
        written_bytes=max(sizes.values()) if config.keep_models == "all" else 0,
    )
    cells = _by_target(list(zip(choices, texts, strict=True)), asked)
    alone = costs if "start" in named else replace(costs, start=0.0)
    return _scale(sweep, cells, figures, config, asked, memory=plan.memory_for_merges(config), alone=alone)


def _vocabulary(source: Checkpoint) -> tuple[int, int]:
    """Return how many rows its input embedding has, and the bytes of one; none where it is not known by its name."""
    name = embedding_of(source)
    if name is None:
        return 0, 0
    info = source.tensors[name]
    return info.shape[0], info.nbytes // info.shape[0]


def _summed(nbytes: float, vocabulary: int, row_bytes: int, costs: Costs, config: ExperimentConfig) -> float:
    """Return the bytes of one source that are summed: of a merge that nobody keeps, only the rows that the texts take."""
    left_out = max(0, vocabulary - costs.words) if config.keep_models == "none" else 0
    return nbytes - left_out * row_bytes


def _costs(figures: Mapping[str, Figure]) -> Costs:
    return Costs(**{name: figure.value for name, figure in figures.items()})


def _check_asked(config: ExperimentConfig, variants: Sequence[Variant]) -> None:
    if config.wants_zero_shot:
        way = "add --skip-zero-shot" if config.demo else "leave out --zero-shot"
        raise UserError(f"Cells are simulated, and not what single sources do: {way}.")
    others = [variant.name for variant in variants if variant.adaptation or is_soup(variant)]
    if others:
        raise UserError(
            f"Own models and merges are simulated, and {', '.join(others)} is more than that: leave it out of --variants."
        )


def _chosen(config: ExperimentConfig) -> list[Choice]:
    """Return the choices of all cells, target by target, as an experiment makes them."""
    targets, variants = plan.chosen_locales(config, locales.names()), plan.chosen_variants(config)
    _check_asked(config, variants)
    ranked = any(map(ranks, variants))
    if ranked and is_measured(config.similarity):
        raise UserError(f"--similarity {config.similarity} is measured on models, and a shape has none: name another.")
    matrix = load(config.similarity, (*targets, *config.sources)) if ranked else None
    return [by_method(choose(variant, target, config, matrix), config) for target in targets for variant in variants]


def _by_target(choices: Sequence[tuple[Choice, int]], asked: SimulationConfig) -> dict[str, tuple[Cell, ...]]:
    """Return the cells of each target, with the texts that each answers; every variant as often as was asked."""
    found: dict[str, tuple[Cell, ...]] = {}
    for choice, texts in choices:
        recipe = choice.recipe
        cell = Cell(choice.mix.sources, texts, recipe.selection != OWN)
        found[recipe.target] = found.get(recipe.target, ()) + (cell,) * (asked.times or 1)
    return found


def _are_held(sizes: Sequence[int], costs: Costs, config: ExperimentConfig) -> bool:
    """Return whether a worker has room for all sources, and keeps no merge on the disk: then it reads each once."""
    return config.keep_models == "none" and sum(sizes) + MODELS * max(sizes) + ROOM <= costs.worker_memory


def _scale(
    sweep: Sweep,
    cells: Mapping[str, tuple[Cell, ...]],
    figures: Mapping[str, Figure],
    config: ExperimentConfig,
    asked: SimulationConfig,
    *,
    memory: float,
    alone: Costs,
) -> Scale:
    """Return what comes of it, with the costs of one worker ``alone``, who may be spared some."""
    costs = _costs(figures)
    size = max(sweep.source_bytes.values())
    bytes_of = {target: sum(size for cell in mine if cell.is_merge) for target, mine in cells.items()}

    def on(workers: int) -> Sweep:
        targets = (
            [(target,) for target in cells] if sweep.are_held else plan.groups(tuple(cells), bytes_of, memory, workers)
        )
        return replace(
            sweep, groups=tuple(tuple(cell for target in group for cell in cells[target]) for group in targets)
        )

    def costs_on(workers: int) -> Costs:
        return alone if workers == 1 else costs

    seconds_of_one = simulation.simulate(on(1), costs_on(1), 1).seconds
    rows = []
    for workers in asked.workers or WORKERS:
        play = on(workers), costs_on(workers), workers
        found = simulation.simulate(*play)
        speed_up = seconds_of_one / found.seconds
        rows.append(Row(found, speed_up, simulation.needed_bandwidth(*play), simulation.savings(*play)))
    return Scale(
        cells=sum(map(len, cells.values())),
        targets=len(cells),
        sources=len(sweep.source_bytes),
        source_bytes=sum(sweep.source_bytes.values()),
        are_held=sweep.are_held,
        figures=figures,
        rows=tuple(rows),
    )
