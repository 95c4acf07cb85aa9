"""The script that made URIEL's table: its parts by hand, the whole where lang2vec is installed."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sprachbund import locales
from sprachbund.errors import DataError
from sprachbund.similarity import load, read_csv

SCRIPT = Path(__file__).parents[2] / "tools" / "make_uriel.py"


@pytest.fixture(scope="module")
def make_uriel() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_uriel", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def installed_lang2vec() -> Path:
    spec = importlib.util.find_spec("lang2vec")  # found, not imported
    if spec is None or spec.origin is None:
        pytest.skip("lang2vec is not installed")
    return Path(spec.origin).parent


def test_syntax_vectors_picks_features_by_prefix_and_languages_by_code(make_uriel: ModuleType) -> None:
    codes = sorted({row.lang2vec_code for row in locales.LOCALES}, reverse=True)
    data = np.zeros((len(codes), 4, 1), dtype=np.float32)
    data[:, 2, 0] = 1
    data[codes.index("sqi"), 0, 0] = 1
    data[codes.index("jpn"), 1, 0] = 1  # a phonological feature: not to be read
    stream = io.BytesIO()
    feats = np.array(["S_SVO", "P_VOICE", "S_SOV", "INV_T"])
    np.savez(stream, data=data, langs=np.array(codes), feats=feats, sources=np.array(["predicted"]))

    vectors = make_uriel.syntax_vectors(stream.getvalue())

    expected = [[1.0 if name == "sq-AL" else 0.0, 1.0] for name in locales.names()]
    assert vectors.tolist() == expected


def test_cosines_by_hand(make_uriel: ModuleType) -> None:
    values = make_uriel.cosines(np.array([[1.0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 0]]))
    root = np.sqrt(0.5)
    np.testing.assert_allclose(values, [[1, root, 0], [root, 1, 0.5], [0, 0.5, 1]], rtol=0, atol=1e-15)


def test_numbers_survive_the_csv_to_the_last_bit(make_uriel: ModuleType) -> None:
    values = np.array([[1.0, 0.1 + 0.2], [1 / 3, 1.0]])
    parsed = read_csv(make_uriel.to_csv(("de-DE", "nl-NL"), values), name="", provenance="", uses=frozenset())
    assert np.array_equal(parsed.values, values)


def test_a_table_that_differs_in_last_bits_is_left_alone(make_uriel: ModuleType, tmp_path: Path) -> None:
    output = tmp_path / "table.csv"
    table = ",de-DE,nl-NL\nde-DE,1.0,0.5\nnl-NL,0.5,1.0\n"
    assert "Wrote" in make_uriel.write(table, output)
    assert "left as it is" in make_uriel.write(table.replace("0.5", "0.5000000000000001"), output)
    assert output.read_text(encoding="utf-8") == table
    assert "Wrote" in make_uriel.write(table.replace("0.5", "0.6"), output)


def test_another_release_is_refused(make_uriel: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "feature_predictions.npz").write_bytes(b"another")
    with pytest.raises(DataError, match=r"not that of lang2vec 1\.1\.2"):
        make_uriel.read_table(tmp_path)


def test_lang2vec_gives_the_shipped_table(make_uriel: ModuleType, installed_lang2vec: Path) -> None:
    vectors = make_uriel.syntax_vectors(make_uriel.read_table(installed_lang2vec))
    assert vectors.shape == (52, 103)
    shipped = load("uriel:syntax_knn").values
    np.testing.assert_allclose(make_uriel.cosines(vectors), shipped, rtol=0, atol=1e-12)
