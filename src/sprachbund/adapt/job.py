"""One adaptation on its way, and the steps that more than one kind takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch.nn import Module

from sprachbund import inference
from sprachbund.adapt.material import Material
from sprachbund.adapt.teaching import teacher
from sprachbund.adaptation import Adaptation
from sprachbund.checkpoints import Checkpoint
from sprachbund.data.few import Labelled
from sprachbund.heads import HeadAgreement, head_agreement
from sprachbund.inference import Tokenizer
from sprachbund.measures import Evidence
from sprachbund.parallel import Report

__all__ = ["Job", "Made", "agreement_on", "loaded"]


@dataclass(frozen=True)
class Made:
    """What was put into the folder, and why that."""

    weights: npt.NDArray[np.float64]
    reasons: tuple[str, ...] = ()
    trained: bool = False
    """Whether it learned something after the sources were put together."""


@dataclass(frozen=True)
class Job:
    """One adaptation on its way: settings, material, and what was found so far."""

    adaptation: Adaptation
    material: Material
    evidence: Evidence
    weights: npt.NDArray[np.float64]
    workplace: Path
    """A folder for what is made on the way."""
    report: Report

    @property
    def sources(self) -> list[Checkpoint]:
        """The sources, in the order of the weights."""
        return list(self.material.sources.values())

    @property
    def few(self) -> Labelled:
        """The few texts with a label; none where the adaptation sees none."""
        return self.material.labelled or Labelled((), ())

    @property
    def gold(self) -> npt.NDArray[np.int64]:
        """The labels of the few as their numbers among the sources' own."""
        numbers = {label: number for number, label in enumerate(self.sources[0].labels)}
        return np.array([numbers[intent] for intent in self.few.intents], dtype=np.int64)

    @property
    def one_hot(self) -> npt.NDArray[np.float64]:
        """The labels of the few as probabilities, [few, C]."""
        return np.asarray(np.eye(len(self.sources[0].labels))[self.gold])

    @cached_property
    def wanted(self) -> npt.NDArray[np.float64]:
        """What the sources say together of each text, as the settings have it: what others are taught, [n, C]."""
        return teacher(self.adaptation, self.evidence, self.weights)

    @cached_property
    def agreement(self) -> HeadAgreement | None:
        """How far the sources' heads agree."""
        return head_agreement(self.sources)

    @property
    def picked(self) -> int:
        """The place of the source that looks best."""
        return int(self.weights.argmax())

    def progress(self, stage: str, step: int, steps: int, loss: float) -> None:
        """Pass on how far a training is."""
        self.report(stage, step, steps)


def loaded(folder: Path) -> tuple[Module, Tokenizer]:
    """Return the model in a folder, and its tokenizer."""
    return inference.load_classifier(folder), inference.load_tokenizer(folder)


def agreement_on(
    folder: Path, texts: Sequence[str], wanted: npt.NDArray[np.float64], where: npt.NDArray[np.bool_]
) -> float:
    """Return the share of those texts that a checkpoint answers as it is wanted."""
    model = inference.ready(inference.load_classifier(folder))
    asked = [text for text, here in zip(texts, where, strict=True) if here]
    answers = inference.logits(model, inference.encode(folder, asked)).argmax(axis=1)
    return float((answers == wanted[where].argmax(axis=1)).mean())
