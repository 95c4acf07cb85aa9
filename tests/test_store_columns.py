"""What sources answer, in one Parquet file: whole or said to be damaged, and nothing that nobody vouches for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from sprachbund.errors import StoreError
from sprachbund.store import columns
from sprachbund.store.columns import Columns

ANSWERS = {
    "sq-AL": Columns(("1", "0"), ("größe", "ask\n,"), ["ask\n,", ""], np.array([0.25, 1.0]), np.array([1e-9, 0.0])),
    "de-DE": Columns(("0",), ("ask",), ["ask"], np.array([0.123456]), np.array([0.123456])),
}
DIGESTS = {locale: answers.digest() for locale, answers in ANSWERS.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    columns.write(tmp_path / "x.parquet", ANSWERS)
    return tmp_path / "x.parquet"


def test_what_was_written_is_read(path: Path) -> None:
    assert columns.digests_in(path) == DIGESTS
    found = columns.read(path, DIGESTS)
    assert list(found) == ["sq-AL", "de-DE"]
    for locale, answers in found.items():
        expected = ANSWERS[locale]
        assert (answers.ids, answers.gold, answers.predicted) == (
            [*expected.ids],
            [*expected.gold],
            [*expected.predicted],
        )
        assert answers.confidence.tolist() == expected.confidence.astype(np.float32).tolist()
        assert answers.gold_probability.tolist() == expected.gold_probability.astype(np.float32).tolist()


def test_any_program_reads_it(path: Path) -> None:
    table = parquet.read_table(path)
    assert table.column_names == ["locale", "id", "gold", "predicted", "confidence", "gold_probability"]
    assert table.to_pylist()[1] == {
        "locale": "sq-AL",
        "id": "0",
        "gold": "ask\n,",
        "predicted": "",
        "confidence": 1.0,
        "gold_probability": 0.0,
    }


def test_the_same_answers_are_the_same_bytes(path: Path, tmp_path: Path) -> None:
    columns.write(tmp_path / "y.parquet", columns.read(path, DIGESTS))
    assert (tmp_path / "y.parquet").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("wanted", [{}, {"sq-AL": ""}, {"sq-AL": DIGESTS["de-DE"]}, {"fr-FR": DIGESTS["de-DE"]}])
def test_what_nobody_vouches_for_is_not_there(wanted: dict[str, str], path: Path) -> None:
    assert columns.read(path, wanted) == {}


def test_a_file_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert columns.digests_in(tmp_path / "x.parquet") == columns.read(tmp_path / "x.parquet", DIGESTS) == {}


@pytest.mark.parametrize("change", [0, 1, 2, 3, 4])
def test_the_digest_hangs_on_every_value(change: int) -> None:
    values = ["ids", "gold", "predicted", "confidence", "gold_probability"]
    first = {name: getattr(ANSWERS["sq-AL"], name) for name in values}
    name = values[change]
    assert Columns(**{**first, name: first[name][::-1]}).digest() != DIGESTS["sq-AL"]


@pytest.mark.parametrize("damage", ["cut", "empty", "another's", "a byte"])
def test_a_damaged_file_is_named(damage: str, path: Path) -> None:
    if damage == "another's":
        parquet.write_table(parquet.read_table(path).replace_schema_metadata(None), path)
    elif damage == "a byte":  # of a text, uncompressed so that nothing else notices
        table = parquet.read_table(path)
        parquet.write_table(table, path, compression="none")
        path.write_bytes(path.read_bytes().replace("größe".encode(), "große".encode() + b"!", 1))
    else:
        path.write_bytes(path.read_bytes()[:-9] if damage == "cut" else b"")
    with pytest.raises(StoreError) as caught:
        columns.read(path, DIGESTS)
    assert str(caught.value) == (
        f"{path} is damaged: delete it, and start the run again, which evaluates the source anew."
    )
