"""RegMean: a regression, so numpy's least squares is what it has to come to."""

from __future__ import annotations

import numpy as np
import pytest
from methods.whole import apply

WEIGHTS = (0.5, 0.3, 0.2)
OUT, IN = 4, 6


def inputs(tokens: int = 40, seed: int = 0) -> list[np.ndarray]:
    """What comes into the layer of each source, [tokens, in]; some inputs are larger than others."""
    lot = np.random.default_rng(seed)
    return [lot.normal(size=(tokens, IN)) * 10.0 ** np.linspace(-0.5, 0.5, IN) + lot.normal(size=IN) for _ in WEIGHTS]


def grams(xs: list[np.ndarray]) -> np.ndarray:
    return np.stack([x.T @ x / len(x) for x in xs])


@pytest.fixture
def thetas() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(3, OUT, IN))


def least_squares(thetas: np.ndarray, xs: list[np.ndarray], weights: tuple[float, ...]) -> np.ndarray:
    """The W that minimises Σ wᵢ ‖W Xᵢ − Wᵢ Xᵢ‖² / tokens, by stacking all tokens of all sources."""
    roots = [np.sqrt(w / len(x)) for w, x in zip(weights, xs, strict=True)]
    stacked = np.concatenate([root * x for root, x in zip(roots, xs, strict=True)])
    wanted = np.concatenate([root * x @ theta.T for root, x, theta in zip(roots, xs, thetas, strict=True)])
    return np.linalg.lstsq(stacked, wanted, rcond=None)[0].T


def loss(merged: np.ndarray, thetas: np.ndarray, xs: list[np.ndarray]) -> float:
    return sum(
        w * np.square(x @ (merged - theta).T).sum() / len(x) for w, x, theta in zip(WEIGHTS, xs, thetas, strict=True)
    )


def test_it_is_the_least_squares_solution(thetas: np.ndarray) -> None:
    xs = inputs()
    merged = apply("regmean", thetas, WEIGHTS, handed={"gram": grams(xs)}, alpha=1.0)
    expected = least_squares(thetas, xs, WEIGHTS)
    np.testing.assert_allclose(merged, expected, rtol=1e-3, atol=1e-3)
    assert not np.allclose(merged, np.average(thetas, axis=0, weights=WEIGHTS), atol=0.1)
    lowest = loss(merged, thetas, xs)
    for step in np.random.default_rng(2).normal(size=(20, OUT, IN)):
        assert loss(merged + 1e-2 * step, thetas, xs) > lowest


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.9])
def test_gram_matrices_are_reduced_beside_their_diagonal(alpha: float, thetas: np.ndarray) -> None:
    gram = grams(inputs())
    reduced = [np.where(np.eye(IN, dtype=bool), g, alpha * g) for g in gram]
    left = sum(w * theta @ g for w, theta, g in zip(WEIGHTS, thetas, reduced, strict=True))
    right = sum(w * g for w, g in zip(WEIGHTS, reduced, strict=True))
    merged = apply("regmean", thetas, WEIGHTS, handed={"gram": gram}, alpha=alpha)
    np.testing.assert_allclose(merged, left @ np.linalg.inv(right), rtol=1e-4, atol=1e-4)
    if alpha == 0.9:
        np.testing.assert_array_equal(merged, apply("regmean", thetas, WEIGHTS, handed={"gram": gram}))


def test_without_anything_beside_the_diagonal_columns_are_weighted_means(thetas: np.ndarray) -> None:
    gram = grams(inputs())
    merged = apply("regmean", thetas, WEIGHTS, handed={"gram": gram}, alpha=0.0)
    sizes = np.array(WEIGHTS)[:, None] * np.diagonal(gram, axis1=1, axis2=2)
    np.testing.assert_allclose(merged, (sizes[:, None] * thetas).sum(axis=0) / sizes.sum(axis=0), rtol=1e-5, atol=1e-5)


def test_the_same_inputs_for_all_make_the_weighted_mean(thetas: np.ndarray) -> None:
    merged = apply("regmean", thetas, WEIGHTS, handed={"gram": np.stack([grams(inputs())[0]] * 3)})
    np.testing.assert_allclose(merged, np.average(thetas, axis=0, weights=WEIGHTS), rtol=1e-10, atol=1e-12)


def test_sources_that_see_different_inputs_are_all_right_in_the_merge(thetas: np.ndarray) -> None:
    """Each uses two inputs of its own, so that nothing has to give way: all answer as before."""
    gram = np.zeros((3, IN, IN))
    for source in range(3):
        own = slice(2 * source, 2 * source + 2)
        gram[source, own, own] = [[2.0, 0.5], [0.5, 1.0]]
    merged = apply("regmean", thetas, WEIGHTS, handed={"gram": gram}, alpha=1.0)
    for source in range(3):
        own = slice(2 * source, 2 * source + 2)
        np.testing.assert_allclose(merged[:, own], thetas[source, :, own], rtol=1e-4, atol=1e-4)


def test_what_no_input_tells_about_is_left_to_the_weighted_mean(thetas: np.ndarray) -> None:
    """An input that is always 0; and fewer tokens than inputs, where the answers to them must still be the best ones."""
    gram = grams(inputs())
    gram[:, 2], gram[:, :, 2] = 0, 0
    mean = np.average(thetas, axis=0, weights=WEIGHTS)
    merged = apply("regmean", thetas, WEIGHTS, handed={"gram": gram})
    np.testing.assert_allclose(merged[:, 2], mean[:, 2], rtol=1e-12)
    assert np.isfinite(merged).all()

    lot = np.random.default_rng(3)
    few = [lot.normal(size=(1, IN)) for _ in range(3)]
    merged = apply("regmean", thetas, WEIGHTS, handed={"gram": grams(few)}, alpha=1.0)
    for x, theta in zip(few, thetas, strict=True):
        np.testing.assert_allclose(x @ merged.T, x @ theta.T, atol=1e-3)
    # Of all that answer so it is the nearest to the mean, each input measured by its size and that of all.
    squares = np.einsum("i,ijj->j", WEIGHTS, grams(few))
    sizes = np.sqrt(squares + squares.mean())
    *_, rows = np.linalg.svd(np.concatenate(few) / sizes)
    np.testing.assert_allclose(rows[3:] @ ((merged - mean) * sizes).T, 0, atol=1e-6)


def test_an_input_next_to_nothing_makes_no_column_grow(thetas: np.ndarray) -> None:
    """By the bare formula it would: what goes along with it is far larger, and would be mended by a factor of 100,000."""
    xs = inputs()
    for x in xs:
        x[:, 0] = 1e-5 * (x[:, 1] + x[:, 2])
    reduced = [w * np.where(np.eye(IN, dtype=bool), g, 0.9 * g) for w, g in zip(WEIGHTS, grams(xs), strict=True)]
    bare = sum(theta @ g for theta, g in zip(thetas, reduced, strict=True)) @ np.linalg.inv(sum(reduced))
    assert np.abs(bare[:, 0]).max() > 1000
    merged = apply("regmean", thetas, WEIGHTS, handed={"gram": grams(xs)})
    mean = np.average(thetas, axis=0, weights=WEIGHTS)
    np.testing.assert_allclose(merged[:, 0], mean[:, 0], atol=0.5)
    np.testing.assert_allclose(merged[:, 3:], bare[:, 3:], atol=0.02)


def test_rounding_to_float32_is_no_matter(thetas: np.ndarray) -> None:
    gram = grams(inputs())
    exact = apply("regmean", thetas, WEIGHTS, handed={"gram": gram})
    stored = apply("regmean", thetas.astype(np.float32), WEIGHTS, handed={"gram": gram.astype(np.float32)})
    np.testing.assert_allclose(stored, exact, rtol=1e-4, atol=1e-5)


def test_a_source_alone_and_sources_that_agree_stay_what_they_are(thetas: np.ndarray) -> None:
    gram = grams(inputs())
    one = apply("regmean", thetas[:1], (2.0,), handed={"gram": gram[:1]})
    np.testing.assert_array_equal(one, thetas[0])
    same = apply("regmean", np.stack([thetas[0]] * 3), WEIGHTS, handed={"gram": gram})
    np.testing.assert_allclose(same, thetas[0], rtol=1e-12)


def test_a_list_of_matrices_does_as_well_as_a_stack(thetas: np.ndarray) -> None:
    """So that an engine can hand in views of files instead of a copy of all."""
    gram = grams(inputs())
    np.testing.assert_array_equal(
        apply("regmean", thetas, WEIGHTS, handed={"gram": list(gram)}),
        apply("regmean", thetas, WEIGHTS, handed={"gram": gram}),
    )
