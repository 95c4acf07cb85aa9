"""Where answers are wrong: by intent, by pair of intents, and sentence by sentence between two variants.

Everything here is counted, over all locales that a variant has answered; what a difference is worth says
:mod:`sprachbund.report.analysis`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sprachbund.report.answers import Answers

__all__ = [
    "ConfusedPair",
    "Example",
    "Flips",
    "IntentErrors",
    "Share",
    "confused_pairs",
    "confusion",
    "examples",
    "flips",
    "intent_errors",
]

Counts = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    count: int
    total: int

    @property
    def fraction(self) -> float | None:
        """In [0, 1]; None of nothing."""
        return self.count / self.total if self.total else None


@dataclass(frozen=True)
class IntentErrors:
    """How often sentences of one intent are answered wrongly."""

    intent: str
    wrong: Mapping[str, Share]
    """By variant, of its answers to sentences of the intent in all locales."""


@dataclass(frozen=True)
class ConfusedPair:
    """How often sentences of one intent are taken for another one."""

    gold: str
    predicted: str
    taken: Mapping[str, Share]
    """By variant, of its answers to sentences of the gold intent in all locales."""


@dataclass(frozen=True)
class Flips:
    """Where exactly one of two variants is right, as places among all ids."""

    gained: Places
    """Only the first is right."""
    lost: Places
    """Only the second is right."""


@dataclass(frozen=True)
class Example:
    """One sentence, and what two variants make of it."""

    id: str
    text: str | None
    gold: str
    first: str
    second: str


def confusion(answers: Answers, variant: str) -> Counts:
    """Return how often each intent was answered by each, over all locales, [gold, predicted]."""
    size = len(answers.intents)
    counts = np.zeros(size * size, dtype=np.int64)
    for (name, locale), predicted in answers.predicted.items():
        if name == variant:
            there = predicted >= 0
            pairs = answers.gold[locale][there].astype(np.int64) * size + predicted[there]
            counts += np.bincount(pairs, minlength=size * size)
    return counts.reshape(size, size)


def intent_errors(answers: Answers, confusions: Mapping[str, Counts]) -> tuple[IntentErrors, ...]:
    """Return the errors of each intent that stands in the gold labels, by variant."""
    totals = {variant: counts.sum(axis=1) for variant, counts in confusions.items()}
    return tuple(
        IntentErrors(
            intent,
            {
                variant: Share(int(totals[variant][place] - counts[place, place]), int(totals[variant][place]))
                for variant, counts in confusions.items()
            },
        )
        for place, intent in enumerate(answers.intents)
        if any(total[place] for total in totals.values())
    )


def confused_pairs(answers: Answers, confusions: Mapping[str, Counts], most: int) -> tuple[ConfusedPair, ...]:
    """Return the pairs that all variants together confuse most often, the first ones; of equals the alphabet's first."""
    together = sum(confusions.values(), start=np.zeros((len(answers.intents),) * 2, dtype=np.int64))
    wrong = together - np.diag(np.diag(together))
    places = np.argsort(-wrong, axis=None, kind="stable")[:most]
    return tuple(
        ConfusedPair(
            answers.intents[gold],
            answers.intents[predicted],
            {
                variant: Share(int(counts[gold, predicted]), int(counts[gold].sum()))
                for variant, counts in confusions.items()
            },
        )
        for gold, predicted in zip(*np.unravel_index(places, wrong.shape), strict=True)
        if wrong[gold, predicted]
    )


def flips(answers: Answers, first: str, second: str, locale: str) -> Flips | None:
    """Return the ids that one variant answers rightly and the other wrongly; None where one of them has no answers."""
    one, two = (answers.predicted.get((variant, locale)) for variant in (first, second))
    if one is None or two is None:
        return None
    gold = answers.gold[locale]
    both = (one >= 0) & (two >= 0)
    return Flips(
        np.flatnonzero(both & (one == gold) & (two != gold)), np.flatnonzero(both & (one != gold) & (two == gold))
    )


def examples(
    answers: Answers, pair: tuple[str, str], locale: str, places: Places, texts: Mapping[str, str], few: int
) -> tuple[Example, ...]:
    """Return a few of the sentences at these places, evenly spread over them; those whose text is known come first."""
    known = [int(place) for place in places if answers.ids[place] in texts]
    others = [int(place) for place in places if answers.ids[place] not in texts]
    picked = [*_spread(known, few), *_spread(others, max(0, few - len(known)))]
    return tuple(_example(answers, pair, locale, place, texts) for place in picked)


def _spread(places: list[int], few: int) -> list[int]:
    """Return a few of many, evenly spread."""
    return [places[len(places) * number // few] for number in range(few)] if len(places) > few else places


def _example(answers: Answers, pair: Sequence[str], locale: str, place: int, texts: Mapping[str, str]) -> Example:
    first, second = (answers.intents[answers.predicted[variant, locale][place]] for variant in pair)
    id_ = answers.ids[place]
    return Example(id_, texts.get(id_), answers.intents[answers.gold[locale][place]], first, second)
