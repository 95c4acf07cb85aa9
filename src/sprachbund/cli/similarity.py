"""``sprachbund similarity``: who would be merged for a target, with which weights."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from sprachbund import locales
from sprachbund.cli.app import app
from sprachbund.cli.console import console
from sprachbund.config import SimilarityConfig

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
    console.print(
        f"For {name} ({locales.locale(name).language}), selection {choice.recipe.selection}, {_how(choice.recipe)}:"
    )
    console.print(table)
    console.print(
        f"Effective number of sources: {weighting.effective_number(choice.mix.weights):.2f} of {len(choice.mix.sources)}"
    )
    console.print(similarities.load(config.similarity).provenance, style="dim")
    return 0


def _how(recipe) -> str:  # type: ignore[no-untyped-def]
    sharpness = "" if recipe.sharpness is None else f", sharpness {recipe.sharpness:g}"
    return f"weighting {recipe.weighting}{sharpness}"
