"""Methods on the sphere, which see inner products alone: against the same mathematics on whole vectors, and closed forms."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from methods.whole import apply

from sprachbund.errors import MixError
from sprachbund.methods import METHODS
from sprachbund.methods.registry import Array
from sprachbund.methods.sphere import lengths_and_cosines

SHAPE = (4, 5)
WEIGHTED = ("slerp", "multislerp", "multislerp_taus", "karcher")
STOCKS = ("model_stock", "model_stock_filter_wise")
ALL = (*WEIGHTED, *STOCKS)


def strangers(n: int, seed: int = 0) -> Array:
    """Return vectors at about right angles."""
    return np.random.default_rng(seed).normal(size=(n, *SHAPE))


def siblings(n: int, spread: float = 0.014, seed: int = 0) -> Array:
    """Return vectors like fine-tuned checkpoints of one base: cosines of 0.9998, and lengths of their own."""
    random = np.random.default_rng(seed)
    base = random.normal(size=SHAPE)
    return np.stack([(1 + 0.1 * i) * (base + spread * random.normal(size=SHAPE)) for i in range(n)])


def some_weights(name: str, n: int) -> Array:
    """Return weights with sum 1: equal ones where a method takes no others."""
    return np.full(n, 1 / n) if name in STOCKS else np.arange(2, n + 2) / np.arange(2, n + 2).sum()


def most(name: str, n: int) -> int:
    return min(n, METHODS[name].most_sources or n)


# Plain implementations, on whole vectors


def plain_slerp(v: Array, w: Array) -> Array:
    phi = np.arccos(np.vdot(v[0], v[1]) / np.linalg.norm(v[0]) / np.linalg.norm(v[1]))
    return (np.sin(w[0] * phi) * v[0] + np.sin(w[1] * phi) * v[1]) / np.sin(phi)


def plain_multislerp(v: Array, w: Array) -> Array:
    """Goddard's steps, the tangent space with them."""
    norms = np.array([np.linalg.norm(each) for each in v])
    units = v / norms[:, None, None]
    mean = np.tensordot(w, units, 1)
    mean = mean / np.linalg.norm(mean)
    tangents = [u - np.vdot(u, mean) * mean for u in units]
    step = np.tensordot(w, tangents, 1)
    angle = np.linalg.norm(step) + 1e-30
    return float(w @ norms) * (np.cos(angle) * mean + np.sin(angle) / angle * step)


def plain_karcher(v: Array, w: Array, rounds: int = 200) -> Array:
    norms = np.array([np.linalg.norm(each) for each in v])
    units = v / norms[:, None, None]
    mean = units[0]
    for _ in range(rounds):
        step = np.zeros(SHAPE)
        for share, u in zip(w, units, strict=True):
            across = u - np.vdot(u, mean) * mean
            size = np.linalg.norm(across)
            step += share * np.arctan2(size, np.vdot(u, mean)) * across / (size + 1e-300)
        angle = np.linalg.norm(step)
        mean = np.cos(angle) * mean + np.sin(angle) * step / (angle + 1e-300)
        mean = mean / np.linalg.norm(mean)
    return float(w @ norms) * mean


def plain_model_stock(v: Array) -> Array:
    cosines = [np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in combinations(v, 2)]
    c, n = np.mean(cosines), len(v)
    return np.asarray(n * c / (1 + (n - 1) * c) * v.mean(axis=0))


@pytest.mark.parametrize("make", [strangers, siblings])
def test_slerp_is_the_arc(make: object) -> None:
    v, w = make(2), np.array([0.3, 0.7])  # type: ignore[operator]
    np.testing.assert_allclose(apply("slerp", v, w, linear_above=1), plain_slerp(v, w), rtol=1e-9)


@pytest.mark.parametrize("make", [strangers, siblings])
@pytest.mark.parametrize("n", [2, 5])
def test_multislerp_is_what_its_steps_say(make: object, n: int) -> None:
    v, w = make(n), some_weights("multislerp", n)  # type: ignore[operator]
    np.testing.assert_allclose(apply("multislerp", v, w), plain_multislerp(v, w), rtol=1e-9)
    np.testing.assert_allclose(apply("multislerp_taus", v, w, scale=0.5), plain_multislerp(v, w) / 2, rtol=1e-9)


@pytest.mark.parametrize("make", [strangers, siblings])
@pytest.mark.parametrize("n", [2, 5])
def test_karcher_finds_the_mean(make: object, n: int) -> None:
    v, w = make(n), some_weights("karcher", n)  # type: ignore[operator]
    np.testing.assert_allclose(apply("karcher", v, w, max_iter=200, tol=1e-12), plain_karcher(v, w), rtol=1e-7)
    default = apply("karcher", v, w)
    assert np.linalg.norm(default - plain_karcher(v, w)) < 2e-5 * np.linalg.norm(default)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_model_stock_is_its_formula(n: int) -> None:
    v = strangers(n) + 0.7
    np.testing.assert_allclose(apply("model_stock", v, some_weights("model_stock", n)), plain_model_stock(v), rtol=1e-9)


def test_model_stock_of_rows_is_that_of_each_row() -> None:
    v = strangers(3) + 0.7
    merged = apply("model_stock_filter_wise", v, [1 / 3] * 3, scale=2)
    by_row = [2 * plain_model_stock(v[:, row]) for row in range(SHAPE[0])]
    np.testing.assert_allclose(merged, by_row, rtol=1e-9)
    flat = v.reshape(3, -1)
    np.testing.assert_allclose(apply("model_stock_filter_wise", flat, [1 / 3] * 3), plain_model_stock(flat), rtol=1e-9)


def test_products_of_rows_are_summed_in_float64() -> None:
    v = (strangers(3) + 0.7).astype(np.float32)
    exact = apply("model_stock_filter_wise", v.astype(np.float64), [1 / 3] * 3)
    np.testing.assert_allclose(apply("model_stock_filter_wise", v, [1 / 3] * 3), exact, rtol=1e-12)


# Closed forms


def test_slerp_at_a_right_angle() -> None:
    v = np.array([[1.0, 0], [0, 1]])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(apply("slerp", v, [0.5, 0.5]), [half, half])
    np.testing.assert_allclose(apply("slerp", v, [2 / 3, 1 / 3]), [np.sin(np.pi / 3), np.sin(np.pi / 6)])


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)])
def test_slerp_ends_at_its_sources(weights: tuple[float, float]) -> None:
    v = strangers(2)
    np.testing.assert_allclose(apply("slerp", v, weights), v[weights.index(1)], rtol=1e-12)


def test_slerp_of_siblings_is_linear_unless_told_otherwise() -> None:
    v, w = siblings(2), [0.3, 0.7]
    _, cosines = lengths_and_cosines(np.einsum("iab,jab->ij", v, v))
    assert 0.9995 < cosines[0, 1] < 0.9999
    linear, arc = apply("linear", v, w), apply("slerp", v, w, linear_above=1)
    np.testing.assert_array_equal(apply("slerp", v, w), linear)
    assert 1e-5 < np.linalg.norm(arc - linear) / np.linalg.norm(linear) < 1e-3


def test_slerp_takes_two() -> None:
    with pytest.raises(MixError, match="at most 2 sources; got 3"):
        apply("slerp", strangers(3), [0.5, 0.3, 0.2])


def test_karcher_of_two_is_the_arc_between_them_at_its_mean_length() -> None:
    v, w = strangers(2), np.array([0.3, 0.7])
    norms = np.linalg.norm(v.reshape(2, -1), axis=1)
    arc = plain_slerp(v / norms[:, None, None], w)
    np.testing.assert_allclose(apply("karcher", v, w, max_iter=100, tol=1e-9), (w @ norms) * arc, rtol=1e-7)


def test_karcher_and_multislerp_are_not_the_same() -> None:
    v = np.array([[1.0, 0], [0, 1]])
    w = [0.8, 0.2]
    np.testing.assert_allclose(apply("multislerp", v, w), np.array([0.8, 0.2]) / np.hypot(0.8, 0.2))
    np.testing.assert_allclose(apply("karcher", v, w), [np.cos(0.1 * np.pi), np.sin(0.1 * np.pi)], rtol=1e-4)


def test_a_karcher_round_is_one_of_max_iter() -> None:
    v, w = strangers(5), some_weights("karcher", 5)
    off = [np.linalg.norm(apply("karcher", v, w, max_iter=k, tol=1e-12) - plain_karcher(v, w)) for k in (1, 2, 5)]
    assert off[0] > 2 * off[1] > 4 * off[2] > 0
    np.testing.assert_array_equal(apply("karcher", v, w, tol=1), apply("multislerp", v, w))


def test_model_stock_by_the_angle() -> None:
    right = np.eye(3)
    np.testing.assert_allclose(apply("model_stock", right, [1 / 3] * 3), np.zeros(3), atol=1e-15)
    obtuse = np.array([[1.0, 0], [-0.5, np.sqrt(0.75)], [-0.5, -np.sqrt(0.75)]])  # they cancel out: t has no bounds
    np.testing.assert_array_equal(apply("model_stock", obtuse, [1 / 3] * 3), np.zeros(2))
    pair = np.array([[1.0, 0], [0.5, np.sqrt(0.75)]])  # 60 degrees: t = 2 · 0.5 / 1.5
    np.testing.assert_allclose(apply("model_stock", pair, [0.5, 0.5]), 2 / 3 * pair.mean(axis=0))
    apart = np.array([[1.0, 0], [-0.9, np.sqrt(0.19)]])  # c = -0.9: away from both, as in mergekit
    np.testing.assert_allclose(apply("model_stock", apart, [0.5, 0.5]), -18 * apart.mean(axis=0))


@pytest.mark.parametrize("name", STOCKS)
def test_model_stock_knows_no_weights(name: str) -> None:
    with pytest.raises(MixError, match=f"The method {name} counts all sources the same"):
        apply(name, strangers(2), [0.4, 0.6])


# What holds for all of them


@pytest.mark.parametrize("name", ALL)
def test_equal_sources_give_the_source(name: str) -> None:
    n = most(name, 4)
    v = np.repeat(strangers(1), n, axis=0)
    np.testing.assert_allclose(apply(name, v, some_weights(name, n)), v[0], rtol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_one_source_is_itself(name: str) -> None:
    v = strangers(1)
    np.testing.assert_allclose(apply(name, v, [1.0]), v[0], rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_parallel_sources_give_their_mean(name: str) -> None:
    n = most(name, 3)
    w = some_weights(name, n)
    v = strangers(1) * np.arange(1, n + 1)[:, None, None]
    np.testing.assert_allclose(apply(name, v, w), np.tensordot(w, v, 1), rtol=1e-7)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("make", [strangers, siblings])
def test_the_order_of_sources_does_not_matter(name: str, make: object) -> None:
    n = most(name, 5)
    v, w = make(n), some_weights(name, n)  # type: ignore[operator]
    np.testing.assert_allclose(apply(name, v[::-1], w[::-1]), apply(name, v, w), rtol=1e-9)


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_source_of_weight_zero_is_not_there(name: str) -> None:
    v = strangers(3)
    if name == "slerp":
        np.testing.assert_allclose(apply(name, v[:2], [1.0, 0.0]), apply(name, v[:1], [1.0]), rtol=1e-12)
    else:
        np.testing.assert_allclose(apply(name, v, [0.4, 0.6, 0.0]), apply(name, v[:2], [0.4, 0.6]), rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("zeros", [(0,), (1,), (0, 1, 2)])
def test_zero_vectors_make_no_nan(name: str, zeros: tuple[int, ...]) -> None:
    n = most(name, 3)
    v, w = strangers(n), some_weights(name, n)
    v[[place for place in zeros if place < n]] = 0
    merged = apply(name, v, w)
    assert np.isfinite(merged).all()
    if name == "slerp":
        np.testing.assert_array_equal(merged, np.tensordot(w, v, 1))
    if len(zeros) == 3:
        np.testing.assert_array_equal(merged, np.zeros(SHAPE))


def test_a_zero_vector_has_no_direction_but_counts_in_the_mean_length() -> None:
    v = strangers(3)
    v[2] = 0
    for name in ("multislerp", "karcher"):
        np.testing.assert_allclose(apply(name, v, [0.4, 0.4, 0.2]), 0.8 * apply(name, v[:2], [0.5, 0.5]), rtol=1e-9)


@pytest.mark.parametrize("name", WEIGHTED)
def test_opposite_sources_are_summed_linearly(name: str) -> None:
    one = strangers(1)[0]
    v = np.stack([one, -one])
    np.testing.assert_allclose(apply(name, v, [0.5, 0.5]), np.zeros(SHAPE), atol=1e-15)


def test_opposite_sources_of_other_weights() -> None:
    v = np.array([[2.0], [-1.0]])
    assert apply("slerp", v, [0.6, 0.4], linear_above=1) == pytest.approx(0.8)
    for name in ("multislerp", "karcher"):
        assert apply(name, v, [0.6, 0.4]) == pytest.approx([1.6])


@pytest.mark.parametrize("seed", range(10))
def test_tensors_of_one_element_have_two_directions(seed: int) -> None:
    """The majority's direction at the mean length: an arc of half a turn leads nowhere."""
    random = np.random.default_rng(seed)
    v, w = random.normal(size=(5, 1)), random.dirichlet(np.ones(5))
    expected = np.sign(w @ np.sign(v)) * (w @ np.abs(v))
    for name in ("multislerp", "karcher"):
        np.testing.assert_allclose(apply(name, v, w), expected, rtol=1e-9)


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize("make", [strangers, siblings])
def test_weights_are_not_normalised(name: str, make: object) -> None:
    """Twice the weights: twice the result, whatever the sum; but slerp's weights are fractions of an angle."""
    v = make(2)  # type: ignore[operator]
    if name == "slerp":
        np.testing.assert_allclose(apply(name, v, [2.0, 2.0], linear_above=1), plain_slerp(v, np.array([2.0, 2.0])))
    else:
        np.testing.assert_allclose(apply(name, v, [2.0, 3.0]), 5 * apply(name, v, [0.4, 0.6]), rtol=1e-12)


def test_fifty_two_sources_of_float32() -> None:
    v = siblings(52).astype(np.float32)
    w = np.full(52, 1 / 52)
    for name in ("multislerp", "karcher"):
        np.testing.assert_allclose(apply(name, v, w), plain_karcher(v.astype(np.float64), w), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [("slerp", "linear_above", 0), ("karcher", "max_iter", 0), ("karcher", "tol", 0), ("multislerp", "eps", -1)],
)
def test_options_have_bounds(name: str, option: str, value: float) -> None:
    with pytest.raises(MixError, match=f"The option {option} of the method {name} cannot be {value}"):
        METHODS[name].settle({option: value}, 2)
