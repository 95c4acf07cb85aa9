"""The k highest scores, in an order that nothing but the scores and the matrix decides."""

from __future__ import annotations

from collections.abc import Mapping

from sprachbund.errors import MixError

__all__ = ["top_k"]


def top_k(scores: Mapping[str, float], k: int) -> tuple[tuple[str, float], ...]:
    """Return the ``k`` highest (name, score) pairs, highest first; ties stay in the mapping's order.

    Where fewer than ``k`` are there, all of them come back: whoever asks knows what a shortage means.
    """
    if k < 1:
        raise MixError(f"At least one source must be selected; got k = {k}. Ask for 1 or more.")
    return tuple(sorted(scores.items(), key=lambda pair: -pair[1])[:k])  # sorted() is stable: ties keep their order
