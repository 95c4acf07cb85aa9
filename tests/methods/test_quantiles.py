"""Thresholds by counting, against numpy's sort."""

from __future__ import annotations

import numpy as np
import pytest

from sprachbund.methods.blocks import BLOCK
from sprachbund.methods.quantiles import kth_smallest, lower_counts, magnitudes, upper_counts
from sprachbund.methods.registry import Array


def selected(values: Array, ks: Array) -> Array:
    upper = upper_counts(values)
    return kth_smallest(upper, lower_counts(values, upper, ks), ks)


def drawn(kind: str, m: int) -> Array:
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(3, m)).astype(np.float32)
    return {
        "normal": 1e-3 * normal,
        "wide": normal ** np.float32(15),
        "equal": np.full_like(normal, -0.25),
        "zeros": np.zeros_like(normal),
        "mostly zero": normal * (rng.random((3, m)) < 0.1),
        "few values": np.round(normal),
        "one bin": 1 + np.abs(normal) * np.float32(2**-12),
        "denormal": normal * np.float32(1e-42),
    }[kind]


KINDS = ("normal", "wide", "equal", "zeros", "mostly zero", "few values", "one bin", "denormal")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("m", [1, 2, 1000, BLOCK + 7])
def test_the_kth_smallest_is_the_one_that_sorting_finds(kind: str, m: int) -> None:
    values = drawn(kind, m)
    ks = np.array([[0, m // 3], [m // 2, m - 1], [m - 1, 0]])
    expected = np.take_along_axis(np.sort(np.abs(values), axis=1), ks, axis=1)
    np.testing.assert_array_equal(selected(values, ks), expected)


def test_counts_add_up_over_chunks() -> None:
    values = drawn("normal", 5000)
    upper, ks = upper_counts(values), np.full((3, 1), 4000)
    assert upper.dtype == np.int64
    np.testing.assert_array_equal(upper.sum(axis=1), [5000] * 3)
    cuts = (slice(0, 1), slice(1, 4097), slice(4097, None))
    np.testing.assert_array_equal(sum(upper_counts(values[:, cut]) for cut in cuts), upper)
    np.testing.assert_array_equal(
        sum(lower_counts(values[:, cut], upper, ks) for cut in cuts), lower_counts(values, upper, ks)
    )


def test_float64_is_selected_in_float32() -> None:
    values = np.random.default_rng(0).normal(size=(1, 1000))
    threshold = selected(values, np.array([[800]]))
    assert threshold.dtype == np.float32
    assert np.count_nonzero(magnitudes(values) >= threshold) == 200


def test_nothing_to_select_from() -> None:
    assert selected(np.zeros((2, 0), dtype=np.float32), np.array([[-1], [0]])).shape == (2, 1)
