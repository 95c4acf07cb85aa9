"""Every figure of the summary against a computation by hand (the numbers stand in the ``small`` fixture)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from results_folder import ResultsFolder

from sprachbund.errors import StoreError
from sprachbund.locales import LOCALES
from sprachbund.report import headline, summarise, transfer_similarity_correlation
from sprachbund.report.summary import Difference, LocaleRow, Summary, by_language_family, making_of, statistics_of
from sprachbund.similarity import SimilarityMatrix


def row(summary: Summary, locale: str) -> LocaleRow:
    return next(row for row in summary.rows if row.locale.name == locale)


def compared(summary: Summary, first: str, second: str) -> Difference:
    return next(d for d in summary.differences if (d.first, d.second) == (first, second))


def test_rows_hold_the_figures_of_each_locale(small: ResultsFolder) -> None:
    summary = small.summary()
    assert row(summary, "af-ZA").values == {
        "baseline": 0.9,
        "similarity": 0.6,
        "average": 0.5,
        "zero_shot_mean": pytest.approx(0.55),  # English 0.40, Dutch 0.70; Afrikaans itself is no foreign source
        "zero_shot_english": 0.4,
        "zero_shot_best": 0.7,
        "majority_rate": 0.08,
    }
    assert row(summary, "af-ZA").best_source == "nl-NL"
    assert row(summary, "af-ZA").foreign_sources == 2


def test_a_column_says_what_it_is_made_of(small: ResultsFolder) -> None:
    small.record("ensemble-uniform", "af-ZA", 70, sources={"nl-NL": 0.5, "en-US": 0.5}, adaptation="ensemble")
    small.record("merge-reliable", "af-ZA", 70, sources={"nl-NL": 0.5, "en-US": 0.5}, adaptation="merge")
    small.record("few-finetuned-5", "af-ZA", 70, sources={"nl-NL": 1.0}, adaptation="few-finetuned")
    small.record("few-finetuned-merge-5", "af-ZA", 70, sources={"nl-NL": 0.5, "en-US": 0.5}, adaptation="few-finetuned")
    said = {column.name: column.meaning for column in small.summary().variants}
    assert said["few-finetuned-5"] == "one source, fine-tuned on a few labels"
    assert said["few-finetuned-merge-5"] == "fine-tuned merge of 2 sources, effectively 2.0"
    assert said["ensemble-uniform"] == "ensemble of 2 sources, effectively 2.0"
    assert said["merge-reliable"] == "merge of 2 sources, effectively 2.0"
    assert said["baseline"] == "one checkpoint as it is"


def test_how_records_came_about_is_said_of_all_of_them(folder: ResultsFolder) -> None:
    records = [
        folder.record("average", locale, 50, threads=threads) for locale, threads in (("af-ZA", 8), ("sq-AL", 1))
    ]
    assert making_of(records).threads == "1, 8"
    old = folder.record("average", "de-DE", 50, threads=None)
    assert making_of([*records, old]).threads == "1, 8, not recorded"
    assert making_of([old]).threads == "not recorded"


def test_english_for_english_is_blank(small: ResultsFolder) -> None:
    english = row(small.summary(), "en-US")
    assert english.values["zero_shot_english"] is None
    assert english.values["zero_shot_mean"] == pytest.approx(0.4)


def test_missing_is_none_and_has_no_difference(small: ResultsFolder) -> None:
    dutch = row(small.summary(), "nl-NL")
    assert dutch.values["baseline"] is None
    assert dutch.difference("similarity", "baseline") is None
    assert dutch.difference("similarity", "average") == pytest.approx(-0.1)


def test_every_locale_has_a_row_but_only_some_are_evaluated(small: ResultsFolder) -> None:
    summary = small.summary()
    assert tuple(row.locale for row in summary.rows) == LOCALES
    assert [row.locale.name for row in summary.evaluated] == ["af-ZA", "en-US", "nl-NL"]
    assert set(row(summary, "th-TH").values.values()) == {None}


def test_no_figure_is_nan_or_a_stand_in(small: ResultsFolder) -> None:
    for found in small.summary().rows:
        assert all(value is None or math.isfinite(value) for value in found.values.values())
        assert 0.0 not in found.values.values()


def test_the_best_source_of_equals_is_the_first(small: ResultsFolder) -> None:
    small.transfer("de-DE", {"af-ZA": 70})
    assert row(small.summary(), "af-ZA").best_source == "de-DE"


def test_majority_rate_comes_from_transfers_where_there_is_no_record(small: ResultsFolder) -> None:
    small.transfer("de-DE", {"th-TH": 44})
    assert row(small.summary(), "th-TH").values["majority_rate"] == 0.08


def test_statistics_over_the_locales_that_are_there() -> None:
    found = statistics_of({"a": 0.1, "b": 0.4, "c": None, "d": 0.1, "e": 0.6})
    assert (found.count, found.minimum, found.maximum) == (4, 0.1, 0.6)
    assert (found.lowest, found.highest) == (("a", "d"), ("e",))
    assert found.mean == pytest.approx(0.3)
    assert found.median == pytest.approx(0.25)
    assert found.std == pytest.approx(math.sqrt((0.04 + 0.01 + 0.04 + 0.09) / 3)), "sample: divided by n - 1"


def test_statistics_of_one_and_of_none() -> None:
    one, none = statistics_of({"a": 0.5}), statistics_of({"a": None})
    assert (one.count, one.mean, one.std) == (1, 0.5, None)
    assert (none.count, none.mean, none.minimum, none.lowest) == (0, None, None, ())


def test_differences_are_paired(small: ResultsFolder) -> None:
    summary = small.summary()
    merged, behind = compared(summary, "similarity", "average"), compared(summary, "similarity", "baseline")
    assert (merged.count, merged.wins, merged.ties, merged.losses) == (3, 1, 1, 1)
    assert merged.mean == pytest.approx(0.0)
    assert (behind.count, behind.wins, behind.ties, behind.losses) == (2, 0, 0, 2)
    assert behind.mean == pytest.approx(-0.25)
    assert compared(summary, "similarity", "zero_shot_mean").mean == pytest.approx((0.05 + 0.2 + 0.1) / 3)


def test_other_variants_are_compared_with_baseline_similarity_and_single_sources(small: ResultsFolder) -> None:
    small.record("ties", "af-ZA", 95)
    small.record("ties", "th-TH", 10)
    means = {
        "baseline": 0.05,
        "similarity": 0.35,
        "zero_shot_mean": 0.4,
        "zero_shot_english": 0.55,
        "zero_shot_best": 0.25,
    }
    for second, mean in means.items():
        ties = compared(small.summary(), "ties", second)
        assert (ties.count, ties.wins) == (1, 1)
        assert ties.mean == pytest.approx(mean)


def test_what_was_not_run_is_no_column_and_compared_with_nothing(folder: ResultsFolder) -> None:
    folder.record("auto", "af-ZA", 70)
    folder.record("average", "af-ZA", 60)
    folder.transfer("nl-NL", {"af-ZA": 65})
    summary = folder.summary()
    assert [column.name for column in summary.variants] == ["average", "auto"]
    assert summary.counts.expected == 2 * 52
    assert summary.mean_baseline is None
    assert {name for d in summary.differences for name in (d.first, d.second)}.isdisjoint({"baseline", "similarity"})
    assert headline(summary) == "auto stands at +5.0 points against the mean zero-shot source."


def test_expected_cells_are_done_failed_or_missing(small: ResultsFolder) -> None:
    small.record("ties", "af-ZA", 95)
    small.failure("baseline", "nl-NL", "no space left")
    small.failure("ties", "nl-NL", "no space left")
    summary = small.summary()
    counts = summary.counts
    assert (counts.expected, counts.done, counts.failed, counts.missing) == (208, 9, 2, 197)
    assert {variant: len(names) for variant, names in summary.missing.items()} == {
        "baseline": 49,
        "similarity": 49,
        "average": 49,
        "ties": 50,
    }
    assert "nl-NL" not in summary.missing["baseline"], "a failed cell is not missing"
    assert len(summary.failures) == 2


def test_a_full_run_misses_nothing(full: ResultsFolder) -> None:
    summary = full.summary()
    assert (summary.counts.done, summary.counts.missing) == (156, 0)
    assert set(summary.missing.values()) == {()}
    assert summary.mean_baseline == pytest.approx(0.78 + 0.003 * 25.5)


def test_columns_say_what_they_have_seen(small: ResultsFolder) -> None:
    small.record("similarity", "sq-AL", 60, uses=("target-train", "unlabelled"))
    seen = {column.name: column.seen for column in small.summary().columns}
    assert seen == {
        "baseline": "target-train",
        "similarity": "target-train, unlabelled",
        "average": "nothing",
        "zero_shot_mean": "nothing",
        "zero_shot_english": "nothing",
        "zero_shot_best": "target-test",
        "majority_rate": "target-test",
    }


def test_the_oracle_of_dev_has_seen_dev(folder: ResultsFolder) -> None:
    folder.record("baseline", "af-ZA", 90, split="dev")
    assert {c.name: c.seen for c in folder.summary().columns}["zero_shot_best"] == "target-dev"


def test_effective_sources_and_head_agreement(small: ResultsFolder) -> None:
    summary = small.summary()
    assert summary.effective_sources == {
        "baseline": 1.0,
        "similarity": pytest.approx(1 / (0.25 + 0.09 + 0.04)),
        "average": pytest.approx(2.0),
    }
    found = summary.head_agreement
    assert found is not None
    assert (found.cosine, found.variant, found.locale) == (0.4, "similarity", "nl-NL")


def test_a_prefix_that_is_a_column_is_refused(small: ResultsFolder) -> None:
    small.record("majority_rate", "af-ZA", 1)
    with pytest.raises(StoreError, match="'majority_rate' is the name of a column"):
        summarise(small.load())


def test_headline_says_who_wins(small: ResultsFolder) -> None:
    assert headline(small.summary()) == (
        "similarity beats average in 1 of 3 locales and ties in 1, mean +0.0 points. "
        "It stands at +11.7 points against the mean zero-shot source and -25.0 points against the baseline."
    )


def test_headline_says_how_sure_that_is(answered: ResultsFolder) -> None:
    analysis = answered.analysis()
    merged, behind = (analysis.comparison("similarity", second) for second in ("average", "baseline"))
    assert merged is not None
    assert behind is not None
    low, high = (f"{100 * bound:+.1f}" for bound in (merged.interval.low, merged.interval.high))
    far, near = (f"{100 * bound:+.1f}" for bound in (behind.interval.low, behind.interval.high))
    assert headline(answered.summary(), analysis) == (
        f"similarity beats average in 2 of 3 locales, mean +10.0 points (95 % CI {low} to {high}, "
        f"Holm p = {merged.p_adjusted:.2g}). It stands at +35.0 points against the mean zero-shot source and "
        f"-19.2 points (95 % CI {far} to {near}) against the baseline."
    )
    assert 0 < merged.interval.low < 0.1 < merged.interval.high < 0.2


def test_headline_calls_a_small_p_value_small(answered: ResultsFolder) -> None:
    analysis = answered.analysis()
    surer = tuple(replace(comparison, p_adjusted=1e-30) for comparison in analysis.comparisons)
    assert ", Holm p < 0.0001). " in headline(answered.summary(), replace(analysis, comparisons=surer))


def test_headline_takes_no_interval_of_other_locales(answered: ResultsFolder) -> None:
    """A comparison over two of the three locales says nothing of the mean over three."""
    analysis = answered.analysis()
    fewer = tuple(replace(comparison, locales=comparison.locales - 1) for comparison in analysis.comparisons)
    summary = answered.summary()
    assert headline(summary, replace(analysis, comparisons=fewer)) == headline(summary)
    assert "CI" not in headline(summary)


def test_headline_without_anything_to_compare(folder: ResultsFolder) -> None:
    folder.record("baseline", "af-ZA", 90)
    assert headline(folder.summary()) == "Nothing can be compared yet: 1 of 156 results are there."


def test_headline_speaks_of_two_more_variants_at_most(small: ResultsFolder) -> None:
    for name, correct in (("auto", 65), ("pick", 50), ("ties", 95)):
        small.record(name, "af-ZA", correct)
    assert headline(small.summary()).split(". ", 2)[2] == (
        "auto stands at +5.0 points against similarity, +10.0 points against the mean zero-shot source and -25.0 points "
        "against the baseline. pick stands at -10.0 points against similarity, -5.0 points against the mean zero-shot source "
        "and -40.0 points against the baseline."
    )


def test_without_average_the_headline_is_about_similarity(folder: ResultsFolder) -> None:
    folder.record("baseline", "af-ZA", 90)
    folder.record("similarity", "af-ZA", 60)
    assert headline(folder.summary()) == "similarity stands at -30.0 points against the baseline."


def test_groups_follow_the_locale_table(full: ResultsFolder) -> None:
    groups = by_language_family(full.summary().rows)
    assert [family for family, _ in groups][:3] == ["Indo-European", "Afro-Asiatic", "Turkic"]
    assert sum(len(rows) for _, rows in groups) == 52
    germanic = [row.locale.name for row in groups[0][1]][:8]
    assert germanic == ["af-ZA", "da-DK", "de-DE", "en-US", "is-IS", "nb-NO", "nl-NL", "sv-SE"]


def matrix(values: list[list[float]]) -> SimilarityMatrix:
    return SimilarityMatrix(("af-ZA", "en-US", "nl-NL"), np.array(values), "test", "made up", frozenset({"nothing"}))


def test_correlation_reads_rows_as_targets(small: ResultsFolder) -> None:
    """Zero-shot accuracies off the diagonal, target by target: af 40 70, en 30 50, nl 20 40."""
    transfers = small.load().transfers
    same_order = matrix([[9, 3.5, 6], [2, 9, 5], [1, 3.5, 9]])
    found = transfer_similarity_correlation(transfers, same_order)
    assert found is not None
    assert found.rho == pytest.approx(1.0)
    assert found.pairs == 6
    wrong_way_round = transfer_similarity_correlation(transfers, matrix(same_order.values.T.tolist()))
    assert wrong_way_round is not None
    assert wrong_way_round.rho < 0.5


def test_correlation_of_nothing_is_none(small: ResultsFolder) -> None:
    assert transfer_similarity_correlation([], matrix([[1, 2, 3]] * 3)) is None
    assert transfer_similarity_correlation(small.load().transfers, matrix([[1, 1, 1]] * 3)) is None
