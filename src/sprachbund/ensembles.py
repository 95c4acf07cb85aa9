"""Ensembles: what K sources say together, text by text.

K times as dear as one model, so nobody ships them; they are the ceiling that a merge chases, and the teacher of a student.
All of them read the same logits: however many there are, they cost one pass per source.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sprachbund.registry import Registry

__all__ = ["ENSEMBLES", "Ensemble", "debiased", "majority", "mean_logits", "mean_probabilities", "softmax"]

FloatArray = npt.NDArray[np.float64]
Ensemble = Callable[[np.ndarray, FloatArray], FloatArray]
"""Logits [K, n, C] and weights [K] (each ≥ 0, sum 1) → probabilities [n, C]."""
ENSEMBLES: Registry[Ensemble] = Registry("ensemble")
TINY = 1e-9


def softmax(logits: np.ndarray) -> FloatArray:
    """Return the softmax over the last axis."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    odds = np.exp(shifted)
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True))


def debiased(logits: np.ndarray, preferences: FloatArray, strength: float) -> FloatArray:
    """Take back how much each source prefers some labels, whatever it is asked: p(c) / m(c)^strength in terms of logits.

    ``preferences`` [K, C] are the means m of its probabilities over the target's texts. In a language that it has not
    learned a source falls back on few labels, each source on others; 0 leaves that as it is, 1 makes all labels about
    equally frequent, which they need not be. Logit adjustment (Menon et al. 2021, arXiv:2007.07314) against a bias that is
    estimated without labels (Wang et al. 2022, "Debiased Learning from Naturally Imbalanced Pseudo-Labels",
    arXiv:2201.01490).
    """
    return np.asarray(logits.astype(np.float64) - strength * np.log(preferences + TINY)[:, None, :])


@ENSEMBLES.register("probabilities")
def mean_probabilities(logits: np.ndarray, weights: FloatArray) -> FloatArray:
    """The weighted mean of the probabilities (Lakshminarayanan et al. 2017, arXiv:1612.01474)."""
    return np.asarray(np.einsum("k,knc->nc", weights, softmax(logits)))


@ENSEMBLES.register("logits")
def mean_logits(logits: np.ndarray, weights: FloatArray) -> FloatArray:
    """The softmax of the weighted mean of the logits: a product of experts, in which one that is sure can veto."""
    return softmax(np.einsum("k,knc->nc", weights, logits.astype(np.float64)))


@ENSEMBLES.register("majority")
def majority(logits: np.ndarray, weights: FloatArray) -> FloatArray:
    """The weight of the sources that answer so, whatever their confidence."""
    votes = np.eye(logits.shape[2])[logits.argmax(axis=2)]
    return np.asarray(np.einsum("k,knc->nc", weights, votes))
