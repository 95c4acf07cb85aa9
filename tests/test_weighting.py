"""Weights: closed forms, what must hold for every weighting, and numbers at the edge of floating point."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprachbund import weighting
from sprachbund.errors import MixError, UnknownName, UserError
from sprachbund.weighting import DEFAULT_SHARPNESS, WEIGHTINGS, effective_number, normalise, options_of, weigh

POSITIVE = st.lists(st.floats(0.001, 1000), min_size=1, max_size=12)
ANY = st.lists(st.floats(-1000, 1000), min_size=1, max_size=12)
SHARPNESS = st.floats(0, 1000)


# What holds for every weighting


@settings(deadline=None)
@given(scores=POSITIVE)
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_weights_are_a_distribution(name: str, scores: list[float]) -> None:
    weights = weigh(name, scores)
    assert weights.shape == (len(scores),)
    assert weights.dtype == np.float64
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, rel=0, abs=1e-12)


@settings(deadline=None)
@given(scores=POSITIVE, random=st.randoms(use_true_random=False))
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_the_order_of_sources_does_not_matter(name: str, scores: list[float], random: Random) -> None:
    order = list(range(len(scores)))
    random.shuffle(order)
    shuffled = weigh(name, [scores[i] for i in order])
    np.testing.assert_allclose(shuffled, weigh(name, scores)[order], rtol=0, atol=1e-12)


@settings(deadline=None)
@given(scores=POSITIVE)
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_higher_score_never_weighs_less(name: str, scores: list[float]) -> None:
    ascending = sorted(scores)
    assert (np.diff(weigh(name, ascending)) >= -1e-15).all()


@pytest.mark.parametrize("name", WEIGHTINGS)
@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "at least one source"),
        ([[1.0, 2.0]], r"shape \(1, 2\)"),
        ([1.0, math.nan], "nan in place 2 of 2"),
        ([math.inf, 1.0, 2.0], "inf in place 1 of 3"),
    ],
)
def test_no_weighting_takes_what_is_no_list_of_numbers(name: str, scores: list[float], message: str) -> None:
    with pytest.raises(MixError, match=message):
        weigh(name, scores)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_single_source_has_all_the_weight(name: str) -> None:
    assert weigh(name, [0.3]).tolist() == [1.0]


# Each by its closed form


def test_uniform() -> None:
    assert weigh("uniform", [0.9, -5.0, 0.0, 3.0]).tolist() == [0.25] * 4


def test_proportional_and_manual() -> None:
    assert weigh("proportional", [3.0, 1.0]).tolist() == [0.75, 0.25]
    assert weigh("manual", [2, 0, 6]).tolist() == [0.25, 0.0, 0.75]


@settings(deadline=None)
@given(a=st.floats(-1, 1), b=st.floats(-1, 1), sharpness=st.floats(0, 100))
def test_similarity_of_two_is_a_logistic_curve(a: float, b: float, sharpness: float) -> None:
    first, second = weigh("similarity", [a, b], sharpness=sharpness)
    assert first == pytest.approx(1 / (1 + math.exp(sharpness * (b - a))), rel=0, abs=1e-12)
    assert second == pytest.approx(1 / (1 + math.exp(sharpness * (a - b))), rel=0, abs=1e-12)


def test_similarity_of_three_by_hand() -> None:
    # exp(20 · (0, -0.05, -0.1)) = 1, e^-1, e^-2
    total = 1 + math.exp(-1) + math.exp(-2)
    expected = [math.exp(-1) / total, 1 / total, math.exp(-2) / total]
    assert weigh("similarity", [0.85, 0.9, 0.8], sharpness=20.0).tolist() == pytest.approx(expected, abs=1e-12)
    assert expected == pytest.approx([0.244728, 0.665241, 0.090031], abs=1e-6)


def test_sharpness_has_one_default() -> None:
    scores = [0.9, 0.85, 0.7]
    assert options_of("similarity") == {"sharpness": DEFAULT_SHARPNESS}
    assert weigh("similarity", scores).tolist() == weigh("similarity", scores, sharpness=DEFAULT_SHARPNESS).tolist()


@settings(deadline=None)
@given(scores=ANY)
def test_no_sharpness_is_uniform(scores: list[float]) -> None:
    assert weigh("similarity", scores, sharpness=0.0).tolist() == weigh("uniform", scores).tolist()


@settings(deadline=None)
@given(scores=ANY, shift=st.floats(-100, 100))
def test_only_differences_in_similarity_count(scores: list[float], shift: float) -> None:
    moved = weigh("similarity", [score + shift for score in scores], sharpness=2.0)
    np.testing.assert_allclose(moved, weigh("similarity", scores, sharpness=2.0), rtol=0, atol=1e-9)


@settings(deadline=None)
@given(scores=ANY, one=SHARPNESS, other=SHARPNESS)
def test_sharper_is_fewer(scores: list[float], one: float, other: float) -> None:
    blunt, sharp = (effective_number(weigh("similarity", scores, sharpness=s)) for s in sorted((one, other)))
    assert sharp <= blunt + 1e-9


@pytest.mark.parametrize(
    ("scores", "sharpness", "expected"),
    [
        ([1e308, -1e308], 0.0, [0.5, 0.5]),
        ([1e308, -1e308], 1e308, [1.0, 0.0]),
        ([-1e308, -1e308], 1e308, [0.5, 0.5]),
        ([1000.0, 999.0], 1000.0, [1.0, 0.0]),
        ([-1000.0, -1000.0, -2000.0], 50.0, [0.5, 0.5, 0.0]),
    ],
)
def test_similarity_at_the_edge_of_floats(scores: list[float], sharpness: float, expected: list[float]) -> None:
    with np.errstate(all="raise", under="ignore"):
        assert weigh("similarity", scores, sharpness=sharpness).tolist() == expected


def test_normalise_at_the_edge_of_floats() -> None:
    with np.errstate(all="raise", under="ignore"):
        assert normalise([1e308, 1e308, 0.0]).tolist() == [0.5, 0.5, 0.0]
        assert normalise([5e-324, 5e-324]).tolist() == [0.5, 0.5]


def test_normalise_leaves_what_it_is_given() -> None:
    given_weights = np.array([1.0, 3.0])
    assert normalise(given_weights).tolist() == [0.25, 0.75]
    assert given_weights.tolist() == [1.0, 3.0]


@pytest.mark.parametrize("name", ["proportional", "manual"])
def test_negative_and_empty_weights_are_refused(name: str) -> None:
    with pytest.raises(MixError, match="must not be negative; got -2 in place 3 of 3"):
        weigh(name, [1.0, 0.5, -2.0])
    with pytest.raises(MixError, match="above 0; all 2 are 0"):
        weigh(name, [0.0, 0.0])


@pytest.mark.parametrize("sharpness", [-1.0, math.nan, math.inf])
def test_a_sharpness_is_finite_and_not_negative(sharpness: float) -> None:
    with pytest.raises(MixError, match="finite number ≥ 0"):
        weigh("similarity", [0.5, 0.6], sharpness=sharpness)


def test_an_option_that_a_weighting_does_not_have_is_refused() -> None:
    with pytest.raises(UserError, match=r"'uniform' has no option 'sharpness' \(it has none\)"):
        weigh("uniform", [1.0, 2.0], sharpness=3.0)
    with pytest.raises(UserError, match=r"no option 'temperature' \(it has sharpness\)"):
        weigh("similarity", [1.0, 2.0], temperature=3.0)


def test_an_unknown_weighting_gets_a_suggestion() -> None:
    with pytest.raises(UnknownName, match="did you mean uniform"):
        weigh("unifrom", [1.0])


# How many sources the weights amount to


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([1.0], 1.0), ([0.2] * 5, 5.0), ([1.0, 0.0, 0.0], 1.0), ([0.5, 0.5, 0.0], 2.0), ([0.5, 0.3, 0.2], 1 / 0.38)],
)
def test_effective_number_by_hand(weights: list[float], expected: float) -> None:
    assert effective_number(weights) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(scores=POSITIVE)
def test_effective_number_lies_between_one_and_n(scores: list[float]) -> None:
    number = effective_number(normalise(scores))
    assert 1 - 1e-9 <= number <= len(scores) + 1e-9


@settings(deadline=None)
@given(scores=POSITIVE)
def test_splitting_every_source_in_two_doubles_the_effective_number(scores: list[float]) -> None:
    assert effective_number(normalise(scores * 2)) == pytest.approx(2 * effective_number(normalise(scores)), rel=1e-9)


def test_the_public_surface_is_there() -> None:
    assert weighting.__all__ == sorted(weighting.__all__)
    assert all(hasattr(weighting, name) for name in weighting.__all__)
    assert set(WEIGHTINGS) == {"manual", "proportional", "similarity", "uniform"}
