"""``sprachbund merge``: one merged model for one target (``run_merging_pipeline.py``), or of any checkpoints (:mod:`blend`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sprachbund import locales
from sprachbund.cli.app import app
from sprachbund.cli.blend import blend
from sprachbund.cli.console import Reporter, console, result, say
from sprachbund.cli.sentences import SEE_HELP
from sprachbund.config import AnyMergeConfig, BaseConfig, ChoiceConfig, MergeConfig
from sprachbund.errors import UserError

if TYPE_CHECKING:
    from sprachbund.choosing import Choice
    from sprachbund.inputs import Inputs, Sources

__all__ = ["merge"]


EITHER_FORM = {"weights", "overwrite", "method", "set", "seed", *BaseConfig.model_fields}
"""Flags of a merge for a target and of a merge of any checkpoints."""


@app.command
def merge(
    recipe: Annotated[
        Path | None, Parameter(help="A mergekit recipe (YAML), with --out: all else stands in it.")
    ] = None,
    *,
    config: Annotated[AnyMergeConfig, Parameter(name="*")] = AnyMergeConfig(),
) -> int:
    """Merge sources into one model for a target language: OUTPUT_DIR/merged_models/{mode}_merge_{target}/.

    With --source, or with a mergekit recipe, merge any checkpoints into the folder --out, by any method.
    """
    typed = config.model_fields_set
    for_target = [name for name in AnyMergeConfig.model_fields if name in typed & _of_target()]
    for_any = [name for name in AnyMergeConfig.model_fields if name in typed - _of_target() - EITHER_FORM]
    if for_target and (recipe or for_any):
        other = str(recipe) if recipe else _flag(for_any[0])
        raise UserError(
            f"{_flag(for_target[0])} is about a merge for a target language, {other} about one of any checkpoints: "
            "leave one out."
        )
    if recipe or for_any:
        return blend(recipe, config)
    if not for_target:
        raise UserError(
            f"Say what to merge: --mode and --target-lang, for a language; --source, any checkpoints; or a recipe. {SEE_HELP}"
        )
    for needed in ("mode", "target_lang"):
        if getattr(config, needed) is None:
            raise UserError(f"{_flag(needed)} is needed. {SEE_HELP}")
    return _for_target(MergeConfig(**{name: getattr(config, name) for name in typed}))


def _of_target() -> set[str]:
    """Return the flags of a merge for a target that no other has."""
    return MergeConfig.model_fields.keys() - EITHER_FORM


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _for_target(config: MergeConfig) -> int:
    from sprachbund import data
    from sprachbund.candidates import merge_candidate
    from sprachbund.cards import DETAILS_TEXT
    from sprachbund.choosing import by_method, check_method, choose
    from sprachbund.evaluation import label_names
    from sprachbund.experiment import MERGED_MODELS
    from sprachbund.heads import unlabelled_for, with_head_policy
    from sprachbund.inputs import open_inputs, open_sources
    from sprachbund.measuring import asked_sources, similarity_for
    from sprachbund.plan import check_room, check_writable, with_pool
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
    with Reporter() as report:
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
    for warning in details.warnings:
        say(f"warning: {warning}")

    def show() -> None:
        console.print((out / DETAILS_TEXT).read_text(encoding="utf-8"), markup=False, soft_wrap=True)
        console.print(f"Merged model: {out}", soft_wrap=True)

    result(lambda: {**details.model_dump(), "folder": out}, show)
    return 0


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
