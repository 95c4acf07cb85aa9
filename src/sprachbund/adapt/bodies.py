"""All sources in one checkpoint: bodies by their weights, rows of the embedding perhaps by use, heads as they fit together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sprachbund import heads, merging
from sprachbund.adapt.job import Job
from sprachbund.adapt.teaching import as_logits
from sprachbund.adaptation import Heads
from sprachbund.checkpoints import EMBEDDINGS, learned_tokens
from sprachbund.errors import UserError
from sprachbund.heads import AVERAGE, REFIT, WIDE
from sprachbund.merging import WeightsOf

__all__ = ["merge_all", "merged"]

TINY = 1e-12
_SAID = {AVERAGE: "The heads were averaged, as the settings say.", WIDE: "All heads were kept side by side."}


def merged(
    job: Job, name: str = "merge", *, policy: Heads | None = None, known: npt.NDArray[np.bool_] | None = None
) -> tuple[Path, str]:
    """Merge all sources in the workplace, see :func:`merge_all`; return where, and what became of their heads."""
    folder = job.workplace / name
    folder.mkdir()
    return folder, merge_all(job, folder, policy=policy, known=known)


def merge_all(
    job: Job, folder: Path, *, policy: Heads | None = None, known: npt.NDArray[np.bool_] | None = None
) -> str:
    """Merge all sources into a folder, and say what became of their heads.

    These are treated as the settings say, or as ``policy`` does. A head is fitted to the texts ``known`` [n], or to all.

    Raises:
        UserError: a head is to be fitted to fewer texts than there are labels.
    """
    texts = [text for number, text in enumerate(job.material.texts) if known is None or known[number]]
    labels = job.evidence.logits.shape[2]
    measured, reason = heads.measured_policy(job.agreement, len(texts), labels)
    asked = policy or job.adaptation.heads
    settled, reason = (measured, reason) if asked == "measured" else (asked, "")
    if settled == REFIT and not heads.can_fit(len(texts), labels):
        raise UserError(
            f"A head of {labels} labels cannot be fitted to {len(texts)} texts: give more of them, or choose another method."
        )
    merging.merge(job.sources, _weights_of(job, one_hidden_layer=settled == REFIT and measured != AVERAGE), folder)
    if settled == REFIT:
        lesson = _lesson(job, known)
        alike = heads.refit_to(folder, *lesson)
        fitted = reason or "The last layer was fitted to what the sources say together."
        few = f" It was fitted to the labels of {len(job.few)} texts as well." if job.few else ""
        return f"{fitted}{few} It answers {alike:.3f} of {len(lesson.texts)} texts alike, each by a fit to all others."
    names = list(job.material.sources)
    said = heads.finish(settled, names, job.sources, job.weights.tolist(), folder)
    return " ".join((reason or _SAID[settled], *said))


class _Lesson(NamedTuple):
    """What a last layer is fitted to."""

    texts: Sequence[str]
    logits: npt.NDArray[np.float64]
    """What is wanted of each, [n, C]."""
    counts: npt.NDArray[np.float64]
    """How much each counts, [n]."""


def _lesson(job: Job, known: npt.NDArray[np.bool_] | None) -> _Lesson:
    """Return the texts ``known``, or all, with what the sources say of them together; the few with their labels instead."""
    labelled = set(job.few.texts)
    rest = [
        number
        for number, text in enumerate(job.material.texts)
        if (known is None or known[number]) and text not in labelled
    ]
    return _Lesson(
        [*(job.material.texts[number] for number in rest), *job.few.texts],
        as_logits(np.concatenate([job.wanted[rest], job.one_hot])),
        np.concatenate([np.ones(len(rest)), np.full(len(job.few), job.adaptation.label_weight)]),
    )


def _weights_of(job: Job, *, one_hidden_layer: bool) -> WeightsOf:
    """Return the weights of each tensor; with ``one_hidden_layer``, the head is that of the source that looks best."""
    head = heads.head_tensors(job.sources[0]) if one_hidden_layer else frozenset()
    best: npt.NDArray[np.float64] = np.eye(len(job.weights))[job.picked]
    rows = _by_use(job) if job.adaptation.vocabulary else job.weights

    def weights(tensor: str) -> npt.NDArray[np.float64]:
        if tensor in head:
            return best
        return rows if tensor.endswith(EMBEDDINGS) else job.weights

    return weights


def _by_use(job: Job) -> npt.NDArray[np.float64]:
    """Return the weights of each row of the embedding, [K, V]: those of the sources times how often they met its token.

    A row that a source never met stays what it was in the base: its mean with one that was learned halves what was learned.
    Rows that nobody met have the weights of all others.
    """
    met = learned_tokens(job.sources, job.material.base)
    shares = job.weights[:, None] * met
    total = shares.sum(axis=0)
    return np.where(total > 0, shares / np.maximum(total, TINY), job.weights[:, None])
