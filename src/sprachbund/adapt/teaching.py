"""From what the sources answer to how much each counts, and to what a student is taught."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sprachbund import weighting
from sprachbund.adaptation import Adaptation
from sprachbund.ensembles import ENSEMBLES, debiased
from sprachbund.measures import Evidence, reliabilities

__all__ = ["as_logits", "shares", "teacher", "weights_of"]

FLOOR = 1e-4
"""Added to probabilities before their logarithm: how unlikely a label is below that, is nothing that a teacher knows."""


def weights_of(adaptation: Adaptation, evidence: Evidence) -> npt.NDArray[np.float64]:
    """Return the weights [K] that the reliability of the sources gives them."""
    scores = reliabilities(evidence, adaptation.reliability)
    return np.asarray(weighting.weigh("similarity", scores, sharpness=adaptation.sharpness))


def teacher(adaptation: Adaptation, evidence: Evidence, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return what the student is taught for each text, [n, C]."""
    logits = debiased(evidence.logits, evidence.preferences, adaptation.debias)
    return ENSEMBLES[adaptation.ensemble](logits, shares(adaptation, weights))


def as_logits(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return what a head has to answer, so that its softmax is about these probabilities."""
    return np.asarray(np.log(probabilities + FLOOR))


def shares(adaptation: Adaptation, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how much each source counts among the teachers, [K]."""
    if adaptation.teacher == "reliability":
        return weights
    count = len(weights)
    return np.full(count, 1 / count) if adaptation.teacher == "uniform" else np.eye(count)[int(weights.argmax())]
