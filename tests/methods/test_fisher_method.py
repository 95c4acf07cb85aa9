"""Fisher merging: what its formula says, in float64 and in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from methods.whole import apply

from sprachbund.errors import MixError

WEIGHTS = (0.5, 0.3, 0.2)


@pytest.fixture
def thetas() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 4, 5))


@pytest.fixture
def fisher() -> np.ndarray:
    """As of a trained classifier: small, and of many orders of size."""
    return 10.0 ** np.random.default_rng(1).uniform(-16, -4, size=(3, 4, 5))


def handed(fisher: np.ndarray) -> dict[str, np.ndarray]:
    return {"fisher": fisher.reshape(len(fisher), -1)}


def test_each_number_is_a_mean_under_weights_times_fisher(thetas: np.ndarray, fisher: np.ndarray) -> None:
    merged = apply("fisher", thetas, WEIGHTS, handed=handed(fisher))
    for place in np.ndindex(4, 5):
        precision = [w * f[place] for w, f in zip(WEIGHTS, fisher, strict=True)]
        expected = sum(p * t[place] for p, t in zip(precision, thetas, strict=True)) / sum(precision)
        assert merged[place] == pytest.approx(expected, rel=1e-12)


def test_two_sources_of_which_one_is_three_times_as_sure() -> None:
    thetas = np.array([[1.0, 1.0], [5.0, 5.0]])
    fisher = np.array([[1.0, 3.0], [3.0, 1.0]]) * 1e-9
    np.testing.assert_allclose(apply("fisher", thetas, (1, 1), handed=handed(fisher)), [4.0, 2.0])
    np.testing.assert_allclose(apply("fisher", thetas, (3, 1), handed=handed(fisher)), [3.0, 1.4])


def test_one_fisher_for_all_is_the_weighted_mean(thetas: np.ndarray) -> None:
    fisher = np.full(thetas.shape, 1e-7)
    expected = np.average(thetas, axis=0, weights=WEIGHTS)
    np.testing.assert_allclose(apply("fisher", thetas, WEIGHTS, handed=handed(fisher)), expected)


def test_where_nobody_knows_it_is_the_weighted_mean(thetas: np.ndarray, fisher: np.ndarray) -> None:
    fisher[:, 1, 2] = 0
    merged = apply("fisher", thetas, WEIGHTS, handed=handed(fisher))
    assert merged[1, 2] == pytest.approx(np.average(thetas[:, 1, 2], weights=WEIGHTS), rel=1e-12)
    assert np.isfinite(merged).all()


def test_where_one_alone_knows_it_is_theirs(thetas: np.ndarray, fisher: np.ndarray) -> None:
    fisher[[0, 2], 1, 2] = 0
    assert apply("fisher", thetas, WEIGHTS, handed=handed(fisher))[1, 2] == pytest.approx(thetas[1, 1, 2], rel=1e-12)


def test_the_floor_is_added_to_every_fisher(thetas: np.ndarray, fisher: np.ndarray) -> None:
    precision = np.array(WEIGHTS)[:, None, None] * (fisher + 1e-6)
    expected = (precision * thetas).sum(axis=0) / precision.sum(axis=0)
    merged = apply("fisher", thetas, WEIGHTS, handed=handed(fisher), floor=1e-6)
    np.testing.assert_allclose(merged, expected, rtol=1e-12)
    assert not np.allclose(merged, apply("fisher", thetas, WEIGHTS, handed=handed(fisher)), rtol=1e-3)


def test_sources_that_agree_stay_what_they_are_to_the_last_bit(fisher: np.ndarray) -> None:
    one = np.random.default_rng(2).normal(size=(4, 5)).astype(np.float32)
    merged = apply("fisher", np.stack([one] * 3), (1, 1, 2), handed=handed(fisher))
    np.testing.assert_array_equal(merged.astype(np.float32), one)


def test_only_the_proportions_of_weights_count(thetas: np.ndarray, fisher: np.ndarray) -> None:
    of_one, of_ten = (apply("fisher", thetas, np.multiply(WEIGHTS, k), handed=handed(fisher)) for k in (1, 10))
    np.testing.assert_allclose(of_one, of_ten, rtol=1e-12)


@pytest.mark.parametrize("method", ["fisher", "regmean"])
@pytest.mark.parametrize("weights", [(0, 0, 0), (1, -0.1, 1)])
def test_weights_that_make_no_mean(method: str, weights: tuple[float, ...], thetas: np.ndarray) -> None:
    given = {"fisher": handed(thetas**2), "regmean": {"gram": np.stack([np.eye(5)] * 3)}}[method]
    with pytest.raises(
        MixError, match=f"The method {method} takes a mean of its sources: its weights must be 0 or more"
    ):
        apply(method, thetas, weights, handed=given)
