"""The methods that drop elements or signs: against float64 from the papers, closed forms, and what must not matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from methods import plain
from methods.chunked import apply_in_chunks
from methods.task_vectors import WEIGHTS, generators, task_vectors
from methods.whole import apply

from sprachbund.errors import MixError
from sprachbund.methods import METHODS
from sprachbund.methods.blocks import BLOCK
from sprachbund.methods.registry import Array

CASES: tuple[tuple[str, Mapping[str, object]], ...] = (
    ("ties", {"density": 0.2}),
    ("ties", {"density": [0.1, 0.3, 0.5, 1], "scope": "model", "scale": 0.7}),
    ("breadcrumbs", {"density": 0.4, "gamma": 0.05}),
    ("breadcrumbs", {"density": [0.1, 0.3, 0.5, 1], "gamma": 0.1, "elect_sign": True}),
    ("dare", {"density": 0.3}),
    ("dare", {"density": [0.1, 0.3, 0.5, 1], "elect_sign": True, "rescale": False}),
    ("della", {"density": 0.4, "epsilon": 0.3}),
    ("della", {"density": [0.2, 0.3, 0.5, 1], "elect_sign": False, "rescale": False}),
    ("sce", {"select_topk": 0.2}),
    ("sce", {"select_topk": 1.0, "scale": 0.5}),
    ("pcb", {"density": 0.2}),
)
every_case = pytest.mark.parametrize(("name", "options"), CASES)


def given(name: str, sources: int = 4) -> dict[str, Any]:
    return {"generators": generators(sources)} if "generators" in METHODS[name].needs else {}


def weights_of(name: str, sources: int = 4) -> tuple[float, ...]:
    return WEIGHTS[:sources] if METHODS[name].uses_weights else (1 / sources,) * sources


def whole(name: str, taus: Array, options: Mapping[str, object]) -> Array:
    return apply(name, taus, weights_of(name, len(taus)), handed=given(name, len(taus)), **options)


def close(actual: Array, expected: Array) -> None:
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-9)


# --- against float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("density", [0.05, 0.2, 0.73, 1.0, (0.1, 0.2, 0.6, 1.0)])
def test_ties(density: float | tuple[float, ...], dtype: type) -> None:
    taus = task_vectors(37, 21).astype(dtype)
    merged = apply("ties", taus, WEIGHTS, density=density, scale=1.5)
    assert merged.dtype == dtype
    each = np.broadcast_to(density, 4).tolist()
    close(merged, 1.5 * plain.ties(taus, WEIGHTS, each))


@pytest.mark.parametrize("elect", [False, True])
@pytest.mark.parametrize(("density", "gamma"), [(0.3, 0.1), (0.3, 0.0), (0.95, 0.2), (1.0, 0.1), (0.001, 0.1)])
def test_breadcrumbs(density: float, gamma: float, elect: bool) -> None:
    taus = task_vectors(37, 21)
    merged = apply("breadcrumbs", taus, WEIGHTS, density=density, gamma=gamma, elect_sign=elect, scale=0.5)
    close(merged, 0.5 * plain.breadcrumbs(taus, WEIGHTS, [density] * 4, [gamma] * 4, elect))


@pytest.mark.parametrize("elect", [False, True])
@pytest.mark.parametrize("rescale", [False, True])
def test_dare(elect: bool, rescale: bool) -> None:
    taus, density = task_vectors(37, 21), (0.1, 0.3, 0.5, 1.0)
    options = {"density": density, "elect_sign": elect, "rescale": rescale}
    merged = apply("dare", taus, WEIGHTS, handed={"generators": generators()}, **options)
    draws = [generator.random((37, 21), dtype=np.float32) for generator in generators()]
    masks = np.stack([draw < p for draw, p in zip(draws, density, strict=True)])
    close(merged, plain.dare(taus, WEIGHTS, masks, density if rescale else (1,) * 4, elect))


@pytest.mark.parametrize("elect", [False, True])
@pytest.mark.parametrize("rescale", [False, True])
def test_della(elect: bool, rescale: bool) -> None:
    taus, density, epsilon = task_vectors(37, 21), (0.2, 0.3, 0.5, 0.8), (0.1, 0.15, 0.4, 0.2)
    options = {"density": density, "epsilon": epsilon, "elect_sign": elect, "rescale": rescale}
    merged = apply("della", taus, WEIGHTS, handed={"generators": generators()}, **options)
    probabilities = np.stack([plain.della_probabilities(*each) for each in zip(taus, density, epsilon, strict=True)])
    draws = np.stack([generator.random((37, 21), dtype=np.float32) for generator in generators()])
    deltas = (draws < probabilities) * (taus / probabilities if rescale else taus)
    close(merged, plain.combined(deltas, WEIGHTS, elect))


@pytest.mark.parametrize("select_topk", [0.01, 0.1, 0.5, 0.999, 1.0])
def test_sce(select_topk: float) -> None:
    taus = task_vectors(37, 21)
    close(apply("sce", taus, (0.25,) * 4, select_topk=select_topk, scale=2), 2 * plain.sce(taus, select_topk))


@pytest.mark.parametrize("density", [0.05, 0.1, 0.4])
def test_pcb(density: float) -> None:
    taus = task_vectors(187, 121)
    merged = apply("pcb", taus, (0.25,) * 4, density=density, scale=0.5)
    close(merged, 0.5 * plain.pcb(taus, density))


# --- closed forms


@pytest.mark.parametrize("name", ["breadcrumbs", "dare", "della"])
def test_at_density_1_without_an_election_it_is_the_weighted_sum(name: str) -> None:
    taus = task_vectors(50)
    merged = whole(name, taus, {"density": 1, "elect_sign": False})
    close(merged, np.tensordot(WEIGHTS, taus.astype(np.float64), 1))


@pytest.mark.parametrize("name", ["ties", "breadcrumbs", "dare", "della"])
def test_where_signs_agree_and_all_is_kept_election_gives_the_weighted_mean(name: str) -> None:
    taus = np.abs(task_vectors(50)) + np.float32(1e-4)
    elect = {} if name == "ties" else {"elect_sign": True}
    merged = apply(name, -taus, (1, 2, 3, 4), handed=given(name), density=1, **elect)
    close(merged, np.average(-taus.astype(np.float64), axis=0, weights=(1, 2, 3, 4)))


@pytest.mark.parametrize(("name", "options"), [("ties", {"density": 1}), ("sce", {"select_topk": 1})])
def test_one_source_or_the_same_four_times_is_the_source(name: str, options: Mapping[str, object]) -> None:
    taus = task_vectors(50, sources=1)
    close(apply(name, taus, (1.0,), **options), taus[0])
    close(apply(name, np.repeat(taus, 4, axis=0), (0.25,) * 4, **options), taus[0])


def test_ties_keeps_one_element_at_least_and_all_of_equal_magnitude() -> None:
    taus = np.array([[1, -3, 2, 0.5]], dtype=np.float32)
    np.testing.assert_array_equal(apply("ties", taus, (1.0,), density=0.01), [0, -3, 0, 0])
    equal = np.array([[2, -2, 1, 2]], dtype=np.float32)
    np.testing.assert_array_equal(apply("ties", equal, (1.0,), density=0.25), [2, -2, 0, 2])


def test_breadcrumbs_drops_both_ends() -> None:
    taus = np.array([[1, -10, 2, -3, 4, 5, 6, -7, 8, 9]], dtype=np.float32)
    merged = apply("breadcrumbs", taus, (1.0,), density=0.3, gamma=0.2)
    np.testing.assert_array_equal(merged, [0, 0, 0, 0, 0, 0, 6, -7, 8, 0])
    assert not apply("breadcrumbs", taus, (1.0,), density=0.05, gamma=0.2).any()


@pytest.mark.parametrize("name", ["dare", "della"])
def test_what_is_kept_makes_up_for_what_is_dropped(name: str) -> None:
    taus = task_vectors(64, sources=1)
    taus[taus == 0] = 1e-3
    repeated = np.repeat(taus[:, None], 4000, axis=1)
    merged = apply(name, repeated, (1.0,), handed=given(name, 1), density=0.3, elect_sign=False)
    assert np.count_nonzero(merged) == pytest.approx(0.3 * np.count_nonzero(repeated), rel=0.02)
    error = np.abs(merged.mean(axis=0) - taus[0]) / np.sqrt((merged**2).mean(axis=0) / 4000 + 1e-30)
    assert error.max() < 4


def test_della_keeps_the_large_rather_than_the_small() -> None:
    taus = np.tile(np.arange(1, 11, dtype=np.float32), (1, 5000, 1))
    options = {"density": 0.5, "epsilon": 0.4, "elect_sign": False, "rescale": False}
    merged = apply("della", taus, (1.0,), handed=given("della", 1), **options)
    np.testing.assert_allclose((merged > 0).mean(axis=0), np.linspace(0.1, 0.9, 10), atol=0.025)


def test_della_refuses_probabilities_that_are_none() -> None:
    with pytest.raises(MixError, match="cannot be 0.9 − 0.3 to 0.9 \\+ 0.3: choose an epsilon"):
        apply("della", task_vectors(5), WEIGHTS, handed=given("della"), density=0.9, epsilon=0.3)


def test_sce_selects_where_sources_differ_and_weighs_by_squares() -> None:
    taus = np.array([[1, 3, 5, 0], [1, 1, -1, 0]], dtype=np.float32)  # variances 0, 1, 9, 0
    np.testing.assert_array_equal(apply("sce", taus, (0.5, 0.5), select_topk=0.5), [0, 0, 5, 0])
    close(apply("sce", taus, (0.5, 0.5)), np.zeros(4))
    by_squares = [(34 * 3 + 2 * 1) / 36, 5]
    close(apply("sce", taus, (0.5, 0.5), select_topk=0.9999999), np.array([0, 0, 5, 0]))
    close(apply("sce", taus[:, 1:3], (0.5, 0.5), select_topk=1.0), np.array(by_squares))


def test_sce_selects_nothing_where_sources_do_not_differ() -> None:
    one = task_vectors(50, sources=1)
    close(apply("sce", one, (1.0,)), np.zeros_like(one[0]))
    close(apply("sce", np.concatenate([one, one]), (0.5, 0.5)), np.zeros_like(one[0]))
    close(apply("sce", one, (1.0,), select_topk=1.0), one[0])


@pytest.mark.parametrize("name", ["sce", "pcb"])
def test_without_weights_there_is_no_weighting(name: str) -> None:
    with pytest.raises(MixError, match="counts all sources the same"):
        apply(name, task_vectors(5), WEIGHTS)


def test_pcb_is_the_mean_where_nothing_tells_elements_apart() -> None:
    taus = np.array([[0.5], [0.1]], dtype=np.float32)
    close(apply("pcb", taus, (0.5, 0.5)), np.array([0.3]))


def test_pcb_of_many_sources_does_not_overflow() -> None:
    taus = task_vectors(500, sources=52)
    close(apply("pcb", taus, (1 / 52,) * 52), plain.pcb(taus, 0.1))
    assert np.isfinite(apply("pcb", task_vectors(500, sources=200), (1 / 200,) * 200)).all()


# --- what must not matter


@every_case
@pytest.mark.parametrize(("shape", "chunk"), [((7, 3), 1), ((61, 33), 59)])
def test_chunks_change_nothing(name: str, options: Mapping[str, object], shape: tuple[int, ...], chunk: int) -> None:
    taus = task_vectors(*shape)
    chunked = apply_in_chunks(name, taus, weights_of(name), chunk, handed=given(name), **options)
    np.testing.assert_array_equal(chunked, whole(name, taus, options))


@every_case
def test_nor_do_blocks(name: str, options: Mapping[str, object]) -> None:
    taus = task_vectors(5, BLOCK // 2 + 3)
    chunked = apply_in_chunks(name, taus, weights_of(name), 4 * BLOCK // 5, handed=given(name), **options)
    np.testing.assert_array_equal(chunked, whole(name, taus, options))


@every_case
def test_nor_does_the_order_of_sources(name: str, options: Mapping[str, object]) -> None:
    taus, order, handed = task_vectors(23, 11), [2, 0, 3, 1], given(name)
    if handed:
        handed["generators"] = [handed["generators"][i] for i in order]
    turned = {key: [value[i] for i in order] if isinstance(value, list) else value for key, value in options.items()}
    weights = [weights_of(name)[i] for i in order]
    np.testing.assert_allclose(
        apply(name, taus[order], weights, handed=handed, **turned), whole(name, taus, options), rtol=1e-4, atol=1e-9
    )


@pytest.mark.parametrize(("name", "options"), CASES[:8])
def test_a_source_of_weight_0_does_not_matter(name: str, options: Mapping[str, object]) -> None:
    taus, other = task_vectors(23, 11), task_vectors(23, 11)
    other[3] = task_vectors(23, 11, seed=1)[3]
    weights = (0.5, 0.3, 0.2, 0.0)
    merged = [apply(name, each, weights, handed=given(name), **options) for each in (taus, other)]
    np.testing.assert_array_equal(*merged)
    assert np.any(merged[0])


@every_case
@pytest.mark.parametrize("shape", [(0,), (), (1,), (3, 0), (0, 3), (2, 3, 5)])
def test_any_shape(name: str, options: Mapping[str, object], shape: tuple[int, ...]) -> None:
    merged = whole(name, task_vectors(*shape), options)
    assert merged.shape == shape
    assert merged.dtype == np.float32
    assert np.isfinite(merged).all()


@every_case
def test_nothing_changed_stays_so(name: str, options: Mapping[str, object]) -> None:
    assert not whole(name, np.zeros((4, 6, 5), dtype=np.float32), options).any()


@every_case
def test_fifty_two_sources(name: str, options: Mapping[str, object]) -> None:
    taus = task_vectors(40, 5, sources=52)
    uniform = {key: value[0] if isinstance(value, list) else value for key, value in options.items()}
    merged = apply(name, taus, (1 / 52,) * 52, handed=given(name, 52), **uniform)
    assert np.isfinite(merged).all()
    assert merged.any()
    assert np.abs(merged).max() <= np.abs(taus).max() * (10 if METHODS[name].options.get("rescale") else 1)


@every_case
def test_float64_stays_float64(name: str, options: Mapping[str, object]) -> None:
    taus = task_vectors(40, 5)
    merged = whole(name, taus.astype(np.float64), options)
    assert merged.dtype == np.float64
    np.testing.assert_allclose(merged, whole(name, taus, options), rtol=1e-5, atol=1e-9)
