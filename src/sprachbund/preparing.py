"""From settings to a checked experiment: who is merged for whom, which cells that makes, and what stands in the way.

Everything that can be known before any work is known here; nothing is written. What is measured for it (a similarity, a soup)
is kept, so that the next run finds it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sprachbund import inference, locales, plan, store
from sprachbund.adapt import Material, candidate, check_unseen
from sprachbund.candidates import (
    Wanted,
    candidate_of,
    merged_before,
)
from sprachbund.checkpoints import Checkpoint, zoo_name, zoo_uses
from sprachbund.choosing import (
    Choice,
    by_method,
    check_method,
    choose,
    is_merge,
    is_soup,
    of_soup,
    ranks,
    takes_everybody,
)
from sprachbund.config import ExperimentConfig
from sprachbund.data import DataSet
from sprachbund.data.few import Labelled
from sprachbund.errors import MixError, StoreError, UserError
from sprachbund.evaluation import label_names
from sprachbund.experiment import Experiment
from sprachbund.heads import AVERAGE, unlabelled_for, with_head_policy
from sprachbund.inputs import Inputs
from sprachbund.measures import Kitchen, find_soup
from sprachbund.measuring import asked_sources, similarity_for
from sprachbund.methods import METHODS
from sprachbund.parallel import Report
from sprachbund.plan import Cell
from sprachbund.prepared import MERGED_MODELS, answers, material_for
from sprachbund.recipe import OWN, Recipe, Variant, adapted
from sprachbund.similarity import SimilarityMatrix, is_measured, load
from sprachbund.store import RESULTS, RunStore
from sprachbund.uses import SOURCE_DEV, union_of_uses
from sprachbund.zero_shot import known_row

__all__ = ["needed_sources", "prepare"]


def needed_sources(config: ExperimentConfig, held: Sequence[str], without: Collection[str] = ()) -> tuple[str, ...]:
    """Return the locales whose sources the experiment reads, given those that the data holds; nothing is opened.

    Sources that are left out (``without``) are replaced in merges by others, and nothing replaces a target's own.
    """
    config = plan.with_pool(config, held, without)
    targets, planned = plan.chosen_locales(config, held), _planned(config, held, without)
    merged = [(target, variant) for target, variant in planned if variant.adaptation is None and not is_soup(variant)]
    if any(ranks(variant) for _, variant in merged) and is_measured(config.similarity):
        # Who is chosen is only known when all have been measured.
        own = (target for target, variant in merged if variant.selection == OWN)
        needed = {*asked_sources(config, targets, held, without), *own}
    else:
        matrix = _at_hand(config, targets, plan.chosen_variants(config))
        choices = (choose(variant, target, config, matrix) for target, variant in merged)
        needed = {source for choice in choices for source in choice.mix.sources}
    if config.wants_zero_shot or len(merged) < len(planned):
        needed |= set(plan.pool(config, held))
    return tuple(sorted(needed, key=locales.position))


def _planned(
    config: ExperimentConfig, held: Sequence[str], without: Collection[str]
) -> tuple[tuple[str, Variant], ...]:
    """Return targets and variants of all cells: of a target whose own source is left out there is no baseline."""
    return tuple(
        (target, variant)
        for target in plan.chosen_locales(config, held)
        for variant in plan.chosen_variants(config)
        if variant.selection != OWN or target not in without
    )


def _at_hand(config: ExperimentConfig, targets: Sequence[str], chosen: Sequence[Variant]) -> SimilarityMatrix | None:
    """Return the similarity that ranks the sources; None where no variant needs one.

    Variants that take everybody do without beyond the table: who has lang2vec gets the results of who has not.
    """
    ranked, places = [variant for variant in chosen if ranks(variant)], (*targets, *config.sources)
    if all(map(takes_everybody, ranked)) and not set(places) <= set(locales.names()):
        return None
    return load(config.similarity, places) if ranked else None


def _similarity(
    config: ExperimentConfig, inputs: Inputs, targets: Sequence[str], chosen: Sequence[Variant], report: Report
) -> SimilarityMatrix | None:
    """Return what ranks the sources, measured now if need be; None where no variant ranks any.

    Raises:
        UserError: it cannot be had, or ``--base`` is named and nobody needs it.
    """
    ranked = any(map(ranks, chosen))
    if not ranked or not is_measured(config.similarity):
        if config.base and not (METHODS[config.method].needs_base or any(variant.adaptation for variant in chosen)):
            raise UserError(
                f"--base has no effect with --similarity {config.similarity} and these variants: leave it out."
            )
        return _at_hand(config, targets, chosen)
    known = RunStore(config.output_dir / RESULTS)
    return similarity_for(config, targets, inputs, results=known, jobs=config.jobs, report=report)


def prepare(config: ExperimentConfig, inputs: Inputs, report: Report = lambda stage, done, total: None) -> Experiment:
    """Choose all sources, name all cells, and check what can be checked before work.

    Each source is read once to know it by its content, which ``report`` is told of.

    Raises:
        UserError: names the first thing that stands in the way.
    """
    inference.check_precision(config.precision)
    check_method(config)
    held = inputs.data.locales
    config = plan.with_pool(config, held, inputs.left_out)
    targets, chosen = plan.chosen_locales(config, held), plan.chosen_variants(config)
    sources, wanted = plan.pool(config, held), _planned(config, held, inputs.left_out)
    matrix = _similarity(config, inputs, targets, chosen, report)
    choices = {
        (target, variant.name): with_head_policy(
            by_method(
                _soup(target, config, inputs, report) if is_soup(variant) else choose(variant, target, config, matrix),
                config,
            ),
            config.head_policy,
        )
        for target, variant in wanted
        if variant.adaptation is None
    }
    for flag in ("head_policy", "method", "set", "seed"):
        if getattr(config, flag) != ExperimentConfig.model_fields[flag].default and not any(map(is_merge, chosen)):
            raise UserError(
                f"--{flag.replace('_', '-')} has no effect with these variants, none of which merges: leave it out."
            )
    adapts = any(variant.adaptation for variant in chosen)
    involved = {source for choice in choices.values() for source in choice.mix.sources}
    if adapts:
        involved |= set(sources)
    checkpoints = {locale: inputs.zoo.checkpoint(locale) for locale in sorted(involved)}
    notes = (
        *inputs.notes,
        *_without_method(config, chosen),
        *_without_baseline(targets, wanted, chosen),
        *_check_labels(checkpoints.values(), inputs.data),
    )
    _read(checkpoints, report)
    materials = _materials(config, inputs, targets, checkpoints) if adapts else {}
    labelled = _labelled(inputs.data, wanted, materials)
    planned = tuple(
        _cell(config, inputs.data, target, variant, _candidate(target, variant, choices, materials, labelled, inputs))
        for target, variant in wanted
    )
    open_cells = _open_cells(config, planned)
    # By a source that is there: a target need not have one of its own.
    first = min(involved)
    zoo = zoo_name(checkpoints[first], first)
    recipes = {cell.variant.name: _recipe(cell, choices).model_dump() for cell in planned}
    _check_columns(config, planned, recipes, (inputs.data.name, config.split, zoo))
    largest = max(checkpoint.nbytes for checkpoint in checkpoints.values())
    if config.wants_zero_shot:
        _check_rows(config, inputs)
    plan.check_writable(config.output_dir, config.output_dir / RESULTS, config.output_dir / MERGED_MODELS)
    plan.check_disk(config.output_dir, open_cells, largest, keep=config.keep_models == "all")
    return Experiment(
        config, inputs, targets, chosen, choices, materials, labelled, planned, checkpoints, sources, zoo, notes, matrix
    )


def _soup(target: str, config: ExperimentConfig, inputs: Inputs, report: Report) -> Choice:
    """Return the greedy soup for a target: of the pool without its own source, by labels of the others' languages.

    Raises:
        UserError: it cannot be had with these settings or this data.
    """
    if config.include_target:
        raise UserError("A greedy soup is chosen by no label of its target: leave out --include-target.")
    if config.head_policy != AVERAGE:
        raise UserError(
            f"A greedy soup is chosen with averaged heads, not with --head-policy {config.head_policy}: leave one out."
        )
    held = inputs.data.locales
    pool = sorted(plan.pool(config, held), key=locales.position)
    sources = {name: inputs.zoo.checkpoint(name) for name in pool if name != target}
    if not sources:
        raise MixError(f"No source is left for {target} without its own: add some (--sources).")
    lacking = next((name for name in sources if name not in held), None)
    if lacking:
        raise UserError(
            f"A greedy soup asks for dev data in each source's language, and {inputs.data.name} has none of {lacking}: "
            "name other sources (--sources)."
        )
    found = find_soup(
        Kitchen(sources, inputs.data, config.method, config.options, inputs.base, seed=config.seed or 0), report
    )
    seen = union_of_uses([SOURCE_DEV], *map(zoo_uses, sources.values()))
    return of_soup(target, list(sources), found.weights, found.scores, seen)


def _without_method(config: ExperimentConfig, chosen: Sequence[Variant]) -> tuple[str, ...]:
    """Return what is to be said of adaptations beside a method, which they merge without."""
    others = [variant.name for variant in chosen if variant.adaptation]
    if not others or config.method == ExperimentConfig.model_fields["method"].default:
        return ()
    return (
        f"--method {config.method} is how merges are made; adaptations ({', '.join(others)}) have ways of their own.",
    )


def _without_baseline(
    targets: Sequence[str], wanted: Sequence[tuple[str, Variant]], chosen: Sequence[Variant]
) -> tuple[str, ...]:
    """Return what is to be said of targets whose own source is left out, if that is a variant by itself."""
    own = [variant for variant in chosen if variant.selection == OWN]
    return tuple(
        f"There is no {variant.name} of {target}: its own source is left out."
        for variant in own
        for target in targets
        if (target, variant) not in wanted
    )


def _materials(
    config: ExperimentConfig, inputs: Inputs, targets: Sequence[str], checkpoints: Mapping[str, Checkpoint]
) -> Mapping[str, Material]:
    """Return what adaptations may see: for each target the pool without its own source, and texts, nothing more.

    Raises:
        UserError: nobody is left in the pool, one there has met the target, or the data has no unlabelled texts.
    """
    if config.include_target:
        raise UserError("Adaptations take no source that has met the target's labels: leave out --include-target.")
    materials: dict[str, Material] = {}
    for target in targets:
        sources = {name: checkpoints[name] for name in sorted(plan.pool(config, inputs.data.locales)) if name != target}
        if not sources:
            raise MixError(f"No source is left for {target} without its own: add some (--sources).")
        materials[target] = Material(
            sources,
            inputs.data.unlabelled(target),
            answers(config),
            inputs.base,
            texts_of=inputs.data.name,
            labels_of=inputs.data.name,
        )
    check_unseen({name: source for each in materials.values() for name, source in each.sources.items()}, targets)
    return materials


def _labelled(
    data: DataSet, wanted: Iterable[tuple[str, Variant]], materials: Mapping[str, Material]
) -> Mapping[tuple[str, int], Labelled]:
    """Return the few labelled texts of those targets that a variant wants some of, by target and how many per intent.

    They stand apart from the materials, which everybody gets.

    Raises:
        DataError: the data sets none aside.
    """
    found = {}
    for target, variant in wanted:
        if variant.adaptation and variant.adaptation.labels:
            first = next(iter(materials[target].sources.values()))
            names = dict(zip(label_names(first.labels, data, first.name).names, first.labels, strict=True))
            labels = variant.adaptation.labels
            found[target, labels] = data.few(target, labels).under(names)
    return found


def _candidate(
    target: str,
    variant: Variant,
    choices: Mapping[tuple[str, str], Choice],
    materials: Mapping[str, Material],
    labelled: Mapping[tuple[str, int], Labelled],
    inputs: Inputs,
) -> Mapping[str, Any]:
    if variant.adaptation:
        return candidate(variant.adaptation, material_for(variant.adaptation, target, materials, labelled))
    choice = choices[target, variant.name]
    texts = unlabelled_for(choice.recipe.head_policy, target, inputs.data)
    return candidate_of(Wanted(choice, variant.name, texts), inputs.zoo, inputs.base)


def _recipe(cell: Cell, choices: Mapping[tuple[str, str], Choice]) -> Recipe:
    if cell.variant.adaptation:
        return adapted(cell.variant.adaptation, cell.target)
    return choices[cell.target, cell.variant.name].recipe


def _read(checkpoints: Mapping[str, Checkpoint], report: Report) -> None:
    """Read the sources to know them by their content, which they remember."""
    for number, checkpoint in enumerate(checkpoints.values(), start=1):
        _ = checkpoint.digest
        report("reading sources", number, len(checkpoints))


def _cell(
    config: ExperimentConfig,
    data: DataSet,
    target: str,
    variant: Variant,
    model: Mapping[str, Any],
) -> Cell:
    identity = store.cell_identity(
        model,
        data_digest=data.partition(target, config.split).digest,
        split=config.split,
        precision=config.precision,
    )
    is_made = variant.selection != OWN and not (variant.adaptation and variant.adaptation.kind == "ensemble")
    folder = config.output_dir / MERGED_MODELS / f"{variant.name}_merge_{target}" if is_made else None
    records = RunStore(config.output_dir / RESULTS)
    return Cell(variant, target, model, identity, records.folder(variant.name, target), folder)


def _open_cells(config: ExperimentConfig, planned: Sequence[Cell]) -> list[Cell]:
    """Return the cells without a record; complain of records and models of something else that are in the way."""
    known = [store.find_record(cell.results_folder, cell.identity, overwrite=config.overwrite) for cell in planned]
    for cell in planned:
        if cell.model_folder and config.keep_models == "all":
            merged_before(cell.model_folder, cell.candidate, overwrite=config.overwrite)
    return [cell for cell, record in zip(planned, known, strict=True) if record is None]


def _check_columns(
    config: ExperimentConfig,
    planned: Sequence[Cell],
    recipes: Mapping[str, Mapping[str, Any]],
    setup: tuple[str, str, str],
) -> None:
    """Complain of results of other locales that were made otherwise: they would stand in one column with those to come.

    Raises:
        StoreError: such a result, or one that cannot be read.
    """
    folders = {cell.results_folder for cell in planned}
    known = RunStore(config.output_dir / RESULTS)
    for record in known.records():
        info, made = record.evaluation_info, record.model_info.recipe
        there = known.folder(info.variant, info.locale)
        if (record.dataset_info.name, info.split, record.model_info.zoo) != setup or there in folders:
            continue
        different = store.differences(recipes.get(info.variant, made), made) if made else []
        if info.variant in recipes and info.precision != config.precision:
            different.append("precision")
        if different:
            raise StoreError(
                f"{there} was made with another {' and '.join(different)} than this run has: results of one variant stand "
                "side by side, so choose another --output-dir, or make all of them again."
            )


def _check_rows(config: ExperimentConfig, inputs: Inputs) -> None:
    """Complain of zero-shot rows of other models or data before any cell is worked on."""
    known = RunStore(config.output_dir / RESULTS)
    for source in plan.pool(config, inputs.data.locales):
        if known.transfer(source, config.split):
            known_row(
                known,
                inputs.zoo.checkpoint(source),
                source,
                inputs.data,
                config.split,
                config.precision,
                config.overwrite,
            )


def _check_labels(checkpoints: Iterable[Checkpoint], data: DataSet) -> tuple[str, ...]:
    """Return what is to be said about label names, once however many sources it is true of."""
    found = [label_names(checkpoint.labels, data, checkpoint.name).note for checkpoint in checkpoints]
    notes = [note for note in found if note]
    return (f"{notes[0]} So do {len(notes) - 1} others.",) if len(notes) > 1 else tuple(notes)
