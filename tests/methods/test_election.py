"""Election and disjoint merge, worked out by hand."""

from __future__ import annotations

import numpy as np

from sprachbund.methods.election import disjoint_merge, elect_sign, merge, total

DELTAS = np.array(
    # + wins   − wins   cancel   nobody   one      zero does not vote
    [[3.0, -1.0, 2.0, 0.0, 0.0, 0.0], [-1.0, -2.0, -2.0, 0.0, -4.0, 6.0], [1.0, 1.0, 0.0, 0.0, 0.0, 2.0]],
    dtype=np.float32,
)
WEIGHTS = np.array([0.5, 0.25, 2.0])


def test_the_sign_of_the_sum_is_elected() -> None:
    np.testing.assert_array_equal(elect_sign(DELTAS), [1, -1, 1, 1, -1, 1])
    np.testing.assert_array_equal(total(DELTAS), [3, -2, 0, 0, -4, 8])


def test_only_those_that_agree_are_averaged() -> None:
    merged = disjoint_merge(DELTAS, WEIGHTS, elect_sign(DELTAS))
    np.testing.assert_allclose(merged, [4 / 2.5, -3 / 0.75, 2 / 0.5, 0, -4 / 0.25, 8 / 2.25], rtol=1e-6)
    assert merged.dtype == np.float32


def test_without_an_election_deltas_are_summed() -> None:
    np.testing.assert_array_equal(merge(DELTAS, WEIGHTS, elect=False), total(DELTAS))
    np.testing.assert_array_equal(
        merge(DELTAS, WEIGHTS, elect=True), disjoint_merge(DELTAS, WEIGHTS, elect_sign(DELTAS))
    )


def test_the_tiniest_delta_votes() -> None:
    tiny = np.array([[1e-40], [-3e-41]], dtype=np.float32)
    np.testing.assert_array_equal(disjoint_merge(tiny, np.ones(2), elect_sign(tiny)), tiny[0])
