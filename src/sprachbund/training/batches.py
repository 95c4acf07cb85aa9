"""Batches of texts of like length, in random order: little is spent on padding, and each epoch is another one."""

from __future__ import annotations

import random

from sprachbund.inference import Encoded

__all__ = ["epoch"]

BATCHES_PER_WINDOW = 8
"""Lengths are sorted within so many batches: enough to save padding, few enough to keep batches random."""


def epoch(encoded: Encoded, size: int, lot: random.Random, *, whole: bool = False) -> list[list[int]]:
    """Return one epoch of batches, each a list of indices into ``encoded``; with ``whole``, its lengths are sorted all at once.

    Where the lengths themselves are drawn anew for each epoch, that still makes other batches each time.
    """
    order = lot.sample(range(len(encoded)), len(encoded))
    window = len(order) if whole else size * BATCHES_PER_WINDOW
    batches = []
    for start in range(0, len(order), window):
        alike = sorted(order[start : start + window], key=lambda index: len(encoded[index]))
        batches += [alike[first : first + size] for first in range(0, len(alike), size)]
    lot.shuffle(batches)
    return batches
