"""Cosines of URIEL's features: against scipy, over what both languages have, and never a number for what nobody knows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from sprachbund import locales
from sprachbund.errors import DataError, UnknownName
from sprachbund.similarity import lang2vec, load
from sprachbund.similarity.lang2vec import FEATURE_SETS, code_of, cosines, installed, read_vectors

SYNTAX, AVERAGE = FEATURE_SETS["syntax_knn"], FEATURE_SETS["syntax_average"]


@pytest.fixture
def package() -> Path:
    """The installed package; skip without it."""
    folder = installed()
    if folder is None:
        pytest.skip("lang2vec is not installed")
    return folder


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a package of two files, whose digests are taken for those of the release."""

    def make(data: np.ndarray, langs: list[str], feats: list[str]) -> Path:
        folder = tmp_path / "data"
        folder.mkdir()
        table = {"data": data[:, :, None], "langs": np.array(langs), "feats": np.array(feats), "sources": ["made up"]}
        np.savez(folder / AVERAGE.table, **table)
        (folder / "letter_codes.json").write_text('{"eu": "eus"}')
        for path in folder.iterdir():
            monkeypatch.setitem(lang2vec.SHA256, path.name, hashlib.sha256(path.read_bytes()).hexdigest())
        return tmp_path

    return make


def test_features_are_picked_by_prefix_languages_by_code_and_gaps_are_gaps(made_up: Callable[..., Path]) -> None:
    data = np.array([[1, 0, 0.5], [0, 1, -1.0]])
    package = made_up(data, ["eus", "sqi"], ["S_SVO", "P_VOICE", "S_SOV"])
    vectors = read_vectors(package, AVERAGE, ["sq-AL", "eus", "eu-ES"])
    np.testing.assert_array_equal(vectors, [[0, np.nan], [1, 0.5], [1, 0.5]])
    with pytest.raises(UnknownName, match="'xxx'"):
        read_vectors(package, AVERAGE, ["xxx"])


def test_a_locale_has_the_code_of_each_table(package: Path) -> None:
    assert code_of("nb-NO", SYNTAX, package) != code_of("nb-NO", FEATURE_SETS["fam"], package) == "nor"
    assert [code_of(name, SYNTAX, package) for name in ("eu-ES", "eu", "eus", "EUS")] == ["eus"] * 4


def test_another_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / SYNTAX.table).write_bytes(b"another")
    with pytest.raises(DataError, match=r"not that of lang2vec 1\.1\.2"):
        read_vectors(tmp_path, SYNTAX, ["sq-AL"])


def test_cosines_are_those_of_scipy_over_what_both_have() -> None:
    vectors = np.random.default_rng(0).random((6, 12))
    vectors[0, :4] = vectors[1, 3:7] = vectors[4, 11] = np.nan
    found = cosines(vectors, "abcdef", "test")
    for i, one in enumerate(vectors):
        for j, other in enumerate(vectors):
            both = ~np.isnan(one) & ~np.isnan(other)
            expected = 1.0 if i == j else 1 - cosine(one[both], other[both])
            assert found[i, j] == pytest.approx(expected, abs=1e-12)
    assert np.array_equal(found, found.T)


def test_cosines_by_hand() -> None:
    values = cosines(np.array([[1.0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 0]]), "abc", "test")
    root = np.sqrt(0.5)
    np.testing.assert_allclose(values, [[1, root, 0], [root, 1, 0.5], [0, 0.5, 1]], rtol=0, atol=1e-15)


@pytest.mark.parametrize("other", [[np.nan, 1.0], [0.0, np.nan], [0.0, 0.0]], ids=["none in common", "zero", "zeros"])
def test_what_cannot_be_compared_is_no_zero(other: list[float]) -> None:
    with pytest.raises(DataError, match="fam knows nothing that de-DE and eus could be compared by"):
        cosines(np.array([[1.0, np.nan], other]), ["de-DE", "eus"], "fam")


@pytest.mark.parametrize("name", FEATURE_SETS)
def test_the_release_gives_the_shipped_table(name: str, package: Path) -> None:
    features = FEATURE_SETS[name]
    vectors = read_vectors(package, features, locales.names())
    assert vectors.shape == (52, features.features)
    assert np.isnan(vectors).any() == (name == "syntax_average")
    found = cosines(vectors, locales.names(), name)
    np.testing.assert_allclose(found, load(f"uriel:{name}").values, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [f"uriel:{name}" for name in FEATURE_SETS])
def test_any_language_has_a_row_and_the_others_keep_their_bits(name: str, package: Path) -> None:
    shipped, wider = load(name), load(name, ["ltz", "sq-AL", "gl-ES"])
    assert wider.locales == (*locales.names(), "ltz", "gl-ES")
    assert np.array_equal(wider.part(locales.names(), locales.names()), shipped.values)
    assert np.array_equal(wider.values, wider.values.T)
    vectors = read_vectors(package, FEATURE_SETS[name.partition(":")[2]], ["gl-ES", "pt-PT"])
    both = ~np.isnan(vectors).any(axis=0)
    assert wider.score("gl-ES", "pt-PT") == pytest.approx(1 - cosine(*vectors[:, both]), abs=1e-12)
    assert (wider.name, wider.provenance, wider.uses) == (shipped.name, shipped.provenance, shipped.uses)


@pytest.mark.usefixtures("package")
def test_an_isolate_has_no_family_to_be_compared_by() -> None:
    with pytest.raises(DataError, match="fam knows nothing that af-ZA and eus could be compared by"):
        load("uriel:fam", ["eus"])


@pytest.mark.usefixtures("package")
def test_galician_is_near_portuguese_by_family_and_land() -> None:
    row = load("uriel:fam+uriel:geo", ["gl-ES"]).row("gl-ES")
    nearest = sorted((name for name in row if name != "gl-ES"), key=lambda name: -row[name])[:4]
    assert {"pt-PT", "es-ES"} <= set(nearest)


def test_without_lang2vec_other_languages_are_told_the_ways_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sprachbund.similarity.uriel.installed", lambda: None)
    assert load("uriel:geo", ["sq-AL"]).locales == locales.names()
    with pytest.raises(DataError, match=r"tt-RU is none of them: pip install lang2vec.*--similarity file:"):
        load("uriel:geo", ["sq-AL", "tt-RU"])


@pytest.mark.usefixtures("package")
def test_a_script_of_that_name_beside_the_program_is_not_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the folder of the programs that pip installs, which is where they look for modules first."""
    (tmp_path / "lang2vec.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    found = installed()
    assert found is not None
    assert (found / "data" / "letter_codes.json").is_file()
