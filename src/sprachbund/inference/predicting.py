"""Texts to intents, a handful at a time: what a classifier says to texts that nobody has labelled.

The model is loaded once; texts may come as long as they like, and each is answered as soon as its handful is through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sprachbund.checkpoints import open_checkpoint
from sprachbund.config import EXACT, Precision
from sprachbund.inference.answering import logits
from sprachbund.inference.loading import load_classifier
from sprachbund.inference.precision import ready
from sprachbund.inference.tokens import load_tokenizer, tokenise

__all__ = ["Answer", "Predictor"]


@dataclass(frozen=True)
class Answer:
    """What a classifier says to one text."""

    text: str
    intents: tuple[str, ...]
    """The most probable first."""
    probabilities: tuple[float, ...]
    """Of these intents, fractions in (0, 1]; the softmax of the logits."""


class Predictor:
    """A classifier, loaded, with the names of its intents."""

    def __init__(self, folder: Path, precision: Precision = EXACT) -> None:
        """Load the classifier in a folder.

        Raises:
            CheckpointError: it is none, or it cannot be read.
        """
        self.names = open_checkpoint(folder).labels
        self._model = ready(load_classifier(folder), precision)
        self._tokenizer = load_tokenizer(folder)

    def answers(self, handfuls: Iterable[Sequence[str]], top: int = 1) -> Iterator[Answer]:
        """Yield the answer to each text in turn, with its ``top`` intents."""
        for texts in handfuls:
            if texts:
                yield from self._answers(texts, min(top, len(self.names)))

    def _answers(self, texts: Sequence[str], top: int) -> Iterator[Answer]:
        from scipy.special import softmax

        found = logits(self._model, tokenise(self._tokenizer, texts))
        shares = softmax(found.astype(np.float64), axis=1)
        order = np.argsort(-found, axis=1, kind="stable")[:, :top]
        for text, row, places in zip(texts, shares, order, strict=True):
            yield Answer(text, tuple(self.names[place] for place in places), tuple(row[places].tolist()))
