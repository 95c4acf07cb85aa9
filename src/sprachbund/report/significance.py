"""Whether a difference is more than chance: tests and intervals for answers to the same texts.

The unit of chance is the *id*. In MASSIVE an id stands for one sentence in all locales, so that 52 answers to it are no 52
independent observations: whatever is drawn anew or turned round is an id, with all that belongs to it.

**One pair of models** (:func:`sign_flip`). Of an id where they differ it is as likely, if they are equally good, that the one
is right as that the other is. So every difference might as well have the other sign, and the p-value is the share of all 2ⁿ
choices of signs whose sum lies as far from zero as the one found (Fisher 1935, "The Design of Experiments", § 21; Pitman 1937).
For two models that differ by one in ``wins`` ids and by minus one in ``losses`` this is the exact test of McNemar (1947, "Note
on the sampling error of the difference between correlated proportions"): two-sided, wins ~ Binomial(wins + losses, 1/2). With
several seeds the difference of an id is the sum over its seeds, a whole number, and the same sentence says the same.
It is about these trainings: how far other seeds would lie apart it cannot know.

**Many pairs** (:func:`holm`). Of 40 true hypotheses two are rejected at 5 % on average. Holm (1979, "A simple sequentially
rejective multiple test procedure") bounds the chance of rejecting any true one, whatever the dependence between them:

    p₍ᵢ₎ adjusted = max over j ≤ i of min(1, (m − j + 1) · p₍ⱼ₎),   p₍₁₎ ≤ … ≤ p₍ₘ₎

**How large** (:func:`intervals`). The percentile interval of the bootstrap (Efron and Tibshirani 1993, "An Introduction to the
Bootstrap", chapter 13): ids are drawn with replacement, as many as there are, again and again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["RESAMPLES", "holm", "intervals", "sign_flip"]

RESAMPLES = 10_000
AT_ONCE = 500
"""Resamples that are held in memory together: 8 bytes an id each."""

FloatArray = npt.NDArray[np.float64]


def sign_flip(differences: npt.NDArray[np.integer]) -> float:
    """Return the exact two-sided p-value of differences in whole numbers, [ids], whose signs are a toss-up if nothing is there.

    Of right (1) and wrong (0) answers of two models it is that of McNemar's exact test.
    """
    sizes = np.abs(differences)
    counts = np.bincount(sizes, minlength=1)
    chances = np.ones(1)  # of each sum, -reach ... reach
    for size, count in enumerate(counts):
        if size and count:
            chances = np.convolve(chances, _tosses(int(count), size))
    reach = int(sizes.sum())
    sums = np.abs(np.arange(-reach, reach + 1))
    return float(min(1.0, chances[sums >= abs(int(differences.sum()))].sum()))


def _tosses(count: int, size: int) -> FloatArray:
    """Return the chance of each sum of ``count`` numbers that are ``size`` or ``-size``, from the lowest to the highest."""
    from scipy.stats import binom

    chances = np.zeros(2 * count * size + 1)
    chances[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
    return chances


def holm(p_values: Sequence[float]) -> FloatArray:
    """Return p-values adjusted for their number, in the order given."""
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(len(order), 0, -1) * np.asarray(p_values, dtype=np.float64)[order]
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def intervals(
    values: npt.NDArray[np.floating], *, seed: int = 0, resamples: int = RESAMPLES, level: float = 0.95
) -> FloatArray:
    """Return low and high of the mean of each row of values, [rows, ids] → [rows, 2].

    All rows see the same ids drawn; a row that is a mean over locales takes an id in all locales at once.
    """
    lot = np.random.default_rng(seed)
    parts = [min(AT_ONCE, resamples - done) for done in range(0, resamples, AT_ONCE)]
    means = np.concatenate([_drawn(lot, part, values.shape[1]) @ values.T for part in parts])
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return np.stack([low, high], axis=1)


def _drawn(lot: np.random.Generator, resamples: int, ids: int) -> FloatArray:
    """Return what share of each resample each id is, [resamples, ids]."""
    drawn = lot.integers(ids, size=(resamples, ids)) + ids * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * ids).reshape(resamples, ids) / ids
