"""What stands in the tables of the page: each function returns one, of values that others have computed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

from sprachbund import locales
from sprachbund.public import public_name, public_similarity
from sprachbund.report.analysis import Comparison, Contrast, Score
from sprachbund.report.html.material import Material, anchor
from sprachbund.report.html.sheets import Entry, Estimate, Head, Link, Sheet, percent
from sprachbund.report.mistakes import ConfusedPair, IntentErrors
from sprachbund.report.summary import Column, LocaleRow, Statistics, statistics_of, threads_of
from sprachbund.store import Failure, Record

__all__ = [
    "accuracy_sheet",
    "calibration_sheet",
    "column_sheet",
    "comparison_sheet",
    "confusion_sheet",
    "contrast_sheet",
    "failure_sheet",
    "intent_sheet",
    "record_sheet",
    "score_sheet",
    "source_sheet",
    "variant_sheet",
    "weight_sheet",
]

T = TypeVar("T")
By = Literal["locale", "pair", "both"]
Parts = Sequence[tuple[Head, Callable[[T], Entry]]]

DIGEST = 12
"""Characters of a digest for people."""


def _sheet(id_: str, caption: str, things: Iterable[T], parts: Parts[T], *, sortable: bool = True) -> Sheet:
    """Return the table of some things, a row each, without the columns that hold nothing at all."""
    rows = [[value(thing) for _, value in parts] for thing in things]
    kept = [place for place in range(len(parts)) if not place or any(row[place] is not None for row in rows)]
    return Sheet(
        id_,
        caption,
        tuple(parts[place][0] for place in kept),
        tuple(tuple(row[place] for place in kept) for row in rows),
        sortable,
    )


def column_sheet(material: Material) -> Sheet:
    """Every column: its mean, and what it has seen."""
    found = [(column, material.summary.statistics[column.name]) for column in material.summary.columns]
    parts: Parts[tuple[Column, Statistics]] = [
        (Head("column", "column"), lambda x: x[0].title),
        (Head("mean", "mean accuracy", "fraction"), lambda x: _mean(material, *x)),
        (Head("macro_f1", "mean macro-F1", "fraction"), lambda x: _mean_macro_f1(material, x[0].name)),
        (Head("seen", "has seen of its target", "text"), lambda x: x[0].seen),
        (Head("meaning", "what it is", "text"), lambda x: x[0].meaning),
        (Head("locales", "locales", "count"), lambda x: x[1].count),
        (Head("median", "median", "fraction"), lambda x: x[1].median),
        (Head("minimum", "lowest", "fraction"), lambda x: x[1].minimum),
        (Head("maximum", "highest", "fraction"), lambda x: x[1].maximum),
    ]
    there = [(column, described) for column, described in found if column.kind == "variant" or described.count]
    return _sheet("columns", "Accuracy over the locales, and what each column has seen of its target", there, parts)


def _mean(material: Material, column: Column, described: Statistics) -> Entry:
    """Return a column's mean, with its interval where that is about the same locales."""
    value, known = described.mean, material.analysis.means.get(column.name)
    same = known is not None and known.locales == described.count
    return Estimate(value, known.interval) if known and same and value is not None else value


def _mean_macro_f1(material: Material, column: str) -> float | None:
    """Return the mean over the locales that the column's accuracy is a mean over; None where some lack it."""
    known = [score.macro_f1 for (name, _), score in material.analysis.scores.items() if name == column]
    return statistics.fmean(known) if known and len(known) == material.summary.statistics[column].count else None


def comparison_sheet(material: Material) -> Sheet | None:
    """Every pair over all locales; None where nothing can be compared."""
    parts: Parts[Comparison] = [
        (Head("first", "column"), lambda x: material.titles[x.first]),
        (Head("second", "minus"), lambda x: material.titles[x.second]),
        (Head("mean", "mean difference, points", "points"), lambda x: x.mean),
        (Head("interval", _level(material), "points"), lambda x: x.interval),
        (Head("wins", "higher in", "count"), lambda x: x.wins),
        (Head("ties", "equal in", "count"), lambda x: x.ties),
        (Head("losses", "lower in", "count"), lambda x: x.losses),
        (Head("better", "significantly higher in", "count"), lambda x: x.better),
        (Head("worse", "significantly lower in", "count"), lambda x: x.worse),
        (Head("p", "p", "p"), lambda x: x.p),
        (Head("p_adjusted", "p adjusted", "p"), lambda x: x.p_adjusted),
        (Head("adjustment", "adjusted by"), lambda x: x.adjusted_by),
        (Head("wilcoxon_p", "p (Wilcoxon)", "p"), lambda x: x.wilcoxon_p),
        (Head("locales", "locales", "count"), lambda x: x.locales),
    ]
    found = material.analysis.comparisons
    return _sheet("comparisons", "Mean differences over the locales that have both", found, parts) if found else None


def _level(material: Material) -> str:
    return f"{percent(material.analysis.level)} interval"


def accuracy_sheet(material: Material) -> Sheet:
    """Every locale with all its figures, and how the first pair compares there."""
    parts: Parts[LocaleRow] = [
        (Head("locale", "locale"), lambda row: Link(row.locale.name, anchor(row.locale.name))),
        (Head("language", "language"), lambda row: row.locale.language),
        (Head("family", "family"), lambda row: row.locale.family),
        *(
            (Head(column.name, column.title, "fraction"), _figure(material, column.name))
            for column in material.summary.columns
        ),
        (Head("zero_shot_best_source", "best source"), lambda row: row.best_source),
        *(part for pair in material.main_pairs[:1] for part in _pair_parts(material, pair)),
    ]
    return _sheet("accuracies", "Accuracy by locale; a locale's name leads to its own page", material.rows, parts)


def _figure(material: Material, column: str) -> Callable[[LocaleRow], Entry]:
    """Return what says the accuracy in a locale, with Wilson's interval where it is that of a single model."""

    def figure(row: LocaleRow) -> Entry:
        value, score = row.values[column], material.analysis.scores.get((column, row.locale.name))
        return Estimate(value, score.accuracy_interval) if value is not None and score else value

    return figure


def _pair_parts(material: Material, pair: tuple[str, str]) -> Parts[LocaleRow]:
    """Return the columns that say how a pair compares in a locale."""
    found = {row.locale: row for row in material.analysis.contrasts[pair]}
    title, name = " minus ".join(material.titles[column] for column in pair), "_minus_".join(pair)

    def of(part: Callable[[Contrast], Entry]) -> Callable[[LocaleRow], Entry]:
        return lambda row: part(found[row.locale.name]) if row.locale.name in found else None

    return [
        (Head(name, f"{title}, points", "points"), of(lambda x: x.difference)),
        (Head(f"{name}_interval", _level(material), "points"), of(lambda x: x.interval)),
        (Head(f"{name}_p_adjusted", "p adjusted", "p"), of(lambda x: x.p_adjusted)),
    ]


def contrast_sheet(id_: str, caption: str, rows: Iterable[Contrast], material: Material, *, by: By = "both") -> Sheet:
    """Pairs in single locales; ``by`` says what tells the rows apart: ``locale``, ``pair`` or ``both``."""
    place: Parts[Contrast] = [
        (Head("locale", "locale"), lambda x: Link(x.locale, anchor(x.locale))),
        (Head("language", "language"), lambda x: locales.describe(x.locale).language),
    ]
    pair: Parts[Contrast] = [
        (Head("first", "column"), lambda x: material.titles[x.first]),
        (Head("second", "minus"), lambda x: material.titles[x.second]),
    ]
    figures: Parts[Contrast] = [
        (Head("difference", "difference, points", "points"), lambda x: x.difference),
        (Head("interval", _level(material), "points"), lambda x: x.interval),
        (Head("wins", "only the first is right", "count"), lambda x: x.wins),
        (Head("losses", "only the second is right", "count"), lambda x: x.losses),
        (Head("p", "p (McNemar)", "p"), lambda x: x.p),
        (Head("p_adjusted", "p adjusted over locales", "p"), lambda x: x.p_adjusted),
    ]
    named = [*(place if by != "pair" else ()), *(pair if by != "locale" else ())]
    return _sheet(id_, caption, rows, [*named, *figures], sortable=by != "pair")


def score_sheet(id_: str, caption: str, scores: Iterable[Score], material: Material, *, with_locale: bool) -> Sheet:
    """Columns in single locales, each with its intervals."""
    place: Parts[Score] = [(Head("locale", "locale"), lambda x: x.locale)]
    parts: Parts[Score] = [
        (Head("column", "column"), lambda x: material.titles[x.variant]),
        (Head("accuracy", "accuracy", "fraction"), lambda x: x.accuracy),
        (Head("accuracy_interval", _level(material), "fraction"), lambda x: x.accuracy_interval),
        (Head("correct", "right", "count"), lambda x: x.correct),
        (Head("total", "of", "count"), lambda x: x.total),
        (Head("macro_f1", "macro-F1", "fraction"), lambda x: x.macro_f1),
        (Head("macro_f1_interval", _level(material), "fraction"), lambda x: x.macro_f1_interval),
        (Head("macro_f1_intents", "over intents", "count"), lambda x: x.macro_f1_intents),
        (Head("nll", "NLL, nats", "number"), lambda x: x.nll),
        (Head("ece", "ECE", "fraction"), lambda x: x.ece),
    ]
    return _sheet(id_, caption, scores, [*(place if with_locale else ()), *parts], sortable=with_locale)


def source_sheet(id_: str, target: str, material: Material) -> Sheet | None:
    """The sources of a locale's merges, the heaviest first; None where nothing was merged."""
    weights = {variant: by[target] for variant, by in material.weights.items() if target in by}
    merged = dict.fromkeys(source for by in weights.values() for source in by)
    if not merged:
        return None
    first = next(iter(weights.values()))
    order = sorted(merged, key=lambda source: (-first.get(source, 0.0), locales.position(source)))
    parts: Parts[str] = [
        (Head("source", "source"), lambda source: source),
        (Head("language", "language"), lambda source: locales.describe(source).language),
        (
            Head("similarity", f"similarity {material.similarity_title}", "fraction"),
            lambda s: material.similar(target, s),
        ),
        (
            Head("transfer", "accuracy as it is", "fraction"),
            lambda source: material.transfer.get(source, {}).get(target),
        ),
        *(
            (Head(f"weight_{variant}", f"weight in {material.titles[variant]}", "fraction"), _weight_in(by))
            for variant, by in weights.items()
        ),
    ]
    return _sheet(id_, "Sources, and what they weigh in each merge", order, parts, sortable=False)


def weight_sheet(material: Material) -> Sheet:
    """What every source weighs in every merge, equal weights, too."""
    found = [
        (variant, target, source, weight)
        for variant, by in material.weights.items()
        for target, weights in by.items()
        for source, weight in weights.items()
    ]
    parts: Parts[tuple[str, str, str, float]] = [
        (Head("variant", "variant"), lambda x: x[0]),
        (Head("locale", "locale"), lambda x: x[1]),
        (Head("source", "source"), lambda x: x[2]),
        (Head("weight", "weight", "fraction"), lambda x: x[3]),
    ]
    return _sheet("weights", "Merge coefficients of all variants", found, parts)


def _weight_in(weights: Mapping[str, float]) -> Callable[[str], float | None]:
    return lambda source: weights.get(source)


def intent_sheet(found: Sequence[IntentErrors], material: Material) -> Sheet | None:
    """The share of wrong answers by intent and column; None where nothing was answered."""
    parts: Parts[IntentErrors] = [
        (Head("intent", "intent"), lambda x: x.intent),
        (Head("sentences", "sentences", "count"), lambda x: max(share.total for share in x.wrong.values())),
        *(
            (Head(f"{name}_wrong", f"{material.titles[name]}, wrong", "fraction"), _wrong(name))
            for name in material.answered
        ),
    ]
    caption = "Share of wrong answers by gold intent, over all locales"
    return _sheet("intents", caption, found, parts) if found else None


def _wrong(variant: str) -> Callable[[IntentErrors], float | None]:
    return lambda x: x.wrong[variant].fraction


def confusion_sheet(found: Sequence[ConfusedPair], material: Material) -> Sheet | None:
    """How often an intent is taken for another one; None where none is."""
    parts: Parts[ConfusedPair] = [
        (Head("gold", "gold intent"), lambda x: x.gold),
        (Head("predicted", "taken for"), lambda x: x.predicted),
        (Head("sentences", "sentences", "count"), lambda x: max(share.total for share in x.taken.values())),
        *((Head(name, material.titles[name], "count"), _taken(name)) for name in material.answered),
    ]
    caption = "How many sentences of one intent are taken for another, over all locales"
    return _sheet("confused", caption, found, parts) if found else None


def _taken(variant: str) -> Callable[[ConfusedPair], int]:
    return lambda x: x.taken[variant].count


def calibration_sheet(material: Material) -> Sheet | None:
    """Mean NLL and ECE by column; None where no prediction has the probability of the gold intent."""
    found = []
    for name in material.answered:
        scores = {locale: score for (variant, locale), score in material.analysis.scores.items() if variant == name}
        nll = statistics_of({locale: score.nll for locale, score in scores.items()})
        ece = statistics_of({locale: score.ece for locale, score in scores.items()})
        if nll.count or ece.count:
            found.append((name, nll, ece))
    parts: Parts[tuple[str, Statistics, Statistics]] = [
        (Head("column", "column"), lambda x: material.titles[x[0]]),
        (Head("locales", "locales", "count"), lambda x: max(x[1].count, x[2].count)),
        (Head("nll", "mean NLL, nats", "number"), lambda x: x[1].mean),
        (Head("nll_minimum", "lowest NLL", "number"), lambda x: x[1].minimum),
        (Head("nll_maximum", "highest NLL", "number"), lambda x: x[1].maximum),
        (Head("ece", "mean ECE", "fraction"), lambda x: x[2].mean),
        (Head("ece_minimum", "lowest ECE", "fraction"), lambda x: x[2].minimum),
        (Head("ece_maximum", "highest ECE", "fraction"), lambda x: x[2].maximum),
    ]
    caption = (
        "Calibration over the locales: NLL is the mean of −ln of the gold intent's probability; ECE how far confidence and "
        "accuracy lie apart; lower is better in both"
    )
    return _sheet("calibration", caption, found, parts) if found else None


def failure_sheet(failures: Sequence[Failure], material: Material) -> Sheet | None:
    """Why cells failed; None where none did."""
    parts: Parts[Failure] = [
        (Head("variant", "variant"), lambda x: x.variant or "(no prefix)"),
        (Head("locale", "locale"), lambda x: x.locale),
        (Head("reason", "reason", "prose"), lambda x: material.results.public(x.reason)),
    ]
    return (
        _sheet("failures", "Cells that failed: the same command tries them again", failures, parts)
        if failures
        else None
    )


def variant_sheet(material: Material) -> Sheet:
    """What each variant took, and how it was made."""
    by_variant: dict[str, list[Record]] = {}
    for (variant, _), record in material.results.records.items():
        by_variant.setdefault(variant, []).append(record)
    parts: Parts[tuple[str, list[Record]]] = [
        (Head("variant", "variant"), lambda x: x[0]),
        (Head("results", "results", "count"), lambda x: len(x[1])),
        (Head("seconds", "wall time, s", "seconds"), lambda x: sum(r.evaluation_info.seconds for r in x[1])),
        (Head("precision", "precision"), lambda x: ", ".join(sorted({r.evaluation_info.precision for r in x[1]}))),
        (Head("threads", "threads"), lambda x: threads_of(x[1])),
        (Head("architecture", "architecture"), lambda x: ", ".join(sorted({r.model_info.architecture for r in x[1]}))),
        (Head("parameters", "parameters", "count"), lambda x: max(r.model_info.parameters for r in x[1])),
        (Head("recipe", "recipe", "prose"), lambda x: material.results.public(_recipe(x[1][0]))),
    ]
    return _sheet(
        "variants",
        "Variants, how they are made, and the time that making and evaluating took",
        by_variant.items(),
        parts,
    )


def _recipe(record: Record) -> str:
    """Write a recipe on one line, without its target and what is not set."""
    recipe = record.model_info.recipe
    if recipe is None:
        return "a checkpoint as it is" if len(record.model_info.sources) == 1 else "not known"
    named = {"similarity": public_similarity(recipe["similarity"])} if recipe.get("similarity") else {}
    settings = {key: value for key, value in (recipe | named).items() if key != "target"}
    return ", ".join(_settings(settings))


def _settings(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Yield what is set, a setting of a setting with both names."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{before}{key}.")
        elif value not in (None, [], ()):
            yield f"{before}{key} {value}"


def record_sheet(id_: str, caption: str, records: Iterable[Record], *, short: bool) -> Sheet:
    """Where results come from, by content; ``short`` leaves of digests what people need."""
    length = DIGEST if short else None
    parts: Parts[Record] = [
        (Head("variant", "variant"), lambda x: x.evaluation_info.variant or "(no prefix)"),
        *([] if short else [(Head("locale", "locale"), lambda x: x.evaluation_info.locale)]),
        (Head("model", "model", "text"), lambda x: public_name(x.model_info.model)),
        (Head("seconds", "wall time, s", "seconds"), lambda x: x.evaluation_info.seconds),
        *([] if short else [(Head("energy", "energy, J", "number"), lambda x: x.evaluation_info.energy)]),
        (Head("timestamp", "finished"), lambda x: x.evaluation_info.timestamp),
        (Head("model_digest", "model digest", "id"), lambda x: x.model_info.digest[:length]),
        (Head("data_digest", "data digest", "id"), lambda x: x.dataset_info.digest[:length]),
        (Head("predictions_digest", "predictions digest", "id"), lambda x: x.predictions_digest[:length]),
    ]
    return _sheet(id_, caption, records, parts, sortable=False)
