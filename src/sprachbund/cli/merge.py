"""``sprachbund merge``: one merged model for one target (``run_merging_pipeline.py``), or of any checkpoints (:mod:`blend`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sprachbund.cli.app import app
from sprachbund.cli.blend import blend
from sprachbund.cli.console import Reporter, console, result, say
from sprachbund.cli.sentences import SEE_HELP
from sprachbund.config import AnyMergeConfig, BaseConfig, MergeConfig
from sprachbund.errors import UserError

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
    from sprachbund.cards import DETAILS_TEXT
    from sprachbund.commands import merge_for_target

    with Reporter() as report:
        made = merge_for_target(config, report, say)

    def show() -> None:
        console.print((made.folder / DETAILS_TEXT).read_text(encoding="utf-8"), markup=False, soft_wrap=True)
        console.print(f"Merged model: {made.folder}", soft_wrap=True)

    result(lambda: {**made.details.model_dump(), "folder": made.folder}, show)
    return 0
