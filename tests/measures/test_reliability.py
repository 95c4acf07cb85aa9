"""Reliabilities by hand on a small case, and by planted accuracies; truth inference also against crowd-kit."""

from __future__ import annotations

import numpy as np
import pytest

from sprachbund.measures import RELIABILITIES, Evidence
from sprachbund.measures.annotators import bayesian_annotators, dawid_skene
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


def planted(
    accuracies: tuple[float, ...], texts: int = 2000, classes: int = 6, seed: int = 0
) -> tuple[Evidence, np.ndarray]:
    """Sources that are right as often as told, and wrong at random; with the truth."""
    lot = np.random.default_rng(seed)
    truth = lot.integers(classes, size=texts)
    wrong = (truth + lot.integers(1, classes, size=(len(accuracies), texts))) % classes
    answers = np.where(lot.random((len(accuracies), texts)) < np.array(accuracies)[:, None], truth, wrong)
    logits = 2 * np.eye(classes, dtype=np.float32)[answers]
    names = tuple(f"s{number}" for number in range(len(accuracies)))
    return Evidence(names, logits, np.ones(3, int), np.ones((len(names), 3), int)), truth


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
    evidence, _ = planted((0.7,))
    assert RELIABILITIES["agreement"](evidence) == pytest.approx([1.0])


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
    evidence, _ = planted(accuracies)
    assert RELIABILITIES[name](evidence).argsort().tolist() == np.argsort(accuracies).tolist()


@pytest.mark.parametrize("infer", [dawid_skene, bayesian_annotators])
def test_accuracies_are_recovered_and_the_truth_beats_the_vote(infer) -> None:  # type: ignore[no-untyped-def]
    accuracies = (0.9, 0.5, 0.45, 0.4, 0.5)
    evidence, truth = planted(accuracies)
    found = infer(evidence.answers, 6)
    assert found.accuracies() == pytest.approx(accuracies, abs=0.05)
    vote = np.eye(6)[evidence.answers].sum(axis=0).argmax(axis=1)
    assert (found.truth.argmax(axis=1) == truth).mean() > (vote == truth).mean() + 0.02
    assert found.truth.sum(axis=1) == pytest.approx(np.ones(len(truth)))
    assert found.confusions.sum(axis=2) == pytest.approx(np.ones((5, 6)))


def test_classes_that_nobody_answers_do_no_harm() -> None:
    evidence, truth = planted((0.8, 0.7, 0.6))
    for infer in (dawid_skene, bayesian_annotators):
        found = infer(evidence.answers, 9)
        assert np.isfinite(found.confusions).all()
        assert (found.truth.argmax(axis=1) == truth).mean() > 0.8


def test_dawid_and_skene_as_crowd_kit_has_them() -> None:
    pandas = pytest.importorskip("pandas")
    aggregation = pytest.importorskip("crowdkit.aggregation")
    evidence, _ = planted((0.8, 0.65, 0.55, 0.6), texts=300)
    answers = pandas.DataFrame(
        [(text, source, int(label)) for source, row in enumerate(evidence.answers) for text, label in enumerate(row)],
        columns=["task", "worker", "label"],
    )
    theirs = aggregation.DawidSkene(n_iter=500, tol=1e-9).fit(answers)
    ours = dawid_skene(evidence.answers, 6)
    expected = theirs.probas_.sort_index()[range(6)].to_numpy()
    assert np.abs(ours.truth - expected).max() < 1e-3
