"""Tables: what stands in them, how people read it, and the same as CSV with every digit.

A cell is a value, and its column says what kind of value that is; text comes of it in one place. What is missing is an empty
cell, for people and for programs.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from sprachbund.report.stats import Interval
from sprachbund.report.summary import p_value, points

__all__ = ["Entry", "Estimate", "Head", "Link", "Sheet", "csv_link", "percent", "shown", "sorting"]

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


@dataclass(frozen=True)
class Estimate:
    """A number with its interval."""

    value: float
    interval: Interval


Entry = str | int | float | Interval | Estimate | Link | None
BOUNDS = ("_low", "_high")


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
        """The same for programs; an interval is two columns, a number with its interval three."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        ends = [_ends(row[place] for row in self.rows) for place in range(len(self.heads))]
        writer.writerow(f"{head.name}{end}" for head, its in zip(self.heads, ends, strict=True) for end in its)
        for row in self.rows:
            writer.writerow(value for entry, its in zip(row, ends, strict=True) for value in _values(entry, len(its)))
        return stream.getvalue()


def csv_link(text: str) -> str:
    """Return a link that holds a CSV file."""
    return f"data:text/csv;charset=utf-8,{quote(text, safe=PLAIN)}"


def _ends(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Return what the names of the columns of CSV end in, one or more, that hold these entries."""
    kinds = {type(entry) for entry in entries}
    return ("", *BOUNDS) if Estimate in kinds else BOUNDS if Interval in kinds else ("",)


def _values(entry: Entry, columns: int) -> list[str | float]:
    """Return what an entry is in so many columns of CSV."""
    found: list[str | float]
    match entry:
        case None:
            found = []
        case Interval():
            found = [entry.low, entry.high]
        case Estimate():
            found = [entry.value, entry.interval.low, entry.interval.high]
        case Link():
            found = [entry.text]
        case _:
            found = [entry]
    return found + [""] * (columns - len(found))


def shown(entry: Entry, kind: Kind) -> str:
    """Return what people read."""
    match entry:
        case None:
            return ""
        case Link():
            return entry.text
        case Interval():
            return f"{shown(entry.low, kind)} … {shown(entry.high, kind)}"
        case Estimate():
            return f"{shown(entry.value, kind)} ({shown(entry.interval, kind)})"
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
    value = entry.low if isinstance(entry, Interval) else entry.value if isinstance(entry, Estimate) else entry
    return repr(float(value)) if isinstance(value, float) else ""


def percent(fraction: float) -> str:
    """Write a fraction as whole per cent."""
    return f"{100 * fraction:.0f} %"
