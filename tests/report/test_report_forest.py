"""The forest plot: largest difference first, each with its interval, full where it is sure."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from sprachbund.errors import UnknownName
from sprachbund.report.drawing import BLUE, PAPER, draw
from sprachbund.report.forest import Bar, Forest, forest_figure

BARS = [
    Bar("none", 0.0, -0.01, 0.01, sure=False),
    Bar("worst", -0.05, -0.08, -0.02, sure=True),
    Bar("best", 0.12, 0.1, 0.15, sure=True),
    Bar("also none", 0.0, -0.02, 0.01, sure=False),
]
PICTURE = Forest("one minus other", "points", BARS, Bar("mean", 0.0175, 0.01, 0.02, sure=True))


@pytest.fixture(scope="module")
def axes() -> Axes:
    return forest_figure(PICTURE).axes[0]


def test_rows_stand_in_order_with_the_mean_at_the_foot(axes: Axes) -> None:
    assert [label.get_text() for label in axes.get_yticklabels()] == ["best", "also none", "none", "worst", "mean"]
    low, high = sorted(axes.get_ylim())
    assert low < 0
    assert axes.yaxis_inverted()
    assert high > 4


def test_dots_stand_at_their_values_full_where_sure(axes: Axes) -> None:
    dots = {
        line.get_markerfacecolor(): list(zip(line.get_xdata(), line.get_ydata(), strict=True))
        for line in axes.get_lines()
        if line.get_marker() == "o"
    }
    assert dots == {BLUE: [(12.0, 0), (-5.0, 3)], PAPER: [(0.0, 1), (0.0, 2)]}


def test_lines_reach_over_the_intervals(axes: Axes) -> None:
    (lines,) = axes.collections
    found = [(segment[0].tolist(), segment[1].tolist()) for segment in lines.get_segments()]
    wanted = [(10.0, 15.0, 0), (-2.0, 1.0, 1), (-1.0, 1.0, 2), (-8.0, -2.0, 3)]
    np.testing.assert_allclose(found, [((low, y), (high, y)) for low, high, y in wanted])


def test_the_diamond_is_as_wide_as_the_interval_of_the_mean(axes: Axes) -> None:
    (diamond,) = axes.patches
    points = diamond.get_xy()
    assert (points[:, 0].min(), points[:, 0].max()) == (1.0, 2.0)
    assert points[points[:, 1].argmin(), 0] == pytest.approx(1.75)


def test_it_is_written_as_a_picture_with_the_same_bytes(tmp_path: Path) -> None:
    first, again = (draw(partial(forest_figure, PICTURE), tmp_path / name).read_bytes() for name in ("a.svg", "b.svg"))
    assert first == again
    with pytest.raises(UnknownName, match="picture format"):
        draw(partial(forest_figure, PICTURE), tmp_path / "a.gif")
