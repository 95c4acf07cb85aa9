"""Tests and intervals against statsmodels, scipy, sklearn's definition, published examples and all the ways that there are."""

from __future__ import annotations

import warnings
from itertools import product
from statistics import fmean

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binomtest, bootstrap

from sprachbund.report.stats import (
    benjamini_hochberg,
    difference_interval,
    draws,
    holm,
    intervals,
    macro_f1,
    macro_f1_interval,
    mcnemar,
    sign_flip,
    wilcoxon,
    wilson,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # statsmodels is an oracle here, not our code
    from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import proportion_confint

counts = st.integers(0, 400)
some = settings(deadline=None, max_examples=60)


@some
@given(counts, counts, st.sampled_from([0.8, 0.95, 0.99]))
@example(0, 1, 0.95)
@example(0, 7, 0.95)
def test_wilson_is_that_of_statsmodels(correct: int, wrong: int, level: float) -> None:
    found = wilson(correct, correct + wrong, level)
    if correct + wrong:
        theirs = proportion_confint(correct, correct + wrong, alpha=1 - level, method="wilson")
        assert (found.low, found.high) == pytest.approx(theirs, abs=1e-12)
        assert 0 <= found.low <= correct / (correct + wrong) <= found.high <= 1
    else:
        assert (found.low, found.high) == (0, 1), "nothing is known of it"


@some
@given(counts, counts, counts)
@example(0, 0, 0)
@example(1, 0, 0)
@example(3, 3, 0)
def test_mcnemar_is_that_of_statsmodels(wins: int, losses: int, both: int) -> None:
    p = mcnemar(wins, losses)
    if wins + losses:
        theirs = their_mcnemar([[both, wins], [losses, 5]], exact=True).pvalue
        assert p == pytest.approx(min(1.0, theirs), rel=1e-9)
    else:
        assert p == 1
    assert p == mcnemar(losses, wins)
    assert p == pytest.approx(sign_flip(signs(wins, losses, both)), rel=1e-9)


def signs(wins: int, losses: int, ties: int = 0) -> np.ndarray:
    return np.array([1] * wins + [-1] * losses + [0] * ties, dtype=np.int64)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (5, 5), (6, 5), (12, 3), (3, 12), (101, 59), (700, 640)])
def test_one_seed_is_mcnemar_s_exact_test(wins: int, losses: int) -> None:
    exact = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_flip(signs(wins, losses, ties=7)) == pytest.approx(exact, rel=1e-9)


def test_mcnemar_s_textbook_tables() -> None:
    """Agresti's approval of the prime minister, 150 against 86; Fay's 21 against 9 in the manual of R's exact2x2."""
    assert sign_flip(signs(86, 150)) == pytest.approx(3.716e-05, rel=1e-3)
    assert sign_flip(signs(21, 9)) == pytest.approx(0.04277, rel=1e-3)


def test_several_seeds_count_every_choice_of_signs() -> None:
    lot = np.random.default_rng(3)
    for _ in range(20):
        differences = lot.integers(-3, 4, size=9)
        sums = [abs(int(np.dot(choice, differences))) for choice in product((-1, 1), repeat=len(differences))]
        share = np.mean([total >= abs(int(differences.sum())) for total in sums])
        assert sign_flip(differences) == pytest.approx(share, abs=1e-12)


def test_the_test_keeps_its_level() -> None:
    """Where nothing is there, a p-value at or below 5 % comes up in at most 5 % of cases, and not much less."""
    lot = np.random.default_rng(0)
    found = [sign_flip(lot.integers(-2, 3, size=300)) <= 0.05 for _ in range(2000)]
    assert 0.03 < np.mean(found) < 0.06


@pytest.mark.parametrize("number", [0, 1, 2, 5, 52, 160])
def test_adjusted_p_values_are_those_of_statsmodels(number: int) -> None:
    lot = np.random.default_rng(number)
    tables = [lot.random(number) ** 4, np.round(lot.random(number) ** 4, 2), np.full(number, 0.02), np.zeros(number)]
    for table, (ours, name) in product(tables, ((holm, "holm"), (benjamini_hochberg, "fdr_bh"))):
        adjusted = ours(list(table))
        assert len(adjusted) == number
        if number:
            assert adjusted == pytest.approx(multipletests(table, method=name)[1], abs=1e-12)


def test_holm_s_steps() -> None:
    """By hand: 4 · 0.005, 3 · 0.01, then 2 · 0.03, and 1 · 0.04 is raised to what came before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == pytest.approx([1.0, 1.0])
    assert len(holm([])) == 0


def test_holm_rejects_what_the_sequential_procedure_rejects() -> None:
    """The procedure as Holm states it: go on from the smallest as long as p ≤ level / hypotheses left."""
    lot = np.random.default_rng(1)
    for _ in range(50):
        p_values = np.round(lot.random(12) ** 4, 3)  # ties and zeros among them
        rejected = set()
        for rank, place in enumerate(np.argsort(p_values, kind="stable")):
            if p_values[place] > 0.05 / (len(p_values) - rank):
                break
            rejected.add(int(place))
        assert set(np.flatnonzero(holm(list(p_values)) <= 0.05)) == rejected


def test_intervals_are_those_of_scipy() -> None:
    lot = np.random.default_rng(2)
    values = np.stack([lot.integers(-1, 2, size=400) / 3 + 0.02, lot.normal(size=400)])
    ours = intervals(values, resamples=20_000)
    for row, (low, high) in zip(values, ours, strict=True):
        theirs = bootstrap((row,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(5))
        width = high - low
        assert low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
        assert high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)
        error = row.std() / np.sqrt(len(row))
        assert (low, high) == pytest.approx((row.mean() - 1.96 * error, row.mean() + 1.96 * error), abs=0.03 * width)


def test_intervals_of_a_row_do_not_hang_on_its_neighbours() -> None:
    values = np.random.default_rng(4).normal(size=(3, 50))
    alone = intervals(values[1:2], resamples=700)
    assert intervals(values, resamples=700)[1] == pytest.approx(alone[0], rel=1e-12)
    assert not np.allclose(intervals(values, resamples=700, seed=1)[1], alone[0])


def test_no_difference_is_an_interval_of_no_width() -> None:
    assert intervals(np.zeros((1, 10)), resamples=100).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("wins", "losses", "neither"),
    [(0, 0, 1), (0, 0, 40), (1, 0, 0), (9, 0, 0), (5, 5, 5), (0, 3, 50), (40, 25, 300), (124, 118, 2732)],
)
def test_a_difference_has_the_interval_of_unboundedly_many_resamples(wins: int, losses: int, neither: int) -> None:
    total = wins + losses + neither
    once = np.array([losses, neither, wins]) / total
    chances = np.ones(1)
    for _ in range(total):
        chances = np.convolve(chances, once)
    reached = np.cumsum(chances)
    expected = [(int(np.argmax(reached >= share)) - total) / total for share in (0.025, 0.975)]
    found = difference_interval(wins, losses, total)
    assert [found.low, found.high] == expected
    ((low, high),) = intervals(signs(wins, losses, neither)[None], resamples=20_000)
    assert (found.low, found.high) == pytest.approx((low, high), abs=max(1.01 / total, 0.03 * (high - low)))


def test_a_smaller_level_has_a_smaller_interval() -> None:
    wide, narrow = difference_interval(40, 25, 365), difference_interval(40, 25, 365, 0.5)
    assert wide.low < narrow.low < 15 / 365 < narrow.high < wide.high


def plain_macro_f1(gold: np.ndarray, predicted: np.ndarray) -> float:
    """By the definition, intent by intent."""
    found = []
    for intent in set(gold.tolist()):
        hits = np.sum((gold == intent) & (predicted == intent))
        precision = hits / max(1, np.sum(predicted == intent))
        recall = hits / np.sum(gold == intent)
        found.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    return fmean(found)


@some
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8)), min_size=1, max_size=40))
@example([(0, 0)])
@example([(0, 5)])
def test_macro_f1_is_over_the_intents_that_occur(rows: list[tuple[int, int]]) -> None:
    gold, predicted = np.array(rows, dtype=np.int16).T
    assert macro_f1(gold, predicted) == pytest.approx(plain_macro_f1(gold, predicted), abs=1e-12)


def test_macro_f1_of_resamples_is_that_of_their_rows() -> None:
    """Each resample is laid out as rows, in which an intent may be missing, and measured by the definition."""
    lot = np.random.default_rng(6)
    gold = np.minimum(lot.geometric(0.3, size=60) - 1, 9).astype(np.int16)
    predicted = np.where(lot.random(60) < 0.6, gold, lot.integers(0, 12, 60)).astype(np.int16)
    drawn = draws(60, 300, seed=7)
    assert drawn.shape == (60, 300)
    assert set(drawn.sum(axis=0)) == {60}
    places = [np.repeat(np.arange(60), times.astype(int)) for times in drawn.T]
    plain = [plain_macro_f1(gold[place], predicted[place]) for place in places]
    assert any(set(gold[place]) < set(gold) for place in places)
    found = macro_f1_interval(gold, predicted, drawn)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(plain, [2.5, 97.5])), abs=1e-12)


def test_macro_f1_of_one_row_has_an_interval_of_no_width() -> None:
    one = np.zeros(1, dtype=np.int16)
    right, wrong = (macro_f1_interval(one, answer, draws(1, 10)) for answer in (one, one + 1))
    assert (right.low, right.high, wrong.low, wrong.high) == (1, 1, 0, 0)


def test_draws_are_those_of_a_seed() -> None:
    assert np.array_equal(draws(20, 30, seed=1), draws(20, 30, seed=1))
    assert not np.array_equal(draws(20, 30, seed=1), draws(20, 30, seed=2))


@pytest.mark.parametrize("number", [1, 2, 10, 30, 52])
def test_wilcoxon_leaves_zeros_out(number: int) -> None:
    lot = np.random.default_rng(number)
    for whole in (lot.integers(-2, 4, number), lot.permutation(number) - number // 3, np.full(number, 2)):
        there = whole[whole != 0]
        if len(there):
            theirs = stats.wilcoxon(there, zero_method="wilcox").pvalue
            assert wilcoxon(list(whole / 2974)) == pytest.approx(theirs, rel=1e-9)


def test_wilcoxon_of_no_difference_is_none() -> None:
    assert wilcoxon([]) is None
    assert wilcoxon([0.0, 0.0]) is None


def test_wilcoxon_of_few_is_every_choice_of_signs() -> None:
    """Ranks 1 to 6, the third negative: the share of the 64 choices whose ranks lean as far."""
    leaning = [
        abs(sum(sign * rank for sign, rank in zip(choice, range(1, 7), strict=True)))
        for choice in product((-1, 1), repeat=6)
    ]
    share = fmean(lean >= 21 - 2 * 3 for lean in leaning)
    assert wilcoxon([0.1, 0.2, -0.3, 0.4, 0.5, 0.6]) == pytest.approx(share)
