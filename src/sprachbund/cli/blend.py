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
from sprachbund.errors import MixError, UserError
from sprachbund.weighting import normalise

if TYPE_CHECKING:
    from sprachbund.blends import Blend, Ingredients
    from sprachbund.cards import BlendDetails
    from sprachbund.parallel import Report

__all__ = ["blend"]

OUT = "--out"
BESIDE_A_RECIPE = {"out", "overwrite", "seed", "text"}
"""What a recipe does not say."""


def blend(recipe: Path | None, config: AnyMergeConfig) -> int:
    """Merge the checkpoints that the flags name, or that the recipe does."""
    from sprachbund.blends import check, check_out, known_before, make
    from sprachbund.files import remove_leftovers
    from sprachbund.inputs import notes_on
    from sprachbund.plan import check_room, check_writable

    if config.out is None:
        raise UserError(f"{OUT} is needed: name the folder of the merge. {SEE_HELP}")
    out = config.out
    wanted = _of_recipe(recipe, config) if recipe else _of_flags(config)
    check(wanted, len(config.text))
    check_out(wanted, out)
    check_writable(out.parent)
    with Reporter() as report:
        using = _opened(wanted, config.text, report)
    for note in notes_on([*using.sources, *([using.base] if using.base else [])]):
        say(note)
    details = known_before(wanted, using, out, overwrite=config.overwrite)
    if details:
        say(f"{out} is this merge already.")
    else:
        check_room(out.parent, using.sources[0].nbytes, "A merged model needs", "make room", instead=OUT)
        remove_leftovers(out.parent)
        with Reporter() as report:
            details = make(wanted, using, out, report)
    for warning in details.warnings:
        say(f"warning: {warning}")
    made = details
    result(lambda: {**made.model_dump(), "folder": out}, lambda: _show(made, out))
    return 0


def _of_recipe(recipe: Path, config: AnyMergeConfig) -> Blend:
    from sprachbund.mergekit import read_recipe

    idle = [name for name in AnyMergeConfig.model_fields if name in config.model_fields_set - BESIDE_A_RECIPE]
    if idle:
        raise UserError(f"--{idle[0].replace('_', '-')} has no effect beside a recipe, which says it: leave one out.")
    return read_recipe(recipe).model_copy(update={"seed": config.seed})


def _of_flags(config: AnyMergeConfig) -> Blend:
    from sprachbund.blends import Blend, equally

    count = len(config.source)
    if not count:
        raise UserError(f"--source is needed: name the checkpoints to merge. {SEE_HELP}")
    if config.weights and len(config.weights) != count:
        raise MixError(f"--weights has {len(config.weights)} numbers for {count} --source: give one each.")
    if config.weights and config.layers:
        raise UserError("--weights are for all layers, --layers says which for each: leave one out.")
    if config.no_normalize and not config.weights:
        raise UserError("--no-normalize has no effect without --weights: give them, or leave it out.")
    return Blend(
        method=config.method,
        sources=config.source,
        weights=config.weights or equally(count),
        normalize=not config.no_normalize,
        layers=_layers_of(config.layers, count),
        lines=_lines_of(config.lines),
        options=config.options,
        base=config.base,
        dtype=config.dtype,
        seed=config.seed,
        layerwise=config.layerwise,
    )


def _layers_of(assignments: Sequence[str], count: int) -> dict[str, tuple[float, ...]]:
    """Return the weights that ``--layers`` gives to parts of the model, one for each source."""
    layers: dict[str, tuple[float, ...]] = {}
    for assignment in assignments:
        part, _, listed = assignment.partition("=")
        try:
            weights = tuple(float(number) for number in listed.split(","))
        except ValueError as error:
            raise UserError(
                f"--layers {assignment}: write PART=NUMBER,NUMBER,… as in --layers 0-5=1,0 rest=0,1."
            ) from error
        if part in layers:
            raise UserError(f"--layers {part} stands there twice: write it once.")
        if len(weights) != count:
            raise MixError(f"--layers {assignment} has {len(weights)} numbers for {count} --source: give one each.")
        layers[part] = tuple(normalise(weights).tolist())
    return layers


def _lines_of(numbers: Sequence[float]) -> tuple[float, float] | None:
    if not numbers:
        return None
    if len(numbers) != 2:
        raise UserError(f"--lines takes two numbers, ALPHA and BETA; got {len(numbers)}.")
    return numbers[0], numbers[1]


def _opened(wanted: Blend, texts: Sequence[Path], report: Report) -> Ingredients:
    """Return the models and texts of a blend; texts are read first, since nothing of them is fetched."""
    from sprachbund.blends import UNION, Ingredients
    from sprachbund.data.unlabelled import read_texts
    from sprachbund.inputs import open_each

    read = tuple(read_texts(path) for path in texts)
    giver = wanted.tokenizer if wanted.tokenizer != UNION else None
    others = [name for name in (wanted.base, giver) if name is not None]
    found = open_each(list(dict.fromkeys([*wanted.sources, *others])), report)
    return Ingredients(
        sources=tuple(found[name] for name in wanted.sources),
        base=found[wanted.base] if wanted.base is not None else None,
        tokenizer=found[giver] if giver is not None else None,
        texts=read,
    )


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
