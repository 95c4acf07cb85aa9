"""What the figures are worth: each accuracy with its interval, each difference with its interval and its test.

All of this is arithmetic on the predictions of one setup (:class:`~sprachbund.report.answers.Answers`), by the means of
:mod:`sprachbund.report.stats`; docs/statistics.md says which, and why.

    a score        one variant in one locale: accuracy (Wilson), macro-F1 (bootstrap over ids)
    a contrast     two variants in one locale, id by id: McNemar's exact test, adjusted over the locales of the pair
                   (Benjamini and Hochberg): a screen, to be looked through for locales that stand out
    a comparison   two variants over all locales that have both: mean, with a bootstrap that draws an id with its answers in all
                   locales, and an exact test that turns round an id with all of them. The main job's pairs are questions asked
                   beforehand, adjusted over themselves (Holm), so that nothing else in the folder changes their p; all others
                   are a screen, adjusted over themselves, too (Benjamini and Hochberg)

There is one checkpoint of each kind for a locale: nothing here knows how far those of another training would lie apart.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from sprachbund.errors import StoreError
from sprachbund.report import stats
from sprachbund.report.answers import NO_ANSWERS, Answers, read_answers
from sprachbund.report.stats import LEVEL, RESAMPLES, Interval
from sprachbund.report.table import HEADLINE_PAIRS, Cell, Results, compared
from sprachbund.store.calibration import ece, nll

if TYPE_CHECKING:
    from sprachbund.report.stats import Codes
    from sprachbund.store import Record

__all__ = [
    "MACRO_F1_RESAMPLES",
    "Adjustment",
    "Analysis",
    "Comparison",
    "Contrast",
    "Interval",
    "Score",
    "adjusted",
    "analyse",
    "analysis_of",
    "comparison",
    "contrast",
    "read_and_analyse",
]

MACRO_F1_RESAMPLES = 1_000
MOST_NOTED = 3
"""Of so many reasons for what is left out there is a sentence, and so many locales it names."""

Adjustment = Literal["", "Holm", "Benjamini-Hochberg"]
"""How a p-value is adjusted for those that stand beside it; empty: not at all."""


@dataclass(frozen=True)
class Score:
    """One variant, or the best zero-shot source, in one locale."""

    variant: str
    locale: str
    correct: int
    total: int
    accuracy: float
    accuracy_interval: Interval
    """Wilson's."""
    macro_f1: float
    macro_f1_interval: Interval | None
    """Bootstrap over ids; None where there are no predictions, or nobody asked."""
    macro_f1_intents: int
    """Over how many intents: those that occur in the gold labels."""
    nll: float | None
    """Mean of -ln of the probability of the gold intent, in nats; None where the record has none."""
    ece: float | None
    """Expected calibration error, fraction in [0, 1]; None likewise."""


@dataclass(frozen=True)
class Contrast:
    """``first`` minus ``second`` in one locale, over the ids that both answered."""

    first: str
    second: str
    locale: str
    difference: float
    """Of accuracies, fraction in [-1, 1]."""
    interval: Interval
    """Bootstrap over ids."""
    wins: int
    """Ids that only ``first`` answers rightly."""
    losses: int
    p: float
    """McNemar's exact test."""
    p_adjusted: float
    """Benjamini and Hochberg, over the locales of the pair."""


@dataclass(frozen=True)
class Comparison:
    """``first`` minus ``second`` over the locales that have both."""

    first: str
    second: str
    locales: int
    mean: float
    """Over locales, each counted equally."""
    interval: Interval
    """Bootstrap over ids, each with its answers in all locales."""
    wins: int
    """Locales where ``first`` is higher."""
    ties: int
    losses: int
    better: int
    """Locales where ``first`` is better, after adjustment, at the level."""
    worse: int
    p: float
    """Exact test that turns round the signs of an id's differences in all locales at once."""
    p_adjusted: float
    """By ``adjustment``, over ``adjusted_over`` comparisons."""
    wilcoxon_p: float | None
    """Signed ranks of the locales' differences, a description; None where all of them are zero."""
    adjustment: Adjustment = ""
    adjusted_over: int = 1

    @property
    def adjusted_by(self) -> str:
        """How p is adjusted, and over how many pairs, for people; empty where it is not."""
        return self.adjustment and f"{self.adjustment} over {self.adjusted_over}"


@dataclass(frozen=True)
class Analysis:
    """What the predictions of one setup say beyond their means."""

    scores: Mapping[Cell, Score]
    contrasts: Mapping[tuple[str, str], tuple[Contrast, ...]]
    """By pair; locales in the order of the locale table."""
    comparisons: tuple[Comparison, ...]
    resamples: int
    macro_f1_resamples: int
    seed: int
    level: float
    """Of the intervals; 1 - level is that of the tests."""
    blank: str = ""
    """Why there are no contrasts and comparisons, one sentence; empty where there could be."""
    notes: tuple[str, ...] = ()
    """What contrasts and comparisons leave out, why, and what to do; a sentence each."""

    def comparison(self, first: str, second: str) -> Comparison | None:
        """Return the comparison of a pair, None where it could not be made."""
        return next((found for found in self.comparisons if (found.first, found.second) == (first, second)), None)


def analyse(
    results: Results,
    answers: Answers,
    *,
    resamples: int = RESAMPLES,
    macro_f1_resamples: int = MACRO_F1_RESAMPLES,
    seed: int = 0,
) -> Analysis:
    """Compute everything that the predictions of a setup tell; what they are missing for is left out.

    Args:
        results: of one setup.
        answers: the predictions of these results.
        resamples: of ids, for the intervals of comparisons.
        macro_f1_resamples: for those of macro-F1; none with 0.
        seed: of what is drawn.
    """
    pairs = [_side_by_side(answers, *pair) for pair in compared(results.variants)]
    met = [pair for pair in pairs if pair.locales]
    contrasts = [_contrasts(pair) for pair in met]
    shares = np.array([_shares(pair) for pair in met]).reshape(len(met), len(answers.ids))
    bounds = stats.intervals(shares, seed=seed, resamples=resamples)
    found = [_comparison(*each) for each in zip(contrasts, met, bounds, strict=True)]
    headline = [each for each in found if (each.first, each.second) in HEADLINE_PAIRS]
    screen = [each for each in found if (each.first, each.second) not in HEADLINE_PAIRS]
    return Analysis(
        scores={(score.variant, score.locale): score for score in _scores(results, answers, macro_f1_resamples, seed)},
        contrasts={(pair.first, pair.second): rows for pair, rows in zip(met, contrasts, strict=True)},
        comparisons=(*adjusted(headline, "Holm"), *adjusted(screen, "Benjamini-Hochberg")),
        resamples=resamples,
        macro_f1_resamples=macro_f1_resamples,
        seed=seed,
        level=LEVEL,
        blank="" if answers.predicted else next(iter(answers.left_out.values()), ""),
        notes=_notes(answers.left_out) if answers.predicted else (),
    )


def analysis_of(
    results_dir: Path,
    results: Results,
    *,
    resamples: int = RESAMPLES,
    macro_f1_resamples: int = MACRO_F1_RESAMPLES,
    seed: int = 0,
) -> Analysis:
    """Return the analysis alone, for who has no use for single predictions, see :func:`read_and_analyse`."""
    return read_and_analyse(
        results_dir, results, resamples=resamples, macro_f1_resamples=macro_f1_resamples, seed=seed
    )[1]


def read_and_analyse(
    results_dir: Path,
    results: Results,
    *,
    resamples: int = RESAMPLES,
    macro_f1_resamples: int = MACRO_F1_RESAMPLES,
    seed: int = 0,
) -> tuple[Answers, Analysis]:
    """Read the predictions and :func:`analyse` them; where none can be read there are scores by the records alone."""
    try:
        answers = read_answers(results_dir, results)
    except StoreError as error:
        known = {cell: _score_of_record(cell, record, None) for cell, record in results.records.items()}
        return NO_ANSWERS, Analysis(known, {}, (), resamples, macro_f1_resamples, seed, LEVEL, blank=str(error))
    return answers, analyse(results, answers, resamples=resamples, macro_f1_resamples=macro_f1_resamples, seed=seed)


def contrast(answers: Answers, first: str, second: str) -> tuple[Contrast, ...]:
    """Compare any two variants in each locale that both have answered."""
    return _contrasts(_side_by_side(answers, first, second))


def comparison(
    answers: Answers, first: str, second: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison | None:
    """Compare any two variants over the locales that both have answered, adjusted for nothing else; None if there are none."""
    pair = _side_by_side(answers, first, second)
    if not pair.locales:
        return None
    (bounds,) = stats.intervals(_shares(pair)[None], seed=seed, resamples=resamples)
    return _comparison(_contrasts(pair), pair, bounds)


def adjusted(found: Sequence[Comparison], adjustment: Literal["Holm", "Benjamini-Hochberg"]) -> tuple[Comparison, ...]:
    """Return comparisons with p-values adjusted for their number: of questions (Holm), or of a screen."""
    adjust = stats.holm if adjustment == "Holm" else stats.benjamini_hochberg
    p_values = adjust([each.p for each in found])
    return tuple(
        replace(each, p_adjusted=float(p), adjustment=adjustment, adjusted_over=len(found))
        for each, p in zip(found, p_values, strict=True)
    )


def _notes(left_out: Mapping[Cell, str]) -> tuple[str, ...]:
    """Say which answers are not there: a sentence for each column and reason, those about most locales first."""
    places: dict[tuple[str, str], list[str]] = {}
    for (variant, locale), reason in left_out.items():
        places.setdefault((variant, reason), []).append(locale)
    groups = sorted(places.items(), key=lambda group: -len(group[1]))
    said = [
        f"Intervals and tests of differences with {variant} leave out {_some(found)}: {reason}"
        for (variant, reason), found in groups[:MOST_NOTED]
    ]
    more = sum(len(found) for _, found in groups[MOST_NOTED:])
    return (*said, *([f"They leave out {more} more results, whose predictions cannot be read either."] if more else []))


def _some(places: Sequence[str]) -> str:
    return ", ".join(places) if len(places) <= MOST_NOTED else f"{', '.join(places[:2])} and {len(places) - 2} others"


@dataclass(frozen=True)
class _Pair:
    """Two variants, answer by answer."""

    first: str
    second: str
    locales: tuple[str, ...]
    """Those where both have answered the same ids, one at least."""
    differences: npt.NDArray[np.int64]
    """1 where only the first is right, -1 where only the second is; [locales, ids]."""
    answered: npt.NDArray[np.bool_]
    """[locales, ids]"""


def _side_by_side(answers: Answers, first: str, second: str) -> _Pair:
    there = {
        locale: (answers.predicted[first, locale], answers.predicted[second, locale], gold)
        for locale, gold in answers.gold.items()
        if (first, locale) in answers.predicted and (second, locale) in answers.predicted
    }
    answered = {locale: (one >= 0) & (two >= 0) for locale, (one, two, _) in there.items()}
    locales = tuple(locale for locale, both in answered.items() if both.any())
    shape = len(locales), len(answers.ids)
    differences = np.zeros(shape, dtype=np.int64)
    for row, locale in enumerate(locales):
        one, two, gold = there[locale]
        differences[row] = (one == gold).astype(np.int64) - (two == gold)
    both = np.array([answered[locale] for locale in locales], dtype=np.bool_).reshape(shape)
    return _Pair(first, second, locales, np.where(both, differences, 0), both)


def _contrasts(pair: _Pair) -> tuple[Contrast, ...]:
    counts = [
        (int((row > 0).sum()), int((row < 0).sum()), int(both.sum()))
        for row, both in zip(pair.differences, pair.answered, strict=True)
    ]
    p_values = [stats.mcnemar(wins, losses) for wins, losses, _ in counts]
    adjusted = stats.benjamini_hochberg(p_values)
    return tuple(
        Contrast(
            first=pair.first,
            second=pair.second,
            locale=locale,
            difference=(wins - losses) / total,
            interval=stats.difference_interval(wins, losses, total),
            wins=wins,
            losses=losses,
            p=p,
            p_adjusted=float(p_adjusted),
        )
        for locale, (wins, losses, total), p, p_adjusted in zip(pair.locales, counts, p_values, adjusted, strict=True)
    )


def _comparison(contrasts: Sequence[Contrast], pair: _Pair, bounds: npt.NDArray[np.float64]) -> Comparison:
    differences = [contrast.difference for contrast in contrasts]
    significant = [contrast.difference for contrast in contrasts if contrast.p_adjusted <= 1 - LEVEL]
    p = stats.sign_flip(pair.differences.sum(axis=0))
    low, high = map(float, bounds)
    return Comparison(
        first=pair.first,
        second=pair.second,
        locales=len(contrasts),
        mean=statistics.fmean(differences),
        interval=Interval(low, high),
        wins=sum(difference > 0 for difference in differences),
        ties=sum(difference == 0 for difference in differences),
        losses=sum(difference < 0 for difference in differences),
        better=sum(difference > 0 for difference in significant),
        worse=sum(difference < 0 for difference in significant),
        p=p,
        p_adjusted=p,
        wilcoxon_p=stats.wilcoxon(differences),
    )


def _shares(pair: _Pair) -> npt.NDArray[np.float64]:
    """Return what each id contributes, [ids], so that their mean is the mean over locales, and stays so in a resample.

    With N ids, L locales and n_l ids of locale l it is  m + N/L · Σ_l (d_il - m_l) / n_l  over the locales that have the id.
    Where all locales have all ids this is the mean of d_il. Where they have not, a resample has more ids of one locale and
    fewer of another: it is divided by those that it has, to the first order (the influence function of a sum of ratios).
    """
    sizes = pair.answered.sum(axis=1, keepdims=True)
    means = pair.differences.sum(axis=1, keepdims=True) / sizes
    deviations = np.where(pair.answered, pair.differences - means, 0.0) / sizes
    shares: npt.NDArray[np.float64] = means.mean() + pair.answered.shape[1] * deviations.mean(axis=0)
    return shares


def _scores(results: Results, answers: Answers, resamples: int, seed: int) -> Iterator[Score]:
    """Yield the scores of all records, then those of other predictions: of the best zero-shot sources."""
    drawn = cache(partial(stats.draws, resamples=resamples, seed=seed))

    def interval(cell: Cell) -> Interval | None:
        if not resamples or cell not in answers.predicted:
            return None
        gold, predicted = _answered(answers, cell)
        return stats.macro_f1_interval(gold, predicted, drawn(len(gold)))

    for cell, record in results.records.items():
        yield _score_of_record(cell, record, interval(cell))
    for cell in answers.predicted:
        if cell not in results.records:
            yield _score_of_answers(cell, answers, interval(cell))


def _answered(answers: Answers, cell: Cell) -> tuple[Codes, Codes]:
    """Return gold and predicted intents of the ids that a cell has."""
    gold, predicted = answers.gold[cell[1]], answers.predicted[cell]
    there = predicted >= 0
    return gold[there], predicted[there]


def _score_of_record(cell: Cell, record: Record, macro_f1_interval: Interval | None) -> Score:
    measured = record.performance
    variant, locale = cell
    return Score(
        variant=variant,
        locale=locale,
        correct=measured.correct,
        total=measured.total,
        accuracy=measured.accuracy,
        accuracy_interval=stats.wilson(measured.correct, measured.total),
        macro_f1=measured.macro_f1,
        macro_f1_interval=macro_f1_interval,
        macro_f1_intents=measured.macro_f1_intents,
        nll=measured.nll,
        ece=measured.ece,
    )


def _score_of_answers(cell: Cell, answers: Answers, macro_f1_interval: Interval | None) -> Score:
    gold, predicted = _answered(answers, cell)
    there = answers.predicted[cell] >= 0
    correct, total = int((gold == predicted).sum()), len(gold)
    variant, locale = cell
    return Score(
        variant=variant,
        locale=locale,
        correct=correct,
        total=total,
        accuracy=correct / total,
        accuracy_interval=stats.wilson(correct, total),
        macro_f1=stats.macro_f1(gold, predicted),
        macro_f1_interval=macro_f1_interval,
        macro_f1_intents=len(np.unique(gold)),
        nll=nll(answers.gold_probability[cell][there]) if cell in answers.gold_probability else None,
        ece=ece(answers.confidence[cell][there], gold == predicted),
    )
