"""Names of similarities: sums, files, measures, and what all of them have seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sprachbund.errors import DataError, UnknownName, UserError
from sprachbund.measures import MEASURES
from sprachbund.similarity import (
    MEASURED,
    SIMILARITIES,
    SimilarityMatrix,
    is_measured,
    load,
    mean_of,
    parse,
    parts,
    write_csv,
)
from sprachbund.similarity.names import DEFAULT_TEXTS, texts_of
from sprachbund.uses import USES

TABLE = "# provenance: by hand\n# uses: target-dev\n,de-DE,nl-NL\nsq-AL,0.5,0.25\nde-DE,1,0\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def test_a_sum_is_the_mean_of_its_parts_as_they_are() -> None:
    one, other, both = load("uriel:syntax_knn"), load("uriel:geo"), load("uriel:syntax_knn+uriel:geo")
    np.testing.assert_allclose(both.values, (one.values + other.values) / 2, rtol=0, atol=1e-15)
    assert both.name == "uriel:syntax_knn+uriel:geo"
    assert one.provenance in both.provenance
    assert other.provenance in both.provenance
    assert both.uses == {"nothing"}


def test_a_sum_has_seen_what_its_parts_have_seen(table: Path) -> None:
    both = load(f"uriel:geo+file:{table}")
    assert both.uses == {"target-dev"}
    assert (both.targets, both.locales) == (("de-DE", "sq-AL"), ("de-DE", "nl-NL"))
    assert both.score("sq-AL", "nl-NL") == pytest.approx((load("uriel:geo").score("sq-AL", "nl-NL") + 0.25) / 2)


def test_parts_without_a_locale_in_common_make_no_sum() -> None:
    other = SimilarityMatrix(("xx",), np.ones((1, 1)), "mine", "made up", frozenset({"nothing"}))
    with pytest.raises(DataError, match=r"uriel:geo\+mine: its parts have no column in common"):
        mean_of([load("uriel:geo"), other])


@pytest.mark.parametrize("name", ["uriel:geo+", "+", "uriel:geo++uriel:fam", "uriel:geo+uriel:geo"])
def test_what_is_no_sum_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"one \+ between two different names"):
        parts(name)


def test_a_file_is_read_as_it_was_written(table: Path, tmp_path: Path) -> None:
    mine = load(f"file:{table}")
    assert (mine.targets, mine.locales, mine.uses) == (("sq-AL", "de-DE"), ("de-DE", "nl-NL"), {"target-dev"})
    assert (mine.name, mine.provenance) == (f"file:{table}", "by hand")
    assert mine.row("sq-AL") == {"de-DE": 0.5, "nl-NL": 0.25}
    for name in ("uriel:syntax_knn", f"file:{table}"):
        (tmp_path / "again.csv").write_text(write_csv(load(name)), encoding="utf-8")
        again = load(f"file:{tmp_path / 'again.csv'}")
        assert np.array_equal(again.values, load(name).values)
        assert (again.uses, again.provenance) == (load(name).uses, load(name).provenance)
        assert (again.targets, again.locales) == (load(name).targets, load(name).locales)


@pytest.mark.parametrize("said", ["", "# uses:\n", "# provenance: by hand\n"])
def test_a_table_that_does_not_say_what_it_has_seen_is_refused(said: str) -> None:
    with pytest.raises(DataError, match=r"mine does not say what it has seen .* `# uses: nothing`"):
        parse(f"{said},de-DE\nde-DE,1\n", "mine")


def test_what_a_table_says_it_has_seen_is_a_word_that_there_is() -> None:
    with pytest.raises(UnknownName, match=r"'dev-target'.*did you mean target-few or target-dev or target-test\?"):
        parse("# uses: dev-target\n,de-DE\nde-DE,1\n", "mine")
    found = parse("# Uses: target-dev, unlabelled\n,de-DE\nde-DE,1\n", "mine")
    assert found.uses == {"target-dev", "unlabelled"}
    assert parse("# uses: nothing unlabelled\n,de-DE\nde-DE,1\n", "mine").uses == {"unlabelled"}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("# uses: nothing größe".encode("latin-1"))
    for name, message in (("none", "no such file"), ("", "is a folder"), ("latin", "not UTF-8")):
        with pytest.raises(DataError, match=message):
            load(f"file:{tmp_path / name}")


def test_measures_are_declared_and_there() -> None:
    assert set(MEASURED) == set(MEASURES)
    assert not set(MEASURED) & set(SIMILARITIES)
    for declared in MEASURED.values():
        assert set(declared.uses) < set(USES)
        assert declared.uses != ("nothing",)
        assert set(declared.needs) <= {"texts", "sources", "base", "labels", "own"}


def test_measured_similarities_are_known_by_name() -> None:
    assert not is_measured("uriel:syntax_knn+uriel:geo")
    assert is_measured("uriel:syntax_knn+transfer")
    assert is_measured("agreement:500")
    with pytest.raises(UserError, match="transfer is measured: name models and data"):
        load("uriel:geo+transfer")
    with pytest.raises(UnknownName, match="did you mean transfer"):
        load("transfr")


def test_a_measure_may_say_how_many_texts() -> None:
    assert texts_of("agreement") == DEFAULT_TEXTS == 2000
    assert texts_of("agreement:500") == 500
    for name, message in (("overlap:0", "1 or more"), ("overlap:x", "1 or more"), ("transfer:5", "reads no texts")):
        with pytest.raises(UserError, match=message):
            texts_of(name)
