"""From what the sources answer to how much each counts, and to what a student is taught."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sprachbund import weighting
from sprachbund.adaptation import Adaptation
from sprachbund.ensembles import ENSEMBLES, debiased
from sprachbund.measures import Evidence, reliabilities

__all__ = ["shares", "teacher", "weights_of"]


def weights_of(adaptation: Adaptation, evidence: Evidence) -> npt.NDArray[np.float64]:
    """Return the weights [K] that the reliability of the sources gives them."""
    scores = reliabilities(evidence, adaptation.reliability)
    return np.asarray(weighting.weigh("similarity", scores, sharpness=adaptation.sharpness))


def teacher(adaptation: Adaptation, evidence: Evidence, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return what the student is taught for each text, [n, C]."""
    logits = debiased(evidence.logits, evidence.preferences, adaptation.debias)
    return ENSEMBLES[adaptation.ensemble](logits, shares(adaptation, weights))


def shares(adaptation: Adaptation, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how much each source counts among the teachers, [K]."""
    if adaptation.teacher == "reliability":
        return weights
    count = len(weights)
    return np.full(count, 1 / count) if adaptation.teacher == "uniform" else np.eye(count)[int(weights.argmax())]
