"""Truth inference: against crowd-kit, against closed forms, and on annotators whose accuracies were planted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas
import pytest
from crowdkit.aggregation import DawidSkene
from planted import planted

from sprachbund.measures import annotators
from sprachbund.measures.annotators import Annotators, bayesian_annotators, dawid_skene

Infer = Callable[[np.ndarray, int], Annotators]
both = pytest.mark.parametrize("infer", [dawid_skene, bayesian_annotators])


def is_sound(found: Annotators) -> bool:
    """Probabilities, all of them."""
    truth, accuracies = found.truth, found.accuracies()
    return bool(
        (truth >= 0).all()
        and np.allclose(truth.sum(axis=1), 1)
        and np.isfinite(found.confusions).all()
        and (found.confusions >= 0).all()
        and ((accuracies >= 0) & (accuracies <= 1 + 1e-9)).all()
    )


def share_right(found: Annotators, truth: np.ndarray) -> float:
    return float((found.truth.argmax(axis=1) == truth).mean())


# crowd-kit calls pandas in a way that pandas 3.1 is going to forget.
@pytest.mark.filterwarnings("ignore:The (inplace|copy) keyword:DeprecationWarning")
@pytest.mark.parametrize("seed", range(3))
def test_dawid_and_skene_as_crowd_kit_has_them(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, _ = planted((0.8, 0.65, 0.55, 0.6), texts=200, classes=5, seed=seed)
    table = pandas.DataFrame(
        [(text, source, int(label)) for source, row in enumerate(answers) for text, label in enumerate(row)],
        columns=["task", "worker", "label"],
    )
    theirs = DawidSkene(n_iter=250, tol=-1).fit(table)
    monkeypatch.setattr(annotators, "ITERATIONS", 250)
    monkeypatch.setattr(annotators, "TOLERANCE", -1.0)
    ours = dawid_skene(answers, 5)
    np.testing.assert_allclose(ours.truth, theirs.probas_.sort_index()[range(5)], atol=1e-5)
    np.testing.assert_allclose(ours.truth.mean(axis=0), theirs.priors_.sort_index(), atol=1e-5)
    for source, confusion in enumerate(ours.confusions):
        expected = theirs.errors_.loc[source].reindex(index=range(5), columns=range(5), fill_value=0)
        np.testing.assert_allclose(confusion, expected.T, atol=1e-5)


def test_beside_certain_confusions_the_bayesian_posterior_is_naive_bayes() -> None:
    """So many pseudo-counts that no answer moves them: each annotator is right with 0.7, wrong with 0.06 each way."""
    answers, _ = planted((0.9, 0.6, 0.5), texts=50)
    found = bayesian_annotators(answers, 6, right=0.7e9, wrong=0.06e9)
    assert found.confusions == pytest.approx(np.broadcast_to(np.full((6, 6), 0.06) + 0.64 * np.eye(6), (3, 6, 6)))
    likelihood = np.array([[np.prod(np.where(said == label, 0.7, 0.06)) for label in range(6)] for said in answers.T])
    counts = 1 + found.truth.sum(axis=0)
    # The mean of log p of a Dirichlet is that of the counts less about half a count.
    odds = likelihood * (counts - 0.5)
    np.testing.assert_allclose(found.truth, odds / odds.sum(axis=1, keepdims=True), atol=2e-3)


def test_of_many_texts_both_say_the_same() -> None:
    answers, _ = planted((0.85, 0.7, 0.6, 0.75), texts=5000, classes=3)
    by_likelihood, bayesian = dawid_skene(answers, 3), bayesian_annotators(answers, 3)
    assert by_likelihood.accuracies() == pytest.approx(bayesian.accuracies(), abs=0.005)
    assert np.abs(by_likelihood.truth - bayesian.truth).mean() < 0.005


@both
def test_accuracies_are_recovered_and_the_truth_beats_the_vote(infer: Infer) -> None:
    accuracies = (0.9, 0.5, 0.45, 0.4, 0.5)
    answers, truth = planted(accuracies)
    found = infer(answers, 6)
    assert is_sound(found)
    assert found.accuracies() == pytest.approx(accuracies, abs=0.05)
    vote = np.eye(6)[answers].sum(axis=0).argmax(axis=1)
    assert share_right(found, truth) > (vote == truth).mean() + 0.02
    assert found.confusions.sum(axis=2) == pytest.approx(np.ones((5, 6)))


def test_of_few_texts_the_bayesian_is_better_calibrated() -> None:
    """Twelve texts and six classes: 120 numbers of confusion from 48 answers. Mean of 40 draws."""
    accuracies = (0.8, 0.7, 0.6, 0.5)
    loss, excess, error = (dict.fromkeys((dawid_skene, bayesian_annotators), 0.0) for _ in range(3))
    for seed in range(40):
        answers, truth = planted(accuracies, texts=12, seed=seed)
        for infer in loss:
            found = infer(answers, 6)
            loss[infer] -= np.log(np.maximum(found.truth[np.arange(12), truth], 1e-12)).mean() / 40
            excess[infer] += (found.truth.max(axis=1).mean() - share_right(found, truth)) / 40
            error[infer] += np.abs(found.accuracies() - accuracies).mean() / 40
    assert excess[dawid_skene] > 0.15, "maximum likelihood is far too sure of itself"
    assert 0 < excess[bayesian_annotators] < 0.8 * excess[dawid_skene]
    assert loss[bayesian_annotators] < 0.8 * loss[dawid_skene]
    assert error[bayesian_annotators] < 0.8 * error[dawid_skene]


def test_of_classes_without_texts_the_bayesian_keeps_its_prior() -> None:
    answers, _ = planted((0.8, 0.7, 0.6), texts=300)
    confusions = bayesian_annotators(answers, 9, right=1.0, wrong=0.1).confusions
    assert confusions[:, 6:, :][:, range(3), range(6, 9)] == pytest.approx(np.full((3, 3), 1 / 1.8), abs=0.01)


@both
def test_classes_that_nobody_answers_do_no_harm(infer: Infer) -> None:
    answers, truth = planted((0.8, 0.7, 0.6))
    found = infer(answers, 9)
    assert is_sound(found)
    assert share_right(found, truth) > 0.8


@both
def test_who_calls_one_class_by_the_name_of_another_is_seen_through(infer: Infer) -> None:
    """The fourth never confuses two texts, but says 1 for 0 and 0 for 1: by name nearly a third of it is wrong."""
    answers, truth = planted((0.75, 0.7, 0.7))
    switched = np.array([1, 0, 2, 3, 4, 5])
    found = infer(np.vstack([answers, switched[truth]]), 6)
    assert is_sound(found)
    assert found.accuracies()[3] == pytest.approx(4 / 6, abs=0.05)
    assert found.confusions[3, [0, 1], [1, 0]] == pytest.approx([1, 1], abs=0.1)
    assert share_right(found, truth) > 0.97 > share_right(infer(answers, 6), truth)


@both
def test_who_always_says_the_same_is_worth_what_chance_is(infer: Infer) -> None:
    answers, truth = planted((0.85, 0.8, 0.75))
    found = infer(np.vstack([answers, np.full_like(truth, 2)]), 6)
    assert is_sound(found)
    assert found.accuracies()[3] == pytest.approx(1 / 6, abs=0.03)
    assert share_right(found, truth) == pytest.approx(share_right(infer(answers, 6), truth), abs=0.01)


@both
@pytest.mark.parametrize("sources", [1, 2, 5])
@pytest.mark.parametrize("texts", [1, 2, 40])
def test_nobody_disagreeing_or_everybody_is_no_reason_to_fail(infer: Infer, sources: int, texts: int) -> None:
    alike = infer(np.full((sources, texts), 3), 4)
    assert is_sound(alike)
    assert (alike.truth.argmax(axis=1) == 3).all()
    assert is_sound(infer(np.arange(sources)[:, None].repeat(texts, axis=1), 5))
