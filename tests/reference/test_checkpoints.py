"""The checkpoints on which other tools' numbers were made: the same on any machine, and such that we take them too."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from reference import checkpoints

from sprachbund.checkpoints import open_checkpoint

DIGEST = "400ce2baf3481f6cc8b9f39cea023202291a306b9e90e6a000b5cf79c062761d"


def test_they_are_the_same_anywhere() -> None:
    digest = hashlib.sha256()
    for model in (checkpoints.BASE, *checkpoints.SOURCES):
        for name, theta in checkpoints.thetas(model).items():
            for numbers in (
                theta,
                checkpoints.lots(model, name, theta.shape),
                checkpoints.fisher(model, name, theta.shape),
            ):
                digest.update(numbers.astype("<f4").tobytes())
            digest.update(checkpoints.gram(model, name, theta.shape[-1]).astype("<f4").tobytes())
    assert digest.hexdigest() == DIGEST


@pytest.mark.parametrize("source", checkpoints.SOURCES)
def test_task_vectors_are_exact_and_thresholds_have_one_answer(source: str) -> None:
    base, thetas = checkpoints.thetas(checkpoints.BASE), checkpoints.thetas(source)
    zeros = 0
    for name, tau in checkpoints.taus(source).items():
        assert np.array_equal(tau.astype(np.float64), thetas[name].astype(np.float64) - base[name])
        magnitudes = np.abs(tau[tau != 0])
        assert len(np.unique(magnitudes)) == magnitudes.size, name
        zeros += tau.size - magnitudes.size
        assert tau.any() == ((source, name) != checkpoints.UNCHANGED)
    assert zeros > 50


def test_we_open_them(tmp_path: Path) -> None:
    checkpoints.write(tmp_path)
    for model in (checkpoints.BASE, *checkpoints.SOURCES):
        checkpoint = open_checkpoint(tmp_path / model)
        assert {info.name: info.shape for info in checkpoint.tensors.values()} == checkpoints.shapes()
        assert checkpoint.labels == checkpoints.LABELS
