"""Scores, contrasts and comparisons, recomputed row by row and resample by resample from the files of predictions."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from statistics import fmean

import numpy as np
import pytest
from results_folder import INTENTS, ResultsFolder
from scipy.stats import binomtest, false_discovery_control
from scipy.stats import wilcoxon as signed_ranks

from sprachbund.data import Partition
from sprachbund.evaluation import performance
from sprachbund.report.analysis import Analysis, Comparison, Interval, analyse, comparison, contrast
from sprachbund.report.answers import Answers, read_answers
from sprachbund.report.stats import holm, intervals, wilson
from sprachbund.store import Columns, Prediction, RunStore, read_predictions

VARIANTS = {"baseline": 0.85, "similarity": 0.6, "average": 0.5, "ties": 0.55}
LOCALES = ("af-ZA", "de-DE", "en-US", "th-TH")


def fill(folder: ResultsFolder, ids: dict[str, list[str]], seed: int = 0) -> None:
    """Write every variant in every locale; of one id the answers in all locales are right or wrong together more often."""
    lot = np.random.default_rng(seed)
    hard = {id_: lot.random() for id_ in sorted({id_ for there in ids.values() for id_ in there})}
    for variant, skill in VARIANTS.items():
        for locale, there in ids.items():
            folder.answers(variant, locale, there, [0.88 * hard[id_] + 0.12 * lot.random() < skill for id_ in there])


@pytest.fixture
def aligned(folder: ResultsFolder) -> ResultsFolder:
    """Return results where all locales have the same 60 ids."""
    fill(folder, {locale: [str(number) for number in range(60)] for locale in LOCALES})
    return folder


@pytest.fixture
def ragged(folder: ResultsFolder) -> ResultsFolder:
    """Return results where locales have 30 to 75 ids, some of them in common."""
    lot = np.random.default_rng(1)
    fill(
        folder,
        {
            locale: [str(number) for number in sorted(lot.choice(90, size, replace=False))]
            for locale, size in zip(LOCALES, (30, 45, 60, 75), strict=True)
        },
    )
    return folder


def answers_of(folder: ResultsFolder) -> Answers:
    return read_answers(folder.root, folder.load())


def right(folder: ResultsFolder, variant: str, locale: str) -> dict[str, bool]:
    rows = read_predictions(RunStore(folder.root).folder(variant, locale))
    return {row.id: row.gold == row.predicted for row in rows}


def differences(folder: ResultsFolder, first: str, second: str) -> dict[str, dict[str, int]]:
    """By locale, then by id."""
    found = {}
    for locale in LOCALES:
        one, two = right(folder, first, locale), right(folder, second, locale)
        found[locale] = {id_: one[id_] - two[id_] for id_ in one}
    return found


def compared(found: Analysis, first: str, second: str) -> Comparison:
    comparison = found.comparison(first, second)
    assert comparison is not None
    return comparison


@pytest.mark.parametrize("made", ["aligned", "ragged"])
def test_contrasts_count_ids(made: str, request: pytest.FixtureRequest) -> None:
    folder: ResultsFolder = request.getfixturevalue(made)
    found = folder.analysis()
    for (first, second), rows in found.contrasts.items():
        plain = differences(folder, first, second)
        assert [row.locale for row in rows] == list(LOCALES)
        p_values = []
        for row in rows:
            signs = list(plain[row.locale].values())
            assert (row.first, row.second, row.wins, row.losses) == (first, second, signs.count(1), signs.count(-1))
            assert row.difference == pytest.approx(fmean(signs))
            assert row.interval.low <= row.difference <= row.interval.high
            p_values.append(binomtest(row.wins, row.wins + row.losses).pvalue if row.wins + row.losses else 1.0)
        assert [row.p for row in rows] == pytest.approx(p_values, rel=1e-9)
        assert [row.p_adjusted for row in rows] == pytest.approx(false_discovery_control(p_values))


@pytest.mark.parametrize("made", ["aligned", "ragged"])
def test_comparisons_count_locales(made: str, request: pytest.FixtureRequest) -> None:
    folder: ResultsFolder = request.getfixturevalue(made)
    found = folder.analysis()
    summary = {(d.first, d.second): d for d in folder.summary().differences}
    for row in found.comparisons:
        means = [fmean(signs.values()) for signs in differences(folder, row.first, row.second).values()]
        rows = found.contrasts[row.first, row.second]
        assert row.mean == pytest.approx(fmean(means)) == summary[row.first, row.second].mean
        assert row.locales == summary[row.first, row.second].count == len(LOCALES)
        assert (row.wins, row.losses) == (sum(mean > 0 for mean in means), sum(mean < 0 for mean in means))
        assert row.wins + row.ties + row.losses == row.locales
        assert row.better == sum(c.p_adjusted <= 0.05 and c.wins > c.losses for c in rows)
        assert row.worse == sum(c.p_adjusted <= 0.05 and c.wins < c.losses for c in rows)
        assert row.wilcoxon_p == pytest.approx(signed_ranks([mean for mean in means if mean]).pvalue)
        assert row.interval.low < row.mean < row.interval.high
    asked, screened = found.comparisons[:3], found.comparisons[3:]
    assert [(row.first, row.second) for row in asked] == [
        ("similarity", "average"),
        ("similarity", "baseline"),
        ("average", "baseline"),
    ]
    assert [row.p_adjusted for row in asked] == pytest.approx(holm([row.p for row in asked]))
    assert [row.p_adjusted for row in screened] == pytest.approx(false_discovery_control([row.p for row in screened]))
    assert [row.adjusted_by for row in found.comparisons] == ["Holm over 3"] * 3 + ["Benjamini-Hochberg over 3"] * 3
    assert any(row.p_adjusted > row.p for row in asked)
    assert any(row.p_adjusted > row.p for row in screened)


def test_what_else_was_run_changes_no_answer_of_the_main_job(aligned: ResultsFolder) -> None:
    before = aligned.analysis().comparisons[:3]
    for number in range(12):
        for locale in LOCALES:
            aligned.answers(f"a{number}", locale, list(map(str, range(60))), [id_ % 3 > 0 for id_ in range(60)])
    after = aligned.analysis()
    assert len(after.comparisons) == 3 + 13 * 3
    assert [(row.p, row.p_adjusted) for row in after.comparisons[:3]] == [(row.p, row.p_adjusted) for row in before]
    assert {row.adjusted_by for row in after.comparisons[:3]} == {"Holm over 3"}


def test_questions_are_as_many_as_were_run(folder: ResultsFolder) -> None:
    for variant in ("similarity", "average", "auto"):
        folder.answers(variant, "af-ZA", ["0", "1", "2"], [True, False, variant == "average"])
    rows = {(row.first, row.second): row.adjusted_by for row in folder.analysis().comparisons}
    assert rows == {
        ("similarity", "average"): "Holm over 1",
        ("auto", "similarity"): "Benjamini-Hochberg over 2",
        ("auto", "average"): "Benjamini-Hochberg over 2",
    }


def plain_interval(plain: dict[str, dict[str, int]], resamples: int) -> tuple[float, float]:
    """Draw ids, lay out the rows of each locale that come with them, and take means of means."""
    lot = np.random.default_rng(9)
    ids = sorted({id_ for there in plain.values() for id_ in there})
    means = []
    for _ in range(resamples):
        drawn = lot.choice(ids, len(ids))
        means.append(fmean(fmean(there[id_] for id_ in drawn if id_ in there) for there in plain.values()))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


@pytest.mark.parametrize(("made", "off"), [("aligned", 0.05), ("ragged", 0.07)])
def test_an_id_is_drawn_with_its_answers_in_all_locales(made: str, off: float, request: pytest.FixtureRequest) -> None:
    folder: ResultsFolder = request.getfixturevalue(made)
    row = compared(folder.analysis(), "similarity", "average")
    plain = differences(folder, "similarity", "average")
    low, high = plain_interval(plain, 3000)
    width = high - low
    assert (row.interval.low, row.interval.high) == pytest.approx((low, high), abs=off * width)
    answers = [sign for there in plain.values() for sign in there.values()]
    as_if_independent = 2 * 1.96 * np.std(answers) / math.sqrt(len(answers))
    assert width > 1.1 * as_if_independent, "else a test of nothing: answers to one id are alike here"


def test_the_signs_of_an_id_turn_in_all_locales_at_once(folder: ResultsFolder) -> None:
    ids = {
        "af-ZA": ["0", "1", "2", "3", "4", "5"],
        "de-DE": ["2", "3", "4", "5", "6", "7", "8"],
        "en-US": list("2345679"),
    }
    lot = np.random.default_rng(8)
    for variant, (locale, there) in product(("similarity", "average"), ids.items()):
        folder.answers(variant, locale, there, [bool(lot.random() < 0.5) for _ in there])
    row = compared(folder.analysis(), "similarity", "average")
    sums = dict.fromkeys(map(str, range(10)), 0)
    for locale in ids:
        one, two = right(folder, "similarity", locale), right(folder, "average", locale)
        for id_ in one:
            sums[id_] += one[id_] - two[id_]
    assert max(map(abs, sums.values())) > 1
    flipped = [abs(np.dot(signs, list(sums.values()))) for signs in product((-1, 1), repeat=10)]
    assert row.p == pytest.approx(np.mean([total >= abs(sum(sums.values())) for total in flipped]))


def test_any_two_variants_can_be_compared(aligned: ResultsFolder) -> None:
    answers, found = answers_of(aligned), aligned.analysis()
    assert contrast(answers, "similarity", "average") == found.contrasts["similarity", "average"]
    alone = comparison(answers, "similarity", "average")
    assert alone is not None
    assert alone.p_adjusted == alone.p, "nothing else was asked"
    among = compared(found, "similarity", "average")
    assert (alone.adjustment, alone.adjusted_by) == ("", "")
    told = replace(alone, p_adjusted=among.p_adjusted, adjustment="Holm", adjusted_over=3)
    assert replace(told, interval=among.interval) == among
    assert alone.interval.low == pytest.approx(among.interval.low, abs=1e-12)
    there, back = (comparison(answers, *pair) for pair in (("ties", "baseline"), ("baseline", "ties")))
    assert there is not None
    assert back is not None
    assert (there.mean, there.wins, there.better, there.p) == (-back.mean, back.losses, back.worse, back.p)
    assert contrast(answers, "similarity", "nobody") == ()
    assert comparison(answers, "similarity", "nobody") is None


def test_only_locales_that_both_have_answered_are_compared(aligned: ResultsFolder) -> None:
    aligned.answers("auto", "de-DE", [str(number) for number in range(60)], [True] * 60)
    row = compared(aligned.analysis(), "auto", "average")
    assert (row.locales, row.wins, row.better) == (1, 1, 1)
    assert aligned.analysis().comparison("auto", "zero_shot_best") is None


def test_equal_variants_differ_in_nothing(folder: ResultsFolder) -> None:
    for variant in ("similarity", "average"):
        for locale in LOCALES:
            folder.answers(variant, locale, ["0", "1", "2"], [True, False, True])
    row = compared(folder.analysis(), "similarity", "average")
    assert (row.mean, row.interval.low, row.interval.high) == (0, 0, 0)
    assert (row.wins, row.ties, row.losses, row.better, row.worse) == (0, 4, 0, 0, 0)
    assert (row.p, row.p_adjusted, row.wilcoxon_p) == (1, 1, None)


def test_one_id_is_enough_to_say_that_nothing_is_known(folder: ResultsFolder) -> None:
    folder.answers("similarity", "af-ZA", ["0"], [True])
    folder.answers("average", "af-ZA", ["0"], [False])
    found = folder.analysis()
    row = compared(found, "similarity", "average")
    assert (row.locales, row.wins, row.mean, row.p) == (1, 1, 1, 1)
    assert found.scores["similarity", "af-ZA"].accuracy_interval == wilson(1, 1)


def test_scores_are_those_of_the_records_with_intervals(aligned: ResultsFolder) -> None:
    results, found = aligned.load(), aligned.analysis(macro_f1_resamples=200)
    assert list(found.scores) == list(results.records)
    for cell, record in results.records.items():
        score = found.scores[cell]
        measured = record.performance
        assert (score.variant, score.locale) == cell
        assert (score.correct, score.total, score.accuracy) == (measured.correct, 60, measured.accuracy)
        assert (score.macro_f1, score.macro_f1_intents) == (measured.macro_f1, measured.macro_f1_intents)
        assert score.accuracy_interval == wilson(measured.correct, 60)
        interval = score.macro_f1_interval
        assert interval is not None
        assert interval.low < score.accuracy < interval.high, "all intents are as frequent: macro-F1 is near accuracy"
    assert {score.macro_f1_interval for score in aligned.analysis(macro_f1_resamples=0).scores.values()} == {None}


def test_other_answers_have_scores_and_contrasts_too(aligned: ResultsFolder) -> None:
    """As those of the best zero-shot source, which is no record of a variant."""
    answers = answers_of(aligned)
    taken = {("zero_shot_best", locale): ("ties", locale) for locale in LOCALES[:3]}
    also = replace(
        answers,
        predicted={**answers.predicted, **{cell: answers.predicted[other] for cell, other in taken.items()}},
        confidence={**answers.confidence, **{cell: answers.confidence[other] for cell, other in taken.items()}},
    )
    found = analyse(aligned.load(), also, macro_f1_resamples=20)
    ours = found.scores["zero_shot_best", "de-DE"]
    theirs = found.scores["ties", "de-DE"]
    assert (ours.correct, ours.total, ours.accuracy_interval) == (
        theirs.correct,
        theirs.total,
        theirs.accuracy_interval,
    )
    assert ours.macro_f1_interval == theirs.macro_f1_interval
    assert ours.macro_f1_intents == len(INTENTS)
    assert ours.macro_f1_interval is not None
    assert ours.macro_f1_interval.low < ours.macro_f1 < ours.macro_f1_interval.high
    assert compared(found, "ties", "zero_shot_best").ties == 3
    assert compared(found, "average", "zero_shot_best").locales == 3
    assert ("baseline", "zero_shot_best") in found.contrasts


def test_the_best_source_is_as_calibrated_as_a_record_of_the_same_answers(folder: ResultsFolder) -> None:
    """Some confidences lie on the edge of a bin, from which fp32 would move them; one gold intent the model lacks."""
    ids, gold = tuple(map(str, range(40))), tuple(INTENTS[number % 3] for number in range(40))
    partition = Partition("af-ZA", "test", ids, ids, gold)
    lot = np.random.default_rng(4)
    rows = [
        Prediction(
            id=id_,
            gold=intent,
            predicted=INTENTS[int(lot.integers(3))],
            confidence=0.2 * int(lot.integers(1, 5)) if number % 2 else round(float(lot.random()), 6),
            gold_probability=0.0 if number == 7 else float(f"{lot.random():.6g}"),
        )
        for number, (id_, intent) in enumerate(zip(ids, gold, strict=True))
    ]
    kept = Columns(
        ids=ids,
        gold=gold,
        predicted=[row.predicted for row in rows],
        confidence=np.array([row.confidence for row in rows]),
        gold_probability=np.array([row.gold_probability for row in rows]),
    )
    folder.record("baseline", "af-ZA", 1, total=40, predictions=rows)
    folder.transfer("nl-NL", {"af-ZA": 50}, answers={"af-ZA": kept})
    measured = performance(rows, partition)
    score = folder.analysis().scores["zero_shot_best", "af-ZA"]
    assert score.accuracy == measured.accuracy
    assert score.nll == pytest.approx(measured.nll, rel=1e-6)
    assert score.ece == pytest.approx(measured.ece, abs=1e-12)


SOURCES = {"en-US": 61, "nl-NL": 30}
"""How many of 100 sentences each answers rightly, the first ones."""


def with_sources(folder: ResultsFolder) -> dict[str, str]:
    """Write a variant and what single sources answer, kept; return the rows of one locale by id."""
    ids = [str(number) for number in range(100)]
    gold = [INTENTS[number % 5] for number in range(100)]
    for locale in ("af-ZA", "th-TH"):
        folder.answers("similarity", locale, ids, [number % 10 < 5 for number in range(100)])
    for source, right in SOURCES.items():
        said = [intent if number < right else "other" for number, intent in enumerate(gold)]
        sure = np.full(100, 0.5)
        kept = {locale: Columns(ids, gold, said, sure, sure) for locale in ("af-ZA", "th-TH")}
        folder.transfer(source, dict.fromkeys(kept, right), answers=kept)
    return dict(zip(ids, gold, strict=True))


def test_the_mean_of_all_sources_is_compared_id_by_id(folder: ResultsFolder) -> None:
    with_sources(folder)
    found = folder.analysis()
    row = compared(found, "similarity", "zero_shot_mean")
    summary = {(d.first, d.second): d for d in folder.summary().differences}["similarity", "zero_shot_mean"]
    assert (row.locales, row.mean) == (summary.count, pytest.approx(0.5 - 0.455)) == (2, pytest.approx(summary.mean))
    plain = np.array([(i % 10 < 5) - ((i < 61) + (i < 30)) / 2 for i in range(100)])
    ((low, high),) = intervals(plain[None])
    assert (row.interval.low, row.interval.high) == (pytest.approx(low), pytest.approx(high))
    signs = np.random.default_rng(5).choice([-1, 1], (20_000, 100))
    assert row.p == pytest.approx((abs(signs @ plain) >= plain.sum() - 1e-9).mean(), abs=0.02)
    assert (row.wins, row.ties, row.losses, row.better, row.worse) == (2, 0, 0, None, None)
    assert ("similarity", "zero_shot_mean") not in found.contrasts, "it is no model"
    english = compared(found, "similarity", "zero_shot_english")
    assert (english.locales, english.mean) == (2, pytest.approx(-0.11))
    ((low, high),) = intervals(np.array([[float(i % 10 < 5) for i in range(100)]]))
    assert found.means["similarity"].interval == Interval(pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize("lost", ["not kept", "other count"])
def test_a_mean_of_some_sources_is_no_mean_of_all(lost: str, folder: ResultsFolder) -> None:
    gold = with_sources(folder)
    sure = np.full(100, 0.5)
    kept = {"af-ZA": Columns([*gold], [*gold.values()], [*gold.values()], sure, sure)}
    folder.transfer("sv-SE", {"af-ZA": 20}, answers=None if lost == "not kept" else kept)
    found = folder.analysis()
    assert compared(found, "similarity", "zero_shot_mean").locales == 1
    assert any("zero_shot_mean leave out af-ZA" in note and "--overwrite" in note for note in found.notes)


def test_what_is_drawn_hangs_on_the_seed_alone(aligned: ResultsFolder) -> None:
    assert aligned.analysis() == aligned.analysis()
    other = aligned.analysis(seed=1)
    assert [row.interval for row in other.comparisons] != [row.interval for row in aligned.analysis().comparisons]
    assert [row.p for row in other.comparisons] == [row.p for row in aligned.analysis().comparisons]


def test_without_predictions_there_are_scores_and_a_reason(aligned: ResultsFolder) -> None:
    whole = aligned.analysis()
    assert (whole.blank, whole.notes) == ("", ())
    paths = [
        RunStore(aligned.root).folder(variant, locale) / "predictions.csv" for variant, locale in aligned.load().records
    ]
    for path in paths:
        path.unlink()
    found = aligned.analysis()
    assert str(paths[0]) in found.blank
    assert (found.contrasts, found.comparisons, found.notes) == ({}, (), ())
    assert found.scores == {cell: replace(score, macro_f1_interval=None) for cell, score in whole.scores.items()}


def test_one_damaged_file_takes_nothing_else_with_it(aligned: ResultsFolder) -> None:
    whole = aligned.analysis()
    path = RunStore(aligned.root).folder("average", "de-DE") / "predictions.csv"
    path.write_bytes(b"id,gold\n")
    found = aligned.analysis()
    assert found.blank == ""
    (note,) = found.notes
    assert note.startswith("Intervals and tests of differences with average leave out de-DE: ")
    assert str(path) in note
    assert found.contrasts.keys() == whole.contrasts.keys()
    for pair, rows in found.contrasts.items():
        left = [row.locale for row in rows]
        assert left == ([locale for locale in LOCALES if locale != "de-DE"] if "average" in pair else list(LOCALES))
    there, before = compared(found, "similarity", "average"), whole.contrasts["similarity", "average"]
    assert there.locales == 3
    assert there.mean == pytest.approx(fmean(row.difference for row in before if row.locale != "de-DE"))
    same = compared(whole, "similarity", "baseline")
    assert compared(found, "similarity", "baseline").interval == same.interval
    assert found.scores["average", "de-DE"].macro_f1_interval is None


def test_what_is_left_out_is_said_once_for_all_locales(aligned: ResultsFolder) -> None:
    for source, target in (("nl-NL", LOCALES[0]), ("sv-SE", LOCALES[1]), ("da-DK", LOCALES[2]), ("fr-FR", LOCALES[3])):
        aligned.transfer(source, {target: 70})
    for locale in LOCALES:
        (RunStore(aligned.root).folder("ties", locale) / "predictions.csv").unlink()
    first, *damaged, last = aligned.analysis().notes
    assert first.startswith(
        "Intervals and tests of differences with zero_shot_best and zero_shot_mean leave out af-ZA, de-DE and 2 others: "
    )
    assert "`sprachbund transfer`" in first
    assert "--overwrite" in first
    assert [note.split(" leave out ")[1][:5] for note in damaged] == ["af-ZA", "de-DE"]
    assert last == "They leave out 2 more results, whose predictions cannot be read either."
