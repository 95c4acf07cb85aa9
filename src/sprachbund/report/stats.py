"""Whether a difference is more than chance, and how large it may be: tests and intervals for answers to the same texts.

The unit of chance is the *id*. In MASSIVE an id stands for one sentence in all locales, so that 52 answers to it are no 52
independent observations: whatever is drawn anew or turned round is an id, with all that belongs to it.

**One share** (:func:`wilson`). The interval of Wilson (1927, "Probable inference, the law of succession, and statistical
inference"): every true share that the one found is compatible with. It never leaves [0, 1], and has a width at 0 and 1.

**One pair of models** (:func:`mcnemar`). Of an id where just one is right it is as likely, if they are equally good, that it
is the one as that it is the other: wins ~ Binomial(wins + losses, 1/2), exactly and two-sided (McNemar 1947, "Note on the
sampling error of the difference between correlated proportions").

**One pair, many answers to an id** (:func:`sign_flip`). With several locales or seeds the difference of an id is the sum over
them, a whole number, which might as well have the other sign. The p-value is the share of all 2ⁿ choices of signs whose sum
lies as far from zero as the one found (Fisher 1935, "The Design of Experiments", § 21; Pitman 1937). For sums of one answer
this is McNemar's test. Against a mean of several models, whose differences are no whole numbers, signs are drawn instead
(:func:`drawn_sign_flip`; Dwass 1957, "Modified randomization tests for nonparametric hypotheses"). It is about these
trainings: how far other seeds would lie apart it cannot know.

**Many pairs.** Of 40 true hypotheses two are rejected at 5 % on average. Holm (1979, "A simple sequentially rejective multiple
test procedure") bounds the chance of rejecting any true one, whatever the dependence between them (:func:`holm`):

    p₍ᵢ₎ adjusted = max over j ≤ i of min(1, (m − j + 1) · p₍ⱼ₎),   p₍₁₎ ≤ … ≤ p₍ₘ₎

Benjamini and Hochberg (1995, "Controlling the false discovery rate") bound the share of the rejected that are true
(:func:`benjamini_hochberg`), for screens that are looked through.

**How large** (:func:`intervals`). The percentile interval of the bootstrap (Efron and Tibshirani 1993, "An Introduction to the
Bootstrap", chapter 13): ids are drawn with replacement, as many as there are, again and again. For the difference of two models
in one locale (:func:`difference_interval`) nothing need be drawn: of a resample's n ids each is a win, a loss or neither, so
that the chance of each difference is a coefficient of (losses · x⁻¹ + neither + wins · x)ⁿ / nⁿ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "LEVEL",
    "RESAMPLES",
    "Interval",
    "benjamini_hochberg",
    "difference_interval",
    "drawn_sign_flip",
    "draws",
    "holm",
    "intervals",
    "macro_f1",
    "macro_f1_interval",
    "mcnemar",
    "sign_flip",
    "wilcoxon",
    "wilson",
]

LEVEL = 0.95
RESAMPLES = 10_000
AT_ONCE = 500
"""Resamples that are held in memory together: 8 bytes an id each."""

SAME_SUM = 1e-9
"""Sums of shares that lie no farther apart are one: each is rounded."""

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer]
"""Intents by number."""


@dataclass(frozen=True)
class Interval:
    """From where to where."""

    low: float
    high: float


def wilson(correct: int, total: int, level: float = LEVEL) -> Interval:
    """Return the interval of a share; all of [0, 1] where there is nothing to count."""
    from scipy.stats import binomtest

    if not total:
        return Interval(0.0, 1.0)
    found = binomtest(correct, total).proportion_ci(level, method="wilson")
    return Interval(float(found.low), float(found.high))


def mcnemar(wins: int, losses: int) -> float:
    """Return the exact two-sided p-value of ids that only the first (``wins``) or only the second model gets right."""
    from scipy.stats import binom

    return float(min(1.0, 2 * binom.cdf(min(wins, losses), wins + losses, 0.5)))


def sign_flip(differences: npt.NDArray[np.integer]) -> float:
    """Return the exact two-sided p-value of differences in whole numbers, [ids], whose signs are a toss-up if nothing is there.

    Of right (1) and wrong (0) answers of two models it is that of McNemar's exact test.
    """
    sizes = np.abs(differences)
    chances = np.ones(1)  # of each sum: -reach, -reach + 2, ... reach
    for size, count in enumerate(np.bincount(sizes, minlength=1)):
        if size and count:
            chances = _tossed(chances, size, int(count))
    reach = int(sizes.sum())
    sums = np.abs(np.arange(-reach, reach + 1, 2))
    return float(min(1.0, chances[sums >= abs(int(differences.sum()))].sum()))


def _tossed(chances: FloatArray, size: int, count: int) -> FloatArray:
    """Return the chance of each sum when ``count`` numbers that are ``size`` or ``-size`` come to it."""
    from scipy.stats import binom

    sums = np.zeros(len(chances) + count * size)
    for positive, chance in enumerate(binom.pmf(np.arange(count + 1), count, 0.5)):
        sums[positive * size : positive * size + len(chances)] += chance * chances
    return sums


def drawn_sign_flip(differences: FloatArray, *, seed: int = 0, resamples: int = RESAMPLES) -> FloatArray:
    """Return p-values as :func:`sign_flip` does, of each row of differences that are no whole numbers, [rows, ids] → [rows].

    Signs are drawn, and those that were found count as one choice more (Dwass 1957): no p is below 1 / (resamples + 1).
    """
    lot = np.random.default_rng(seed)
    ids, found = differences.shape[1], np.abs(differences.sum(axis=1)) - SAME_SUM
    reached = np.ones(len(differences))
    for done in range(0, resamples, AT_ONCE):
        signs = 2.0 * lot.integers(2, size=(min(AT_ONCE, resamples - done), ids), dtype=np.int8) - 1
        reached += (np.abs(signs @ differences.T) >= found).sum(axis=0)
    return reached / (resamples + 1)


def wilcoxon(differences: Sequence[float]) -> float | None:
    """Return the p-value of the signed-rank test (Wilcoxon 1945), of differences that are not zero; None if all are.

    It takes the differences for independent, which those of languages and of answers to one sentence are not: a description.
    """
    from scipy import stats

    there = [difference for difference in differences if difference]
    return float(stats.wilcoxon(there).pvalue) if there else None


def holm(p_values: Sequence[float]) -> FloatArray:
    """Return p-values adjusted for their number, in the order given."""
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(len(order), 0, -1) * np.asarray(p_values, dtype=np.float64)[order]
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> FloatArray:
    """Return p-values adjusted so that, below a level, that share of the rejected is true at most; in the order given."""
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p_values), dtype=np.float64)


def intervals(
    values: npt.NDArray[np.floating], *, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> FloatArray:
    """Return low and high of the mean of each row of values, [rows, ids] → [rows, 2].

    All rows see the same ids drawn; a row that is a mean over locales takes an id in all locales at once.
    """
    lot = np.random.default_rng(seed)
    parts = [min(AT_ONCE, resamples - done) for done in range(0, resamples, AT_ONCE)]
    means = np.concatenate([_drawn(lot, part, values.shape[1]) / values.shape[1] @ values.T for part in parts])
    return _percentiles(means, level)


def _drawn(lot: np.random.Generator, resamples: int, ids: int) -> npt.NDArray[np.int64]:
    """Return how often each id is in each resample, [resamples, ids]."""
    drawn = lot.integers(ids, size=(resamples, ids)) + ids * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * ids).reshape(resamples, ids)


def _percentiles(found: FloatArray, level: float) -> FloatArray:
    """Return low and high of each column, [resamples, columns] → [columns, 2]."""
    tail = 100 * (1 - level) / 2
    return np.percentile(found, [tail, 100 - tail], axis=0).T


@lru_cache(maxsize=4096)  # a screen over many pairs meets the same counts again and again
def difference_interval(wins: int, losses: int, total: int, level: float = LEVEL) -> Interval:
    """Return the bootstrap's interval of (wins - losses) / total ids, as unboundedly many resamples would give it."""
    from scipy.fft import irfft, next_fast_len

    size = next_fast_len(2 * total + 1, real=True)
    turned = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    drawn_once = (losses / turned + (total - wins - losses) + wins * turned) / total
    chances = np.roll(irfft(drawn_once**total, n=size), total)[: 2 * total + 1]  # of -total, ... total
    low, high = np.searchsorted(np.cumsum(chances), [(1 - level) / 2, (1 + level) / 2])
    return Interval((int(low) - total) / total, (int(high) - total) / total)


def draws(ids: int, resamples: int, *, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return how often each id is in each resample, [ids, resamples]; whole numbers, exact in fp32."""
    return np.ascontiguousarray(_drawn(np.random.default_rng(seed), resamples, ids).T.astype(np.float32))


def macro_f1(gold: Codes, predicted: Codes) -> float:
    """Return the mean of F1 = 2·TP / (2·TP + FP + FN) over the intents that occur in the gold labels."""
    return float(_macro_f1(gold, predicted, np.ones((len(gold), 1), dtype=np.float32))[0])


def macro_f1_interval(gold: Codes, predicted: Codes, drawn: npt.NDArray[np.float32], level: float = LEVEL) -> Interval:
    """Return the bootstrap's interval of macro-F1, by the :func:`draws` of as many ids.

    Macro-F1 of a resample is over the intents that occur in the gold labels of that resample.
    """
    low, high = _percentiles(_macro_f1(gold, predicted, drawn), level)
    return Interval(float(low), float(high))


def _macro_f1(gold: Codes, predicted: Codes, drawn: npt.NDArray[np.float32]) -> FloatArray:
    """Return macro-F1 of each resample, [ids, resamples] → [resamples].

    The counts of an intent are sums over ids, each as often as it was drawn: products with 0/1 matrices [intents, ids]. They
    are whole numbers, exact in fp32; what is divided is not.
    """
    intents = int(max(gold.max(), predicted.max())) + 1
    asked, answered, hit = (
        _members(codes, intents) @ drawn for codes in (gold, predicted, np.where(gold == predicted, gold, -1))
    )
    occurs = asked > 0
    f1 = np.divide(2 * hit, asked + answered, out=np.zeros(hit.shape), where=occurs, dtype=np.float64)
    mean: FloatArray = f1.sum(axis=0) / occurs.sum(axis=0)
    return mean


def _members(codes: Codes, intents: int) -> csr_array:
    """Return which ids belong to each intent, [intents, ids]; a code of -1 belongs to none."""
    from scipy.sparse import csr_array

    (ids,) = np.nonzero(codes >= 0)
    return csr_array((np.ones(len(ids), dtype=np.float32), (codes[ids], ids)), shape=(intents, len(codes)))
