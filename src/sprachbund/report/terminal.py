"""The results on a terminal of 80 columns: one line a locale, grouped by language family, then the means and a legend.

Nothing is said by colour alone: the better of similarity and average carries a star. What is missing is an empty cell. Where
there are more columns than fit, those that are left out are named below the table; the means of all stand in the legend.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from sprachbund.report.analysis import Analysis
from sprachbund.report.summary import (
    ZERO_SHOT_BEST,
    ZERO_SHOT_ENGLISH,
    ZERO_SHOT_MEAN,
    LocaleRow,
    Summary,
    best_gain_first,
    headline,
    lines_by_family,
)
from sprachbund.report.table import EXPECTED_VARIANTS

__all__ = ["print_missing", "print_results"]

BETTER = "*"
REFERENCES = {
    ZERO_SHOT_MEAN: "zero-shot\nmean",
    ZERO_SHOT_ENGLISH: "-------\nEnglish",
    ZERO_SHOT_BEST: "-----------\nbest",
}

LEADING = 14 + 1 + 6
"""Characters for the longest family and the locale, with what stands between them."""
FIGURE = 5
"""Characters of a figure."""


def print_results(
    console: Console, summary: Summary, analysis: Analysis | None = None, *, by_gain: bool = False
) -> None:
    """Print the final table, what its columns have seen, and what the data is.

    Rows stand by language family or, ``by_gain``, by what similarity gains over the baseline, the best first. With an analysis
    the headline says how sure its differences are.
    """
    _print_notice(console, summary)
    shown = _columns_that_fit(summary, console.width)
    if summary.evaluated:
        console.print()
        console.print(_results_table(summary, _by_gain(summary) if by_gain else _by_family(summary), shown))
        if left_out := [column for column in _headers(summary) if column not in shown]:
            console.print(f"No room in the table for {_titles(summary, left_out)}.", style="dim", highlight=False)
    console.print()
    console.print(_legend(summary))
    if {"similarity", "average"} <= {column.name for column in summary.variants}:
        console.print(f"{BETTER} the better of similarity and average", style="dim", highlight=False)
    console.print()
    console.print(headline(summary, analysis), style="bold", highlight=False)
    if analysis and analysis.blank:
        console.print(f"Without intervals and tests: {analysis.blank}", markup=False, highlight=False)
    for note in analysis.notes if analysis else ():
        console.print(note, markup=False, highlight=False)
    console.print(_counted(summary), highlight=False)


def print_missing(console: Console, summary: Summary) -> None:
    """Print which cells are missing, variant by variant, then what failed and why."""
    for variant, names in summary.missing.items():
        total = summary.counts.expected // len(summary.missing)
        count = "none" if not names else f"all {total}" if len(names) == total else str(len(names))
        console.print(f"[bold]{variant}[/]: {count} missing", highlight=False)
        if 0 < len(names) < total:
            console.print(Padding(" ".join(names), (0, 0, 0, 2)), highlight=False)
    for failure in summary.failures:
        console.print(
            f"[bold]{escape(failure.variant or '(no prefix)')} {failure.locale}[/] failed: {escape(failure.reason)}",
            highlight=False,
        )


def _print_notice(console: Console, summary: Summary) -> None:
    if summary.demonstration:
        console.print(
            "DEMONSTRATION: these figures show that the program works, nothing more.", style="bold", highlight=False
        )
    setup = summary.setup
    console.print(f"Data: {setup}.", markup=False, highlight=False)
    console.print(f"Licence: {summary.dataset.licence}. {summary.dataset.notice}", markup=False, highlight=False)


def _counted(summary: Summary) -> str:
    counts = summary.counts
    parts = [f"{counts.done} of {counts.expected} results are there"]
    parts += [f"{counts.failed} failed"] if counts.failed else []
    parts += [f"{counts.missing} missing"] if counts.missing else []
    parts += [f"{summary.unnamed} without a prefix, in no column"] if summary.unnamed else []
    parts += [f"{summary.left_out} zero-shot figures of other data left out"] if summary.left_out else []
    return ", ".join(parts) + "."


@dataclass(frozen=True)
class _Order:
    """The rows in the order of the table, each with what its first column says."""

    header: str
    rows: tuple[tuple[str, LocaleRow], ...]


def _by_family(summary: Summary) -> _Order:
    return _Order("\nfamily", tuple(lines_by_family(summary.evaluated)))


def _by_gain(summary: Summary) -> _Order:
    gains = [(row.difference("similarity", "baseline"), row) for row in best_gain_first(summary.evaluated)]
    return _Order(
        "similarity -\nbaseline", tuple(("" if gain is None else f"{100 * gain:+.1f}", row) for gain, row in gains)
    )


def _headers(summary: Summary) -> dict[str, str]:
    """Return what stands above each column that the table can have, in its order; two lines each."""
    return {column.name: f"\n{escape(column.title)}" for column in summary.variants} | REFERENCES


def _columns_that_fit(summary: Summary, width: int) -> list[str]:
    """Return the columns of the table, in order: the seed's, two references, then others as long as there is room."""
    headers = _headers(summary)
    first = [*EXPECTED_VARIANTS, ZERO_SHOT_MEAN, ZERO_SHOT_BEST]
    room = width - LEADING
    shown = set()
    for name in sorted(headers, key=lambda name: first.index(name) if name in first else len(first)):
        needed = 1 + max(FIGURE, *map(cell_len, headers[name].splitlines()))
        if needed <= room:
            room -= needed
            shown.add(name)
    return [name for name in headers if name in shown]


def _titles(summary: Summary, names: Iterable[str]) -> str:
    return ", ".join(escape(column.title) for column in summary.columns if column.name in {*names})


def _results_table(summary: Summary, order: _Order, shown: Sequence[str]) -> Table:
    headers = _headers(summary)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column(order.header, no_wrap=True)
    table.add_column("\nlocale", no_wrap=True)
    for name in shown:
        table.add_column(headers[name], justify="left" if name == ZERO_SHOT_BEST else "right", no_wrap=True)
    for first, row in order.rows:
        table.add_row(first, row.locale.name, *_cells(row, shown))
    table.add_section()
    table.add_row("mean", "", *_means(summary, shown), style="bold")
    if len({summary.statistics[name].count for name in shown}) > 1:
        table.add_row("locales", "", *(str(summary.statistics[name].count) for name in shown))
    return table


def _cells(row: LocaleRow, shown: Sequence[str]) -> Iterator[str]:
    """Yield one locale's figures; the better merge has a star, the other ones a blank in its place."""
    margin = row.difference("similarity", "average") or 0.0
    for name in shown:
        number = _number(row.values[name])
        if name in ("similarity", "average"):
            better = margin > 0 if name == "similarity" else margin < 0
            yield f"[bold]{number}{BETTER}[/]" if better else f"{number} "
        elif name == ZERO_SHOT_BEST and row.best_source is not None:
            yield f"{number} {row.best_source}"
        else:
            yield number


def _means(summary: Summary, shown: Sequence[str]) -> Iterator[str]:
    for name in shown:
        number = _number(summary.statistics[name].mean)
        yield f"{number} " if name in ("similarity", "average") else number


def _legend(summary: Summary) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    table.add_column("column", overflow="fold")
    table.add_column("mean", justify="right", no_wrap=True)
    table.add_column("has seen", overflow="fold")
    table.add_column("what it is", overflow="fold")
    for column in summary.columns:
        if column.kind == "variant" or summary.statistics[column.name].count:
            table.add_row(
                escape(column.title), _number(summary.statistics[column.name].mean), column.seen, column.meaning
            )
    return table


def _number(value: float | None) -> str:
    """Format a fraction to three digits."""
    return "" if value is None else f"{value:.3f}"
