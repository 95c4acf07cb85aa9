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
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from sprachbund.errors import StoreError
from sprachbund.report import stats
from sprachbund.report.answers import NO_ANSWERS, Answers, read_answers
from sprachbund.report.stats import LEVEL, RESAMPLES, Interval
from sprachbund.report.summary import EQUAL, listed
from sprachbund.report.table import (
    HEADLINE_PAIRS,
    ZERO_SHOT_BEST,
    ZERO_SHOT_ENGLISH,
    ZERO_SHOT_MEAN,
    Cell,
    Results,
    compared,
)
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
    "Mean",
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

REFERENCES = (ZERO_SHOT_MEAN, ZERO_SHOT_ENGLISH, ZERO_SHOT_BEST)
"""Columns of single sources."""

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
    better: int | None
    """Locales where ``first`` is better, after adjustment, at the level; None against a mean of sources, which is no model."""
    worse: int | None
    p: float
    """Test that turns round the signs of an id's differences in all locales at once; exact, but against a mean."""
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
class Mean:
    """How sure the mean accuracy of a column is, over the locales whose answers are there."""

    locales: int
    interval: Interval
    """Bootstrap over ids, each with its answers in all locales."""


@dataclass(frozen=True)
class Analysis:
    """What the predictions of one setup say beyond their means."""

    scores: Mapping[Cell, Score]
    contrasts: Mapping[tuple[str, str], tuple[Contrast, ...]]
    """By pair of models; locales in the order of the locale table."""
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
    means: Mapping[str, Mean] = field(default_factory=dict)
    """Of the accuracy of columns."""

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
    alone = [_alone(answers, column) for column in (*results.variants, *REFERENCES)]
    columns = [each for each in alone if each.locales]
    shares = np.array([_shares(each) for each in (*met, *columns)]).reshape(len(met) + len(columns), len(answers.ids))
    bounds = stats.intervals(shares, seed=seed, resamples=resamples)
    found = [
        _comparison(*each)
        for each in zip(contrasts, met, bounds[: len(met)], _p_values(met, seed, resamples), strict=True)
    ]
    headline = [each for each in found if (each.first, each.second) in HEADLINE_PAIRS]
    screen = [each for each in found if (each.first, each.second) not in HEADLINE_PAIRS]
    return Analysis(
        scores={(score.variant, score.locale): score for score in _scores(results, answers, macro_f1_resamples, seed)},
        contrasts={(pair.first, pair.second): rows for pair, rows in zip(met, contrasts, strict=True) if rows},
        comparisons=(*adjusted(headline, "Holm"), *adjusted(screen, "Benjamini-Hochberg")),
        means={
            each.first: Mean(len(each.locales), Interval(*map(float, ends)))
            for each, ends in zip(columns, bounds[len(met) :], strict=True)
        },
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
    return _comparison(_contrasts(pair), pair, bounds, _p_values([pair], seed, resamples)[0])


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
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (variant, reason), found in places.items():
        together.setdefault((reason, tuple(found)), []).append(variant)
    groups = sorted(together.items(), key=lambda group: -len(group[0][1]))
    said = [
        f"Intervals and tests of differences with {listed(variants)} leave out {_some(found)}: {reason}"
        for (reason, found), variants in groups[:MOST_NOTED]
    ]
    more = sum(len(found) * len(variants) for (_, found), variants in groups[MOST_NOTED:])
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
    differences: npt.NDArray[np.float64]
    """1 where only the first is right, -1 where only the second is, a fraction against a mean of sources; [locales, ids]."""
    answered: npt.NDArray[np.bool_]
    """[locales, ids]"""

    @property
    def counts(self) -> bool:
        """Whether differences are whole numbers."""
        return ZERO_SHOT_MEAN not in (self.first, self.second)


def _side_by_side(answers: Answers, first: str, second: str) -> _Pair:
    one, two = (_right(answers, column) for column in (first, second))
    return _pair(
        answers,
        (first, second),
        {locale: one[locale] - two[locale] for locale in answers.gold if locale in one and locale in two},
    )


def _alone(answers: Answers, column: str) -> _Pair:
    """Return a column beside nothing: what is said of a mean difference holds of its mean, too."""
    right = _right(answers, column)
    return _pair(answers, (column, ""), {locale: right[locale] for locale in answers.gold if locale in right})


def _pair(answers: Answers, names: tuple[str, str], there: Mapping[str, npt.NDArray[np.float64]]) -> _Pair:
    """Put differences, given by locale, below each other."""
    locales = tuple(locale for locale, difference in there.items() if not np.isnan(difference).all())
    differences = np.array([there[locale] for locale in locales]).reshape(len(locales), len(answers.ids))
    answered = ~np.isnan(differences)
    return _Pair(*names, locales, np.where(answered, differences, 0.0), answered)


def _right(answers: Answers, column: str) -> Mapping[str, npt.NDArray[np.float64]]:
    """Return how right a column is by locale, [ids]: 0 or 1, a share of its sources, nan where the id is missing."""
    if column == ZERO_SHOT_MEAN:
        return answers.right_sources
    return {
        locale: np.where(predicted >= 0, predicted == answers.gold[locale], np.nan)
        for (name, locale), predicted in answers.predicted.items()
        if name == column
    }


def _contrasts(pair: _Pair) -> tuple[Contrast, ...]:
    """Return how two models compare in each locale; a mean of sources is no model, and has none."""
    if not pair.counts:
        return ()
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


def _p_values(pairs: Sequence[_Pair], seed: int, resamples: int) -> list[float]:
    """Return the p-value of each pair over all locales: exact, or with a mean of sources by signs that are drawn."""
    sums = {place: pair.differences.sum(axis=0) for place, pair in enumerate(pairs)}
    drawn = [place for place, pair in enumerate(pairs) if not pair.counts]
    found = {place: stats.sign_flip(sums[place].astype(np.int64)) for place in sums if place not in drawn}
    if drawn:
        shares = np.array([sums[place] for place in drawn])
        found |= dict(
            zip(drawn, map(float, stats.drawn_sign_flip(shares, seed=seed, resamples=resamples)), strict=True)
        )
    return [found[place] for place in sums]


def _comparison(contrasts: Sequence[Contrast], pair: _Pair, bounds: npt.NDArray[np.float64], p: float) -> Comparison:
    differences = [float(mean) for mean in pair.differences.sum(axis=1) / pair.answered.sum(axis=1)]
    significant = [contrast.difference for contrast in contrasts if contrast.p_adjusted <= 1 - LEVEL]
    low, high = map(float, bounds)
    return Comparison(
        first=pair.first,
        second=pair.second,
        locales=len(pair.locales),
        mean=statistics.fmean(differences),
        interval=Interval(low, high),
        wins=sum(difference > EQUAL for difference in differences),
        ties=sum(abs(difference) <= EQUAL for difference in differences),
        losses=sum(difference < -EQUAL for difference in differences),
        better=sum(difference > 0 for difference in significant) if pair.counts else None,
        worse=sum(difference < 0 for difference in significant) if pair.counts else None,
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
