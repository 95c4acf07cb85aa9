"""The pictures of the page, each with the table that it was drawn from and a sentence for those who do not see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sprachbund import locales
from sprachbund.report.analysis import Contrast
from sprachbund.report.drawing import drawn
from sprachbund.report.forest import Bar, Forest, forest_figure
from sprachbund.report.heatmap import HeatMap, heat_map_figure
from sprachbund.report.html.material import MAIN_PAIR, SIMILARITY, Material
from sprachbund.report.html.sheets import Head, Sheet, percent
from sprachbund.report.html.tables import contrast_sheet
from sprachbund.report.html.vector import inline
from sprachbund.report.plots import dumbbell_figure, dumbbells_of
from sprachbund.report.scatter import Dot, Scatter, scatter_figure

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

__all__ = ["MOST_DRAWN", "Picture", "dumbbells", "forests", "relations"]

MOST_DRAWN = 8
"""So many pairs, or variants, are drawn; tables have all."""
EQUAL = 1e-9
"""Weights that differ by less are one number."""


@dataclass(frozen=True)
class Picture:
    """A picture on the page."""

    title: str
    svg: Markup
    caption: str
    data: Sheet
    """What it shows."""
    tabled: bool
    """Whether that stands below it as a table, too; if not, another table has it, or it is too much for one."""


def _picture(
    id_: str, title: str, caption: str, data: Sheet, figure: Callable[[], Figure], *, tabled: bool = True
) -> Picture:
    from markupsafe import Markup

    svg = inline(drawn(figure, "svg"), f"picture-{id_}", title, caption)
    return Picture(title, Markup(svg), caption, data, tabled)


def dumbbells(material: Material, data: Sheet) -> Picture:
    """Draw every locale's figures; ``data`` is the table that has them."""
    caption = (
        "Each row is a locale, by language family; a line joins its lowest figure to its highest. Markers differ in shape as "
        "well as in colour. The table below has all numbers."
    )
    shown = dumbbells_of(material.summary)
    return _picture("dumbbells", shown.title, caption, data, lambda: dumbbell_figure(shown), tabled=False)


def forests(material: Material) -> Iterator[Picture]:
    """Draw what is compared closely, a picture a pair."""
    level = material.analysis.level
    for number, pair in enumerate(material.main_pairs[:MOST_DRAWN], start=1):
        comparison = material.analysis.comparison(*pair)
        if comparison is None:
            continue
        title = " minus ".join(material.titles[name] for name in pair)
        rows = material.analysis.contrasts[pair]
        interval, sure = comparison.interval, comparison.p_adjusted <= 1 - level
        shown = Forest(
            title=title,
            subtitle=f"Points of accuracy with {percent(level)} intervals; full dots: significant, adjusted over the locales",
            bars=[_bar(row, level) for row in rows],
            mean=Bar("mean", comparison.mean, interval.low, interval.high, sure),
        )
        caption = (
            f"The first is higher in {comparison.wins} of {comparison.locales} locales and lower in {comparison.losses}; "
            f"significantly higher (a full dot to the right of zero) in {comparison.better}, lower in {comparison.worse}. "
            "At a hollow dot chance alone may explain the difference. The diamond is the mean, as wide as its interval."
        )
        data = contrast_sheet(f"difference-{number}", title, rows, material, by="locale")
        yield _picture(f"difference-{number}", title, caption, data, partial(forest_figure, shown))


def _bar(row: Contrast, level: float) -> Bar:
    language = locales.describe(row.locale).language
    label = row.locale if language == row.locale else f"{language}  {row.locale}"
    return Bar(label, row.difference, row.interval.low, row.interval.high, sure=row.p_adjusted <= 1 - level)


def relations(material: Material) -> tuple[list[Picture], list[str]]:
    """Draw who is like whom, who weighs how much and who does how well where; and say what cannot be drawn."""
    pictures, left_out = [], []
    matrix = material.similarity
    if isinstance(matrix, str) and not material.kept:
        left_out.append(matrix)
    else:
        title = f"Similarity {material.similarity_title}"
        pictures += _heat(material, "similarity", title, material.similarity_said, material.similar)
    varied = {variant: by for variant, by in material.weights.items() if _varies(by.values())}
    for number, variant in enumerate(list(varied)[:MOST_DRAWN], start=1):
        title = f"Weights of the sources in {material.titles[variant]}"
        said = "Merge coefficients of each target's sources; blank: the source takes no part."
        pictures += _heat(material, f"weights-{number}", title, said, _weight(varied[variant]))
    if material.transfer:
        said = f"Accuracy of single sources on the {material.summary.setup.split} split of each target, as they are."
        pictures += _heat(
            material, "transfer", "Zero-shot transfer", said, lambda t, s: material.transfer.get(s, {}).get(t)
        )
    else:
        left_out.append("Zero-shot transfer was not measured: `sprachbund transfer` does it.")
    return [*pictures, *_against_similarity(material)], left_out


def _varies(weights: Iterable[Mapping[str, float]]) -> bool:
    """Return whether any target's sources weigh differently; equal weights need no picture."""
    return any(by and max(by.values()) - min(by.values()) > EQUAL for by in weights)


def _weight(weights: Mapping[str, Mapping[str, float]]) -> Callable[[str, str], float | None]:
    return lambda target, source: weights.get(target, {}).get(source)


def _heat(
    material: Material, id_: str, title: str, said: str, value: Callable[[str, str], float | None]
) -> list[Picture]:
    """Draw one map of targets and sources; none where no cell has a number."""
    values = material.grid(value)
    if not np.isfinite(values).any():
        return []
    targets = tuple(row.locale.name for row in material.rows)
    shown = HeatMap(title, said, targets, material.sources, values)
    caption = (
        f"{said} Rows are targets, columns are sources; a lighter cell is a larger number, a blank one is not there."
    )
    data = _grid_sheet(id_, title, targets, material.sources, values)
    return [_picture(id_, title, caption, data, lambda: heat_map_figure(shown), tabled=False)]


def _grid_sheet(
    id_: str, caption: str, targets: tuple[str, ...], sources: tuple[str, ...], values: npt.NDArray[np.float64]
) -> Sheet:
    heads = (Head("target", "target"), *(Head(source, source, "fraction") for source in sources))
    rows = tuple(
        (target, *(None if np.isnan(value) else value for value in row))
        for target, row in zip(targets, values.tolist(), strict=True)
    )
    return Sheet(id_, caption, heads, rows)


def _against_similarity(material: Material) -> list[Picture]:
    """Draw what weighting by similarity gains against how similar the best of the merged sources is."""
    best = {
        target: max((found for source in by if (found := material.similar(target, source)) is not None), default=None)
        for target, by in material.weights.get(SIMILARITY, {}).items()
    }
    pairs = [
        (row.locale, similar, row.difference)
        for row in material.analysis.contrasts.get(MAIN_PAIR, ())
        if (similar := best.get(row.locale)) is not None
    ]
    if not pairs:
        return []
    title = "Difference against the similarity of the best source"
    heads = (
        Head("locale", "locale"),
        Head("similarity", "similarity of the most similar source", "fraction"),
        Head("difference", "similarity minus average, points", "points"),
    )
    data = Sheet("difference-similarity", title, heads, tuple(pairs))
    shown = Scatter(
        title,
        "A dot is a locale; those far from the others have their name",
        f"similarity {material.similarity_title} of the most similar source in the merge",
        "similarity minus average, points",
        [Dot(locale, similar, 100 * difference) for locale, similar, difference in pairs],
    )
    caption = "Does weighting by similarity gain more where a very similar source takes part? Above zero, similarity is higher."
    return [_picture("difference-similarity", title, caption, data, lambda: scatter_figure(shown))]
