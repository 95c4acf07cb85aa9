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
import numpy.typing as npt

from sprachbund.checkpoints import Checkpoint

__all__ = ["TOO_LOW", "HeadAgreement", "head_agreement", "head_cosines"]

ELEMENTS_AT_ONCE = 1 << 14
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
    cosines = np.full((len(sources), len(sources)), np.nan)
    alike: dict[tuple[tuple[str, tuple[int, ...]], ...], list[int]] = {}
    for place, source in enumerate(sources):
        alike.setdefault(tuple(_matrices(source).items()), []).append(place)
    for matrices, places in alike.items():
        if matrices:
            names = [name for name, _ in matrices]
            cosines[np.ix_(places, places)] = _cosines(_products([sources[place] for place in places], names))
    return cosines


def _matrices(source: Checkpoint) -> dict[str, tuple[int, ...]]:
    return {name: info.shape for name, info in sorted(source.head.items()) if len(info.shape) > 1}


def _products(sources: Sequence[Checkpoint], names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the inner products of the heads, [K, K], summed up in parts: 52 heads at once are too many to hold."""
    total = np.zeros((len(sources), len(sources)))
    for name in names:
        views = [source.file.read(name).reshape(-1) for source in sources]
        for start in range(0, len(views[0]), ELEMENTS_AT_ONCE):
            part = np.stack([view[start : start + ELEMENTS_AT_ONCE].astype(np.float64) for view in views])
            with np.errstate(
                invalid="ignore", over="ignore"
            ):  # NaN and ∞ are the merge's to refuse: it knows the tensor
                total += part @ part.T
    return total


def _cosines(products: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore", over="ignore"):
        norms = np.sqrt(np.outer(products.diagonal(), products.diagonal()))
        cosines = np.divide(products, norms, out=np.zeros_like(products), where=norms != 0)
    return np.where(np.isfinite(cosines), cosines, np.nan)
