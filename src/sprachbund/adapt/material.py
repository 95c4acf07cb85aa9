"""What an adaptation may see, and what it makes of it by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sprachbund import digests
from sprachbund.adaptation import Adaptation
from sprachbund.checkpoints import Checkpoint, has_token_counts
from sprachbund.data.few import Labelled
from sprachbund.errors import MixError
from sprachbund.measures import AnswerStore, Evidence, gather
from sprachbund.parallel import Report

__all__ = ["ADAPT_VERSION", "Material", "candidate"]

ADAPT_VERSION = 3
"""Raised when a change to this package makes other models from the same settings, sources and texts."""


@dataclass(frozen=True)
class Material:
    """All that an adaptation may see."""

    sources: Mapping[str, Checkpoint]
    """By locale, or by whatever name users know them; none has met the target."""
    texts: tuple[str, ...]
    """Raw text of the target, as :func:`sprachbund.data.unlabelled.shuffled` orders it."""
    answers: AnswerStore
    base: Checkpoint | None = None
    """What the sources were fine-tuned from; needed where a student starts from it."""
    labelled: Labelled | None = None
    """A few texts of the target with labels as the sources name them, for adaptations that see labels; None for all others."""
    texts_of: str | None = None
    """The data set that set the texts aside, for those who want to make the model again; None for a file."""
    labels_of: str | None = None
    """The same for the labels."""

    def of(self, places: npt.NDArray[np.int64]) -> Material:
        """Return the same with the sources in these places alone."""
        items = list(self.sources.items())
        return replace(self, sources=dict(items[place] for place in places))

    def evidence(self, *, learned: bool, jobs: int = 1, report: Report = lambda stage, done, total: None) -> Evidence:
        """Return what the sources answer to the texts and, if need be, which tokens they have learned.

        Those that have not answered yet are asked.

        Raises:
            MixError: one cannot answer; says why.
        """
        failures = self.answers.collect(self.sources, [self.texts], jobs=jobs, report=report)
        if failures:
            name, reason = next(iter(failures.items()))
            raise MixError(f"The source {name} cannot be asked: {reason.rstrip('.')}; leave it out (--sources).")
        return gather(self.sources, self.texts, self.answers, self.base, learned=learned)


def candidate(adaptation: Adaptation, material: Material) -> dict[str, Any]:
    """Return the model by content: what goes in, and what is done with it."""
    model: dict[str, Any] = {
        "kind": "adapted",
        "version": ADAPT_VERSION,
        "adaptation": adaptation.model_dump(),
        "sources": [source.digest for source in material.sources.values()],
        "texts": digests.of_value(list(material.texts)),
    }
    if material.base and _hangs_on_base(adaptation, material):
        model["base"] = material.base.digest
    if material.labelled is not None:
        model["labelled"] = digests.of_value([list(material.labelled.texts), list(material.labelled.intents)])
    return model


def _hangs_on_base(adaptation: Adaptation, material: Material) -> bool:
    """Return whether another base makes another model: the student starts from it, or it tells which tokens a source met."""
    asks_what_was_met = adaptation.vocabulary or adaptation.asks_overlap
    told_by_base = asks_what_was_met and not all(map(has_token_counts, material.sources.values()))
    return adaptation.start == "base" or told_by_base
