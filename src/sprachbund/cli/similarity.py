"""``sprachbund similarity``: which there are, one of them as table or picture, and who would be merged for a target by it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from sprachbund import files, locales
from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console, result, say
from sprachbund.config import SimilarityConfig
from sprachbund.errors import UserError
from sprachbund.plan import check_file
from sprachbund.report import check_format, heat_map
from sprachbund.similarity import MEASURED, PREFIXES, SIMILARITIES, SimilarityMatrix, is_measured, load, write_csv
from sprachbund.similarity.names import DEFAULT_TEXTS
from sprachbund.uses import union_of_uses

if TYPE_CHECKING:
    from sprachbund.choosing import Choice
    from sprachbund.recipe import Recipe

__all__ = ["similarity"]

NEEDS = {
    "texts": "texts",
    "sources": "sources",
    "base": "base",
    "labels": "dev labels",
    "own": "the target's own",
}

TEXTS = f"What reads texts reads up to {DEFAULT_TEXTS} of each locale; agreement:500 up to 500."


@app.command
def similarity(
    target: Annotated[str | None, Parameter(help="A locale (sq-AL) or a language code (sqi), of any language.")] = None,
    *,
    list_: Annotated[bool, Parameter(name="--list", help="List all similarities, and stop.")] = False,
    config: Annotated[SimilarityConfig, Parameter(name="*")] = SimilarityConfig(),
) -> int:
    """Print the sources that would be merged for a target, with their similarities and weights.

    Without a target: write (--out) or draw (--plot) the whole similarity. One that is measured takes models and data.
    """
    if list_:
        if target or config.out or config.plot:
            raise UserError("--list shows all similarities and nothing else: leave out TARGET, --plot and --out.")
        rows = listed()
        result(lambda: rows, lambda: _show_list(rows))
        return 0
    name = _name(target) if target else None
    if name is None and not (config.out or config.plot):
        raise UserError("TARGET is needed, or what else is wanted of the similarity: --list, --out FILE, --plot FILE.")
    if config.plot:
        check_format(config.plot)  # before anything is measured
        check_file(config.plot, "--plot", overwrite=True)
    if config.out:
        check_file(config.out, overwrite=True)
    config, matrix = _matrix(config, name)
    written = _written(matrix, config)
    choice = _choice(config, name, matrix) if name else None

    def show() -> None:
        if choice:
            _show_choice(choice)
        console.print(f"{matrix.name} has seen of a target: {', '.join(union_of_uses(matrix.uses))}", style="dim")
        console.print(matrix.provenance, style="dim", markup=False)
        for path in written:
            console.print(str(path), soft_wrap=True, markup=False)

    result(
        lambda: {
            "similarity": matrix.name,
            "provenance": matrix.provenance,
            "uses": union_of_uses(matrix.uses),
            **(_values(choice) if choice else {}),
            "files": written,
        },
        show,
    )
    return 0


def _name(target: str) -> str:
    """Return the locale that is meant, or a bare language code of none of the 52 as it is: URIEL knows 7,970 languages."""
    known = {code for place in locales.LOCALES for code in place.codes}
    is_code = target.isascii() and target.isalpha() and len(target) in (2, 3)
    return target.lower() if is_code and target.lower() not in known else locales.find(target).name


def listed() -> list[dict[str, str]]:
    """Return all similarities with what they need, what they have seen and where they come from."""
    there = [
        {
            "similarity": name,
            "needs": found.needs,
            "has seen": ", ".join(found.uses),
            "what it is": found.description,
            "provenance": found.provenance,
        }
        for name, found in SIMILARITIES.items()
    ]
    measured = [
        {
            "similarity": name,
            "needs": ", ".join(NEEDS[need] for need in found.needs),
            "has seen": ", ".join(found.uses),
            "what it is": found.description,
            "provenance": "measured on your models and data",
        }
        for name, found in MEASURED.items()
    ]
    own = [
        {
            "similarity": f"{name}:…",
            "needs": "a CSV table",
            "has seen": "as it says",
            "what it is": "a table of your own, as --out writes it",
            "provenance": "as the table says",
        }
        for name in PREFIXES
    ]
    return [*there, *measured, *own]


def _matrix(config: SimilarityConfig, target: str | None) -> tuple[SimilarityConfig, SimilarityMatrix]:
    """Return the similarity, with the settings to choose by it: these name the sources that it was measured on."""
    if not is_measured(config.similarity):
        if config.models or config.data or config.base or config.demo or config.allow_missing:
            say(f"{config.similarity} is not measured: no model and no data is looked at.")
        return config, load(config.similarity, (*((target,) if target else ()), *locales.check(config.sources)))
    from sprachbund import inference
    from sprachbund.inputs import open_inputs
    from sprachbund.measuring import asked_sources, similarity_for
    from sprachbund.plan import pool, with_pool

    inference.quieten()

    def targets(held: Sequence[str], without: Collection[str]) -> Sequence[str]:
        return (target,) if target else pool(config, held, without)

    with Reporter() as report:
        inputs = open_inputs(
            config, lambda held, without: asked_sources(config, targets(held, without), held, without), report
        )
        say(inputs.data.notice)
        for note in inputs.notes:
            say(note)
        held, left_out = inputs.data.locales, inputs.left_out
        pooled, wanted = with_pool(config, held, left_out), targets(held, left_out)
        return pooled, similarity_for(pooled, wanted, inputs, jobs=config.jobs, report=report)


def _written(matrix: SimilarityMatrix, config: SimilarityConfig) -> list[Path]:
    written = []
    if config.plot:
        written.append(heat_map(matrix, config.plot))
    if config.out:
        files.write_text(config.out, write_csv(matrix))
        written.append(config.out)
    return written


def _choice(config: SimilarityConfig, target: str, matrix: SimilarityMatrix) -> Choice:
    from sprachbund.choosing import choose
    from sprachbund.recipe import VARIANTS

    return choose(VARIANTS["similarity"], target, config, matrix)


def _values(choice: Choice) -> dict[str, Any]:
    rows = zip(choice.mix.sources, choice.scores, choice.mix.weights, strict=True)
    return {
        "target": choice.recipe.target,
        "recipe": choice.recipe,
        "sources": [
            {"source": source, "language": locales.locale(source).language, "score": score, "weight": weight}
            for source, score, weight in rows
        ],
        "effective_sources": choice.effective_sources,
    }


def _show_choice(choice: Choice) -> None:
    target = choice.recipe.target
    console.print(f"For {_called(target)}, selection {choice.recipe.selection}, {_how(choice.recipe)}:")
    console.print(_table(choice))
    console.print(f"Effective number of sources: {choice.effective_sources:.2f} of {len(choice.mix.sources)}")


def _called(target: str) -> str:
    return f"{target} ({locales.locale(target).language})" if target in locales.names() else target


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


def _show_list(rows: list[dict[str, str]]) -> None:
    table = Table(*list(rows[0])[:-1], box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*list(row.values())[:-1])
    console.print(table)
    for provenance in dict.fromkeys(row["provenance"] for row in rows):
        names = [row["similarity"] for row in rows if row["provenance"] == provenance]
        console.print(f"{', '.join(names)}: {provenance}", style="dim", markup=False)
    console.print(
        f"uriel:… has the {len(locales.LOCALES)} locales at hand; for any other language, pip install lang2vec."
    )
    console.print("Texts and labels: --data; sources: --models; their base: --base; or --demo for all of them.")
    console.print(f"A+B is the mean of A and B, each on its own scale. {TEXTS}")
