"""What stands on the terminal, and that it fits."""

from __future__ import annotations

import io

import pytest
from results_folder import ResultsFolder
from rich.cells import cell_len
from rich.console import Console

from sprachbund.locales import LOCALES
from sprachbund.report import Analysis, headline, print_missing, print_results
from sprachbund.report.summary import Summary


def results(summary: Summary, width: int = 80, *, by_gain: bool = False, analysis: Analysis | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_results(console, summary, analysis, by_gain=by_gain)
    return lines(console)


def missing(summary: Summary) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    print_missing(console, summary)
    return lines(console)


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def line_of(locale: str, found: list[str]) -> str:
    return next(line for line in found if locale in line.split()[:2])


def test_52_locales_fit_80_columns_uncut(full: ResultsFolder) -> None:
    found = results(full.summary())
    assert max(map(cell_len, found)) <= 80
    assert not any("…" in line for line in found)
    for place in LOCALES:
        assert len(line_of(place.name, found).split()) >= 7
    assert max(map(cell_len, results(full.summary(), width=79))) <= 79


def test_auto_stands_beside_the_three_on_80_columns(with_auto: ResultsFolder) -> None:
    found = results(with_auto.summary())
    assert max(map(cell_len, found)) <= 80
    assert not any("…" in line for line in found)
    header = next(line for line in found if line.startswith("family"))
    assert header.split() == ["family", "locale", "baseline", "similarity", "average", "auto", "mean", "best"]
    assert line_of("mean", found).split()[4] == "0.626"
    for index, place in enumerate(LOCALES):
        assert f"{0.6 + index / 1000:.3f}" in line_of(place.name, found).split()
    assert "No room in the table for zero-shot English." in found
    assert any(line.split()[:3] == ["auto", "0.626", "unlabelled"] for line in found)
    assert "208 of 208 results are there." in found
    assert "No room" not in "".join(results(with_auto.summary(), width=100))
    assert missing(with_auto.summary())[-1] == "auto: none missing"


@pytest.mark.parametrize("width", [40, 60, 72, 80, 100, 160])
def test_many_variants_fit_too_or_are_named_below(with_auto: ResultsFolder, width: int) -> None:
    for name in ("distilled-merge-reliability", "pick-overlap", "ties"):
        with_auto.record(name, "af-ZA", 10)
    summary = with_auto.summary()
    found = results(summary, width)
    header = next(line for line in found if line.startswith("family")).split()
    below = " ".join(found).partition("No room in the table for ")[2].partition(".")[0]
    for column in summary.variants:
        assert (column.title in header) != (column.title in below.split(", "))
    start = next(number for number, line in enumerate(found) if line.startswith("family"))
    assert max(map(cell_len, found[start : start + 60])) <= max(width, 48), "three columns at least"


def test_a_table_without_the_seeds_variants(folder: ResultsFolder) -> None:
    folder.record("auto", "af-ZA", 70)
    folder.record("pick-overlap", "af-ZA", 60)
    found = results(folder.summary())
    assert line_of("af-ZA", found).split() == ["Indo-European", "af-ZA", "0.700", "0.600"]
    assert not any("better of similarity" in line or line.startswith("baseline") for line in found)
    assert "2 of 104 results are there, 102 missing." in found
    assert line_of("af-ZA", results(folder.summary(), by_gain=True)).split() == ["af-ZA", "0.700", "0.600"]


def test_by_gain_they_fit_too_and_the_best_gain_stands_first(full: ResultsFolder) -> None:
    summary = full.summary()
    found = results(summary, by_gain=True)
    assert max(map(cell_len, found)) <= 80
    assert max(map(cell_len, results(summary, width=79, by_gain=True))) <= 79
    assert not any("…" in line for line in found)
    names = {place.name for place in LOCALES}
    shown = [(words[1], float(words[0])) for line in found if len(words := line.split()) > 1 and words[1] in names]
    values = {row.locale.name: row.values for row in summary.rows}
    assert {locale for locale, _ in shown} == names
    for locale, gain in shown:
        similarity, baseline = values[locale]["similarity"], values[locale]["baseline"]
        assert similarity is not None
        assert baseline is not None
        assert gain == pytest.approx(100 * (similarity - baseline), abs=0.051)
    assert [gain for _, gain in shown] == sorted((gain for _, gain in shown), reverse=True)


def test_by_gain_those_without_a_gain_stand_last(small: ResultsFolder) -> None:
    found = results(small.summary(), by_gain=True)
    rows = [line.split() for line in found if {"en-US", "af-ZA", "nl-NL"} & set(line.split()[:2])]
    assert [row[:2] for row in rows] == [["-20.0", "en-US"], ["-30.0", "af-ZA"], ["nl-NL", "0.400"]]
    assert any(line.split()[:2] == ["similarity", "-"] for line in found), "the first column says what it is"
    assert not any(line.startswith("family") for line in found)
    assert line_of("mean", found).split() == line_of("mean", results(small.summary())).split()


def test_a_row_shows_its_figures_and_marks_the_better_merge(small: ResultsFolder) -> None:
    found = results(small.summary())
    expected = "Indo-European af-ZA 0.900 0.600* 0.500 0.550 0.400 0.700 nl-NL"
    assert line_of("af-ZA", found).split() == expected.split()
    assert line_of("nl-NL", found).split() == ["nl-NL", "0.400", "0.500*", "0.300", "0.400", "0.400", "en-US"]
    assert "*" not in line_of("en-US", found), "a tie has no better one"


def test_a_missing_figure_is_an_empty_cell_in_its_place(small: ResultsFolder) -> None:
    found = results(small.summary())
    dutch, english = line_of("nl-NL", found), line_of("en-US", found)
    baseline = slice(english.index("0.800"), english.index("0.800") + 5)
    assert dutch[baseline].isspace()


def test_means_stand_at_the_end_with_their_counts_where_they_differ(small: ResultsFolder) -> None:
    found = results(small.summary())
    assert line_of("mean", found).split() == ["mean", "0.850", "0.533", "0.533", "0.417", "0.400", "0.533"]
    assert line_of("locales", found).split() == ["locales", "2", "3", "3", "3", "2", "3"]


def test_the_legend_says_what_each_column_has_seen(small: ResultsFolder) -> None:
    small.record("ties", "af-ZA", 95)
    found = results(small.summary())
    assert any(line.split()[:3] == ["baseline", "0.850", "target-train"] for line in found)
    assert any(line.split()[:4] == ["zero-shot", "best", "0.533", "target-test"] for line in found)
    assert any(line.split()[:3] == ["ties", "0.950", "nothing"] for line in found), "other variants stand in the legend"


@pytest.mark.parametrize("demonstration", [True, False])
def test_a_demonstration_is_said(folder: ResultsFolder, demonstration: bool) -> None:
    folder.demonstration = demonstration
    folder.record("baseline", "af-ZA", 90)
    found = results(folder.summary())
    assert found[0].startswith("DEMONSTRATION:") is demonstration
    assert any("Names of Unicode CLDR" in line for line in found), "the notice"
    assert "1 of 156 results are there, 155 missing." in found


def test_a_folder_without_any_prefix_has_no_table(folder: ResultsFolder) -> None:
    folder.record("", "af-ZA", 90, folder="some-model_af-ZA")
    found = results(folder.summary())
    assert not any(line.startswith("family") for line in found)
    assert "0 of 156 results are there, 156 missing, 1 without a prefix, in no column." in found


def test_missing_cells_are_listed_by_variant(small: ResultsFolder) -> None:
    found = missing(small.summary())
    assert found[0] == "baseline: 50 missing"
    assert found[1].startswith("  am-ET ar-SA az-AZ")
    assert max(map(cell_len, found)) <= 80


def test_missing_says_all_and_none(folder: ResultsFolder) -> None:
    for place in LOCALES:
        folder.record("baseline", place.name, 80)
    assert missing(folder.summary()) == [
        "baseline: none missing",
        "similarity: all 52 missing",
        "average: all 52 missing",
    ]


def test_failures_are_listed_with_their_reason(small: ResultsFolder) -> None:
    small.failure("baseline", "nl-NL", "shape [3, 4] is not [4, 3]")
    assert missing(small.summary())[-1] == "baseline nl-NL failed: ValueError: shape [3, 4] is not [4, 3]"


def test_the_headline_comes_with_its_intervals(answered: ResultsFolder) -> None:
    summary, analysis = answered.summary(), answered.analysis()
    found = results(summary, analysis=analysis)
    assert max(map(cell_len, found)) <= 80
    assert "95 % CI" in headline(summary, analysis) in " ".join(found)
    assert "CI" not in " ".join(results(summary))


def test_a_reason_stands_where_there_are_none(answered: ResultsFolder) -> None:
    for path in answered.root.glob("*/predictions.csv"):
        path.unlink()
    found = " ".join(results(answered.summary(), analysis=answered.analysis()))
    assert "Without intervals and tests: " in found
    assert " is missing: start the run that made this result again" in found
    assert "CI" not in found
    assert "similarity beats average in 2 of 3 locales, mean +10.0 points." in found


def test_what_is_left_out_is_said_beside_the_rest(answered: ResultsFolder) -> None:
    (answered.root / "average_af-ZA" / "predictions.csv").unlink()
    found = " ".join(results(answered.summary(), analysis=answered.analysis()))
    assert "Intervals and tests of differences with average leave out af-ZA: " in found
    assert "Without intervals and tests: " not in found
    assert "similarity beats average in 2 of 3 locales, mean +10.0 points." in found, (
        "an interval over two is not of three"
    )
    assert "CI" in found, "that to the baseline stays"
