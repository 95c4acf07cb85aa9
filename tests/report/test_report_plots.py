"""The dumbbell: what is on it, and that the same results give the same bytes."""

from __future__ import annotations

import struct
import xml.etree.ElementTree
from pathlib import Path

import pytest
from results_folder import ResultsFolder

from sprachbund.errors import StoreError, UnknownName
from sprachbund.locales import LOCALES
from sprachbund.report import dumbbell


def texts(path: Path) -> list[str]:
    root = xml.etree.ElementTree.parse(path).getroot()
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_every_locale_and_every_family_is_named(full: ResultsFolder, tmp_path: Path) -> None:
    found = texts(dumbbell(full.summary(), tmp_path / "new" / "results.svg"))
    for place in LOCALES:
        assert f"{place.language}  {place.name}" in found
        assert found.count(place.family) == 1
    assert {
        "mean",
        "baseline (own model)",
        "similarity",
        "average",
        "zero-shot mean",
        "best zero-shot (oracle)",
    } <= set(found)
    assert "Own model, merges and zero-shot sources in 52 locales" in found


def test_auto_is_drawn_where_it_was_run_and_what_was_not_run_is_not(with_auto: ResultsFolder, tmp_path: Path) -> None:
    assert {"auto", "similarity", "average"} <= set(texts(dumbbell(with_auto.summary(), tmp_path / "all.svg")))
    alone = ResultsFolder(tmp_path / "alone")
    alone.record("auto", "sq-AL", 50)
    found = set(texts(dumbbell(alone.summary(), tmp_path / "alone.svg")))
    assert "auto" in found
    assert found.isdisjoint({"similarity", "average", "baseline (own model)"})


def test_the_same_results_give_the_same_bytes(full: ResultsFolder, tmp_path: Path) -> None:
    summary = full.summary()
    for suffix in (".svg", ".png"):
        first = dumbbell(summary, tmp_path / f"a{suffix}").read_bytes()
        assert dumbbell(summary, tmp_path / f"b{suffix}").read_bytes() == first
    assert "<dc:date>" not in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_a_png_is_as_wide_as_a_readme_shows_twice_over(small: ResultsFolder, tmp_path: Path) -> None:
    content = dumbbell(small.summary(), tmp_path / "results.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">I", content[16:20]) == (1800,)


def test_a_locale_with_gaps_is_drawn(folder: ResultsFolder, tmp_path: Path) -> None:
    folder.record("similarity", "sq-AL", 50)
    assert "Albanian  sq-AL" in texts(dumbbell(folder.summary(), tmp_path / "results.svg"))


@pytest.mark.parametrize("demonstration", [True, False])
def test_the_subtitle_says_demonstration(folder: ResultsFolder, tmp_path: Path, demonstration: bool) -> None:
    folder.demonstration = demonstration
    folder.record("baseline", "af-ZA", 90)
    subtitle = next(
        text for text in texts(dumbbell(folder.summary(), tmp_path / "a.svg")) if "Accuracy on cldr" in text
    )
    assert ("Demonstration" in subtitle) is demonstration


def test_other_suffixes_and_empty_pictures_are_refused(folder: ResultsFolder, tmp_path: Path) -> None:
    folder.record("", "af-ZA", 90, folder="some-model_af-ZA")
    with pytest.raises(UnknownName, match=r"picture format '\.gif'"):
        dumbbell(folder.summary(), tmp_path / "results.gif")
    with pytest.raises(StoreError, match="nothing to draw"):
        dumbbell(folder.summary(), tmp_path / "results.svg")
