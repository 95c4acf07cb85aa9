"""What sources answer to texts: logits, computed once and kept.

Reliabilities, ensembles and teachers all ask the same sources about the same texts. So the answers of a source are kept under
the digests of both: one pass per source is all that any number of them costs. Half precision is enough (a logit of 20 to
within 0.01), and what is read back is what everybody works with, whether it was kept before or not.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sprachbund import digests, files, inference, parallel
from sprachbund.checkpoints import Checkpoint, unchanged
from sprachbund.config import EXACT, Precision
from sprachbund.errors import CheckpointError
from sprachbund.parallel import Executor, Failed, Report

__all__ = ["AnswerStore", "HalfArray"]

HalfArray = npt.NDArray[np.float16]
DIGITS = 16
"""Of a digest that name a file: 64 bits."""


@dataclass(frozen=True)
class AnswerStore:
    """Answers under one folder: ``{checkpoint}/{texts}.npy``, each [texts, labels]; ``{texts}-bf16.npy`` where not in fp32."""

    root: Path
    precision: Precision = EXACT
    """In what numbers the models answer, whatever their answers are kept in."""

    def read(self, checkpoint: Checkpoint, texts: Sequence[str]) -> HalfArray | None:
        """Return the logits of a checkpoint, labels in its own order; None if they are not known."""
        try:
            logits: HalfArray = np.load(self._path(checkpoint, _digest(texts)), allow_pickle=False)
        except (FileNotFoundError, ValueError, EOFError):  # what is no such file is written anew
            return None
        return logits if logits.shape[:1] == (len(texts),) else None

    def collect(
        self,
        checkpoints: Mapping[str, Checkpoint],
        texts: Sequence[Sequence[str]],
        *,
        jobs: Executor | int,
        report: Report,
    ) -> Mapping[str, str]:
        """Ask every checkpoint about every one of several lots of texts, except where the answers are known.

        ``jobs`` is an executor, or the number of processes; 0: one per core, and one alone where models run on a GPU, which
        they would share.
        Returns the reasons of those that failed, by name; all others have answered.
        """
        failures: dict[str, str] = {}
        tasks = []
        for name, checkpoint in checkpoints.items():
            missing = [list(lot) for lot in texts if self.read(checkpoint, lot) is None]
            if missing:
                tasks.append(_Task(name, checkpoint, missing, self))
        done = len(checkpoints) - len(tasks)
        report("answers", done, len(checkpoints))
        jobs = jobs or (parallel.cores() if inference.chosen().type == "cpu" else 1)
        for task, outcome in parallel.attempts(_answer, tasks, jobs):
            done += 1
            if isinstance(outcome, Failed):
                failures[task.name] = outcome.reason
            report("answers", done, len(checkpoints))
        return failures

    def write(self, checkpoint: Checkpoint, texts: Sequence[str], logits: np.ndarray) -> None:
        """Keep the logits of a checkpoint."""
        if np.abs(logits).max() > np.finfo(np.float16).max:
            raise CheckpointError(f"{checkpoint.name} answers with numbers above 65,504: it cannot be a useful model.")
        content = io.BytesIO()
        np.save(content, logits.astype(np.float16))
        files.write_bytes(self._path(checkpoint, _digest(texts)), content.getvalue())

    def _path(self, checkpoint: Checkpoint, texts_digest: str) -> Path:
        kind = "" if self.precision == EXACT else f"-{self.precision}"
        return self.root / checkpoint.digest[:DIGITS] / f"{texts_digest[:DIGITS]}{kind}.npy"


@dataclass(frozen=True)
class _Task:
    """All that a process needs to ask one checkpoint."""

    name: str
    checkpoint: Checkpoint
    lots: list[list[str]]
    store: AnswerStore


def _answer(task: _Task) -> None:
    inference.quieten()
    folder = task.checkpoint.folder
    with unchanged([task.checkpoint]):
        model = inference.ready(inference.load_classifier(folder), task.store.precision)
    for texts in task.lots:
        with unchanged([task.checkpoint]):
            logits = inference.logits(model, inference.encode(folder, texts))
        task.store.write(task.checkpoint, texts, logits)


def _digest(texts: Sequence[str]) -> str:
    return digests.of_value(list(texts))
