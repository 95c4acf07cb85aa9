"""The picture of a similarity: every cell in its place, families together, the same bytes for the same numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sprachbund import locales
from sprachbund.errors import UnknownName
from sprachbund.report import heat_map
from sprachbund.report.heatmap import by_family
from sprachbund.similarity import SimilarityMatrix, load


def test_families_and_branches_stand_together() -> None:
    groups = dict(by_family(["zh-CN", "sq-AL", "de-DE", "tr-TR", "ru-RU", "nl-NL", "tt-RU"]))
    assert groups == {
        "Indo-European": ["de-DE", "nl-NL", "ru-RU", "sq-AL"],
        "Turkic": ["tr-TR"],
        "Sino-Tibetan": ["zh-CN"],
        "other": ["tt-RU"],
    }
    everyone = [name for _, names in by_family(locales.names()) for name in names]
    assert sorted(everyone) == sorted(locales.names())
    branches = [locales.locale(name).genus for name in everyone]
    assert len(list(dict.fromkeys(branches))) == sum(a != b for a, b in zip(branches, ["", *branches], strict=False))


def test_it_names_what_it_shows(tmp_path: Path) -> None:
    text = heat_map(load("uriel:geo"), tmp_path / "map.svg").read_text(encoding="utf-8")
    said = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))
    for place in locales.LOCALES:
        assert said.count(place.name) == 2, "as target and as source"
        assert place.family in said
    assert "Similarity uriel:geo" in said
    assert "CC BY-SA 4.0. Has seen: nothing." in said


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    for suffix in ("svg", "png"):
        first, again = (heat_map(load("uriel:fam"), tmp_path / f"{name}.{suffix}") for name in "ab")
        assert first.read_bytes() == again.read_bytes()


def test_a_bright_cell_stands_where_the_number_is_high(tmp_path: Path) -> None:
    """Two targets without sources of their own; of the four cells one is high, and yellow is where it must be."""
    values = np.array([[0.0, 1.0], [0.0, 0.0]])
    uses = frozenset({"target-dev"})
    matrix = SimilarityMatrix(("de-DE", "tr-TR"), values, "mine", "made up", uses, ("sq-AL", "fi-FI"))
    pixels = np.asarray(Image.open(heat_map(matrix, tmp_path / "map.png")).convert("RGB")).astype(int)
    purple, yellow = (np.abs(pixels - colour).sum(axis=2) < 12 for colour in ((68, 1, 84), (253, 231, 37)))
    rows, columns = np.nonzero(purple[:, : pixels.shape[1] * 3 // 4])
    bright_rows, bright_columns = np.nonzero(yellow[:, : pixels.shape[1] * 3 // 4])
    assert bright_columns.mean() > columns.mean(), "the right column: Turkish is the source"
    assert bright_rows.mean() < rows.mean(), "the upper row: Albanian is the target"


@pytest.mark.parametrize("name", ["map.jpg", "map"])
def test_another_format_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="picture format"):
        heat_map(load("uriel:geo"), tmp_path / name)
