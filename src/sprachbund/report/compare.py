"""Two results folders side by side: the same locales and texts, answered twice.

The data set, its revision, the split and the rows of each locale must be the same: results of different texts are never
compared. Who answered may differ, by another zoo, another method, other settings; what of that does is said.

Every pair of variants, one of each folder, is compared as two variants of one folder are, id by id
(:mod:`sprachbund.report.analysis`); the p-values of several pairs are adjusted for their number (Holm).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sprachbund.errors import StoreError, UnknownName, UserError
from sprachbund.locales import Locale, describe, position
from sprachbund.report.analysis import Comparison, Contrast, adjusted, comparison, contrast
from sprachbund.report.answers import read_answers
from sprachbund.report.table import Cell, Results, Setup
from sprachbund.store import Record, differences
from sprachbund.uses import union_of_uses

__all__ = ["Compared", "Pair", "PairRow", "compare", "compare_json", "compare_rows", "pairs_of"]

FIRST, SECOND = "A", "B"


@dataclass(frozen=True)
class PairRow:
    """One locale of a pair."""

    locale: Locale
    first: float
    """Accuracy, fraction in [0, 1]."""
    second: float
    contrast: Contrast


@dataclass(frozen=True)
class Pair:
    """A variant of the first folder and one of the second, in the locales that both have."""

    first: str
    second: str
    rows: tuple[PairRow, ...]
    """In the order of the locale table."""
    comparison: Comparison
    only_first: tuple[str, ...]
    """Locales that the second folder lacks."""
    only_second: tuple[str, ...]
    uses: tuple[tuple[str, ...], tuple[str, ...]]
    """What each has seen of its targets."""
    different: tuple[str, ...]
    """In what the two are made differently in any locale, as far as recipes and precision tell."""

    @property
    def name(self) -> str:
        """The variant or, where there are two, both."""
        return self.first if self.first == self.second else f"{self.first}:{self.second}"

    @property
    def seen(self) -> str:
        """What it has seen of its targets, for people."""
        one, other = (", ".join(uses) for uses in self.uses)
        return one if one == other else f"{one} (A), {other} (B)"

    @property
    def means(self) -> tuple[float, float]:
        """Mean accuracy of each over these locales."""
        return statistics.fmean(row.first for row in self.rows), statistics.fmean(row.second for row in self.rows)


@dataclass(frozen=True)
class Compared:
    """Two folders, and all pairs of their variants that were asked for."""

    first: Setup
    second: Setup
    pairs: tuple[Pair, ...]
    other_sources: tuple[str, ...]
    """Locales whose sources are not the same models in both, whatever their paths."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What differs besides the name of a variant: sources, how a variant is made, the locales that there are."""
        zoos = f"A's zoo is {self.first.zoo}, B's is {self.second.zoo}"
        if self.first.zoo == self.second.zoo:
            zoos = f"{self.first.zoo} held other models for A than for B, of {_some(self.other_sources)}"
        made = [
            f"{pair.name} differs in {', '.join(pair.different)}."
            for pair in self.pairs
            if pair.different and pair.first == pair.second
        ]
        partial = [
            f"{pair.name}: {len(pair.rows)} locales are in both; only in A {_some(pair.only_first)}; "
            f"only in B {_some(pair.only_second)}."
            for pair in self.pairs
            if pair.only_first or pair.only_second
        ]
        return (*([f"The sources differ, too: {zoos}."] if self.other_sources else []), *made, *partial)


def pairs_of(asked: Sequence[str], first: Results, second: Results) -> tuple[tuple[str, str], ...]:
    """Return which variants are compared: those asked for, ``ONE`` or ``ONE_IN_A:OTHER_IN_B``, else all that both folders have.

    Raises:
        UnknownName: one of them is not there.
        UserError: one is asked for twice.
        StoreError: nothing is in both, or has a name at all.
    """
    known = [_variants(first), _variants(second)]
    if nameless := [side for side, variants in zip((FIRST, SECOND), known, strict=True) if not variants]:
        raise StoreError(
            f"The results of {' and '.join(nameless)} have no prefix, and so no variant to compare: evaluate those models "
            "again with --prefix NAME."
        )
    if not asked:
        common = tuple((variant, variant) for variant in known[0] if variant in known[1])
        if not common:
            raise StoreError(
                f"The folders have no variant in common (A: {', '.join(known[0])}; B: {', '.join(known[1])}): "
                "say which to compare, --variants ONE_IN_A:OTHER_IN_B."
            )
        return common
    pairs = tuple(_pair(text, known) for text in asked)
    if repeated := next((text for text, pair in zip(asked, pairs, strict=True) if pairs.count(pair) > 1), None):
        raise UserError(f"--variants {repeated} stands there twice: write it once.")
    return pairs


def compare(first: Results, second: Results, pairs: Sequence[tuple[str, str]], *, seed: int = 0) -> Compared:
    """Compare pairs of variants of two folders.

    Raises:
        StoreError: the folders are about different texts, a pair has no locale in common, or predictions are damaged.
    """
    _check_same_texts(first, second)
    both = _together(first, second, pairs)
    answers = read_answers(next(iter(both.folders.values())).parent, both)
    if answers.left_out:
        raise StoreError(next(iter(answers.left_out.values())))
    found = []
    for one, other in pairs:
        whole = comparison(answers, _name(FIRST, one), _name(SECOND, other), seed=seed)
        if whole is None:
            raise StoreError(
                f"{one} in A ({_some(_locales(first, one))}) and {other} in B ({_some(_locales(second, other))}) have no "
                "locale in common: compare others (--variants ONE_IN_A:OTHER_IN_B)."
            )
        found.append(_compared(first, second, one, other, whole, contrast(answers, whole.first, whole.second)))
    return Compared(
        first=first.setup,
        second=second.setup,
        pairs=tuple(
            replace(pair, comparison=whole)
            for pair, whole in zip(found, adjusted([pair.comparison for pair in found], "Holm"), strict=True)
        ),
        other_sources=_other_sources(first, second, found),
    )


def _compared(
    first: Results, second: Results, one: str, other: str, whole: Comparison, contrasts: Sequence[Contrast]
) -> Pair:
    rows = tuple(
        PairRow(
            locale=describe(each.locale),
            first=first.records[one, each.locale].performance.accuracy,
            second=second.records[other, each.locale].performance.accuracy,
            contrast=each,
        )
        for each in contrasts
    )
    ours, theirs = _locales(first, one), _locales(second, other)
    return Pair(
        first=one,
        second=other,
        rows=rows,
        comparison=whole,
        only_first=tuple(name for name in ours if name not in theirs),
        only_second=tuple(name for name in theirs if name not in ours),
        uses=(_uses(first, one, rows), _uses(second, other, rows)),
        different=tuple(
            dict.fromkeys(
                setting
                for row in rows
                for setting in _different(first.records[one, row.locale.name], second.records[other, row.locale.name])
            )
        ),
    )


def _other_sources(first: Results, second: Results, pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return the locales whose sources, by digest, are others in the one than in the other.

    Only what both sides have used can be compared; where that is nothing, other zoos are other sources.
    """
    cells = [(pair, row.locale.name) for pair in pairs for row in pair.rows]
    ours = _sources(first.records[pair.first, locale] for pair, locale in cells)
    theirs = _sources(second.records[pair.second, locale] for pair, locale in cells)
    common = ours.keys() & theirs.keys()
    if not common and first.setup.zoo != second.setup.zoo:
        return tuple(sorted(ours.keys() | theirs.keys(), key=position))
    return tuple(sorted((name for name in common if ours[name] != theirs[name]), key=position))


def _sources(records: Iterable[Record]) -> dict[str, set[str]]:
    """Return the digests of all sources, by their locale."""
    found: dict[str, set[str]] = {}
    for record in records:
        for source in record.model_info.sources:
            found.setdefault(source.locale, set()).add(source.digest)
    return found


def _uses(results: Results, variant: str, rows: Sequence[PairRow]) -> tuple[str, ...]:
    return union_of_uses(*(results.records[variant, row.locale.name].evaluation_info.uses for row in rows))


def _different(ours: Record, theirs: Record) -> tuple[str, ...]:
    precision = ours.evaluation_info.precision != theirs.evaluation_info.precision
    return (*differences(ours.model_info.recipe, theirs.model_info.recipe), *(["precision"] if precision else []))


def _check_same_texts(first: Results, second: Results) -> None:
    asked = [(setup.data, setup.revision, setup.split) for setup in (first.setup, second.setup)]
    if asked[0] != asked[1]:
        a, b = (f"{data} ({revision}), {split} split" for data, revision, split in asked)
        raise StoreError(
            f"A is about {a}, B about {b}: results of different texts are never compared; evaluate both on the same "
            "(--data, --split)."
        )
    ours, theirs = (_digests(results) for results in (first, second))
    different = [locale for locale in ours if locale in theirs and ours[locale] != theirs[locale]]
    if different:
        raise StoreError(
            f"A and B were evaluated on different rows of {first.setup.data} for {_some(different)}, although its revision is "
            "the same: evaluate both on the same rows."
        )


def _digests(results: Results) -> dict[str, str]:
    return {locale: record.dataset_info.digest for (_, locale), record in results.records.items()}


def _together(first: Results, second: Results, pairs: Sequence[tuple[str, str]]) -> Results:
    """Return the wanted records of both folders as if they stood in one, each under the name of its folder as well."""
    records: dict[Cell, Record] = {}
    folders = {}
    for side, results, wanted in (
        (FIRST, first, {one for one, _ in pairs}),
        (SECOND, second, {other for _, other in pairs}),
    ):
        for (variant, locale), record in results.records.items():
            if variant in wanted:
                cell = _name(side, variant), locale
                records[cell], folders[cell] = record, results.folders[variant, locale]
    return replace(first, records=records, folders=folders, unnamed=(), failures=(), transfers=())


def _pair(text: str, known: Sequence[Sequence[str]]) -> tuple[str, str]:
    one, colon, other = text.partition(":")
    pair = (one, other if colon else one)
    for side, variant, names in zip((FIRST, SECOND), pair, known, strict=True):
        if variant not in names:
            raise UnknownName(f"variant of {side}", variant, names, "Write --variants ONE or ONE_IN_A:OTHER_IN_B.")
    return pair


def _variants(results: Results) -> tuple[str, ...]:
    return tuple(dict.fromkeys(variant for variant, _ in results.records))


def _locales(results: Results, variant: str) -> tuple[str, ...]:
    return tuple(locale for name, locale in results.records if name == variant)


def _name(side: str, variant: str) -> str:
    return f"{side} {variant}"


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}" if names else "none"


# For programs


def compare_json(found: Compared) -> dict[str, Any]:
    """Return all of it as plain values."""
    return {
        "first": asdict(found.first),
        "second": asdict(found.second),
        "notes": list(found.notes),
        "pairs": [_pair_json(pair) for pair in found.pairs],
    }


def compare_rows(found: Compared) -> list[dict[str, Any]]:
    """Return a row for each pair and locale."""
    return [row for pair in found.pairs for row in _rows(pair)]


def _pair_json(pair: Pair) -> dict[str, Any]:
    whole = {key: value for key, value in asdict(pair.comparison).items() if key not in {"first", "second"}}
    return {
        "first": pair.first,
        "second": pair.second,
        "mean_first": pair.means[0],
        "mean_second": pair.means[1],
        "uses_first": list(pair.uses[0]),
        "uses_second": list(pair.uses[1]),
        **whole,
        "only_first": list(pair.only_first),
        "only_second": list(pair.only_second),
        "differs_in": list(pair.different),
        "by_locale": [{key: value for key, value in row.items() if key not in _PAIR} for row in _rows(pair)],
    }


_PAIR = ("first", "second")


def _rows(pair: Pair) -> Iterator[dict[str, Any]]:
    for row in pair.rows:
        yield {
            "first": pair.first,
            "second": pair.second,
            "locale": row.locale.name,
            "family": row.locale.family,
            "accuracy_first": row.first,
            "accuracy_second": row.second,
            "difference": row.contrast.difference,
            "low": row.contrast.interval.low,
            "high": row.contrast.interval.high,
            "only_first_right": row.contrast.wins,
            "only_second_right": row.contrast.losses,
            "p": row.contrast.p,
            "p_adjusted": row.contrast.p_adjusted,
        }
