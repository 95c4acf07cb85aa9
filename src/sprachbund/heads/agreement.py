"""Do the classification heads of the sources speak one language?

Heads that were initialised independently use the directions of their hidden space for different things: their mean cancels
(norm 8.1 → 4.0 for four of the published sources) and the merged model answers almost at random. So the cosine between heads
is measured before every merge: near 1 for heads that grew from one seed, near 0 for strangers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sprachbund.checkpoints import Checkpoint

__all__ = ["TOO_LOW", "HeadAgreement", "head_agreement", "head_cosines"]

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
            "initialised independently, and averaging them cancels them. Expect a weak merge, or keep all of them in "
            "sprachbund merge or experiment (--head-policy wide; refit makes an ordinary head of them); sources trained with "
            "one head seed (sprachbund train) do not have this problem."
        )


def head_agreement(sources: Sequence[Checkpoint]) -> HeadAgreement | None:
    """Return the smallest cosine between the heads of two sources; None for fewer than two sources or without heads."""
    cosines = head_cosines(sources)
    pairs = [
        HeadAgreement(float(cosines[a, b]), sources[a].name, sources[b].name)
        for a, b in itertools.combinations(range(len(sources)), 2)
        if np.isfinite(cosines[a, b])
    ]
    return min(pairs, key=lambda pair: pair.cosine, default=None)


def head_cosines(sources: Sequence[Checkpoint]) -> npt.NDArray[np.float64]:
    """Return the cosine between the heads of each two sources, [K, K]; NaN where two cannot be compared.

    A head counts as one vector of all its matrices; biases are left out, they hardly differ from 0. Heads of other tensors or
    shapes cannot be compared, nor can what holds NaN or infinite numbers. A head of zeros has the cosine 0 to all others.
    """
    vectors = [_head_vector(source) for source in sources]
    cosines = np.full((len(sources), len(sources)), np.nan)
    for a, b in itertools.combinations_with_replacement(range(len(sources)), 2):
        if _matrices(sources[a]) == _matrices(sources[b]) != {}:
            cosines[a, b] = cosines[b, a] = _cosine(vectors[a], vectors[b])
    return cosines


def _matrices(source: Checkpoint) -> dict[str, tuple[int, ...]]:
    return {name: info.shape for name, info in source.head.items() if len(info.shape) > 1}


def _head_vector(source: Checkpoint) -> npt.NDArray[np.float64]:
    parts = [source.file.read(name).astype(np.float64).ravel() for name in _matrices(source)]
    return np.concatenate([np.empty(0), *parts])


def _cosine(u: npt.NDArray[np.float64], v: npt.NDArray[np.float64]) -> float:
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and ∞ are the merge's to refuse: it knows the tensor
        norms = np.linalg.norm(u) * np.linalg.norm(v)
        cosine = float(u @ v / norms) if norms else 0.0
    return cosine if math.isfinite(cosine) else math.nan
