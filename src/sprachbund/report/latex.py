"""Tables for a paper: the comparison, accuracy by locale, by language family or by gain, then the means; and the long table.

Each is a ``longtable`` in the manner of ``booktabs``: a page may break in it, and no line is vertical. What differences
and uses there are, and which digests, stands in the CSV of the same second; a page has no room for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sprachbund.report.analysis import Analysis
from sprachbund.report.summary import (
    BY_GAIN,
    Column,
    LocaleRow,
    Summary,
    best_gain_first,
    by_language_family,
    headline,
)

__all__ = ["escaped", "long_table", "longtable"]

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
_MINUS = re.compile(r"(?<![\w}-])-(?=\d)")
_LATIN = re.compile(r"[\u0000-\u024f\u2010-\u203a\u20ac]*")
"""What pdfLaTeX has letters for."""
LINE = r"\\"
END = f" {LINE}"
"""Of a line, and of a row."""
FEW_COLUMNS = 9
"""So many fit a page of A4 in the size of footnotes."""
LONG = {
    **dict.fromkeys(("locale", "language", "variant", "uses"), "l"),
    **dict.fromkeys(("accuracy", "macro_f1", "correct", "total", "nll", "ece", "effective_sources", "seconds"), "r"),
}
"""Columns of the long table that a page has room for, and how they stand."""


def longtable(summary: Summary, command: str, analysis: Analysis | None = None, *, by_gain: bool = False) -> str:
    """Return the comparison, to be read by a document that loads booktabs and longtable."""
    columns = [column for column in summary.columns if summary.statistics[column.name].count]
    head = ["locale", "language", *(column.title for column in columns)]
    said = headline(summary, analysis)
    caption = _caption(summary, f"{said} {BY_GAIN}" if by_gain else said)
    body = [*(_by_gain if by_gain else _by_family)(summary, columns), *_means(summary, columns)]
    return _table(command, "results", "ll" + "r" * len(columns), caption, head, body)


def long_table(rows: Sequence[Mapping[str, Any]], summary: Summary, command: str) -> str:
    """Return the long table, a row a record, with those of its columns that a page has room for and that hold anything."""
    kept = [name for name in LONG if any(row[name] is not None for row in rows)]
    caption = _caption(summary, f"All {len(rows)} results.")
    body = (_row([_entry(row[name]) for name in kept]) for row in rows)
    spec = "".join(LONG[name] for name in kept)
    return _table(command, "all-results", spec, caption, [name.replace("_", " ") for name in kept], body)


def _table(command: str, label: str, spec: str, caption: str, head: Sequence[str], body: Iterable[str]) -> str:
    """Return a table with what TeX must know of it; its letters are small enough that a page of A4 is not too narrow."""
    heads = " & ".join(map(_head, head)) + END
    lines = [
        rf"\begin{{longtable}}{{{spec}}}",
        rf"\caption{{{caption}}}\label{{tab:{label}}}\\",
        *(r"\toprule", heads, r"\midrule", r"\endfirsthead"),
        *(r"\toprule", heads, r"\midrule", r"\endhead"),
        *(r"\bottomrule", r"\endfoot"),
        *body,
        r"\end{longtable}",
    ]
    latin = all(map(_LATIN.fullmatch, lines))
    needs = r"\usepackage{booktabs,longtable}" + (
        "" if latin else ", and LuaLaTeX with a font that has all of these letters"
    )
    size = r"\footnotesize" if len(spec) <= FEW_COLUMNS else r"\scriptsize"
    first = f"% Made by `{' '.join(command.split())}`; needs {needs}."
    start = rf"{{{size}\setlength{{\tabcolsep}}{{3pt}}\setlength{{\LTcapwidth}}{{\linewidth}}"
    return "\n".join([first, start, *lines, "}", ""])


def _head(title: str) -> str:
    """Return what stands above a column, each word on a line of its own: figures are narrower than their names."""
    words = [escaped(word) for word in title.split()]
    return words[0] if len(words) == 1 else rf"\shortstack[r]{{{LINE.join(words)}}}"


def _entry(value: Any) -> str:
    return _number(value) if value is None or isinstance(value, float) else str(value)


def escaped(text: str) -> str:
    """Return text that LaTeX sets as it is, in one line."""
    characters = "".join(_SPECIAL.get(character, character) for character in " ".join(text.split()))
    return _JOINED.sub(r"\1{}", characters)


def _caption(summary: Summary, said: str) -> str:
    setup = summary.setup
    demonstration = ["DEMONSTRATION: these figures show that the program works, nothing more."]
    text = " ".join(
        [
            *(demonstration if summary.demonstration else []),
            f"Accuracy on {setup.data} ({setup.revision}), {setup.split} split.",
            said,
        ]
    )
    return _MINUS.sub("$-$", escaped(text))


def _by_gain(summary: Summary, columns: Sequence[Column]) -> Iterator[str]:
    yield from (_figures(row, columns) for row in best_gain_first(summary.evaluated))


def _by_family(summary: Summary, columns: Sequence[Column]) -> Iterator[str]:
    width = 2 + len(columns)
    for number, (family, rows) in enumerate(by_language_family(summary.evaluated)):
        if number:
            yield r"\addlinespace"
        yield rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escaped(family)}}}}}\\*"
        yield from (_figures(row, columns) for row in rows)


def _means(summary: Summary, columns: Sequence[Column]) -> Iterator[str]:
    yield r"\midrule"
    yield _row(["mean", "", *(_number(summary.statistics[column.name].mean) for column in columns)])
    yield _row(["locales", "", *(str(summary.statistics[column.name].count) for column in columns)])


def _figures(row: LocaleRow, columns: Iterable[Column]) -> str:
    figures = [_number(row.values[column.name]) for column in columns]
    return _row([row.locale.name, row.locale.language, *figures])


def _row(cells: Iterable[str]) -> str:
    return " & ".join(map(escaped, cells)) + END


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
