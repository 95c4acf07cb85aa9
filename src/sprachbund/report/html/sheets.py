"""Tables: what stands in them, how people read it, and the same as CSV with every digit.

A cell is a value, and its column says what kind of value that is; text comes of it in one place. What is missing is an empty
cell, for people and for programs.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from sprachbund.report.stats import Interval
from sprachbund.report.summary import p_value, points

__all__ = ["Entry", "Head", "Link", "Sheet", "csv_link", "percent", "shown", "sorting"]

Kind = Literal["text", "word", "prose", "id", "count", "fraction", "points", "number", "p", "seconds"]
AT_ONCE = 15
"""So many rows are seen at once."""
PLAIN = ",:;/()+-_.=@"
"""What a link may hold as it is."""


@dataclass(frozen=True)
class Link:
    """A text that leads to another place on the page."""

    text: str
    to: str
    """The id there."""


Entry = str | int | float | Interval | Link | None


@dataclass(frozen=True)
class Head:
    """A column: its name for programs, its title for people, and what its values are."""

    name: str
    title: str
    kind: Kind = "word"
    """A ``word`` stands on one line; ``text`` and ``prose`` take the lines that they need."""

    @property
    def is_number(self) -> bool:
        """Whether it stands to the right and is sorted by size."""
        return self.kind not in ("text", "word", "prose", "id")


@dataclass(frozen=True)
class Sheet:
    """A table."""

    id: str
    caption: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Entry, ...], ...]
    sortable: bool = True

    @property
    def filterable(self) -> bool:
        """Whether there are more rows than people see at once."""
        return self.sortable and len(self.rows) > AT_ONCE

    @property
    def csv(self) -> str:
        """The same for programs; an interval is two columns."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        spread = [any(isinstance(row[place], Interval) for row in self.rows) for place in range(len(self.heads))]
        writer.writerow(
            name
            for head, two in zip(self.heads, spread, strict=True)
            for name in ((f"{head.name}_low", f"{head.name}_high") if two else (head.name,))
        )
        for row in self.rows:
            writer.writerow(
                value for entry, two in zip(row, spread, strict=True) for value in _values(entry, 2 if two else 1)
            )
        return stream.getvalue()


def csv_link(text: str) -> str:
    """Return a link that holds a CSV file."""
    return f"data:text/csv;charset=utf-8,{quote(text, safe=PLAIN)}"


def _values(entry: Entry, columns: int) -> Iterator[str | float]:
    """Yield what an entry is in so many columns of CSV."""
    match entry:
        case None:
            yield from [""] * columns
        case Interval():
            yield from (entry.low, entry.high)
        case Link():
            yield entry.text
        case _:
            yield entry


def shown(entry: Entry, kind: Kind) -> str:
    """Return what people read."""
    match entry:
        case None:
            return ""
        case Link():
            return entry.text
        case Interval():
            return f"{shown(entry.low, kind)} … {shown(entry.high, kind)}"
        case str():
            return entry
    return _number(float(entry), kind)


def _number(value: float, kind: Kind) -> str:
    match kind:
        case "count":
            return f"{value:.0f}"
        case "points":
            return points(value).replace("-", "−")
        case "p":
            return p_value(value)
        case "seconds":
            return f"{value:.1f}"
        case _:
            return f"{value:.3f}"


def sorting(entry: Entry) -> str:
    """Return the number that people sort by where what they read is rounded; an interval is sorted by its lower bound."""
    value = entry.low if isinstance(entry, Interval) else entry
    return repr(float(value)) if isinstance(value, float) else ""


def percent(fraction: float) -> str:
    """Write a fraction as whole per cent."""
    return f"{100 * fraction:.0f} %"
