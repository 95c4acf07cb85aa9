"""Reliabilities that are one formula each; those that infer the truth first are in :mod:`~sprachbund.measures.annotators`."""

from __future__ import annotations

import numpy as np

from sprachbund.measures.evidence import RELIABILITIES, Evidence, FloatArray, IntArray

__all__ = ["agreement", "confidence", "overlap", "share_agreeing", "share_met"]


def share_met(tokens: IntArray, met: IntArray) -> FloatArray:
    """Return the share of tokens, as they run, that each of K met, fractions in [0, 1].

    ``tokens`` [V] counts how often each runs, ``met`` [K, V] how often each of the K met it, here or there.
    """
    return np.asarray((met > 0) @ tokens / max(int(tokens.sum()), 1), dtype=np.float64)


def share_agreeing(probabilities: FloatArray, answers: IntArray) -> FloatArray:
    """Return the share of texts for which each of K answers as the mean of all others does, fractions in [0, 1].

    ``probabilities`` are [K, n, C], ``answers`` [K, n]. Of a single one nobody can agree with, it is 1.
    """
    if len(probabilities) == 1:
        return np.ones(1)
    others = (probabilities.sum(axis=0)[None] - probabilities).argmax(axis=2)
    return np.asarray((others == answers).mean(axis=1))


@RELIABILITIES.register("overlap")
def overlap(evidence: Evidence) -> FloatArray:
    """Share of the tokens of the target's texts, as they run, that the source met in training; a fraction in [0, 1].

    What a source has not met it answers with rows of the embedding that never learned the task.
    """
    if evidence.learned is None:
        raise ValueError("gather the evidence with what the sources learned")
    return share_met(evidence.tokens, evidence.learned)


@RELIABILITIES.register("confidence")
def confidence(evidence: Evidence) -> FloatArray:
    """Mean probability that the source gives to its own answers; a fraction in (0, 1].

    Average confidence, as in Guillory et al. 2021, "Predicting with Confidence on Unseen Distributions" (arXiv:2107.03315).
    """
    return np.asarray(evidence.probabilities.max(axis=2).mean(axis=1))


@RELIABILITIES.register("agreement")
def agreement(evidence: Evidence) -> FloatArray:
    """Share of the texts for which the source answers as the mean of all others does; a fraction in [0, 1].

    Of a single source nobody can agree with, it is 1.
    """
    return share_agreeing(evidence.probabilities, evidence.answers)
