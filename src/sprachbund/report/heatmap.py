"""A table of targets and sources as a picture: targets down, sources across, by language family, lines between the families.

A similarity is such a table; merge coefficients and zero-shot accuracies are others. What is not there is blank. Colour is
viridis, which gets lighter as numbers get larger, so that it can be read without colour. Its range is that of the numbers off
the diagonal: what a source does in its own language would leave no colour for the differences between the others.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sprachbund import locales
from sprachbund.report import drawing
from sprachbund.report.drawing import BAND, INK, PAPER, QUIET, draw, entitle, without_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sprachbund.similarity import SimilarityMatrix

__all__ = ["HeatMap", "by_family", "heat_map", "heat_map_figure", "of_similarity"]

CELL = 0.155
"""Inches of a cell."""
LEFT, RIGHT, ABOVE, BELOW = 1.75, 1.75, 1.05, 0.75
"""Inches around the cells: names of targets, families and the scale, title, names of sources."""
NARROWEST = 4.2
"""Inches of a picture at least, so that its title has room."""
UNKNOWN = "other"
"""The family of what the locale table does not know."""


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class HeatMap:
    """All that such a picture shows."""

    title: str
    said: str
    """What stands below the title: where the numbers come from, and what they have seen."""
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    values: npt.NDArray[np.float64]
    """[targets, sources]; nan where there is none."""


def heat_map(matrix: SimilarityMatrix, path: Path) -> Path:
    """Draw a similarity as SVG or PNG by the path's suffix.

    Raises:
        UnknownName: another suffix.
    """
    return draw(lambda: heat_map_figure(of_similarity(matrix)), path)


def of_similarity(matrix: SimilarityMatrix) -> HeatMap:
    """Say what the picture of a similarity shows."""
    said = f"{matrix.provenance}. Has seen: {', '.join(sorted(matrix.uses))}."
    return HeatMap(f"Similarity {matrix.name}", said, matrix.targets, matrix.locales, matrix.values)


def by_family(names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Return families with their locales, families and branches in the order in which the locale table begins them."""
    known = {place.name: place for place in locales.LOCALES}
    families = list(dict.fromkeys(place.family for place in locales.LOCALES))
    branches = list(dict.fromkeys(place.genus for place in locales.LOCALES))
    listed = list(names)
    inside = sorted(
        (name for name in listed if name in known),
        key=lambda name: (families.index(known[name].family), branches.index(known[name].genus)),
    )
    groups: dict[str, list[str]] = {}
    for name in inside:
        groups.setdefault(known[name].family, []).append(name)
    others = [name for name in listed if name not in known]
    return [*groups.items(), *([(UNKNOWN, others)] if others else [])]


def heat_map_figure(picture: HeatMap) -> Figure:
    """Draw one; its rows and columns are put in order here."""
    from matplotlib.figure import Figure

    rows, columns = by_family(picture.targets), by_family(picture.sources)
    targets, sources = ([name for _, names in groups for name in names] for groups in (rows, columns))
    inside = (max(len(sources) * CELL, NARROWEST), max(len(targets) * CELL, 0.3))
    width, height = inside[0] + LEFT + RIGHT, inside[1] + ABOVE + BELOW
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    axes = figure.add_axes((LEFT / width, BELOW / height, inside[0] / width, inside[1] / height), facecolor=BAND)
    order = np.ix_([picture.targets.index(t) for t in targets], [picture.sources.index(s) for s in sources])
    values = picture.values[order]
    low, high = _range(values, targets, sources)
    image = axes.imshow(values, cmap="viridis", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    _separate(axes, rows, columns)
    _label(axes, targets, sources)
    scale = figure.add_axes((1 - 0.62 / width, BELOW / height, 0.11 / width, min(2.2, inside[1]) / height))
    figure.colorbar(image, cax=scale).outline.set_visible(False)
    scale.tick_params(length=2, colors=QUIET)
    _head(figure, picture, width, height)
    return figure


def _range(values: npt.NDArray[np.float64], targets: list[str], sources: list[str]) -> tuple[float, float]:
    """Return the smallest and the largest number off the diagonal; of all where there is nothing else."""
    foreign = values[np.array(targets)[:, None] != np.array(sources)[None]]
    shown = foreign if np.isfinite(foreign).any() else values
    return float(np.nanmin(shown)), float(np.nanmax(shown))


def _separate(axes: Axes, rows: list[tuple[str, list[str]]], columns: list[tuple[str, list[str]]]) -> None:
    """Draw a line between two families, and name the families to the right of their rows."""
    top = 0
    for number, (family, names) in enumerate(rows):
        if number:
            axes.axhline(top - 0.5, color=PAPER, linewidth=1.6)
        axes.text(1.012, top, family, transform=axes.get_yaxis_transform(), va="center", color=QUIET, fontsize=7)
        top += len(names)
    left = 0
    for _, names in columns[:-1]:
        left += len(names)
        axes.axvline(left - 0.5, color=PAPER, linewidth=1.6)


def _label(axes: Axes, targets: list[str], sources: list[str]) -> None:
    known = {place.name: place.language for place in locales.LOCALES}
    axes.set_yticks(range(len(targets)), [f"{known.get(name, '')}  {name}".strip() for name in targets], fontsize=7)
    axes.set_xticks(range(len(sources)), sources, rotation=90, fontsize=7)
    axes.tick_params(length=0, pad=3, colors=INK)
    axes.set_xlabel("source", color=QUIET)
    axes.set_ylabel("target", color=QUIET)
    without_frame(axes)


def _head(figure: Figure, picture: HeatMap, width: float, height: float) -> None:
    """Say above the cells what is shown, where it comes from and what it has seen."""
    entitle(figure, picture.title)
    lines = textwrap.wrap(picture.said, int(16 * width), max_lines=3, placeholder=" …")
    figure.text(drawing.LEFT / width, 1 - 0.40 / height, "\n".join(lines), fontsize=8, color=QUIET, va="top")
