"""What the results say: one row a locale, one column a variant or zero-shot figure, and statistics over the rows.

All of this is arithmetic on a :class:`~sprachbund.report.table.Results`: no file is read, nothing is printed. A figure
that is not there is None, and no statistic counts it; so two columns may stand on different locales, and only a paired
difference, taken over the locales that have both, compares them.

The zero-shot figures answer "why merge at all?": what a locale gets from single foreign sources as they are. Their mean
is what a blind pick gets; English is what people pick; the best is an oracle, found by looking at the very labels that
it is then scored on: no real choice of a single source can be better.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from sprachbund.errors import StoreError
from sprachbund.locales import LOCALES, OTHER, Locale
from sprachbund.report.stats import LEVEL
from sprachbund.report.table import (
    EXPECTED_VARIANTS,
    MAJORITY,
    ZERO_SHOT_BEST,
    ZERO_SHOT_ENGLISH,
    ZERO_SHOT_MEAN,
    Results,
    Setup,
    compared,
)
from sprachbund.store import DatasetInfo, Failure, Record, Transfer
from sprachbund.uses import union_of_uses

if TYPE_CHECKING:
    from sprachbund.report.analysis import Analysis, Comparison
    from sprachbund.similarity import SimilarityMatrix

__all__ = [
    "BY_GAIN",
    "ENGLISH",
    "MAJORITY",
    "SMALLEST_P",
    "ZERO_SHOT_BEST",
    "ZERO_SHOT_ENGLISH",
    "ZERO_SHOT_MEAN",
    "Column",
    "Correlation",
    "Counts",
    "Difference",
    "HeadAgreement",
    "LocaleRow",
    "Making",
    "Placed",
    "Statistics",
    "Summary",
    "best_gain_first",
    "by_language_family",
    "difference",
    "headline",
    "lines_by_family",
    "listed",
    "making_of",
    "p_value",
    "points",
    "statistics_of",
    "summarise",
    "threads_of",
    "transfer_similarity_correlation",
    "worth",
]

ENGLISH = "en-US"

MOST_SAID = 2
"""Of so many variants beyond the seed's the headline speaks."""
SMALLEST_P = 0.0001
"""What lies below it is said to."""
EQUAL = 1e-12
"""Accuracies count rows: the smallest real difference is 1 / rows, anything below this is rounding."""


@dataclass(frozen=True)
class Column:
    """One figure that every locale can have."""

    name: str
    kind: Literal["variant", "reference"]
    """A reference comes from the data or from single sources, and is there to compare variants with."""
    title: str
    uses: tuple[str, ...]
    """What it has seen of the target; the union over the column, empty where nothing is known."""
    meaning: str

    @property
    def seen(self) -> str:
        """What it has seen of the target, for people."""
        return ", ".join(self.uses)


@dataclass(frozen=True)
class LocaleRow:
    """Every figure of one locale."""

    locale: Locale
    values: Mapping[str, float | None]
    """Accuracy, a fraction in [0, 1], by column name; None where it is missing."""
    best_source: str | None
    """The locale whose source is the ``zero_shot_best``."""
    foreign_sources: int
    """How many sources the ``zero_shot_mean`` is over."""
    evaluated: bool
    """True if there is any record of this locale."""

    def difference(self, first: str, second: str) -> float | None:
        """Return ``first`` minus ``second``, None where either is missing."""
        a, b = self.values.get(first), self.values.get(second)
        return None if a is None or b is None else a - b


@dataclass(frozen=True)
class Statistics:
    """A column in a few numbers, over the locales where it is not missing."""

    count: int
    mean: float | None
    median: float | None
    std: float | None
    """Sample standard deviation (divisor n - 1) over locales; None for fewer than two."""
    minimum: float | None
    lowest: tuple[str, ...]
    """The locales at the minimum."""
    maximum: float | None
    highest: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """``first`` minus ``second``, locale by locale, where both exist."""

    first: str
    second: str
    count: int
    mean: float | None
    wins: int
    """Locales where ``first`` is higher."""
    ties: int
    losses: int


@dataclass(frozen=True)
class Counts:
    """Cells, every variant in every locale: expected = done + failed + missing."""

    expected: int
    done: int
    failed: int
    missing: int


@dataclass(frozen=True)
class HeadAgreement:
    """Where the classification heads of merged sources agree least."""

    cosine: float
    variant: str
    locale: str


@dataclass(frozen=True)
class Making:
    """How records came about, for people."""

    versions: str
    precision: str
    threads: str
    """On how many threads of the CPU each was computed."""
    first: str
    """When the first was finished."""
    last: str
    minutes: float
    """Of making and evaluating."""
    joules: float
    """Of those records that hold what they took, see ``energy_records``."""
    energy_records: int
    energy_of: tuple[str, ...]
    """What was counted, in any of them."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of transfer and a similarity; the pairs share locales, so no p-value goes with it."""

    similarity: str
    rho: float
    pairs: int

    def sentence(self, split: str) -> str:
        """Say it for people; ``split`` is what transfer was measured on."""
        return (
            f"Transfer on {split} follows {self.similarity} with rank correlation {self.rho:.2f} "
            f"(Spearman, {self.pairs} pairs)"
        )


@dataclass(frozen=True)
class Summary:
    """Everything a view needs: views format, they don't compute."""

    setup: Setup
    dataset: DatasetInfo
    demonstration: bool
    columns: tuple[Column, ...]
    rows: tuple[LocaleRow, ...]
    """All locales, in the order of the locale table."""
    statistics: Mapping[str, Statistics]
    """By column name."""
    differences: tuple[Difference, ...]
    counts: Counts
    missing: Mapping[str, tuple[str, ...]]
    """Locales without a result or a failure, by variant."""
    failures: tuple[Failure, ...]
    effective_sources: Mapping[str, float]
    """Mean over locales, by variant that has records."""
    head_agreement: HeadAgreement | None
    unnamed: int
    """How many records stand in no column, for want of a prefix."""
    left_out: int
    """How many zero-shot figures were measured on other data and stand nowhere."""

    @property
    def variants(self) -> tuple[Column, ...]:
        """The columns that are variants."""
        return tuple(column for column in self.columns if column.kind == "variant")

    @property
    def evaluated(self) -> tuple[LocaleRow, ...]:
        """The rows of locales that have a record."""
        return tuple(row for row in self.rows if row.evaluated)

    @property
    def mean_baseline(self) -> float | None:
        """Mean accuracy of the targets' own sources."""
        return self.statistics["baseline"].mean if "baseline" in self.statistics else None


def summarise(results: Results) -> Summary:
    """Compute everything that reports show."""
    columns = _columns(results)
    rows = tuple(_row(results, place) for place in results.places)
    failed = {(failure.variant, failure.locale) for failure in results.failures}
    missing = [cell for cell in results.expected if cell not in results.records and cell not in failed]
    return Summary(
        setup=results.setup,
        dataset=results.dataset,
        demonstration=results.demonstration,
        columns=columns,
        rows=rows,
        statistics={c.name: statistics_of({row.locale.name: row.values[c.name] for row in rows}) for c in columns},
        differences=tuple(difference(rows, *pair) for pair in compared(results.variants)),
        counts=_counts(results, failed, len(missing)),
        missing={variant: tuple(locale for v, locale in missing if v == variant) for variant in results.variants},
        failures=results.failures,
        effective_sources=_effective_sources(results),
        head_agreement=_smallest_head_agreement(results),
        unnamed=len(results.unnamed),
        left_out=results.left_out,
    )


def statistics_of(values: Mapping[str, float | None]) -> Statistics:
    """Describe one column, given by locale."""
    there = {locale: value for locale, value in values.items() if value is not None}
    if not there:
        return Statistics(0, None, None, None, None, (), None, ())
    numbers = list(there.values())
    low, high = min(numbers), max(numbers)
    return Statistics(
        count=len(numbers),
        mean=statistics.fmean(numbers),
        median=statistics.median(numbers),
        std=statistics.stdev(numbers) if len(numbers) > 1 else None,
        minimum=low,
        lowest=tuple(locale for locale, value in there.items() if value == low),
        maximum=high,
        highest=tuple(locale for locale, value in there.items() if value == high),
    )


def difference(rows: Iterable[LocaleRow], first: str, second: str) -> Difference:
    """Compare two columns over the locales that have both."""
    deltas = [delta for row in rows if (delta := row.difference(first, second)) is not None]
    signs = Counter(_sign(delta) for delta in deltas)
    return Difference(
        first=first,
        second=second,
        count=len(deltas),
        mean=statistics.fmean(deltas) if deltas else None,
        wins=signs[1],
        ties=signs[0],
        losses=signs[-1],
    )


def headline(summary: Summary, analysis: Analysis | None = None) -> str:
    """Say in a few sentences what came out: of the seed's two merges, then of the first other variants.

    Differences come with an interval, that between the merges with a p-value adjusted over the main job's pairs, as far as
    there is an analysis of them.
    """
    found = {(d.first, d.second): (d, worth(d, analysis)) for d in summary.differences if d.count}
    others = [column.name for column in summary.variants if column.name not in EXPECTED_VARIANTS][:MOST_SAID]
    said = [_between_merges(*found["similarity", "average"])] if ("similarity", "average") in found else []
    said += _standing("It" if said else "similarity", "similarity", found)
    said += [sentence for other in others for sentence in _standing(other, other, found)]
    counts = summary.counts
    return " ".join(said) or f"Nothing can be compared yet: {counts.done} of {counts.expected} results are there."


def worth(difference: Difference, analysis: Analysis | None) -> Comparison | None:
    """Return what a difference is worth, if that is known for all of its locales."""
    known = analysis and analysis.comparison(difference.first, difference.second)
    return known if known and known.locales == difference.count else None


def _between_merges(merged: Difference, chance: Comparison | None) -> str:
    ties = f" and ties in {merged.ties}" if merged.ties else ""
    beyond = f" ({_interval(chance)}, {chance.adjustment} p {_is(chance.p_adjusted)})" if chance else ""
    return f"similarity beats average in {merged.wins} of {merged.count} locales{ties}, mean {_points(merged.mean)}{beyond}."


def _standing(
    subject: str, name: str, found: Mapping[tuple[str, str], tuple[Difference, Comparison | None]]
) -> list[str]:
    """Say how a variant stands beside what it is compared with, if there is any such thing."""
    beside = [
        f"{_points(difference.mean)}{f' ({_interval(chance)})' if chance else ''} against {said}"
        for second, said in (
            ("similarity", "similarity"),
            (ZERO_SHOT_MEAN, "the mean zero-shot source"),
            ("baseline", "the baseline"),
        )
        for difference, chance in ([found[name, second]] if (name, second) in found else [])
    ]
    return [f"{subject} stands at {listed(beside)}."] if beside else []


def listed(parts: Sequence[str]) -> str:
    """Return one thing or more as people list them: a, b and c."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


class Placed(Protocol):
    """Whatever belongs to a locale."""

    @property
    def locale(self) -> Locale:
        """The locale."""


PlacedRow = TypeVar("PlacedRow", bound=Placed)


def by_language_family(rows: Sequence[PlacedRow]) -> list[tuple[str, list[PlacedRow]]]:
    """Group rows by language family and, within it, by genus; each in the order it first stands in the locale table.

    Locales that are not in the table are one group, the last.
    """
    first_family: dict[str, int] = {OTHER: len(LOCALES)}
    first_genus: dict[str, int] = {OTHER: len(LOCALES)}
    for index, place in enumerate(LOCALES):
        first_family.setdefault(place.family, index)
        first_genus.setdefault(place.genus, index)
    groups: dict[str, list[PlacedRow]] = {}
    for row in sorted(rows, key=lambda row: (first_family[row.locale.family], first_genus[row.locale.genus])):
        groups.setdefault(row.locale.family, []).append(row)
    return list(groups.items())


BY_GAIN = "Locales stand by what similarity gains over the baseline, the best first; those without both stand last."


def best_gain_first(rows: Iterable[LocaleRow]) -> list[LocaleRow]:
    """Return rows by what similarity gains over the baseline, the best first; those without both stand last."""
    return sorted(rows, key=lambda row: _or_least(row.difference("similarity", "baseline")), reverse=True)


def _or_least(value: float | None) -> float:
    return -math.inf if value is None else value


def lines_by_family(rows: Sequence[PlacedRow]) -> list[tuple[str, PlacedRow]]:
    """Return rows by language family, each with the family's name in the first of its rows and a blank in the others."""
    groups = by_language_family(rows)
    return [("" if index else family, row) for family, members in groups for index, row in enumerate(members)]


def making_of(records: Sequence[Record]) -> Making:
    """Say how records, of which there is one at least, came about."""
    versions: dict[str, set[str]] = {}
    for record in records:
        for package, version in record.evaluation_info.versions.items():
            versions.setdefault(package, set()).add(version)
    times = [record.evaluation_info.timestamp for record in records]
    measured = [record.evaluation_info for record in records if record.evaluation_info.energy is not None]
    return Making(
        versions=", ".join(f"{package} {' / '.join(sorted(found))}" for package, found in sorted(versions.items())),
        precision=", ".join(sorted({record.evaluation_info.precision for record in records})),
        threads=threads_of(records),
        first=min(times),
        last=max(times),
        minutes=sum(record.evaluation_info.seconds for record in records) / 60,
        joules=sum(info.energy for info in measured if info.energy is not None),
        energy_records=len(measured),
        energy_of=tuple(dict.fromkeys(name for info in measured for name in info.energy_of)),
    )


def threads_of(records: Iterable[Record]) -> str:
    """Name the numbers of threads that records were computed on; "not recorded" stands for older ones."""
    found = {record.evaluation_info.threads for record in records}
    known = sorted(threads for threads in found if threads is not None)
    return ", ".join([*map(str, known), *(["not recorded"] if None in found else [])])


def transfer_similarity_correlation(transfers: Iterable[Transfer], matrix: SimilarityMatrix) -> Correlation | None:
    """Correlate how well a source does in a target with how similar the two are, over all pairs of different locales.

    None where there is nothing to rank: fewer than three pairs, or all values of one kind equal.
    """
    from scipy.stats import spearmanr

    pairs = [
        (cell.accuracy, matrix.score(target, transfer.source))
        for transfer in transfers
        if transfer.source in matrix.locales
        for target, cell in transfer.cells.items()
        if target != transfer.source and target in matrix.targets
    ]
    accuracies, similarities = {a for a, _ in pairs}, {s for _, s in pairs}
    if len(pairs) < 3 or len(accuracies) < 2 or len(similarities) < 2:
        return None
    rho = float(spearmanr([a for a, _ in pairs], [s for _, s in pairs]).statistic)
    return Correlation(similarity=matrix.name, rho=rho, pairs=len(pairs))


def _columns(results: Results) -> tuple[Column, ...]:
    references = _references(results)
    for variant in {column.name for column in references}.intersection(results.variants):
        raise StoreError(f"The prefix {variant!r} is the name of a column of the report: evaluate under another one.")
    return (*(_variant_column(results, variant) for variant in results.variants), *references)


def _references(results: Results) -> tuple[Column, ...]:
    labels = (f"target-{results.setup.split}",)
    uses = union_of_uses(*(transfer.uses for transfer in results.transfers))
    cheats = union_of_uses(uses, labels)
    return (
        Column(ZERO_SHOT_MEAN, "reference", "zero-shot mean", uses, "mean of all single foreign sources"),
        Column(ZERO_SHOT_ENGLISH, "reference", "zero-shot English", uses, "the English source as it is"),
        Column(ZERO_SHOT_BEST, "reference", "zero-shot best", cheats, "oracle: best single foreign source"),
        Column(MAJORITY, "reference", "majority rate", labels, "always the most frequent intent"),
    )


def _variant_column(results: Results, variant: str) -> Column:
    records = _of_variant(results, variant)
    uses = union_of_uses(*(record.evaluation_info.uses for record in records)) if records else ()
    return Column(variant, "variant", variant, uses, _made_of(records))


_KINDS = {
    "auto": "whatever the texts spoke for",
    "distilled": "student",
    "ensemble": "ensemble",
    "few-finetuned": "fine-tuned merge",
}
"""What adaptations make that is no merge, by their kind."""


def _made_of(records: Sequence[Record]) -> str:
    """Say what a column is made of, and how many sources stand behind it."""
    if not records:
        return ""
    kind = str(((records[0].model_info.recipe or {}).get("adaptation") or {}).get("kind"))
    what = _KINDS.get(kind, "merge")
    fewest, most = (bound(len(record.model_info.sources) for record in records) for bound in (min, max))
    if most == 1:
        return "one source, fine-tuned on a few labels" if kind == "few-finetuned" else "one checkpoint as it is"
    number = f"{most}" if fewest == most else f"{fewest} to {most}"
    effective = statistics.fmean(record.model_info.effective_sources for record in records)
    return f"{what} of {number} sources, effectively {effective:.1f}"


def _of_variant(results: Results, variant: str) -> list[Record]:
    return [record for (name, _), record in results.records.items() if name == variant]


def _row(results: Results, place: Locale) -> LocaleRow:
    target = place.name
    records = {variant: results.records.get((variant, target)) for variant in results.variants}
    foreign = {
        transfer.source: transfer.cells[target].accuracy
        for transfer in results.transfers
        if target in transfer.cells and transfer.source != target
    }
    best = max(foreign, key=lambda source: foreign[source], default=None)
    values: dict[str, float | None] = {
        variant: None if record is None else record.performance.accuracy for variant, record in records.items()
    }
    values[ZERO_SHOT_MEAN] = statistics.fmean(foreign.values()) if foreign else None
    values[ZERO_SHOT_ENGLISH] = foreign.get(ENGLISH)
    values[ZERO_SHOT_BEST] = None if best is None else foreign[best]
    values[MAJORITY] = _majority_rate(results, target)
    evaluated = any(record is not None for record in records.values())
    return LocaleRow(place, values, best, len(foreign), evaluated)


def _majority_rate(results: Results, target: str) -> float | None:
    for (_, locale), record in results.records.items():
        if locale == target:
            return record.performance.majority_rate
    for transfer in results.transfers:
        if target in transfer.cells:
            return transfer.cells[target].majority_rate
    return None


def _counts(results: Results, failed: set[tuple[str, str]], missing: int) -> Counts:
    expected = len(results.expected)
    failures = sum(cell in failed for cell in results.expected)
    return Counts(expected=expected, done=expected - failures - missing, failed=failures, missing=missing)


def _effective_sources(results: Results) -> dict[str, float]:
    found = {variant: _of_variant(results, variant) for variant in results.variants}
    return {
        variant: statistics.fmean(record.model_info.effective_sources for record in records)
        for variant, records in found.items()
        if records
    }


def _smallest_head_agreement(results: Results) -> HeadAgreement | None:
    known = [
        HeadAgreement(record.model_info.head_agreement, variant, locale)
        for (variant, locale), record in results.records.items()
        if record.model_info.head_agreement is not None
    ]
    return min(known, key=lambda agreement: agreement.cosine, default=None)


def _sign(delta: float) -> int:
    return 0 if abs(delta) < EQUAL else int(math.copysign(1, delta))


def points(fraction: float) -> str:
    """Format a difference of accuracies in percentage points, with its sign."""
    return f"{round(100 * fraction, 1) + 0.0:+.1f}"  # + 0.0 makes -0.0 positive


def p_value(p: float) -> str:
    """Format a p-value, very small ones by what they are below."""
    return f"{p:.2g}" if p >= SMALLEST_P else f"< {SMALLEST_P}"


def _points(fraction: float | None) -> str:
    return "" if fraction is None else f"{points(fraction)} points"


def _interval(chance: Comparison) -> str:
    return f"{100 * LEVEL:.0f} % CI {points(chance.interval.low)} to {points(chance.interval.high)}"


def _is(p: float) -> str:
    said = p_value(p)
    return said if said.startswith("<") else f"= {said}"
