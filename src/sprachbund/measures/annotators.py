"""Truth inference: sources as annotators whose mistakes are estimated together with the truth.

The two models of the crowdsourcing literature that need nothing but the answers [K, n]:

- Dawid and Skene 1979, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm": a confusion matrix per
  annotator, by EM from the majority vote;
- its Bayesian form as in Rahimi, Li and Cohn 2019, "Massively Multilingual Transfer for NER" (arXiv:1902.00193), section 3.2:
  Dirichlet priors on classes and confusions, by variational inference.

A source's reliability is the accuracy that its confusion matrix promises on the inferred truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma

from sprachbund.ensembles import softmax
from sprachbund.measures.evidence import RELIABILITIES, Evidence, FloatArray, IntArray

__all__ = ["Annotators", "bayesian_annotators", "dawid_skene"]

ITERATIONS = 100
TOLERANCE = 1e-6
"""Mean change of the posteriors at which they are taken as settled."""
TINY = 1e-10


@dataclass(frozen=True)
class Annotators:
    """What was inferred."""

    truth: FloatArray
    """Probability of each class for each text, [n, C]."""
    confusions: FloatArray
    """P(answer | truth) of each source, [K, C, C], rows the truth."""

    def accuracies(self) -> FloatArray:
        """Return the accuracy that each source is expected to have on these texts, [K]."""
        prior = self.truth.mean(axis=0)
        return np.asarray(np.einsum("kcc,c->k", self.confusions, prior))


def dawid_skene(answers: IntArray, classes: int) -> Annotators:
    """Infer truth and confusions by maximum likelihood from answers [K, n] in 0 … classes − 1."""
    truth = _votes(answers, classes)
    said = _one_hot(answers, classes)
    for _ in range(ITERATIONS):
        counts = truth.T @ said
        confusions = counts / np.maximum(counts.sum(axis=2, keepdims=True), TINY)
        renewed = _posterior(np.log(truth.mean(axis=0) + TINY), np.log(confusions + TINY), answers)
        change, truth = np.abs(renewed - truth).mean(), renewed
        if change < TOLERANCE:
            break
    return Annotators(truth, confusions)


def bayesian_annotators(answers: IntArray, classes: int, *, right: float = 1.0, wrong: float = 0.1) -> Annotators:
    """Infer truth and confusions by mean-field variational inference.

    ``right`` and ``wrong`` are the Dirichlet pseudo-counts on and off the diagonal of each confusion matrix: rare classes
    keep a prior of doing somewhat well instead of an estimate from nothing.
    """
    truth = _votes(answers, classes)
    said = _one_hot(answers, classes)
    prior = np.full((classes, classes), wrong) + np.eye(classes) * (right - wrong)
    for _ in range(ITERATIONS):
        counts = prior + truth.T @ said
        expected = digamma(counts) - digamma(counts.sum(axis=2, keepdims=True))
        shares = 1.0 + truth.sum(axis=0)
        renewed = _posterior(digamma(shares) - digamma(shares.sum()), expected, answers)
        change, truth = np.abs(renewed - truth).mean(), renewed
        if change < TOLERANCE:
            break
    return Annotators(truth, counts / counts.sum(axis=2, keepdims=True))


@RELIABILITIES.register("dawid-skene")
def _by_dawid_skene(evidence: Evidence) -> FloatArray:
    return dawid_skene(evidence.answers, evidence.logits.shape[2]).accuracies()


@RELIABILITIES.register("bayesian")
def _by_bayesian_annotators(evidence: Evidence) -> FloatArray:
    return bayesian_annotators(evidence.answers, evidence.logits.shape[2]).accuracies()


def _one_hot(answers: IntArray, classes: int) -> FloatArray:
    return np.eye(classes)[answers]


def _votes(answers: IntArray, classes: int) -> FloatArray:
    """Return the share of the sources that gave each class, [n, C]."""
    return np.asarray(_one_hot(answers, classes).mean(axis=0))


def _posterior(log_prior: FloatArray, log_confusions: FloatArray, answers: IntArray) -> FloatArray:
    """Return P(truth | answers) for each text, [n, C]."""
    evidence = log_prior + sum(
        confusion[:, answer].T for confusion, answer in zip(log_confusions, answers, strict=True)
    )
    return softmax(evidence)
