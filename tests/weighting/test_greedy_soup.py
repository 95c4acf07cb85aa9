"""Greedy soup: against the paper's steps, on scores of which we know what comes out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sprachbund.errors import MixError
from sprachbund.weighting import greedy_soup


class Oven:
    """Scores a merge by where it lies: the nearer to the goal, the better. Keeps what was tried."""

    def __init__(self, places: list[list[float]], goal: list[float]) -> None:
        self.places, self.goal = np.array(places), np.array(goal)
        self.tried: list[list[float]] = []

    def score(self, weights: np.ndarray) -> float:
        self.tried.append(weights.tolist())
        return -float(np.linalg.norm(weights @ self.places - self.goal))

    def alone(self) -> list[float]:
        return [-float(np.linalg.norm(place - self.goal)) for place in self.places]


def plain(oven: Oven) -> np.ndarray:
    """Wortsman et al., recipe 1, on the points themselves."""
    order = sorted(range(len(oven.places)), key=lambda i: np.linalg.norm(oven.places[i] - oven.goal))
    ingredients: list[int] = []
    for i in order:
        before = oven.places[ingredients].mean(axis=0) if ingredients else np.full(2, np.inf)
        after = oven.places[[*ingredients, i]].mean(axis=0)
        if np.linalg.norm(after - oven.goal) <= np.linalg.norm(before - oven.goal):
            ingredients.append(i)
    return np.isin(np.arange(len(order)), ingredients) / len(ingredients)


@pytest.mark.parametrize("seed", range(20))
def test_the_recipe(seed: int) -> None:
    random = np.random.default_rng(seed)
    oven = Oven(random.normal(size=(6, 2)).tolist(), [0, 0])
    np.testing.assert_allclose(greedy_soup(oven.alone(), oven.score), plain(oven))
    assert len(oven.tried) == 5


def test_one_who_harms_is_left_out_and_the_next_still_tried() -> None:
    oven = Oven([[1, 0], [1.1, 0], [-1.3, 0]], [0, 0])
    np.testing.assert_allclose(greedy_soup(oven.alone(), oven.score), [0.5, 0, 0.5])
    assert oven.tried == [[0.5, 0.5, 0], [0.5, 0, 0.5]]


def test_one_who_changes_nothing_is_taken() -> None:
    np.testing.assert_allclose(greedy_soup([0.5, 0.5, 0.5], lambda weights: 0.5), [1 / 3] * 3)


def test_a_merge_without_a_score_is_not_taken() -> None:
    np.testing.assert_allclose(greedy_soup([0.5, 0.6], lambda weights: float("nan")), [0, 1])


def test_the_score_of_the_soup_never_falls() -> None:
    reached: list[float] = []
    oven = Oven(np.random.default_rng(1).normal(size=(8, 2)).tolist(), [0.2, 0.1])
    best = max(oven.alone())
    for k in range(1, 9):
        part = Oven(oven.places[np.argsort(oven.alone())[::-1][:k]].tolist(), [0.2, 0.1])
        reached.append(part.score(greedy_soup(part.alone(), part.score)))
    assert reached[0] == pytest.approx(best)
    assert all(later >= earlier - 1e-12 for earlier, later in pairwise(reached))


def test_the_order_of_sources_does_not_matter() -> None:
    oven = Oven(np.random.default_rng(2).normal(size=(6, 2)).tolist(), [0, 0])
    turned = Oven(oven.places[::-1].tolist(), [0, 0])
    np.testing.assert_allclose(greedy_soup(turned.alone(), turned.score)[::-1], greedy_soup(oven.alone(), oven.score))


def test_one_source_is_the_soup_and_none_is_no_soup() -> None:
    oven = Oven([[1, 0]], [0, 0])
    assert greedy_soup(oven.alone(), oven.score).tolist() == [1]
    assert oven.tried == []
    with pytest.raises(MixError, match="at least one source"):
        greedy_soup([], oven.score)
    with pytest.raises(MixError, match="nan in place 2 of 2"):
        greedy_soup([0.1, float("nan")], oven.score)
