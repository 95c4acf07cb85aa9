"""Tests and intervals against scipy, published examples and all the ways that there are."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

from sprachbund.report.stats import holm, intervals, sign_flip


def signs(wins: int, losses: int, ties: int = 0) -> np.ndarray:
    return np.array([1] * wins + [-1] * losses + [0] * ties)


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
