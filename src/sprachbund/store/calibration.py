"""Whether a model knows how sure it can be, by two figures of its probabilities as they are kept:

    NLL = −1/n Σᵢ ln p(goldᵢ), in nats        ECE = Σₘ |Bₘ|/n · |acc(Bₘ) − conf(Bₘ)|

Bₘ are the rows with a confidence in ((m − 1)/15, m/15] (Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated
probabilities using Bayesian binning"; with 15 bins Guo et al. 2017, arXiv:1706.04599). In NLL a probability below 2⁻⁵² counts
as 2⁻⁵², 36.04 nats: one row with an intent that the model lacks must not make all others meaningless. scikit-learn's
``log_loss`` draws the line there, too.

What is kept are confidences of six decimals and gold probabilities of six significant digits. Files of fp32 hold their nearest
neighbours, which may lie on the other side of a bin's edge: :func:`ece` takes the six decimals that are meant.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["DECIMALS", "ece", "nll"]

BINS = 15
LEAST = 2.0**-52
DECIMALS = 6
"""Of a confidence that is kept."""


def nll(gold_probability: npt.NDArray[np.floating]) -> float:
    """Return the mean of -ln of the probability of the gold intent, in nats."""
    return float(-np.log(np.maximum(gold_probability.astype(np.float64), LEAST)).mean())


def ece(confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]) -> float:
    """Return the expected calibration error, a fraction in [0, 1]."""
    sure = confidence.astype(np.float64).round(DECIMALS)
    bins = np.ceil(sure * BINS).astype(int)
    return float(np.abs(np.bincount(bins, weights=sure - right)).sum() / len(sure))
