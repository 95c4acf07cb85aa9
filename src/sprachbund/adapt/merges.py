"""Without training: the source that looks best, merges by reliability, merges with learned coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sprachbund import merging
from sprachbund.adapt.bodies import merge_all
from sprachbund.adapt.job import Job, Made
from sprachbund.coefficients import Coefficients, learn_coefficients

__all__ = ["learned", "learned_on", "merge", "pick"]


def pick(job: Job, folder: Path) -> Made:
    """Take the source that looks best, as it is."""
    chosen = job.picked
    merging.merge([job.sources[chosen]], [1.0], folder)
    return Made(np.eye(len(job.weights))[chosen])


def merge(job: Job, folder: Path) -> Made:
    """Merge all sources by their weights."""
    return Made(job.weights, (merge_all(job, folder),))


def learned(job: Job, folder: Path) -> Made:
    """Merge all sources with coefficients that are learned on the texts."""
    by_teacher = job.adaptation.coefficients.objective == "teacher"
    return learned_on(job, job.material.texts, job.wanted if by_teacher else None, folder)


def learned_on(job: Job, texts: Sequence[str], wanted: npt.NDArray[np.float64] | None, folder: Path) -> Made:
    """Merge all sources with coefficients that are learned on some texts, towards what is wanted of each, [n, C], if it is."""
    found = learn_coefficients(
        job.sources, job.weights.tolist(), texts, job.adaptation.coefficients, wanted, progress=job.progress
    )
    merging.merge(job.sources, found.of, folder)
    weights = np.mean(list(found.by_group.values()), axis=0)
    return Made(weights, (_described(found, list(job.material.sources)),))


def _described(found: Coefficients, names: Sequence[str]) -> str:
    """Say in which group of tensors the coefficients lie furthest from the same for all."""
    rows = found.by_group
    group = max(rows, key=lambda name: float(rows[name].max()))
    best = int(rows[group].argmax())
    return f"Learned for {len(rows)} groups of tensors; largest: {names[best]} with {rows[group][best]:.3f} in {group}."
