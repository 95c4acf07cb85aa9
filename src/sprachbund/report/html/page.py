"""The whole page: its sections in order, each of sentences, tables and pictures that are ready to be shown."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING

from sprachbund import __version__, files, locales
from sprachbund.public import public_zoo
from sprachbund.report.analysis import Analysis
from sprachbund.report.answers import NO_ANSWERS, Answers
from sprachbund.report.html import tables
from sprachbund.report.html.material import Material, Texts
from sprachbund.report.html.pictures import MOST_DRAWN, Picture, dumbbells, forests, relations
from sprachbund.report.html.places import Place, flip_sheet, places
from sprachbund.report.html.sheets import Estimate, Link, Sheet, csv_link, percent, shown, sorting
from sprachbund.report.html.theme import DARK, LIGHT, variables
from sprachbund.report.mistakes import IntentErrors, confused_pairs, confusion, intent_errors
from sprachbund.report.summary import Making, Summary, headline, listed, making_of
from sprachbund.report.table import Results
from sprachbund.store import Record

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["html_report", "write_html"]

CONTENTS = (
    ("outcome", "What came out"),
    ("locales", "Every locale"),
    ("differences", "Differences, largest first"),
    ("relations", "Similarity, weights and transfer"),
    ("intents", "Errors by intent"),
    ("calibration", "Calibration"),
    ("one-by-one", "Locale by locale"),
    ("missing", "Missing and failed"),
    ("making", "How this was made"),
    ("licences", "Licences"),
)
MOST_CONFUSED = 25
WITH_LICENCES = 3
"""Schema version of the first records that hold the licences of sources."""
JOULES_PER_WATT_HOUR = 3600
NAMED_INTENTS = 3
"""So many intents a sentence names."""


@dataclass(frozen=True)
class Page:
    """What the template puts in its places."""

    title: str
    when: str
    version: str
    contents: Sequence[tuple[str, str]]
    headline: str
    counted: str
    columns: Sheet
    comparisons: Sheet | None
    method: Sequence[str]
    dumbbells: Picture | None
    accuracies: Sheet
    forests: Sequence[Picture]
    differences_said: str
    relations: Sequence[Picture]
    relations_left_out: Sequence[str]
    intents_said: Sequence[str]
    intents: Sheet | None
    confused: Sheet | None
    calibration: Sheet | None
    texts_said: str
    places: Sequence[Place]
    failures: Sheet | None
    making: Sequence[tuple[str, str]]
    variants: Sheet
    downloads: Sequence[Sheet]
    licences: Sequence[tuple[str, str]]


def write_html(
    path: Path,
    results: Results,
    summary: Summary,
    answers: Answers | None,
    analysis: Analysis,
    *,
    when: datetime,
    command: str,
    texts: Texts | None = None,
) -> Path:
    """Write the page as one file, see :func:`html_report`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page = html_report(results, summary, answers, analysis, when=when, command=command, texts=texts)
    files.write_text(path, page)
    return path


def html_report(
    results: Results,
    summary: Summary,
    answers: Answers | None,
    analysis: Analysis,
    *,
    when: datetime,
    command: str,
    texts: Texts | None = None,
) -> str:
    """Return the page.

    Args:
        results: of one setup.
        summary: of these results.
        answers: the predictions of these results; None where they cannot be read, of which the analysis says why.
        analysis: of these results.
        when: the time that the page says it was made at.
        command: how to make it again.
        texts: the sentences, as far as they are at hand.
    """
    material = Material(results, summary, answers or NO_ANSWERS, analysis, texts or Texts())
    environment = _environment()
    script, style = (_part(name) for name in ("page.js", "style.css"))
    markup = environment.filters["markup"]
    return environment.from_string(_part("report.html.j2")).render(
        page=_page(material, when, command),
        summary=summary,
        script=markup(script),
        script_hash=_script_hash(script),
        style=markup(style),
        light=markup(variables(LIGHT)),
        dark=markup(variables(DARK)),
    )


def _environment() -> Environment:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters.update(shown=shown, sorting=sorting, csv_link=csv_link, markup=Markup)
    environment.tests["link"] = lambda value: isinstance(value, Link)
    environment.tests["estimate"] = lambda value: isinstance(value, Estimate)
    return environment


def _part(name: str) -> str:
    return package_files("sprachbund.report.html").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def _script_hash(script: str) -> str:
    """Return what a browser knows the page's one script by: no other may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _page(material: Material, when: datetime, command: str) -> Page:
    summary, results = material.summary, material.results
    accuracies = tables.accuracy_sheet(material)
    drawn, left_out = relations(material)
    confusions = {variant: confusion(material.answers, variant) for variant in material.answered}
    errors = intent_errors(material.answers, confusions)
    number = len(material.rows)
    return Page(
        title=f"Results of merging in {number} {'locale' if number == 1 else 'locales'}",
        when=when.isoformat(sep=" ", timespec="minutes"),
        version=__version__,
        contents=CONTENTS,
        headline=headline(summary, material.analysis),
        counted=_counted(summary),
        columns=tables.column_sheet(material),
        comparisons=tables.comparison_sheet(material),
        method=_method(material),
        dumbbells=dumbbells(material, accuracies) if material.rows else None,
        accuracies=accuracies,
        forests=list(forests(material)),
        differences_said=_differences_said(material),
        relations=drawn,
        relations_left_out=left_out,
        intents_said=list(_intents_said(material, errors)),
        intents=tables.intent_sheet(errors, material),
        confused=tables.confusion_sheet(confused_pairs(material.answers, confusions, MOST_CONFUSED), material),
        calibration=tables.calibration_sheet(material),
        texts_said=material.results.public(material.texts.said),
        places=list(places(material)),
        failures=tables.failure_sheet(summary.failures, material),
        making=list(_making(results, command, when)),
        variants=tables.variant_sheet(material),
        downloads=_downloads(material),
        licences=list(_licences(material)),
    )


def _counted(summary: Summary) -> str:
    counts = summary.counts
    parts = [f"{counts.done} of {counts.expected} results are there"]
    parts += [f"{counts.failed} failed"] if counts.failed else []
    parts += [f"{counts.missing} are missing"] if counts.missing else []
    parts += [f"{summary.unnamed} without a prefix stand in no column"] if summary.unnamed else []
    parts += [f"{summary.left_out} zero-shot figures of other data are left out"] if summary.left_out else []
    return f"{', '.join(parts)}."


def _method(material: Material) -> list[str]:
    """Say what intervals and p-values are, and what they cannot know; or why there are none."""
    analysis = material.analysis
    if analysis.blank:
        return [material.results.public(analysis.blank)]
    return [
        f"Intervals are at {percent(analysis.level)}. Over locales: bootstrap over sentences, each with its answers in all "
        f"locales, {analysis.resamples} resamples (seed {analysis.seed}); p by an exact test that turns the answers to a "
        "sentence round in all locales at once (against the mean of all foreign sources, which is no model, by "
        f"{analysis.resamples} such turns drawn), adjusted by Holm over the questions of the main job (similarity, average and "
        "baseline with each other), whatever else was run, by Benjamini and Hochberg over all other rows. In a locale: "
        "Wilson's interval of the accuracy, McNemar's exact test, adjusted by Benjamini and Hochberg over the pair's locales.",
        "There is one checkpoint of each kind for a locale: nothing here says how far another training would have come.",
        *map(material.results.public, analysis.notes),
    ]


def _differences_said(material: Material) -> str:
    more = len(material.main_pairs) - MOST_DRAWN
    if material.analysis.blank:
        return material.results.public(material.analysis.blank)
    if not material.main_pairs:
        return "No two columns have answered the same sentences yet."
    return f"{more} more pairs are not drawn: the tables of pairs have them." if more > 0 else ""


def _intents_said(material: Material, errors: Sequence[IntentErrors]) -> Iterator[str]:
    """Say which intents each variant gets wrong most often, and which it loses most of to the baseline."""
    for variant in [name for name in material.answered if name in material.results.variants][:MOST_DRAWN]:
        there = [(error, share) for error in errors if (share := error.wrong[variant].fraction) is not None]
        worst = sorted(there, key=lambda pair: -pair[1])[:NAMED_INTENTS]
        said = listed([f"{error.intent} ({percent(share)})" for error, share in worst])
        lost = _lost(errors, variant)
        yield f"{material.titles[variant]} is most often wrong on {said}{lost}."


def _lost(errors: Sequence[IntentErrors], variant: str) -> str:
    """Say what a variant loses most of to the baseline, where both answered the same sentences."""
    if variant == "baseline" or not errors or "baseline" not in errors[0].wrong:
        return ""
    both = [(error, error.wrong[variant], error.wrong["baseline"]) for error in errors]
    if any(mine.total != theirs.total for _, mine, theirs in both):
        return ""
    losses = sorted(
        ((mine.count - theirs.count) / mine.total, error.intent) for error, mine, theirs in both if mine.total
    )
    most = [(loss, intent) for loss, intent in reversed(losses) if loss > 0][:NAMED_INTENTS]
    if not most:
        return ""
    said = listed([f"{intent} ({100 * loss:.0f} points)" for loss, intent in most])
    return f"; against the baseline it loses most on {said}"


def _making(results: Results, command: str, when: datetime) -> Iterator[tuple[str, str]]:
    """Yield what was done, when, on what, with which versions."""
    setup, records = results.setup, results.everything
    made = making_of(records)
    yield "Command", command
    yield "Made", f"{when.isoformat(sep=' ', timespec='seconds')}, from records and predictions alone"
    yield "Records", f"{len(records)}, finished between {made.first} and {made.last}"
    yield (
        "Data",
        f"{setup.data}, revision {setup.revision}, {setup.split} split; the digest of each locale's rows: records.csv",
    )
    yield "Sources", public_zoo(setup.zoo)
    yield "Versions", made.versions
    yield "Precision", made.precision
    yield "Threads", f"{made.threads} (of the CPU, for each result)"
    yield "Wall time", f"{made.minutes:.1f} minutes of making and evaluating"
    yield "Energy", _energy_said(made, len(records))


def _energy_said(made: Making, records: int) -> str:
    if not made.energy_records:
        return (
            "not measured: no counter of an NVIDIA GPU, an Intel or AMD processor could be read, several workers shared the "
            "machine, or the records are older"
        )
    return (
        f"{made.joules / JOULES_PER_WATT_HOUR:,.1f} Wh for {made.energy_records} of {records} records, by the counters of "
        f"{listed(made.energy_of)}: all that they fed in that time, whoever was at work"
    )


def _downloads(material: Material) -> list[Sheet]:
    analysis, records = material.analysis, material.results.everything
    contrasts = [row for rows in analysis.contrasts.values() for row in rows]
    scores = analysis.scores.values()
    found = [
        tables.score_sheet("scores", "All figures by column and locale", scores, material, with_locale=True),
        tables.contrast_sheet("contrasts", "All pairs in all locales", contrasts, material),
        tables.weight_sheet(material),
        flip_sheet(material),
        tables.record_sheet("records", "Where all figures come from", records, short=False),
    ]
    return [sheet for sheet in found if sheet.rows]


def _licences(material: Material) -> Iterator[tuple[str, str]]:
    dataset, matrix = material.summary.dataset, material.similarity
    yield "Data", f"{dataset.licence}. {dataset.notice}"
    if not isinstance(matrix, str):
        yield f"Similarity {material.similarity_title}", material.results.public(matrix.provenance)
    yield "Sources", " ".join(_licences_of_sources(material.results.everything))


def _licences_of_sources(records: Sequence[Record]) -> Iterator[str]:
    """Say under which licences the sources are, as far as records hold that."""
    newer = [record for record in records if record.schema_version >= WITH_LICENCES]
    known: dict[str | None, set[str]] = {}
    for source in (source for record in newer for source in record.model_info.sources):
        known.setdefault(source.licence, set()).add(source.locale)
    for licence, names in sorted(known.items(), key=lambda item: (item[0] is None, -len(item[1]), str(item[0]))):
        said = ", ".join(sorted(names, key=locales.position)) if len(known) > 1 else "all of them"
        yield f"{licence} ({len(names)}: {said})." if licence else f"Not known, since no model card names one: {said}."
    if len(newer) < len(records):
        yield f"Results from before records held it: {len(records) - len(newer)}: see the models' own cards."
    if newer:
        yield "A merge is a derivative of all of its sources."
