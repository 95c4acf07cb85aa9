"""What can be known of sources for a target without a label: which tokens they learned, and what they say of its texts.

A reliability takes the evidence and gives one score per source, higher is better: how good the source seems to be for the
target. Scores of two reliabilities are not of one unit; to combine them they are standardised first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sprachbund import inference
from sprachbund.checkpoints import Checkpoint, learned_tokens
from sprachbund.ensembles import softmax
from sprachbund.measures.answers import AnswerStore
from sprachbund.registry import Registry

__all__ = [
    "RELIABILITIES",
    "Evidence",
    "FloatArray",
    "IntArray",
    "Reliability",
    "gather",
    "reliabilities",
    "standardised",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evidence:
    """K sources, n texts of the target, C classes, V tokens."""

    sources: tuple[str, ...]
    """Names of the sources, [K]."""
    logits: npt.NDArray[np.float32]
    """What each source answers to each text, classes in one order for all, [K, n, C]."""
    tokens: IntArray
    """How often each token occurs in the texts, without the special ones, [V]."""
    learned: IntArray | None
    """How often each source met each token in training; only whether it did where counts are unknown, [K, V].

    None where nobody asked: it can be told of few sources only with their base.
    """

    def of(self, places: npt.NDArray[np.int64]) -> Evidence:
        """Return what is known of the sources in these places alone."""
        return Evidence(
            tuple(self.sources[place] for place in places),
            self.logits[places],
            self.tokens,
            None if self.learned is None else self.learned[places],
        )

    @cached_property
    def probabilities(self) -> FloatArray:
        """Softmax of the logits over the classes, [K, n, C]."""
        return softmax(self.logits)

    @cached_property
    def preferences(self) -> FloatArray:
        """How much each source prefers each class over all texts, [K, C]; each row sums to 1."""
        return np.asarray(self.probabilities.mean(axis=1))

    @cached_property
    def answers(self) -> IntArray:
        """The class that each source takes each text for, [K, n]."""
        return np.asarray(self.logits.argmax(axis=2))


def gather(
    checkpoints: Mapping[str, Checkpoint],
    texts: Sequence[str],
    answers: AnswerStore,
    base: Checkpoint | None = None,
    *,
    learned: bool = True,
) -> Evidence:
    """Return the evidence of sources, which share labels and vocabulary and have all answered to the texts.

    ``learned`` says whether it is needed which tokens they met in training.

    Raises:
        CheckpointError: what a source met in training cannot be told.
        ValueError: a source has not answered.
    """
    sources = list(checkpoints.values())
    logits = [answers.read(source, texts) for source in sources]
    known = [each for each in logits if each is not None]
    if len(known) < len(sources):
        raise ValueError("collect the answers of all sources first")
    tokens = inference.running_tokens(inference.load_tokenizer(sources[0].folder), texts)
    met = learned_tokens(sources, base) if learned else None
    return Evidence(
        sources=tuple(checkpoints),
        logits=np.stack(known).astype(np.float32),
        tokens=np.bincount(tokens, minlength=0 if met is None else met.shape[1]),
        learned=met,
    )


Reliability = Callable[[Evidence], FloatArray]
"""Evidence → scores [K], higher is better."""
RELIABILITIES: Registry[Reliability] = Registry("reliability")


def standardised(scores: FloatArray) -> FloatArray:
    """Return scores with mean 0 and variance 1; zeros where all are the same."""
    spread = scores.std()
    return np.zeros_like(scores) if spread < 1e-12 else (scores - scores.mean()) / spread


def reliabilities(evidence: Evidence, name: str) -> FloatArray:
    """Return standardised scores [K]; of several reliabilities joined with ``+`` the mean, so that each counts the same.

    Raises:
        UnknownName: there is no such reliability.
    """
    parts = [standardised(RELIABILITIES[each](evidence)) for each in name.split("+")]
    return np.asarray(np.mean(parts, axis=0))
