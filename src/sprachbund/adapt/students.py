"""A student: what it starts as, and whom it follows."""

from __future__ import annotations

from pathlib import Path

from torch.nn import Module

from sprachbund import inference
from sprachbund.adapt.bodies import merged
from sprachbund.adapt.job import Job, Made, loaded
from sprachbund.adapt.teaching import shares
from sprachbund.distillation import distil
from sprachbund.errors import UserError
from sprachbund.inference import Tokenizer
from sprachbund.training.finetune import classifier
from sprachbund.training.settings import FinetuneSettings

__all__ = ["distilled", "start_of", "student"]


def distilled(job: Job, folder: Path) -> Made:
    """Train a student on the texts, towards its teacher."""
    start, reasons = start_of(job)
    settings, texts = job.adaptation.distillation, job.material.texts
    distil(*student(job, start), texts, job.wanted, folder, settings, progress=job.progress)
    # The sources count by how they went into the merge, or else by what the student heard of them.
    weights = job.weights if job.adaptation.start == "merge" else shares(job.adaptation, job.weights)
    return Made(weights, reasons, trained=True)


def start_of(job: Job) -> tuple[Path | None, tuple[str, ...]]:
    """Return what the student starts as, None for the base with a new head, and what is to be said of it."""
    if job.adaptation.start == "merge":
        merge, reason = merged(job)
        return merge, (reason,)
    return (job.sources[job.picked].folder if job.adaptation.start == "pick" else None), ()


def student(job: Job, start: Path | None) -> tuple[Module, Tokenizer]:
    """Return the model that a student starts as, and its tokenizer."""
    if start is not None:
        return loaded(start)
    if job.material.base is None:
        raise UserError("A student that starts from the base needs it: name it (--base).")
    folder = job.material.base.folder
    return classifier(folder, job.sources[0].labels, FinetuneSettings()), inference.load_tokenizer(folder)
