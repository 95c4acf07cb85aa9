"""URIEL+: what is made of its answers, by a stand-in of its one class; and its own numbers, where it is installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sprachbund import locales
from sprachbund.errors import DataError, UnknownName, UserError
from sprachbund.similarity import load, urielplus
from sprachbund.similarity.urielplus import KINDS

INSTALLED = importlib.util.find_spec("urielplus") is not None


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))


Answer = Callable[[Sequence[str]], np.ndarray]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], list[Sequence[str]]]]:
    """Puts a package in place of urielplus, which answers as it is told to and keeps what it was asked."""
    table = tmp_path / "urielplus/database/urielplus_csvs/uriel_glottocode_map.csv"
    table.parent.mkdir(parents=True)
    codes = {row.iso639_3: f"{row.iso639_3}1234" for row in locales.LOCALES} | {"lav": "latv1249", "eus": "basq1248"}
    table.write_text(
        "iso_code,glottocode\n" + "".join(f"{iso},{code}\n" for iso, code in codes.items()) + "zho,\nara,\n"
    )
    (table.parents[2] / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("sprachbund.similarity.urielplus.version", lambda name: "9.9")

    def install(answer: Answer) -> list[Sequence[str]]:
        asked: list[Sequence[str]] = []

        class URIELPlus:
            def __init__(self) -> None:
                logging.warning("it talks a lot")
                self.joined = False

            def integrate_databases(self) -> None:
                self.joined = True

            def new_distance(self, kind: str, languages: Sequence[str]) -> np.ndarray:
                logging.warning("and again")
                assert self.joined
                assert kind in KINDS
                asked.append(languages)
                return answer(languages)

        urielplus._database.cache_clear()
        module = ModuleType("urielplus.urielplus")
        module.URIELPlus = URIELPlus  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "urielplus.urielplus", module)
        return asked

    yield install
    urielplus._database.cache_clear()


def by_first_letter(languages: Sequence[str]) -> np.ndarray:
    """Distance 0 to oneself, 0.25 to what begins alike, 0.75 to all others."""
    letters = np.array([language[0] for language in languages])
    distances = np.where(letters[:, None] == letters[None], 0.25, 0.75)
    np.fill_diagonal(distances, 0.0)
    return distances


def test_a_similarity_is_one_minus_the_distance(
    stand_in: Callable[[Answer], list[Sequence[str]]], caplog: pytest.LogCaptureFixture
) -> None:
    asked = stand_in(by_first_letter)
    table = load("urielplus:syntactic", ["eus"])
    assert table.locales == (*locales.names(), "eus")
    assert table.score("zh-CN", "zh-TW") == table.score("sq-AL", "sq-AL") == 1.0, "one language is asked for once"
    assert table.score("de-DE", "da-DK") == 0.75
    assert table.score("de-DE", "sq-AL") == 0.25
    assert {"latv1249", "basq1248"} <= set(asked[0]), "Latvian has its syntax under the code of the macro-language"
    assert len(asked[0]) == len(set(asked[0])) == 52
    assert table.uses == {"nothing"}
    assert "urielplus 9.9" in table.provenance
    assert not caplog.records


def test_it_is_kept(stand_in: Callable[[Answer], list[Sequence[str]]]) -> None:
    asked = stand_in(by_first_letter)
    first, again = load("urielplus:syntactic"), load("urielplus:syntactic")
    assert len(asked) == 1
    assert first.values.tobytes() == again.values.tobytes()
    assert (first.name, first.provenance) == (again.name, again.provenance)
    load("urielplus:syntactic", ["eus"])
    assert len(asked) == 2


def test_minus_one_is_no_distance(stand_in: Callable[[Answer], list[Sequence[str]]]) -> None:
    def nothing_of_the_second(languages: Sequence[str]) -> np.ndarray:
        distances = by_first_letter(languages)
        distances[0, 1] = distances[1, 0] = -1
        return distances

    stand_in(nothing_of_the_second)
    with pytest.raises(DataError, match=r"no syntactic features that af-ZA and am-ET could be compared by"):
        load("urielplus:syntactic")


def test_an_unknown_language_is_named(stand_in: Callable[[Answer], list[Sequence[str]]]) -> None:
    stand_in(by_first_letter)
    with pytest.raises(UnknownName, match="'xx'"):
        load("urielplus:syntactic", ["xx-YY"])


@pytest.mark.skipif(INSTALLED, reason="urielplus is installed")
def test_without_the_package_it_says_how_to_get_it() -> None:
    with pytest.raises(UserError, match="pip install urielplus"):
        load("urielplus:syntactic")


@pytest.mark.skipif(not INSTALLED, reason="urielplus is not installed")
@pytest.mark.parametrize("kind", KINDS)
def test_the_package_knows_all_locales(kind: str) -> None:
    table = load(f"urielplus:{kind}")
    assert np.diagonal(table.values).tolist() == [1.0] * 52
    assert np.array_equal(table.values, table.values.T)
    assert 0 <= table.values.min() < table.values.max() == 1
    assert importlib.metadata.version("urielplus") in table.provenance
