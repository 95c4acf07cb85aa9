"""Two figures of each locale against each other: a dot a locale, with names where dots stand far from the others."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sprachbund.report.drawing import BAND, BLUE, INK, PAPER, QUIET, RULE, entitle, without_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Dot", "Scatter", "scatter_figure"]

SIZE = (7.0, 5.2)
"""Inches."""
NAMED = 12
"""So many dots have their name beside them."""


@dataclass(frozen=True)
class Dot:
    """A locale's two figures."""

    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Scatter:
    """All that such a picture shows."""

    title: str
    subtitle: str
    across: str
    """What the horizontal axis says."""
    up: str
    dots: Sequence[Dot]


def scatter_figure(picture: Scatter) -> Figure:
    """Draw one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, facecolor=PAPER)
    axes = figure.add_axes((0.11, 0.13, 0.85, 0.71), facecolor=BAND)
    axes.axhline(0, color=QUIET, linewidth=1.2, zorder=1)
    xs, ys = [dot.x for dot in picture.dots], [dot.y for dot in picture.dots]
    axes.plot(xs, ys, linestyle="none", marker="o", color=BLUE, markerfacecolor=PAPER, markersize=5, zorder=3)
    for dot in _outermost(picture.dots):
        axes.annotate(dot.label, (dot.x, dot.y), (4, 3), textcoords="offset points", fontsize=8, color=INK)
    _label(axes, picture)
    entitle(figure, picture.title, picture.subtitle)
    return figure


def _outermost(dots: Sequence[Dot]) -> list[Dot]:
    """Return the dots farthest from the middle, each axis measured by its own spread."""
    middle = statistics.fmean(dot.x for dot in dots), statistics.fmean(dot.y for dot in dots)
    spread = (statistics.pstdev(dot.x for dot in dots) or 1.0, statistics.pstdev(dot.y for dot in dots) or 1.0)

    def distance(dot: Dot) -> float:
        return ((dot.x - middle[0]) / spread[0]) ** 2 + ((dot.y - middle[1]) / spread[1]) ** 2

    return sorted(dots, key=distance, reverse=True)[:NAMED]


def _label(axes: Axes, picture: Scatter) -> None:
    axes.set_xlabel(picture.across, color=QUIET)
    axes.set_ylabel(picture.up, color=QUIET)
    axes.tick_params(length=0, colors=QUIET)
    axes.grid(color=RULE, linewidth=0.6, zorder=0.5)
    axes.set_axisbelow(True)
    axes.margins(0.06)
    without_frame(axes)
