"""Annotators whose accuracy is known, because it was planted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def planted(
    accuracies: Sequence[float], texts: int = 2000, classes: int = 6, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Answers [K, n] that are right as often as told, and wrong at random; with the truth [n]."""
    lot = np.random.default_rng(seed)
    truth = lot.integers(classes, size=texts)
    wrong = (truth + lot.integers(1, classes, size=(len(accuracies), texts))) % classes
    right = lot.random((len(accuracies), texts)) < np.array(accuracies)[:, None]
    return np.where(right, truth, wrong), truth
