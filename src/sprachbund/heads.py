"""Do the classification heads of the sources speak one language?

Heads that were initialised independently use the directions of their hidden space for different things: their mean cancels
(norm 8.1 → 4.0 for four of the published sources) and the merged model answers almost at random. So the cosine between heads
is measured before every merge: near 1 for heads that grew from one seed, near 0 for strangers.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sprachbund.checkpoints import Checkpoint

__all__ = ["TOO_LOW", "HeadAgreement", "head_agreement"]

TOO_LOW = 0.3
"""Cosine under which a merge is warned about. Strangers lie at 0 ± 0.05, heads of one seed well above 0.5."""


@dataclass(frozen=True)
class HeadAgreement:
    """The pair of sources whose heads agree least."""

    cosine: float
    first: str
    second: str

    @property
    def warning(self) -> str | None:
        """What to tell the user, if anything."""
        if self.cosine >= TOO_LOW:
            return None
        return (
            f"The classification heads of {self.first} and {self.second} have cosine {self.cosine:.2f}: they were "
            "initialised independently, and averaging them cancels them. Expect a weak merge; sources trained with one "
            "head seed (sprachbund train) do not have this problem."
        )


def head_agreement(sources: Sequence[Checkpoint]) -> HeadAgreement | None:
    """Return the smallest cosine between the heads of two sources; None for fewer than two sources or without heads.

    A head counts as one vector of all its matrices; biases are left out, they hardly differ from 0.
    """
    vectors = [(source.name, vector) for source in sources if (vector := _head_vector(source)) is not None]
    pairs = [
        HeadAgreement(_cosine(u, v), first, second) for (first, u), (second, v) in itertools.combinations(vectors, 2)
    ]
    return min(pairs, key=lambda pair: pair.cosine, default=None)


def _head_vector(source: Checkpoint) -> np.ndarray | None:
    matrices = [
        source.file.read(name).astype(np.float64).ravel() for name, info in source.head.items() if len(info.shape) > 1
    ]
    return np.concatenate(matrices) if matrices else None


def _cosine(u: np.ndarray, v: np.ndarray) -> float:
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and ∞ are the merge's to refuse: it knows the tensor
        norms = np.linalg.norm(u) * np.linalg.norm(v)
        return float(u @ v / norms) if norms else 0.0
