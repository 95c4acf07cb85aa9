"""Differences, each with its interval: a forest plot (Lewis and Clarke 2001, "Forest plots: trying to see the wood and the
trees").

A row is a locale, the largest difference first: a dot, and a line for its interval; zero is a line, too. A dot is full
where a test rejects that there is no difference, and hollow where it does not: nobody has to tell colours apart. The diamond at
the foot is the mean over all rows, as wide as its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sprachbund.report.drawing import BAND, BLUE, INK, PAPER, QUIET, ROW, RULE, WIDTH, entitle, without_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Bar", "Forest", "forest_figure"]

ABOVE, BELOW, LEFT, RIGHT = 1.0, 0.75, 1.95, 0.45
"""Inches around the rows: title, axis, labels."""


@dataclass(frozen=True)
class Bar:
    """One difference; a fraction, like its interval."""

    label: str
    value: float
    low: float
    high: float
    sure: bool
    """Whether a test rejects that there is no difference."""


@dataclass(frozen=True)
class Forest:
    """All that such a picture shows."""

    title: str
    subtitle: str
    bars: Sequence[Bar]
    """In any order."""
    mean: Bar


def forest_figure(picture: Forest) -> Figure:
    """Draw one; the rows are put in order here."""
    from matplotlib.figure import Figure

    bars = sorted(picture.bars, key=lambda bar: (-bar.value, bar.label))
    foot = len(bars) + 0.6  # where the mean stands, in rows from the top
    inches = (foot + 1.2) * ROW
    height = ABOVE + inches + BELOW
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    axes = figure.add_axes(
        (LEFT / WIDTH, BELOW / height, (WIDTH - LEFT - RIGHT) / WIDTH, inches / height), facecolor=BAND
    )
    axes.set_ylim(foot + 0.6, -0.6)
    axes.axvline(0, color=QUIET, linewidth=1.2, zorder=1)
    _draw_bars(axes, bars)
    _draw_mean(axes, picture.mean, foot)
    _label(axes, [*((y, bar.label) for y, bar in enumerate(bars)), (foot, picture.mean.label)])
    entitle(figure, picture.title, picture.subtitle)
    return figure


def _draw_bars(axes: Axes, bars: Sequence[Bar]) -> None:
    axes.hlines(
        range(len(bars)),
        [100 * bar.low for bar in bars],
        [100 * bar.high for bar in bars],
        color=BLUE,
        linewidth=1.4,
        zorder=2,
    )
    for sure, filled in ((True, BLUE), (False, PAPER)):
        points = [(100 * bar.value, y) for y, bar in enumerate(bars) if bar.sure is sure]
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            linestyle="none",
            marker="o",
            color=BLUE,
            markerfacecolor=filled,
            markersize=5,
            zorder=3,
        )


def _draw_mean(axes: Axes, mean: Bar, foot: float) -> None:
    axes.axhline(foot - 0.8, color=QUIET, linewidth=0.8, zorder=1)
    low, value, high = (100 * number for number in (mean.low, mean.value, mean.high))
    axes.fill([low, value, high, value], [foot, foot - 0.35, foot, foot + 0.35], color=INK, linewidth=1, zorder=3)


def _label(axes: Axes, rows: Sequence[tuple[float, str]]) -> None:
    """Name the rows and the axis."""
    axes.set_yticks([y for y, _ in rows], [label for _, label in rows])
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.tick_params(axis="y", length=0, pad=7, colors=INK)
    axes.tick_params(axis="x", top=True, labeltop=True, length=0, colors=QUIET)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:+g}" if value else "0")
    axes.set_xlabel("difference of accuracies, points", color=QUIET)
    axes.grid(axis="x", color=RULE, linewidth=0.6, zorder=0.5)
    axes.set_axisbelow(True)
    axes.margins(x=0.03)
    without_frame(axes)
