"""The aggregate files: the long table and the comparison (CSV), the summary (JSON), the report (Markdown).

    results_aggregated_YYYYMMDD_HHMMSS.csv     one row a record, as it was written
    results_comparison_YYYYMMDD_HHMMSS.csv     one row a locale, variants and references side by side
    results_summary_YYYYMMDD_HHMMSS.json       statistics, what is missing, what failed
    results_report_YYYYMMDD_HHMMSS.md          all of it for people

Only when asked for: both tables as Parquet, with the types of their columns; the comparison as LaTeX; the report as one HTML
file with pictures (:mod:`sprachbund.report.html`); the long table as JSON, Markdown and LaTeX too (``long``).

CSV, JSON and Parquet carry every digit, Markdown and LaTeX four; of the long table LaTeX has the columns that a page
has room for. Each file, read on its own, says which data it is about and whether that is a demonstration. A file is never
overwritten: where those of one second exist, the next free second is taken.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprachbund import files, locales
from sprachbund.errors import UnknownName
from sprachbund.public import public_zoo
from sprachbund.report.analysis import Analysis, Contrast, Score, analyse
from sprachbund.report.answers import NO_ANSWERS, Answers
from sprachbund.report.html import Texts, html_report
from sprachbund.report.latex import long_table, longtable
from sprachbund.report.stats import LEVEL, Interval
from sprachbund.report.summary import (
    BY_GAIN,
    LocaleRow,
    Summary,
    best_gain_first,
    by_language_family,
    headline,
    making_of,
    p_value,
    worth,
)
from sprachbund.report.table import EXPECTED_VARIANTS, Cell, Results
from sprachbund.store import Record

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]

__all__ = [
    "FORMATS",
    "arrow_table",
    "comparison_rows",
    "csv_text",
    "long_rows",
    "markdown",
    "summary_json",
    "write_aggregate",
]

FORMATS = ("csv", "json", "markdown", "parquet", "latex", "html")
"""What ``--format`` takes besides ``all``."""
USUAL = FORMATS[:3]
"""What ``all`` stands for."""

COMMAND = "python aggregate_results.py"
NAMES = (
    ("results_aggregated", "csv"),
    ("results_comparison", "csv"),
    ("results_summary", "json"),
    ("results_report", "md"),
    ("results_aggregated", "parquet"),
    ("results_comparison", "parquet"),
    ("results_comparison", "tex"),
    ("results_report", "html"),
    *(("results_aggregated", suffix) for suffix in ("json", "md", "tex")),
)
_MARKUP = re.compile(r"[\\|*\[\]]|<(?=[A-Za-z/!?])")
TEXT = ("zero_shot_best_source",)
"""Columns of text that may have no value at all; where others have none, they are numbers."""


def write_aggregate(
    results: Results,
    summary: Summary,
    out_dir: Path,
    formats: Iterable[str] = ("all",),
    *,
    when: datetime,
    command: str = COMMAND,
    long: bool = False,
    by_gain: bool = False,
    analysis: Analysis | None = None,
    answers: Answers | None = None,
    texts: Texts | None = None,
) -> list[Path]:
    """Write the files of the wanted formats and return their paths.

    Args:
        results: of one setup.
        summary: of these results.
        out_dir: where to; it is made if need be.
        formats: of ``csv``, ``json``, ``markdown``, ``parquet``, ``latex``, ``html``; ``all`` stands for the first three.
        when: the time in the files' names, and in JSON and Markdown.
        command: how to make the report again.
        long: write the long table as JSON, Markdown and LaTeX too, where these are wanted.
        by_gain: order locales in Markdown and LaTeX by what similarity gains over the baseline, instead of by family; files for
            programs keep the order of the locale table.
        analysis: of these results; without it intervals and tests are blank.
        answers: the predictions of these results, for ``html``.
        texts: the sentences that were answered, for ``html``.
    """
    wanted = _formats(formats)
    paths = _free_paths(out_dir, when)
    written: list[Path] = []

    def write(name: str, suffix: str, content: str | memoryview) -> None:
        path = paths[name, suffix]
        files.write_bytes(path, content.encode() if isinstance(content, str) else content)
        written.append(path)

    if "csv" in wanted:
        write("results_aggregated", "csv", csv_text(long_rows(results)))
        write("results_comparison", "csv", csv_text(comparison_rows(summary, analysis)))
    if "json" in wanted:
        files.write_json(paths["results_summary", "json"], summary_json(summary, when, analysis))
        written.append(paths["results_summary", "json"])
    if "markdown" in wanted:
        write("results_report", "md", markdown(results, summary, when, command, analysis, by_gain=by_gain))
    if "parquet" in wanted:
        write("results_aggregated", "parquet", _parquet(long_rows(results)))
        write("results_comparison", "parquet", _parquet(comparison_rows(summary, analysis)))
    if "latex" in wanted:
        write("results_comparison", "tex", longtable(summary, command, analysis, by_gain=by_gain))
    if long:
        for suffix, text in _long_texts(long_rows(results), summary, command, wanted):
            write("results_aggregated", suffix, text)
    if "html" in wanted:
        known = analysis or analyse(results, NO_ANSWERS)
        page = html_report(results, summary, answers, known, when=when, command=command, texts=texts)
        write("results_report", "html", page)
    return written


def _long_texts(
    rows: Sequence[Mapping[str, Any]], summary: Summary, command: str, wanted: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield the long table by suffix in those formats that otherwise have other tables."""
    if "json" in wanted:
        yield "json", files.json_text(rows)
    if "markdown" in wanted:
        yield "md", _markdown_table(rows)
    if "latex" in wanted:
        yield "tex", long_table(rows, summary, command)


def _markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows, which have the same columns, as a table in Markdown."""
    numbers = {name for row in rows for name, value in row.items() if _is_number(value)}
    lines = [
        list(rows[0]),
        ["--:" if name in numbers else "---" for name in rows[0]],
        *([_markdown_cell(value) for value in row.values()] for row in rows),
    ]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _markdown_cell(value: Any) -> str:
    return _number(value) if value is None or isinstance(value, float) else _cell(str(_plain(value)))


def long_rows(results: Results) -> list[dict[str, Any]]:
    """Return one row a record."""
    return [_long_row(record) for record in results.everything]


def comparison_rows(summary: Summary, analysis: Analysis | None = None) -> list[dict[str, Any]]:
    """Return one row a locale; what is missing is None. Columns that were added later stand last."""
    scores, contrasts = (analysis.scores, _by_locale(analysis)) if analysis else ({}, {})
    return [_comparison_row(summary, row) | _row_worth(summary, row, scores, contrasts) for row in summary.rows]


def summary_json(summary: Summary, when: datetime, analysis: Analysis | None = None) -> dict[str, Any]:
    """Return the summary as JSON values; what is missing is null."""
    return {
        "schema_version": 1,
        "created": when.isoformat(timespec="seconds"),
        "demonstration": summary.demonstration,
        "headline": headline(summary, analysis),
        "setup": dataclasses.asdict(summary.setup),
        "licence": summary.dataset.licence,
        "notice": summary.dataset.notice,
        "counts": dataclasses.asdict(summary.counts),
        "mean_baseline": summary.mean_baseline,
        "columns": {
            column.name: {
                "title": column.title,
                "uses": list(column.uses),
                "meaning": column.meaning,
                **dataclasses.asdict(summary.statistics[column.name]),
            }
            for column in summary.columns
        },
        "std": "sample standard deviation over locales, divisor n - 1",
        "differences": [dataclasses.asdict(difference) for difference in summary.differences],
        "effective_sources": dict(summary.effective_sources),
        "smallest_head_agreement": summary.head_agreement and dataclasses.asdict(summary.head_agreement),
        "missing": {variant: list(names) for variant, names in summary.missing.items()},
        "failed": [{"variant": f.variant, "locale": f.locale, "reason": f.reason} for f in summary.failures],
        "records_without_prefix": summary.unnamed,
        "zero_shot_cells_of_other_data": summary.left_out,
        "locales": [_without_provenance(_comparison_row(summary, row)) for row in summary.rows],
        "analysis": analysis and _analysis_json(analysis),
    }


def _analysis_json(analysis: Analysis) -> dict[str, Any]:
    """Return intervals and tests, p-values both raw and adjusted."""
    return {
        "level": analysis.level,
        "resamples": analysis.resamples,
        "macro_f1_resamples": analysis.macro_f1_resamples,
        "seed": analysis.seed,
        "blank": analysis.blank,
        "notes": list(analysis.notes),
        "comparisons": [dataclasses.asdict(comparison) for comparison in analysis.comparisons],
        "contrasts": [dataclasses.asdict(contrast) for rows in analysis.contrasts.values() for contrast in rows],
        "scores": [dataclasses.asdict(score) for score in analysis.scores.values()],
    }


def markdown(
    results: Results,
    summary: Summary,
    when: datetime,
    command: str = COMMAND,
    analysis: Analysis | None = None,
    *,
    by_gain: bool = False,
) -> str:
    """Return the report for people, locales by family or by gain."""
    import jinja2

    in_order = best_gain_first if by_gain else _by_family
    locales = in_order(summary.evaluated)

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters.update(
        zoo=public_zoo, public=results.public, number=_number, signed=_signed, cell=_cell, between=_between, p=_p_value
    )
    template = package_files("sprachbund.report").joinpath("templates/report.md.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        summary=summary,
        headline=headline(summary, analysis),
        analysis=analysis,
        level=f"{100 * LEVEL:.0f} %",
        differences=[(difference, worth(difference, analysis)) for difference in summary.differences],
        scores=_scores_of_variants(summary, locales, analysis),
        titles={column.name: column.title for column in summary.columns},
        pairs=_pairs([column.name for column in summary.variants]),
        locales=locales,
        order=BY_GAIN if by_gain else "",
        when=when.isoformat(sep=" ", timespec="seconds"),
        command=command,
        making=making_of(results.everything),
    )


def _formats(names: Iterable[str]) -> set[str]:
    wanted = set(names)
    for name in wanted - {*FORMATS, "all"}:
        raise UnknownName("format", name, (*FORMATS, "all"))
    return wanted - {"all"} | set(USUAL) if "all" in wanted else wanted


def _free_paths(out_dir: Path, when: datetime) -> dict[tuple[str, str], Path]:
    """Return the paths, by name and suffix, of the first second, from ``when`` on, of which no file exists."""
    while True:
        stamp = when.strftime("%Y%m%d_%H%M%S")
        paths = {(name, suffix): out_dir / f"{name}_{stamp}.{suffix}" for name, suffix in NAMES}
        if not any(path.exists() for path in paths.values()):
            return paths
        when += timedelta(seconds=1)


def _long_row(record: Record) -> dict[str, Any]:
    info, model, data, scores = (
        record.evaluation_info,
        record.model_info,
        record.dataset_info,
        record.performance,
    )
    place = locales.describe(info.locale)
    return {
        "locale": info.locale,
        "language": place.language,
        "family": place.family,
        "variant": info.variant,
        "uses": " ".join(info.uses),
        "accuracy": scores.accuracy,
        "macro_f1": scores.macro_f1,
        "correct": scores.correct,
        "total": scores.total,
        "majority_rate": scores.majority_rate,
        "nll": scores.nll,
        "ece": scores.ece,
        "split": info.split,
        "dataset": data.name,
        "revision": data.revision,
        "demonstration": data.demonstration,
        "zoo": model.zoo,
        "model": model.model,
        "sources": " ".join(f"{source.locale}:{source.weight:.9g}" for source in model.sources),
        "effective_sources": model.effective_sources,
        "head_agreement": model.head_agreement,
        "seconds": info.seconds,
        "identity": record.identity,
        "timestamp": info.timestamp,
    }


def _comparison_row(summary: Summary, row: LocaleRow) -> dict[str, Any]:
    variants = [column.name for column in summary.variants]
    pairs = _pairs(variants)
    references = {column.name: row.values[column.name] for column in summary.columns if column.kind == "reference"}
    return {
        "locale": row.locale.name,
        "language": row.locale.language,
        "family": row.locale.family,
        **{variant: row.values[variant] for variant in variants},
        **{f"{first}_minus_{second}": row.difference(first, second) for first, second in pairs},
        **references,
        "zero_shot_best_source": row.best_source,
        "zero_shot_sources": row.foreign_sources,
        **{f"{column.name}_uses": " ".join(column.uses) for column in summary.columns},
        "split": summary.setup.split,
        "dataset": summary.setup.data,
        "demonstration": summary.demonstration,
    }


ContrastsByLocale = Mapping[tuple[str, str, str], Contrast]
"""By both variants and the locale."""


def _by_locale(analysis: Analysis) -> ContrastsByLocale:
    return {(c.first, c.second, c.locale): c for rows in analysis.contrasts.values() for c in rows}


def _row_worth(
    summary: Summary, row: LocaleRow, scores: Mapping[Cell, Score], contrasts: ContrastsByLocale
) -> dict[str, Any]:
    """Return what is known beyond the figures of one locale: intervals, macro-F1, calibration, tests."""
    place = row.locale.name
    variants = [column.name for column in summary.variants]
    columns: dict[str, Any] = {}
    for variant in variants:
        score = scores.get((variant, place))
        accuracy, macro_f1 = (score.accuracy_interval, score.macro_f1_interval) if score else (None, None)
        columns |= _bounds(variant, accuracy)
        columns |= {f"{variant}_macro_f1": score and score.macro_f1} | _bounds(f"{variant}_macro_f1", macro_f1)
        columns |= {f"{variant}_nll": score and score.nll, f"{variant}_ece": score and score.ece}
    for first, second in _pairs(variants):
        found, name = contrasts.get((first, second, place)), f"{first}_minus_{second}"
        columns |= _bounds(name, found.interval if found else None)
        columns |= {f"{name}_p": found and found.p, f"{name}_p_adjusted": found and found.p_adjusted}
    return columns


def _bounds(name: str, interval: Interval | None) -> dict[str, float | None]:
    return {f"{name}_low": interval.low if interval else None, f"{name}_high": interval.high if interval else None}


def _by_family(rows: Sequence[LocaleRow]) -> list[LocaleRow]:
    return [row for _, members in by_language_family(rows) for row in members]


def _scores_of_variants(summary: Summary, rows: Iterable[LocaleRow], analysis: Analysis | None) -> list[Score]:
    """Return the scores of all variants, locales in the order of the rows."""
    cells = [(column.name, row.locale.name) for row in rows for column in summary.variants]
    return [analysis.scores[cell] for cell in cells if cell in analysis.scores] if analysis else []


def _pairs(variants: Sequence[str]) -> list[tuple[str, str]]:
    """Return what is compared locale by locale: all with the baseline and with similarity, as far as these were run."""
    pairs = [(variant, "baseline") for variant in variants if variant != "baseline"]
    pairs += [("similarity", "average")]
    pairs += [(variant, "similarity") for variant in variants if variant not in EXPECTED_VARIANTS]
    return [pair for pair in pairs if {*pair} <= {*variants}]


def _without_provenance(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a comparison row without what the document that it stands in says once for all rows."""
    said_once = {"split", "dataset", "demonstration"}
    return {key: value for key, value in row.items() if key not in said_once and not key.endswith("_uses")}


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows, which have the same columns, as CSV with a header; None is a blank."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _plain(value) for key, value in row.items()} for row in rows)
    return stream.getvalue()


def arrow_table(rows: Sequence[Mapping[str, Any]]) -> pyarrow.Table:
    """Return rows as an Arrow table; a column without any value has the type of those with some."""
    import pyarrow

    table = pyarrow.Table.from_pylist(rows)
    for place, field in enumerate(table.schema):
        if pyarrow.types.is_null(field.type):
            kind = pyarrow.string() if field.name in TEXT else pyarrow.float64()
            table = table.set_column(place, field.name, table.column(place).cast(kind))
    return table


def _parquet(rows: Sequence[Mapping[str, Any]]) -> memoryview:
    """Return rows as Parquet."""
    import pyarrow
    from pyarrow import parquet

    buffer = pyarrow.BufferOutputStream()
    parquet.write_table(arrow_table(rows), buffer, compression="zstd")
    return memoryview(buffer.getvalue())


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{round(value, 4) + 0.0:+.4f}"  # + 0.0 makes -0.0 positive


def _between(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}"


def _p_value(p: float | None) -> str:
    return "" if p is None else p_value(p)


def _cell(text: str) -> str:
    """Return text that can stand in one line or one cell of a Markdown table, without tags, links and stars of its own."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))
