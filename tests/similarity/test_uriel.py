"""URIEL's table as shipped: its shape, what linguistics expects of it, and the original's numbers."""

from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from sprachbund import locales
from sprachbund.similarity import load

FROZEN = {
    "af-ZA": {"nl-NL": 0.942492, "de-DE": 0.932079, "en-US": 0.924697, "sv-SE": 0.905554, "da-DK": 0.892035},
    "sq-AL": {"ro-RO": 0.963415, "el-GR": 0.950835, "pt-PT": 0.950141, "pl-PL": 0.945815, "sl-SL": 0.944478},
    "sw-KE": {"he-IL": 0.839350, "ar-SA": 0.837118, "jv-ID": 0.816386, "ms-MY": 0.810136, "fa-IR": 0.805674},
}
"""Of the original: (cosine + 1) / 2, which it calls the dense similarity."""


def test_covers_the_locale_table_in_its_order() -> None:
    assert load("uriel:syntax_knn").locales == locales.names()


def test_is_a_table_of_cosines_of_zero_one_vectors() -> None:
    values = load("uriel:syntax_knn").values
    assert np.array_equal(values, values.T)
    assert np.diagonal(values).tolist() == [1.0] * 52
    assert values.min() >= 0.0
    assert values.max() == 1.0
    assert np.linalg.eigvalsh(values).min() > -1e-12  # a Gram matrix


def test_chinese_is_one_language_here() -> None:
    uriel = load("uriel:syntax_knn")
    assert uriel.score("zh-CN", "zh-TW") == 1.0
    off_diagonal = uriel.values[~np.eye(52, dtype=bool)]
    assert (off_diagonal == 1.0).sum() == 2


def test_has_seen_no_data_and_names_its_licence() -> None:
    uriel = load("uriel:syntax_knn")
    assert uriel.uses == {"nothing"}
    assert "CC BY-SA 4.0" in uriel.provenance
    licence = files("sprachbund.similarity").joinpath("uriel_data/LICENSE.txt").read_text(encoding="utf-8")
    assert "https://creativecommons.org/licenses/by-sa/4.0/" in licence
    assert "https://aclanthology.org/E17-2002/" in licence


def test_the_original_values_of_three_locales() -> None:
    uriel = load("uriel:syntax_knn")
    for target, row in FROZEN.items():
        dense = {source: (uriel.score(target, source) + 1) / 2 for source in row}
        assert dense == pytest.approx(row, rel=0, abs=1e-6)


def test_the_original_values_of_all_locales(golden: Path) -> None:
    with (golden / "uriel_syntax_knn_dense_52.csv").open(encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)
    uriel = load("uriel:syntax_knn")
    assert uriel.locales == tuple(header[1:]) == tuple(row[0] for row in rows)
    dense = np.array([row[1:] for row in rows], dtype=np.float64)
    np.testing.assert_allclose((uriel.values + 1) / 2, dense, rtol=0, atol=1e-6)
