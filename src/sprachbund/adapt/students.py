"""A student: what it starts as, and whom it follows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch.nn import Module

from sprachbund import inference
from sprachbund.adapt.job import Job, Made, agreement_on, loaded, merged
from sprachbund.adapt.teaching import teacher
from sprachbund.distillation import distil
from sprachbund.errors import UserError
from sprachbund.inference import Tokenizer
from sprachbund.training.finetune import classifier
from sprachbund.training.settings import FinetuneSettings

__all__ = ["distilled", "start_of", "student"]


def distilled(job: Job, folder: Path) -> Made:
    """Train a student on the texts, towards its teacher."""
    wanted = teacher(job.adaptation, job.evidence, job.weights)
    start, reasons = start_of(job, job.material.texts, wanted)
    distil(*student(job, start), job.material.texts, wanted, folder, job.adaptation.distillation, progress=job.progress)
    return Made(job.weights, reasons)


def start_of(job: Job, texts: Sequence[str], wanted: npt.NDArray[np.float64]) -> tuple[Path | None, tuple[str, ...]]:
    """Return what a student of some texts starts as, None for the base with a new head, and why."""
    start = job.adaptation.start
    if start == "base":
        return None, ()
    pick = job.sources[job.picked].folder
    if start == "pick":
        return pick, ()
    merge = merged(job)
    if start == "merge":
        return merge, ()
    everywhere = np.ones(len(wanted), dtype=bool)
    agreement = {path: agreement_on(path, texts, wanted, everywhere) for path in (merge, pick)}
    nearest = max(agreement, key=agreement.__getitem__)
    name = "merge" if nearest == merge else "single source"
    return nearest, (f"The student started as the {name}, which was nearer to its teacher.",)


def student(job: Job, start: Path | None) -> tuple[Module, Tokenizer]:
    """Return the model that a student starts as, and its tokenizer."""
    if start is not None:
        return loaded(start)
    if job.material.base is None:
        raise UserError("A student that starts from the base needs it: name it (--base).")
    folder = job.material.base.folder
    return classifier(folder, job.sources[0].labels, FinetuneSettings()), inference.load_tokenizer(folder)
