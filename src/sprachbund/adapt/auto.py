"""``auto``: single source, merge or student, whatever the texts speak for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sprachbund import merging
from sprachbund.adapt.job import Job, Made, agreement_on, loaded, merged
from sprachbund.adapt.teaching import teacher
from sprachbund.checkpoints import open_checkpoint
from sprachbund.distillation import distil

__all__ = ["auto"]

FEWEST_TEXTS = 64
"""Below so many a student learns the texts by heart, and nobody could tell."""
ONE_IN = 8
"""So many of the texts are held out by ``auto``, to judge what was made by texts that it was not made of."""


def auto(job: Job, folder: Path) -> Made:
    """Take what agrees most with the ensemble of all sources on texts that none of the candidates was made of."""
    texts = job.material.texts
    wanted = teacher(job.adaptation, job.evidence, job.weights)
    held = np.arange(len(texts)) % ONE_IN == 0
    found = {"single source": job.sources[job.picked].folder, "merge": merged(job)}
    agreement = {name: agreement_on(path, texts, wanted, held) for name, path in found.items()}
    if len(texts) >= FEWEST_TEXTS:
        start = max(agreement, key=agreement.__getitem__)
        found["distilled"] = job.workplace / "distilled"
        found["distilled"].mkdir()
        distil(
            *loaded(found[start]),
            [text for text, out in zip(texts, held, strict=True) if not out],
            wanted[~held],
            found["distilled"],
            job.adaptation.distillation,
            progress=job.progress,
        )
        agreement["distilled"] = agreement_on(found["distilled"], texts, wanted, held)
    chosen = max(agreement, key=agreement.__getitem__)
    merging.merge([open_checkpoint(found[chosen])], [1.0], folder)
    weights = np.eye(len(job.weights))[job.picked] if chosen == "single source" else job.weights
    return Made(weights, (_comparison(agreement, chosen, int(held.sum())), *_reasons(job, found, agreement)))


def _comparison(agreement: Mapping[str, float], chosen: str, texts: int) -> str:
    each = ", ".join(f"{name} {share:.3f}" for name, share in agreement.items())
    return f"{chosen}: agrees most with the ensemble of all sources on {texts} texts that were held out ({each})."


def _reasons(job: Job, found: Mapping[str, Path], agreement: Mapping[str, float]) -> Sequence[str]:
    if "distilled" not in found:
        few = len(job.material.texts)
        return [f"Nothing was distilled: {few} texts are too few, it takes {FEWEST_TEXTS}."]
    start = "merge" if agreement["merge"] > agreement["single source"] else "single source"
    return [f"The student started as the {start}, which was nearer to the ensemble."]
