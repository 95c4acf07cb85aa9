"""The k highest: against taking the maximum k times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprachbund.errors import MixError
from sprachbund.similarity import top_k

SCORES = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]))


def maximum_k_times(scores: dict[str, float], k: int) -> list[tuple[str, float]]:
    left = dict(scores)
    taken: list[tuple[str, float]] = []
    while left and len(taken) < k:
        best = next(iter(left))
        for name, score in left.items():
            if score > left[best]:
                best = name
        taken.append((best, left.pop(best)))
    return taken


@given(SCORES, st.integers(1, 8))
def test_takes_the_maximum_k_times(scores: dict[str, float], k: int) -> None:
    assert list(top_k(scores, k)) == maximum_k_times(scores, k)


def test_ties_stay_in_the_order_of_the_mapping() -> None:
    assert top_k({"c": 1.0, "a": 2.0, "b": 1.0, "d": 2.0}, 3) == (("a", 2.0), ("d", 2.0), ("c", 1.0))


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused(k: int) -> None:
    with pytest.raises(MixError, match=f"k = {k}"):
        top_k({"a": 1.0}, k)
