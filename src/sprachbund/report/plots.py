"""One picture for a whole job: a dumbbell per locale.

Each row is a locale; a thin line joins the lowest of its figures to the highest, and a marker stands at each. Markers
differ in shape as well as in colour (Okabe and Ito's colours, which colour-blind people can tell apart); average is a
frame and similarity a dot that fits into it, so that both are seen where they coincide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprachbund.errors import StoreError
from sprachbund.locales import Locale
from sprachbund.report import drawing
from sprachbund.report.drawing import (
    BAND,
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PAPER,
    PINK,
    QUIET,
    ROW,
    RULE,
    WIDTH,
    check_format,
    draw,
    entitle,
    without_frame,
)
from sprachbund.report.summary import ZERO_SHOT_BEST, ZERO_SHOT_MEAN, Summary, by_language_family

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Dumbbells", "Mark", "Row", "draw_dumbbells", "dumbbell", "dumbbell_figure", "dumbbells_of"]

GAP = 0.55
"""Rows between two language setups."""
ABOVE, BELOW, LEFT, RIGHT = 1.2, 0.5, 1.95, 1.2
"""Inches around the rows: title and legend, axis, locales, language setups."""


@dataclass(frozen=True)
class Mark:
    """How one column is drawn, later ones over earlier ones."""

    column: str
    label: str
    style: dict[str, Any]


_MARKS = (
    Mark(ZERO_SHOT_MEAN, "zero-shot mean", {"marker": "|", "color": QUIET, "markersize": 9, "markeredgewidth": 2}),
    Mark(
        ZERO_SHOT_BEST,
        "best zero-shot (oracle)",
        {"marker": "^", "color": GREEN, "markerfacecolor": PAPER, "markersize": 7.5, "markeredgewidth": 1.3},
    ),
    Mark(
        "average",
        "average",
        {"marker": "s", "color": ORANGE, "markerfacecolor": "none", "markersize": 7.5, "markeredgewidth": 1.3},
    ),
    Mark("similarity", "similarity", {"marker": "o", "color": BLUE, "markersize": 4.5}),
    Mark(
        "auto",
        "auto",
        {"marker": "P", "color": PINK, "markersize": 8, "markeredgecolor": INK, "markeredgewidth": 0.5},
    ),
    Mark("baseline", "baseline (own model)", {"marker": "D", "color": INK, "markersize": 5}),
)


@dataclass(frozen=True)
class Row:
    """The figures of a locale."""

    locale: Locale
    values: Mapping[str, float | None]
    """By column; None where one is missing."""


@dataclass(frozen=True)
class Dumbbells:
    """All that such a picture shows."""

    title: str
    subtitle: str
    marks: Sequence[Mark]
    rows: Sequence[Row]
    means: Mapping[str, float | None]
    """By column, over all rows."""


def dumbbell(summary: Summary, path: Path) -> Path:
    """Draw baseline, merges, ``auto`` and zero-shot figures of every evaluated locale, as SVG or PNG by the path's suffix.

    Raises:
        UnknownName: another suffix.
        StoreError: there is no locale to draw.
    """
    check_format(path)
    if not summary.evaluated:
        raise StoreError("There is nothing to draw: no result has a prefix (see --prefix).")
    return draw_dumbbells(dumbbells_of(summary), path)


def draw_dumbbells(picture: Dumbbells, path: Path) -> Path:
    """Draw rows of figures by language family, as SVG or PNG by the path's suffix.

    Raises:
        UnknownName: another suffix.
    """
    return draw(lambda: dumbbell_figure(picture), path)


def dumbbells_of(summary: Summary) -> Dumbbells:
    """Say what the picture of a summary shows."""
    setup, number = summary.setup, len(summary.evaluated)
    subtitle = f"Accuracy on {setup.data}, {setup.split} split"
    if summary.demonstration:
        subtitle += ". Demonstration: it says nothing about languages in the world"
    means = {name: column.mean for name, column in summary.statistics.items()}
    return Dumbbells(
        title=f"Own model, merges and zero-shot sources in {number} {'locale' if number == 1 else 'locales'}",
        subtitle=subtitle,
        marks=[mark for mark in _MARKS if mark.column in means],
        rows=[Row(row.locale, row.values) for row in summary.evaluated],
        means=means,
    )


def dumbbell_figure(picture: Dumbbells) -> Figure:
    """Draw one."""
    from matplotlib.figure import Figure

    groups = by_language_family(picture.rows)
    places = list(_places(groups))
    bottom = places[-1][0] + 1.0 + 1.5 * GAP  # where the means stand, in rows from the top
    inches = (bottom + 1.2) * ROW
    height = ABOVE + inches + BELOW
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    axes = figure.add_axes(
        (LEFT / WIDTH, BELOW / height, (WIDTH - LEFT - RIGHT) / WIDTH, inches / height), facecolor="none"
    )
    axes.set_ylim(bottom + 0.6, -0.6)
    _draw_families(axes, groups)
    _draw_rows(axes, picture.marks, [*((y, row.values) for y, row in places), (bottom, picture.means)])
    _label(axes, places, bottom)
    _head(figure, axes, picture, height)
    return figure


def _places(groups: list[tuple[str, list[Row]]]) -> Iterator[tuple[float, Row]]:
    """Yield each row with its position, in rows from the top."""
    y = 0.0
    for _, rows in groups:
        for row in rows:
            yield y, row
            y += 1.0
        y += GAP


def _draw_families(axes: Axes, groups: list[tuple[str, list[Row]]]) -> None:
    """Put a band behind every language family and its name to the right."""
    across = axes.get_yaxis_transform()
    top = 0.0
    for family, rows in groups:
        axes.axhspan(top - 0.5 - GAP / 4, top + len(rows) - 0.5 + GAP / 4, color=BAND, linewidth=0, zorder=0)
        axes.text(1.015, top, family, transform=across, va="center", color=QUIET)
        top += len(rows) + GAP


def _draw_rows(axes: Axes, marks: Sequence[Mark], figures: list[tuple[float, Mapping[str, float | None]]]) -> None:
    """Draw each row's line, then the markers of all rows, column by column."""
    there = [(y, [v for mark in marks if (v := values[mark.column]) is not None]) for y, values in figures]
    spans = [(y, min(found), max(found)) for y, found in there if found]
    axes.hlines(
        [y for y, _, _ in spans],
        [low for _, low, _ in spans],
        [high for _, _, high in spans],
        color=RULE,
        linewidth=1.6,
        zorder=1.5,
    )
    for order, mark in enumerate(marks):
        points = [(value, y) for y, values in figures if (value := values[mark.column]) is not None]
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            linestyle="none",
            zorder=2 + order,
            clip_on=False,
            **mark.style,
        )


def _label(axes: Axes, places: list[tuple[float, Row]], bottom: float) -> None:
    """Name the rows and the axis."""
    axes.axhline(bottom - 0.5 - 0.6 * GAP, color=QUIET, linewidth=0.8, zorder=1)
    axes.set_yticks(
        [*(y for y, _ in places), bottom], [*(f"{row.locale.language}  {row.locale.name}" for _, row in places), "mean"]
    )
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.tick_params(axis="y", length=0, pad=7)
    axes.tick_params(axis="x", top=True, labeltop=True, length=0, colors=QUIET)
    axes.set_xlabel("accuracy", color=QUIET)
    axes.grid(axis="x", color=PAPER, linewidth=1.4, zorder=0.5)
    axes.set_axisbelow(True)
    axes.margins(x=0.03)
    without_frame(axes)


def _head(figure: Figure, axes: Axes, picture: Dumbbells, height: float) -> None:
    """Say above the rows what is shown, on which data, and what the markers are."""
    entitle(figure, picture.title, picture.subtitle)
    handles = [
        axes.plot([], [], linestyle="none", label=mark.label, **mark.style)[0] for mark in reversed(picture.marks)
    ]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(drawing.LEFT / WIDTH, 1 - 0.63 / height),
        borderaxespad=0,
        borderpad=0.3,
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        handletextpad=0.3,
        columnspacing=1.6,
    )
