"""Ensembles by hand and against scipy; what taking back preferences does, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.special import softmax as scipy_softmax

from sprachbund.ensembles import ENSEMBLES, debiased, softmax

ODDS = np.array([[[3.0, 1.0], [1.0, 9.0]], [[1.0, 1.0], [4.0, 1.0]]])
"""Two sources, two texts, two classes."""
LOGITS = np.log(ODDS)


def test_softmax_is_that_of_scipy_also_for_large_logits() -> None:
    logits = np.random.default_rng(0).normal(scale=300, size=(3, 5, 7))
    assert softmax(logits) == pytest.approx(scipy_softmax(logits, axis=-1))


def test_mean_probabilities_by_hand() -> None:
    found = ENSEMBLES["probabilities"](LOGITS, np.array([0.25, 0.75]))
    assert found[:, 0] == pytest.approx([0.25 * 0.75 + 0.75 * 0.5, 0.25 * 0.1 + 0.75 * 0.8])
    assert found.sum(axis=1) == pytest.approx([1, 1])


def test_mean_logits_is_the_geometric_mean_of_the_probabilities() -> None:
    weights = np.array([0.25, 0.75])
    product = np.exp(np.einsum("k,knc->nc", weights, log_softmax(LOGITS, axis=-1)))
    assert ENSEMBLES["logits"](LOGITS, weights) == pytest.approx(product / product.sum(axis=1, keepdims=True))


def test_in_a_majority_confidence_does_not_count() -> None:
    assert ENSEMBLES["majority"](LOGITS, np.array([0.6, 0.4]))[1] == pytest.approx([0.4, 0.6])


def test_one_source_alone_is_its_own_ensemble() -> None:
    for name in ("probabilities", "logits"):
        assert ENSEMBLES[name](LOGITS[:1], np.ones(1)) == pytest.approx(softmax(LOGITS[0]))


def test_debiasing_divides_by_the_preference() -> None:
    preferences = softmax(LOGITS).mean(axis=1)
    for strength in (0.0, 0.5, 1.0):
        adjusted = softmax(LOGITS) / preferences[:, None, :] ** strength
        adjusted /= adjusted.sum(axis=2, keepdims=True)
        assert softmax(debiased(LOGITS, preferences, strength)) == pytest.approx(adjusted, rel=1e-6)


def test_debiasing_finds_answers_that_a_preference_has_hidden() -> None:
    """A source that likes class 0 too much: what it prefers is the same for all texts, what it knows is not."""
    lot = np.random.default_rng(0)
    truth = lot.integers(4, size=4000)
    logits = lot.normal(size=(1, 4000, 4)) + 2 * np.eye(4)[truth]
    liking = logits + np.array([3.0, 0, 0, 0])
    preferences = softmax(liking).mean(axis=1)
    accuracy = [
        float((debiased(liking, preferences, strength)[0].argmax(axis=1) == truth).mean()) for strength in (0, 0.5, 1)
    ]
    unbiased = float((logits[0].argmax(axis=1) == truth).mean())
    assert accuracy[0] < accuracy[1] < accuracy[2]
    assert accuracy[0] < unbiased - 0.3
    assert accuracy[2] > unbiased - 0.1
