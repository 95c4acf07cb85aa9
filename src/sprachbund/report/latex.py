"""The comparison as a table for a paper: accuracy by locale, grouped by language family, then the means.

A ``longtable`` in the manner of ``booktabs``: a page may break in it, and no line is vertical. What differences and uses there
are stands in the CSV of the same second; a page has no room for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from sprachbund.report.analysis import Analysis
from sprachbund.report.summary import Column, LocaleRow, Summary, by_language_family, headline

__all__ = ["escaped", "longtable"]

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "*": "{*}",  # after the end of a row it would belong to it, as would a bracket
    "[": "{[}",
    "]": "{]}",
    **{character: f"\\{character}" for character in "{}$&#%_"},
}
_JOINED = re.compile(r"([-',])(?=\1)")
"""Two of these are set as one: a dash, a quotation mark."""


def longtable(summary: Summary, command: str, analysis: Analysis | None = None) -> str:
    """Return the table, to be read by a document that loads booktabs and longtable."""
    columns = [column for column in summary.columns if summary.statistics[column.name].count]
    head = _row(["locale", "language", *(column.title for column in columns)])
    return "\n".join(
        [
            f"% Made by `{' '.join(command.split())}`; needs \\usepackage{{booktabs,longtable}}.",
            rf"\begin{{longtable}}{{ll{'r' * len(columns)}}}",
            rf"\caption{{{escaped(_caption(summary, analysis))}}}\label{{tab:results}}\\",
            *(r"\toprule", head, r"\midrule", r"\endfirsthead"),
            *(r"\toprule", head, r"\midrule", r"\endhead"),
            *(r"\bottomrule", r"\endfoot"),
            *_body(summary, columns),
            r"\end{longtable}",
            "",
        ]
    )


def escaped(text: str) -> str:
    """Return text that LaTeX sets as it is, in one line."""
    characters = "".join(_SPECIAL.get(character, character) for character in " ".join(text.split()))
    return _JOINED.sub(r"\1{}", characters)


def _caption(summary: Summary, analysis: Analysis | None) -> str:
    setup = summary.setup
    demonstration = ["DEMONSTRATION: these figures show that the program works, nothing more."]
    return " ".join(
        [
            *(demonstration if summary.demonstration else []),
            f"Accuracy on {setup.data} ({setup.revision}), {setup.split} split.",
            headline(summary, analysis),
        ]
    )


def _body(summary: Summary, columns: Sequence[Column]) -> Iterator[str]:
    width = 2 + len(columns)
    for number, (family, rows) in enumerate(by_language_family(summary.evaluated)):
        if number:
            yield r"\addlinespace"
        yield rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escaped(family)}}}}}\\*"
        yield from (_figures(row, columns) for row in rows)
    yield r"\midrule"
    yield _row(["mean", "", *(_number(summary.statistics[column.name].mean) for column in columns)])
    yield _row(["locales", "", *(str(summary.statistics[column.name].count) for column in columns)])


def _figures(row: LocaleRow, columns: Iterable[Column]) -> str:
    figures = [_number(row.values[column.name]) for column in columns]
    return _row([row.locale.name, row.locale.language, *figures])


def _row(cells: Iterable[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
