"""Any checkpoints into one: what ``sprachbund merge`` does with ``--source``, and with a mergekit recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from sprachbund.cli.console import Reporter, console, result, say
from sprachbund.cli.sentences import SEE_HELP
from sprachbund.config import AnyMergeConfig
from sprachbund.errors import UserError

if TYPE_CHECKING:
    from sprachbund.blends import Blend
    from sprachbund.cards import BlendDetails

__all__ = ["blend"]

OUT = "--out"
BESIDE_A_RECIPE = {"out", "overwrite", "seed", "text", "allow_pickle"}
"""What a recipe does not say."""


def blend(recipe: Path | None, config: AnyMergeConfig) -> int:
    """Merge the checkpoints that the flags name, or that the recipe does."""
    from sprachbund.commands import merge_any

    if config.out is None:
        raise UserError(f"{OUT} is needed: name the folder of the merge. {SEE_HELP}")
    out = config.out
    wanted = _of_recipe(recipe, config) if recipe else _of_flags(config)
    with Reporter() as report:
        made = merge_any(
            wanted,
            config.text,
            out,
            overwrite=config.overwrite,
            allow_pickle=config.allow_pickle,
            report=report,
            say=say,
        )
    result(lambda: {**made.details.model_dump(), "folder": out}, lambda: _show(made.details, out))
    return 0


def _of_recipe(recipe: Path, config: AnyMergeConfig) -> Blend:
    from sprachbund.mergekit import read_recipe

    idle = [name for name in AnyMergeConfig.model_fields if name in config.model_fields_set - BESIDE_A_RECIPE]
    if idle:
        raise UserError(f"--{idle[0].replace('_', '-')} has no effect beside a recipe, which says it: leave one out.")
    return read_recipe(recipe).model_copy(update={"seed": config.seed})


def _of_flags(config: AnyMergeConfig) -> Blend:
    from sprachbund.commands import blend_of

    if not config.source:
        raise UserError(f"--source is needed: name the checkpoints to merge. {SEE_HELP}")
    return blend_of(
        config.source,
        method=config.method,
        weights=config.weights,
        normalize=not config.no_normalize,
        layers=_layers_of(config.layers),
        lines=_lines_of(config.lines),
        options=config.options,
        base=config.base,
        dtype=config.dtype,
        seed=config.seed,
        layerwise=config.layerwise,
    )


def _layers_of(assignments: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Return the numbers that ``--layers`` gives to parts of the model."""
    layers: dict[str, tuple[float, ...]] = {}
    for assignment in assignments:
        part, _, listed = assignment.partition("=")
        try:
            numbers = tuple(float(number) for number in listed.split(","))
        except ValueError as error:
            raise UserError(
                f"--layers {assignment}: write PART=NUMBER,NUMBER,… as in --layers 0-5=1,0 rest=0,1."
            ) from error
        if part in layers:
            raise UserError(f"--layers {part} stands there twice: write it once.")
        layers[part] = numbers
    return layers


def _lines_of(numbers: Sequence[float]) -> tuple[float, float] | None:
    if not numbers:
        return None
    if len(numbers) != 2:
        raise UserError(f"--lines takes two numbers, ALPHA and BETA; got {len(numbers)}.")
    return numbers[0], numbers[1]


def _show(details: BlendDetails, out: Path) -> None:
    options = "".join(f", {name} {value}" for name, value in details.options.items())
    console.print(f"{details.method}{options}", markup=False, soft_wrap=True)
    table = Table("weight", "source", box=None, pad_edge=False)
    for source in details.sources:
        table.add_row("-" if source.weight is None else f"{source.weight:.4f}", escape(source.model))
    console.print(table)
    for part, weights in (details.asked.get("layers") or {}).items():
        shown = " ".join(f"{weight:.4f}" for weight in weights)
        console.print(f"{_part(part)}: {shown}", markup=False, soft_wrap=True)
    if lines := details.asked.get("lines"):
        alpha, beta = lines
        console.print(f"scale by depth: {alpha:g} + {beta:g} · depth", markup=False, soft_wrap=True)
    if details.base:
        console.print(f"base: {details.base.model}", markup=False, soft_wrap=True)
    console.print(f"Merged model: {out}", markup=False, soft_wrap=True)


def _part(name: str) -> str:
    if not name[0].isdigit():
        return name
    return f"layers {name}" if "-" in name else f"layer {name}"
