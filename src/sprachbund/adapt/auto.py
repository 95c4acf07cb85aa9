"""``auto``: single source, merge or student, whatever the texts speak for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sprachbund import merging
from sprachbund.adapt.bodies import merged
from sprachbund.adapt.job import Job, Made, agreement_on, loaded
from sprachbund.checkpoints import open_checkpoint
from sprachbund.distillation import distil
from sprachbund.errors import Diverged
from sprachbund.heads import AVERAGE, can_fit, measured_policy

__all__ = ["auto"]

SINGLE, MERGE, FITTED, STUDENT = "single source", "merge", "merge with a fitted head", "distilled"
MARGIN = 0.15
"""So much less than what it started as may the student agree with its teachers.

It has learned from less of each text than they read, and where it departs from them it is right more often than not: on dev of
the twelve development locales, in both zoos, every student is better than what it started as, and agrees up to 0.09 less. So
this keeps out nothing but a student that has learned too little.
"""
FEWEST_TEXTS = 64
"""Below so many a student learns the texts by heart, and nobody could tell."""
ONE_IN = 8
"""So many of the texts are held out by ``auto``, to judge what was made by texts that it was not made of."""


def auto(job: Job, folder: Path) -> Made:
    """Take the student, unless it has learned too little: judged by texts that none of the candidates was made of.

    What agrees most with the ensemble of all sources is where the student starts, and what is taken in its place.
    """
    texts = job.material.texts
    wanted = job.wanted
    held = _held_out(texts)
    found, about_heads = _without_training(job, ~held)
    agreement = {name: agreement_on(path, texts, wanted, held) for name, path in found.items()}
    start = max(agreement, key=agreement.__getitem__)
    if len(texts) < FEWEST_TEXTS:
        about_student = f"Nothing was distilled: {len(texts)} texts are too few, it takes {FEWEST_TEXTS}."
    else:
        try:
            found[STUDENT] = _student(job, found[start], ~held)
            agreement[STUDENT] = agreement_on(found[STUDENT], texts, wanted, held)
            about_student = f"The student started as the {start}, which was nearest to the ensemble."
        except Diverged as error:
            about_student = f"There is no student. {error}"
    chosen = STUDENT if agreement.get(STUDENT, 0.0) >= agreement[start] - MARGIN else start
    merging.merge([open_checkpoint(found[chosen])], [1.0], folder)
    weights = np.eye(len(job.weights))[job.picked] if chosen == SINGLE else job.weights
    reasons = (_comparison(agreement, chosen, int(held.sum())), about_student, *about_heads)
    return Made(weights, reasons, trained=chosen == STUDENT)


def _held_out(texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which texts are held out, [texts]: of different ones one in so many, and whatever equals one of these."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return np.array([numbers[text] % ONE_IN == 0 for text in texts])


def _student(job: Job, start: Path, known: npt.NDArray[np.bool_]) -> Path:
    """Return the folder of the student that started as a checkpoint and has read the known texts."""
    folder = job.workplace / STUDENT
    folder.mkdir()
    texts = [text for text, known_one in zip(job.material.texts, known, strict=True) if known_one]
    distil(*loaded(start), texts, job.wanted[known], folder, job.adaptation.distillation, progress=job.progress)
    return folder


def _without_training(job: Job, known: npt.NDArray[np.bool_]) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the candidates that nothing is trained for, by name, and what became of the heads; none has seen other texts.

    Of equals the first is taken: a single source only where it is better than merges.
    """
    merge, about_heads = merged(job, MERGE, known=known)
    found = {MERGE: merge}
    said = [f"In the {MERGE}: {about_heads}"]
    texts, labels = int(known.sum()), job.evidence.logits.shape[2]
    settled, _ = measured_policy(job.agreement, texts, labels)
    if settled == AVERAGE and can_fit(texts, labels):
        found[FITTED], about_heads = merged(job, FITTED, policy="refit", known=known)
        said.append(f"In the {FITTED}: {about_heads}")
    return found | {SINGLE: job.sources[job.picked].folder}, tuple(said)


def _comparison(agreement: Mapping[str, float], chosen: str, texts: int) -> str:
    each = ", ".join(f"{name} {share:.3f}" for name, share in agreement.items())
    return (
        f"{chosen}: chosen by agreement with the ensemble of all sources on {texts} texts that were held out ({each})."
    )
