"""``sprachbund similarity``: who would be merged for a target, with which weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table

from sprachbund import locales
from sprachbund.cli.app import app
from sprachbund.cli.console import console, result
from sprachbund.config import SimilarityConfig

if TYPE_CHECKING:
    from sprachbund.choosing import Choice
    from sprachbund.recipe import Recipe

__all__ = ["similarity"]


@app.command
def similarity(
    target: Annotated[str, Parameter(help="A locale (sq-AL) or a language code (sqi).")],
    *,
    config: Annotated[SimilarityConfig, Parameter(name="*")] = SimilarityConfig(),
) -> int:
    """Print the sources that would be merged for a target, with their similarities and weights."""
    from sprachbund import similarity as similarities
    from sprachbund import weighting
    from sprachbund.choosing import choose
    from sprachbund.recipe import VARIANTS

    name = locales.find(target).name
    choice = choose(VARIANTS["similarity"], name, config)
    effective = weighting.effective_number(choice.mix.weights)
    provenance = similarities.load(config.similarity).provenance
    rows = [
        {"source": source, "language": locales.locale(source).language, "score": score, "weight": weight}
        for source, score, weight in zip(choice.mix.sources, choice.scores, choice.mix.weights, strict=True)
    ]

    def show() -> None:
        console.print(
            f"For {name} ({locales.locale(name).language}), selection {choice.recipe.selection}, {_how(choice.recipe)}:"
        )
        console.print(_table(choice))
        console.print(f"Effective number of sources: {effective:.2f} of {len(rows)}")
        console.print(provenance, style="dim")

    result(
        lambda: {
            "target": name,
            "recipe": choice.recipe,
            "sources": rows,
            "effective_sources": effective,
            "provenance": provenance,
        },
        show,
    )
    return 0


def _table(choice: Choice) -> Table:
    table = Table(box=None, pad_edge=False)
    for column, justify in (
        ("source", "left"),
        ("language", "left"),
        ("similarity" if choice.recipe.selection != "original" else "Sinkhorn", "right"),
        ("weight", "right"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for source, score, weight in zip(choice.mix.sources, choice.scores, choice.mix.weights, strict=True):
        table.add_row(source, locales.locale(source).language, f"{score:.4f}", f"{weight:.4f}")
    return table


def _how(recipe: Recipe) -> str:
    sharpness = "" if recipe.sharpness is None else f", sharpness {recipe.sharpness:g}"
    return f"weighting {recipe.weighting}{sharpness}"
