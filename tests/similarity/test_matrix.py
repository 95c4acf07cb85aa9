"""The matrix type: what it accepts, which way round it is read, and that it cannot change."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sprachbund import similarity
from sprachbund.errors import DataError, UnknownName
from sprachbund.selection import select
from sprachbund.similarity import SIMILARITIES, SimilarityMatrix, load, read_csv, sinkhorn_normalised

NOTHING = frozenset({"nothing"})


def matrix(locales: tuple[str, ...], values: object) -> SimilarityMatrix:
    return SimilarityMatrix(locales, np.asarray(values), "test", "made up", NOTHING)


TRANSFER = matrix(("de-DE", "nl-NL", "ja-JP"), [[0.9, 0.7, 0.2], [0.6, 0.8, 0.1], [0.3, 0.25, 0.95]])
"""Asymmetric, so that a transposition shows."""


def test_rows_are_targets_and_columns_are_sources() -> None:
    assert TRANSFER.score("de-DE", "nl-NL") == 0.7
    assert TRANSFER.score("nl-NL", "de-DE") == 0.6
    assert TRANSFER.row("ja-JP") == {"de-DE": 0.3, "nl-NL": 0.25, "ja-JP": 0.95}
    assert list(TRANSFER.row("ja-JP")) == ["de-DE", "nl-NL", "ja-JP"]


def test_is_a_read_only_float64_copy() -> None:
    given = np.array([[1, 0], [0, 1]], dtype=np.int32)
    held = matrix(("de-DE", "nl-NL"), given)
    given[0, 1] = 7
    assert held.score("de-DE", "nl-NL") == 0.0
    assert held.values.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        held.values[0, 0] = 2.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        held.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("locales", "values", "message"),
    [
        (("de-DE", "nl-NL"), np.zeros((2, 3)), r"2 targets and 2 sources need values of shape \(2, 2\).*got \(2, 3\)"),
        (("de-DE",), np.zeros((2, 2)), r"1 targets and 1 sources need values of shape \(1, 1\).*got \(2, 2\)"),
        (("de-DE", "nl-NL"), np.zeros(2), r"got \(2,\)"),
        ((), np.zeros((0, 0)), "at least"),
        (("de-DE", "nl-NL", "de-DE"), np.zeros((3, 3)), "de-DE has several"),
        (("de-DE", "nl-NL"), [[1, 0], [np.nan, 1]], r"row nl-NL \(target\), column de-DE \(source\) holds nan"),
        (("de-DE", "nl-NL"), [[1, -np.inf], [np.inf, 1]], r"row de-DE .* column nl-NL .* -inf.*\(2 are not\)"),
    ],
)
def test_refuses_what_is_no_similarity(locales: tuple[str, ...], values: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        matrix(locales, values)


def test_an_unknown_locale_gets_a_suggestion() -> None:
    with pytest.raises(UnknownName, match=r"'nl-BE'.*did you mean nl-NL"):
        TRANSFER.row("nl-BE")
    with pytest.raises(UnknownName, match="did you mean de-DE"):
        TRANSFER.score("nl-NL", "de-AT")


def test_load_by_name() -> None:
    assert load("uriel:syntax_knn").name == "uriel:syntax_knn"
    with pytest.raises(UnknownName, match="did you mean uriel:syntax_knn"):
        load("uriel:syntax")


def test_a_target_need_not_have_a_source() -> None:
    wide = SimilarityMatrix(("de-DE", "nl-NL"), np.array([[0.5, 0.25]]), "test", "made up", NOTHING, ("sq-AL",))
    assert wide.row("sq-AL") == {"de-DE": 0.5, "nl-NL": 0.25}
    assert select("topk", wide, "sq-AL", k=1).sources == ("de-DE",)
    with pytest.raises(UnknownName, match="'de-DE'"):
        wide.row("de-DE")
    with pytest.raises(UnknownName, match="'sq-AL'"):
        wide.score("sq-AL", "sq-AL")
    with pytest.raises(DataError, match=r"1 targets and 2 sources. Use --selection topk"):
        sinkhorn_normalised(wide)


def test_what_it_has_seen_is_a_word_that_there_is() -> None:
    with pytest.raises(UnknownName, match="did you mean target-dev"):
        SimilarityMatrix(("de-DE",), np.ones((1, 1)), "test", "made up", frozenset({"target-devel"}))
    seen = SimilarityMatrix(("de-DE",), np.ones((1, 1)), "test", "made up", frozenset({"nothing", "unlabelled"}))
    assert seen.uses == {"unlabelled"}


@pytest.mark.parametrize("name", SIMILARITIES)
def test_every_registered_similarity_says_what_it_is(name: str) -> None:
    if SIMILARITIES[name].needs:
        pytest.importorskip(SIMILARITIES[name].needs.split()[0])
    loaded = load(name)
    assert loaded.name == name
    assert loaded.provenance
    assert "\n" not in loaded.provenance
    assert loaded.uses == set(SIMILARITIES[name].uses)
    assert loaded.provenance.endswith(SIMILARITIES[name].provenance)


def test_read_csv() -> None:
    text = ",de-DE,nl-NL\nde-DE,1.0,0.25\nnl-NL,0.125,1.0\n"
    parsed = read_csv(text, name="mine", provenance="by hand", uses=NOTHING)
    assert parsed.locales == ("de-DE", "nl-NL")
    assert parsed.values.tolist() == [[1.0, 0.25], [0.125, 1.0]]
    assert (parsed.name, parsed.provenance, parsed.uses) == ("mine", "by hand", NOTHING)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no table"),
        (",de-DE,nl-NL\n", "holds no table"),
        (",de-DE,nl-NL\nde-DE,1,0\nde-DE,0,1\n", "one row only; de-DE"),
        (",de-DE,de-DE\nde-DE,1,0\n", "one column only; de-DE"),
        (",de-DE,nl-NL\nde-DE,1,0\nnl-NL,1\n", "row nl-NL has 1 values for 2 columns"),
        (",de-DE,nl-NL\nde-DE,1,0\nnl-NL,,1\n", "row nl-NL, column de-DE holds ''"),
        (",de-DE,nl-NL\nde-DE,1,nan\nnl-NL,0,1\n", r"row de-DE \(target\), column nl-NL"),
    ],
)
def test_read_csv_says_where_a_table_is_wrong(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_csv(text, name="mine", provenance="", uses=NOTHING)


def test_the_public_surface_is_there() -> None:
    assert similarity.__all__ == sorted(similarity.__all__)
    assert all(hasattr(similarity, name) for name in similarity.__all__)
