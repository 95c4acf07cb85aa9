"""What commands do once their settings stand: for the command line, which types them, and for Python (:mod:`sprachbund.api`).

A command opens what it works on, checks what can be checked, does its work and returns what came of it. It prints nothing: who
calls it hands in what is told of progress (``report``), and what takes the notes that users should see (``say``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sprachbund import __version__, energy, locales
from sprachbund.config import ChoiceConfig, EvaluateConfig, ExperimentConfig, MergeConfig, SimulationConfig
from sprachbund.errors import MixError, SprachbundError, UserError
from sprachbund.parallel import Report
from sprachbund.tracking import check_tracker, tracker
from sprachbund.weighting import normalise

if TYPE_CHECKING:
    from sprachbund.blends import Blend, Dtype, Ingredients
    from sprachbund.cards import BlendDetails, MergeDetails
    from sprachbund.choosing import Choice
    from sprachbund.estimate import Estimate
    from sprachbund.experiment import Experiment, Outcome, Told
    from sprachbund.inputs import Inputs, Sources
    from sprachbund.scale import Scale
    from sprachbund.store import Failure, Record

__all__ = [
    "NOT_MADE",
    "Evaluated",
    "Merged",
    "Say",
    "blend_of",
    "evaluate_one",
    "merge_any",
    "merge_for_target",
    "plan_experiment",
    "run_experiment",
    "simulate_experiment",
]

Say = Callable[[str], None]
"""Takes a note for users: where data comes from, what is left out, what is odd about a merge."""

NOTHING: Mapping[str, Any] = MappingProxyType({})

NOT_MADE = (
    "The embedded models are not made yet: `sprachbund demo` makes them first (minutes on two cores) and keeps them. "
    "After that, sizes and times can be told."
)


Details = TypeVar("Details")


@dataclass(frozen=True)
class Merged(Generic[Details]):
    """A merged model."""

    folder: Path
    """An ordinary Hugging Face checkpoint."""
    details: Details
    """How it came about: sources by digest, with their weights; method; warnings."""


# --- one merge for a target --------------------------------------------------------------------------------------------


def merge_for_target(config: MergeConfig, report: Report, say: Say) -> Merged[MergeDetails]:
    """Choose, weigh and merge sources for one target, into OUTPUT_DIR/merged_models/{mode}_merge_{target}/.

    Raises:
        UserError: says what stands in the way.
    """
    from sprachbund import data
    from sprachbund.candidates import merge_candidate
    from sprachbund.choosing import by_method, check_method, choose
    from sprachbund.evaluation import label_names
    from sprachbund.heads import unlabelled_for, with_head_policy
    from sprachbund.inputs import open_inputs, open_sources
    from sprachbund.measuring import asked_sources, similarity_for
    from sprachbund.plan import check_room, check_writable, with_pool
    from sprachbund.prepared import MERGED_MODELS
    from sprachbund.recipe import MANUAL, VARIANTS
    from sprachbund.similarity import is_measured
    from sprachbund.store import RESULTS, RunStore

    check_writable(config.output_dir / MERGED_MODELS)
    given = data.load(config.data) if config.data else None
    known = given.locales if given else ()
    target = locales.find(config.target_lang, known).name
    config = _settled(config, known)
    texts = unlabelled_for(config.head_policy, target, given)
    check_method(config)
    found: Sources | Inputs
    if config.mode != MANUAL and is_measured(config.similarity):
        inputs = found = open_inputs(
            config, lambda held, without: asked_sources(config, (target,), held, without), report
        )
        say(inputs.data.notice)
        pooled = with_pool(config, inputs.data.locales, inputs.left_out)
        results = RunStore(config.output_dir / RESULTS)
        matrix = similarity_for(pooled, (target,), inputs, results=results, report=report)
        choice = by_method(choose(VARIANTS[config.mode], target, pooled, matrix), config)
        choice = with_head_policy(choice, config.head_policy)
    else:
        _choice(config, target, known)  # what is wrong with it is said before any model is looked for
        found = open_sources(config, lambda without: _choice(config, target, known, without).mix.sources, report)
        choice = _choice(config, target, known, found.left_out)
    for note in found.notes:
        say(note)
    out = config.output_dir / MERGED_MODELS / f"{config.mode}_merge_{target}"
    first = found.zoo.checkpoint(choice.mix.sources[0])
    if not out.exists():
        check_room(config.output_dir, first.nbytes, "A merged model needs", "make room")
    details = merge_candidate(
        choice,
        found.zoo,
        config.mode,
        out,
        base=found.base,
        overwrite=config.overwrite,
        texts=texts,
        names=label_names(first.labels, given, first.name).names if given else (),
    )
    _warn(details.warnings, say)
    return Merged(out, details)


def _settled(config: MergeConfig, known: Sequence[str]) -> MergeConfig:
    """Return the settings with the sources in canonical spelling; refuse what the mode does not go with."""
    named = tuple(dict.fromkeys(locales.find(source, known).name for source in config.sources))
    if config.mode == "manual":
        if len(named) < len(config.sources):
            raise UserError(f"--sources names {_first_twice(config.sources, known)} twice: name each source once.")
        idle = ChoiceConfig.model_fields.keys() - {"sources"}
        typed = [field for field in ChoiceConfig.model_fields if field in idle & config.model_fields_set]
        if typed:
            raise UserError(f"--{typed[0].replace('_', '-')} has no effect with --mode manual: leave it out.")
    elif config.weights:
        raise UserError("--weights goes with --mode manual: in the other modes the weighting is what the mode says.")
    return config.model_copy(update={"sources": named})


def _choice(config: MergeConfig, target: str, known: Sequence[str], without: Collection[str] = ()) -> Choice:
    from sprachbund.choosing import by_method
    from sprachbund.heads import with_head_policy

    return with_head_policy(by_method(_mixed(config, target, known, without), config), config.head_policy)


def _mixed(config: MergeConfig, target: str, known: Sequence[str], without: Collection[str]) -> Choice:
    """Choose without a model in sight; sources that are left out (``without``) are replaced by others, but not by hand."""
    from sprachbund import similarity
    from sprachbund.choosing import choose, choose_by_hand
    from sprachbund.plan import with_pool
    from sprachbund.recipe import MANUAL, VARIANTS

    if config.mode == MANUAL:
        if len(config.weights) not in (0, len(config.sources)):
            return choose_by_hand(target, config.sources, config.weights)
        kept = [place for place, source in enumerate(config.sources) if source not in without]
        weights = [config.weights[place] for place in kept if config.weights]
        return choose_by_hand(target, [config.sources[place] for place in kept], weights)
    config = with_pool(config, known, without)
    matrix = similarity.load(config.similarity, (target, *config.sources))
    return choose(VARIANTS[config.mode], target, config, matrix)


def _first_twice(sources: Sequence[str], known: Sequence[str]) -> str:
    named = [locales.find(source, known).name for source in sources]
    return next(name for name in named if named.count(name) > 1)


# --- any checkpoints ---------------------------------------------------------------------------------------------------


def blend_of(
    sources: Sequence[str],
    *,
    method: str,
    weights: Sequence[float] = (),
    normalize: bool = True,
    layers: Mapping[str, Sequence[float]] = NOTHING,
    lines: tuple[float, float] | None = None,
    options: Mapping[str, Any] = NOTHING,
    base: str | None = None,
    dtype: Dtype | None = None,
    seed: int | None = None,
    layerwise: bool = False,
) -> Blend:
    """Return the blend of sources, of which there is at least one, under ``weights`` or else equal ones.

    Raises:
        UserError: numbers that are not one for each source, or that have no effect beside the others.
    """
    from sprachbund.blends import Blend, equally

    count = len(sources)
    if weights and len(weights) != count:
        raise MixError(f"--weights has {len(weights)} numbers for {count} --source: give one each.")
    if weights and layers:
        raise UserError("--weights are for all layers, --layers says which for each: leave one out.")
    if not normalize and not weights:
        raise UserError("--no-normalize has no effect without --weights: give them, or leave it out.")
    return Blend(
        method=method,
        sources=tuple(sources),
        weights=tuple(weights) or equally(count),
        normalize=normalize,
        layers={part: _shares(part, numbers, count) for part, numbers in layers.items()},
        lines=lines,
        options=dict(options),
        base=base,
        dtype=dtype,
        seed=seed,
        layerwise=layerwise,
    )


def _shares(part: str, numbers: Sequence[float], count: int) -> tuple[float, ...]:
    """Return the weights of the sources in a part of the model."""
    if len(numbers) != count:
        typed = ",".join(f"{number:g}" for number in numbers)
        raise MixError(f"--layers {part}={typed} has {len(numbers)} numbers for {count} --source: give one each.")
    return tuple(normalise(numbers).tolist())


def merge_any(
    wanted: Blend,
    texts: Sequence[Path],
    out: Path,
    *,
    overwrite: bool,
    allow_pickle: bool,
    report: Report,
    say: Say,
) -> Merged[BlendDetails]:
    """Merge the checkpoints that a blend names into ``out``; ``texts`` are files, for methods that measure the sources.

    With ``allow_pickle``, weights that are only there as pickles are read.

    Raises:
        UserError: says what stands in the way.
    """
    from sprachbund.blends import check, check_out, known_before, make
    from sprachbund.files import remove_leftovers
    from sprachbund.inputs import notes_on
    from sprachbund.plan import check_room, check_writable

    check(wanted, len(texts))
    check_out(wanted, out)
    check_writable(out.parent)
    using = _opened(wanted, texts, report, allow_pickle=allow_pickle)
    for note in notes_on([*using.sources, *([using.base] if using.base else [])]):
        say(note)
    details = known_before(wanted, using, out, overwrite=overwrite)
    if details:
        say(f"{out} is this merge already.")
    else:
        check_room(out.parent, using.sources[0].nbytes, "A merged model needs", "make room", instead="--out")
        remove_leftovers(out.parent)
        details = make(wanted, using, out, report)
    _warn(details.warnings, say)
    return Merged(out, details)


def _opened(wanted: Blend, texts: Sequence[Path], report: Report, *, allow_pickle: bool) -> Ingredients:
    """Return the models and texts of a blend; texts are read first, since nothing of them is fetched."""
    from sprachbund.blends import UNION, Ingredients
    from sprachbund.data.unlabelled import read_texts
    from sprachbund.inputs import open_each

    read = tuple(read_texts(path) for path in texts)
    giver = wanted.tokenizer if wanted.tokenizer != UNION else None
    others = [name for name in (wanted.base, giver) if name is not None]
    found = open_each(list(dict.fromkeys([*wanted.sources, *others])), report, allow_pickle=allow_pickle)
    return Ingredients(
        sources=tuple(found[name] for name in wanted.sources),
        base=found[wanted.base] if wanted.base is not None else None,
        tokenizer=found[giver] if giver is not None else None,
        texts=read,
    )


def _warn(warnings: Sequence[str], say: Say) -> None:
    for warning in warnings:
        say(f"warning: {warning}")


# --- one evaluation ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evaluated:
    """A checkpoint on a split of a locale."""

    record: Record
    folder: Path
    """Where the record is, and every prediction beside it."""


def evaluate_one(config: EvaluateConfig, report: Report, say: Say) -> Evaluated:
    """Evaluate one checkpoint on one locale and write the record; where it is there already, return it.

    Raises:
        UserError: says what stands in the way.
    """
    from sprachbund import inference
    from sprachbund.plan import check_writable

    inference.quieten()
    if not config.locale:
        raise UserError(
            "--locale is needed: the locale to evaluate on. See --list-locales of run_large_scale_experiment.py."
        )
    inference.check_precision(config.precision)
    check_writable(config.results_dir)
    with energy.metered(energy.counters(inference.uuid_of_gpu())) as meter:
        return _evaluated(config, config.locale, meter, report, say)


def _evaluated(config: EvaluateConfig, name: str, meter: energy.Meter, report: Report, say: Say) -> Evaluated:
    from sprachbund import cells, store
    from sprachbund.evaluation import label_names
    from sprachbund.inputs import notes_on, open_one

    started = time.monotonic()
    checkpoint, dataset = open_one(config, report)
    locale = locales.find(name, dataset.locales).name
    say(dataset.notice)
    for said in notes_on([checkpoint]):
        say(said)
    note = label_names(checkpoint.labels, dataset, checkpoint.name).note
    if note:
        say(note)
    subject = cells.describe(checkpoint, locale)
    folder = config.results_dir / _folder_name(config, locale)
    identity = subject.identity(dataset.partition(locale, config.split).digest, config.split, config.precision)
    record = store.find_record(folder, identity, overwrite=config.overwrite)
    if record is None:
        record = cells.evaluate(
            subject,
            dataset,
            config.split,
            config.prefix or "",
            folder,
            precision=config.precision,
            started=started,
            meter=meter,
        )
    return Evaluated(record, folder)


def _folder_name(config: EvaluateConfig, locale: str) -> str:
    """Return ``{prefix}_{locale}``, without a prefix ``{base_name}_{model_dir}_{locale}``."""
    parts = [config.prefix] if config.prefix else [_base_name(config.base_model), config.model_dir]
    return "_".join([*(part.replace("/", "_") for part in parts if part), locale])


def _base_name(model: str) -> str:
    """Return the name of a folder without where it is, of a repository without its owner."""
    from sprachbund.checkpoints import on_the_hub

    place = on_the_hub(model)
    if place is None:
        return Path(model).name
    return str(replace(place, repository=place.repository.rpartition("/")[2])).replace(":", "_")


# --- an experiment -----------------------------------------------------------------------------------------------------


def plan_experiment(config: ExperimentConfig, report: Report, say: Say) -> Estimate | None:
    """Say what an experiment would do and what it takes; None as long as the embedded models that it needs are not made.

    Raises:
        UserError: says what stands in the way.
    """
    from sprachbund import inference
    from sprachbund.estimate import estimate
    from sprachbund.training import embedded

    inference.quieten()
    if config.demo and not embedded.is_made():
        return None
    return estimate(_prepared(config, report, say))


def simulate_experiment(config: ExperimentConfig, asked: SimulationConfig, report: Report, say: Say) -> Scale | None:
    """Say how an experiment, or one with models of a shape, would go on many workers; None as of :func:`plan_experiment`.

    Raises:
        UserError: says what stands in the way.
    """
    from sprachbund import inference, scale
    from sprachbund.estimate import estimate
    from sprachbund.training import embedded

    if asked.shape is not None:
        return scale.of_shape(config, asked)
    inference.quieten()
    if config.demo and not embedded.is_made():
        return None
    prepared = _prepared(config, report, say)
    return scale.of_experiment(prepared, estimate(prepared), asked)


def run_experiment(
    config: ExperimentConfig,
    report: Report,
    say: Say,
    detail: Say,
    expect: Callable[[Mapping[str, float]], None] | None = None,
) -> tuple[Experiment, Outcome]:
    """Run an experiment; what failed is in the outcome.

    ``detail`` is told of each cell; ``expect``, if somebody wants to know, of the seconds that each stage will take.

    Raises:
        UserError: says what stands in the way; nothing was done yet.
    """
    from sprachbund import inference
    from sprachbund.store import RESULTS, RunStore

    inference.quieten()
    if not config.join:
        RunStore(config.output_dir / RESULTS).check_free()  # before sources are read, which may take minutes
    prepared = _prepared(config, report, say)
    if expect:
        _announce(prepared, expect, detail)
    with _told(prepared, say, detail) as told:
        return prepared, prepared.run(report, told)


@contextmanager
def _told(prepared: Experiment, say: Say, detail: Say) -> Iterator[Told]:
    """Give what is called with each cell: it tells whoever asked for details, and a tracker."""
    from sprachbund.experiment import described

    def in_detail(cell: Record | Failure, was_there: bool) -> None:
        detail(described(cell, was_there))

    config = prepared.config
    if config.track is None:
        yield in_detail
        return
    settings = config.model_dump(mode="json") | {"revision": prepared.inputs.data.revision, "zoo": prepared.zoo}
    with tracker(config.track, settings | {"sprachbund": __version__}, say) as tracked:

        def to_both(cell: Record | Failure, was_there: bool) -> None:
            in_detail(cell, was_there)
            tracked(cell, was_there)

        yield to_both


def _announce(prepared: Experiment, expect: Callable[[Mapping[str, float]], None], detail: Say) -> None:
    from sprachbund.estimate import estimate

    try:
        expect(estimate(prepared).seconds)
    except (SprachbundError, OSError, RuntimeError, ValueError) as error:  # its cells record why, others are done
        detail(f"The time cannot be estimated: {error}")


def _prepared(config: ExperimentConfig, report: Report, say: Say) -> Experiment:
    from sprachbund.choosing import is_soup
    from sprachbund.inputs import open_inputs
    from sprachbund.plan import chosen_locales, chosen_variants
    from sprachbund.preparing import needed_sources, prepare
    from sprachbund.similarity import is_measured

    if config.track is not None:
        check_tracker(config.track)
    inputs = open_inputs(
        config,
        lambda held, without: needed_sources(config, held, without),
        report,
        targets=lambda held: chosen_locales(config, held),
        split=config.split,
    )
    say(inputs.data.notice)
    if is_measured(config.similarity):
        say(f"Who is merged depends on {config.similarity}, which is measured first, and kept.")
    if any(map(is_soup, chosen_variants(config))):
        say("Who is in a greedy soup of n sources is found first, by 2 n - 1 merges on their dev splits, and kept.")
    if not config.locales and set(inputs.data.locales) < set(locales.names()):
        say(f"{inputs.data.name} holds {len(inputs.data.locales)} of the {len(locales.LOCALES)} locales: they are run.")
    prepared = prepare(config, inputs, report)
    for note in prepared.notes:
        say(note)
    return prepared
