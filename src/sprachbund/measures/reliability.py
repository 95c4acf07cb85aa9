"""Reliabilities that are one formula each; those that infer the truth first are in :mod:`~sprachbund.measures.annotators`."""

from __future__ import annotations

import numpy as np

from sprachbund.measures.evidence import RELIABILITIES, Evidence, FloatArray

__all__ = ["agreement", "confidence", "overlap"]


@RELIABILITIES.register("overlap")
def overlap(evidence: Evidence) -> FloatArray:
    """Share of the tokens of the target's texts, as they run, that the source met in training; a fraction in [0, 1].

    What a source has not met it answers with rows of the embedding that never learned the task.
    """
    if evidence.learned is None:
        raise ValueError("gather the evidence with what the sources learned")
    met = (evidence.learned > 0) @ evidence.tokens
    return np.asarray(met / max(int(evidence.tokens.sum()), 1), dtype=np.float64)


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
    count = len(evidence.sources)
    if count == 1:
        return np.ones(1)
    total = evidence.probabilities.sum(axis=0)
    others = (total[None] - evidence.probabilities).argmax(axis=2)
    return np.asarray((others == evidence.answers).mean(axis=1))
