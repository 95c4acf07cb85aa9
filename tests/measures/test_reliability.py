"""Reliabilities by hand on a small case, and by planted accuracies."""

from __future__ import annotations

import numpy as np
import pytest
from planted import planted

from sprachbund.measures import RELIABILITIES, Evidence
from sprachbund.measures.evidence import reliabilities, standardised

SOURCES = ("a", "b", "c")


def by_hand() -> Evidence:
    """Two texts, two classes: a and b answer 0, 1; c answers 1, 1."""
    odds = np.array([[[9, 1], [1, 3]], [[3, 1], [1, 9]], [[1, 1.5], [1, 4]]])
    return Evidence(
        sources=SOURCES,
        logits=np.log(odds).astype(np.float32),
        tokens=np.array([0, 3, 1, 0]),
        learned=np.array([[1, 5, 0, 0], [0, 0, 2, 1], [0, 1, 1, 0]]),
    )


def answering(answers: np.ndarray, classes: int = 6) -> Evidence:
    """Evidence of sources that give these answers [K, n]."""
    names = tuple(f"s{number}" for number in range(len(answers)))
    return Evidence(names, 2 * np.eye(classes, dtype=np.float32)[answers], np.ones(3, int), None)


def test_overlap_is_the_share_of_running_tokens_that_were_met_in_training() -> None:
    assert RELIABILITIES["overlap"](by_hand()) == pytest.approx([0.75, 0.25, 1.0])


def test_confidence_is_the_mean_probability_of_the_answers() -> None:
    assert RELIABILITIES["confidence"](by_hand()) == pytest.approx(
        [(0.9 + 0.75) / 2, (0.75 + 0.9) / 2, (0.6 + 0.8) / 2]
    )


def test_agreement_is_with_the_others_and_never_with_oneself() -> None:
    # Text 1: a against mean(b, c) = class 0, agrees; b against mean(a, c) = class 0, agrees; c against class 0, does not.
    assert RELIABILITIES["agreement"](by_hand()) == pytest.approx([1.0, 1.0, 0.5])


def test_agreement_of_one_source_is_whole() -> None:
    answers, _ = planted((0.7,))
    assert RELIABILITIES["agreement"](answering(answers)) == pytest.approx([1.0])


def test_a_combination_stands_on_one_scale() -> None:
    evidence = by_hand()
    parts = [standardised(RELIABILITIES[name](evidence)) for name in ("overlap", "agreement")]
    assert reliabilities(evidence, "overlap+agreement") == pytest.approx(np.mean(parts, axis=0))
    assert reliabilities(evidence, "overlap") == pytest.approx(parts[0])
    assert standardised(np.array([2.0, 2.0])) == pytest.approx([0, 0])
    assert standardised(np.array([1.0, 2.0, 6.0])).std() == pytest.approx(1)


@pytest.mark.parametrize("name", ["agreement", "dawid-skene", "bayesian"])
def test_who_is_right_more_often_is_more_reliable(name: str) -> None:
    accuracies = (0.5, 0.85, 0.6, 0.7)
    answers, _ = planted(accuracies)
    assert RELIABILITIES[name](answering(answers)).argsort().tolist() == np.argsort(accuracies).tolist()
