"""Without training: the source that looks best, merges by reliability, merges with learned coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sprachbund import merging
from sprachbund.adapt.job import Job, Made
from sprachbund.adapt.teaching import teacher
from sprachbund.checkpoints import EMBEDDINGS, learned_tokens
from sprachbund.coefficients import Coefficients, learn_coefficients

__all__ = ["learned", "learned_on", "merge", "pick"]

TINY = 1e-12


def pick(job: Job, folder: Path) -> Made:
    """Take the source that looks best, as it is."""
    chosen = job.picked
    merging.merge([job.sources[chosen]], [1.0], folder)
    return Made(np.eye(len(job.weights))[chosen])


def merge(job: Job, folder: Path) -> Made:
    """Merge all sources by their weights, rows of the embedding by use if that is wanted."""
    if not job.adaptation.vocabulary:
        merging.merge(job.sources, job.weights.tolist(), folder)
        return Made(job.weights)
    rows = _by_use(job)
    common = job.weights.tolist()
    merging.merge(job.sources, lambda tensor: rows if tensor.endswith(EMBEDDINGS) else common, folder)
    return Made(job.weights)


def _by_use(job: Job) -> npt.NDArray[np.float64]:
    """Return the weights of each row of the embedding, [K, V]: those of the sources times how often they met its token.

    A row that a source never met stays what it was in the base: its mean with one that was learned halves what was learned.
    Rows that nobody met have the weights of all others.
    """
    met = learned_tokens(job.sources, job.material.base)
    shares = job.weights[:, None] * met
    total = shares.sum(axis=0)
    return np.where(total > 0, shares / np.maximum(total, TINY), job.weights[:, None])


def learned(job: Job, folder: Path) -> Made:
    """Merge all sources with coefficients that are learned on the texts."""
    by_teacher = job.adaptation.coefficients.objective == "teacher"
    wanted = teacher(job.adaptation, job.evidence, job.weights) if by_teacher else None
    return learned_on(job, job.material.texts, wanted, folder)


def learned_on(job: Job, texts: Sequence[str], wanted: npt.NDArray[np.float64] | None, folder: Path) -> Made:
    """Merge all sources with coefficients that are learned on some texts, towards what is wanted of each, [n, C], if it is."""
    found = learn_coefficients(
        job.sources, job.weights.tolist(), texts, job.adaptation.coefficients, wanted, progress=job.progress
    )
    merging.merge(job.sources, lambda tensor: found.of(tensor).tolist(), folder)
    return Made(np.mean(list(found.by_group.values()), axis=0), (_described(found, list(job.material.sources)),))


def _described(found: Coefficients, names: Sequence[str]) -> str:
    """Say in which group of tensors the coefficients lie furthest from the same for all."""
    rows = found.by_group
    group = max(rows, key=lambda name: float(rows[name].max()))
    best = int(rows[group].argmax())
    return f"Learned for {len(rows)} groups of tensors; largest: {names[best]} with {rows[group][best]:.3f} in {group}."
