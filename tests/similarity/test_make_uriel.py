"""The script that made URIEL's tables: its parts by hand, the whole where lang2vec is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sprachbund.similarity import load, read_csv
from sprachbund.similarity.lang2vec import FEATURE_SETS

NOTHING = frozenset({"nothing"})


@pytest.fixture(scope="module")
def make_uriel(tool_named: Callable[[str], ModuleType]) -> ModuleType:
    return tool_named("make_uriel")


@pytest.fixture
def installed_lang2vec() -> Path:
    spec = importlib.util.find_spec("lang2vec")  # found, not imported
    if spec is None or spec.origin is None:
        pytest.skip("lang2vec is not installed")
    return Path(spec.origin).parent


def test_numbers_survive_the_csv_to_the_last_bit(make_uriel: ModuleType) -> None:
    values = np.array([[1.0, 0.1 + 0.2], [1 / 3, 1.0]])
    parsed = read_csv(make_uriel.to_csv(("de-DE", "nl-NL"), values), name="", provenance="", uses=NOTHING)
    assert np.array_equal(parsed.values, values)


def test_a_table_that_differs_in_last_bits_is_left_alone(make_uriel: ModuleType, tmp_path: Path) -> None:
    output = tmp_path / "table.csv"
    table = ",de-DE,nl-NL\nde-DE,1.0,0.5\nnl-NL,0.5,1.0\n"
    assert "Wrote" in make_uriel.write(table, output)
    assert "left as it is" in make_uriel.write(table.replace("0.5", "0.5000000000000001"), output)
    assert output.read_text(encoding="utf-8") == table
    assert "Wrote" in make_uriel.write(table.replace("0.5", "0.6"), output)


def test_lang2vec_gives_the_shipped_tables(make_uriel: ModuleType, installed_lang2vec: Path, tmp_path: Path) -> None:
    assert make_uriel.main([str(installed_lang2vec), "--output", str(tmp_path)]) == 0
    assert {path.stem for path in tmp_path.iterdir()} == FEATURE_SETS.keys()
    for name in FEATURE_SETS:
        made = read_csv((tmp_path / f"{name}.csv").read_text(), name=name, provenance="", uses=NOTHING)
        shipped = load(f"uriel:{name}")
        assert made.locales == shipped.locales
        np.testing.assert_allclose(made.values, shipped.values, rtol=0, atol=1e-12)


def test_another_release_is_an_error_of_one_sentence(
    make_uriel: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "feature_predictions.npz").write_bytes(b"another")
    assert make_uriel.main([str(tmp_path), "--output", str(tmp_path)]) == 2
    assert "not that of lang2vec 1.1.2" in capsys.readouterr().err
