"""A picture of a run under way that fits the terminal, however many cells there are: plain lines, made anew at each look.

Where there is room, a row a locale and a column a variant, with figures. Where there is not, the other way round: a row a
variant and one character a locale, the tenths of its accuracy (7 is 0.7 to 0.8). Both stand by language family. Nothing is
said by colour alone: what has failed is an x, what is still to do a dot, what nobody asked for a blank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from sprachbund.report.progress import CellState, Row, RunState
from sprachbund.report.summary import by_language_family, lines_by_family
from sprachbund.uses import sentences_of_uses

__all__ = ["frame"]

FAILED, OPEN, ABSENT = "x", ".", " "
LEGEND = f"digits: tenths of accuracy (7 is 0.7 to 0.8)   {FAILED} failed   {OPEN} to do"
FIGURE = 6
"""Characters of a figure in a table: 0.123, or the word failed."""
LONGEST_NAME = 19
"""Characters of a variant in the compact grid: beside it 52 locales and a mean fit 80 columns."""
LETTERS = 3
"""Of a language code, at most."""
MOST_FAILURES, MOST_LATEST = 6, 3
"""Lines on a terminal."""


def frame(state: RunState, said: Sequence[str], *, width: int, height: int | None = None) -> list[Text]:
    """Return the lines of the picture, ``said`` on top; no more than ``height`` of them, each no wider than ``width``.

    Without a height everything is there, and reasons of failures are as long as they are.
    """
    head = [Text(line) for line in said]
    below = [Text(line, style="dim") for line in _below(state)]
    room = None if height is None else height - len(head) - len(below)
    table = _table(state)
    spare = 2  # for the latest results, and failures
    if cell_len(table[0].plain) <= width and (room is None or len(table) + spare <= room):
        grid = table
    else:
        grid = _compact(state, width, None if room is None else max(room - spare, 0))
        below.insert(0, Text(LEGEND, style="dim"))
        room = None if room is None else room - 1
    left = None if room is None else room - len(grid)
    lines = [*head, *grid, *below, *_events(state, width, left)]
    if height is None:
        return lines
    return [_cut(line, width) for line in lines[: max(height, 0)]]


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line


def _below(state: RunState) -> Iterator[str]:
    variants = state.by_variant.items()
    yield from sentences_of_uses({name: ", ".join(variant.uses) for name, variant in variants if variant.uses})
    if state.leader and len(state.variants) > 1:
        variant, mean = state.leader
        many = len(state.common)
        yield f"highest mean so far: {variant}, {mean:.3f} ({'1 locale' if many == 1 else f'{many} locales'} that all have)"
    if state.zero_shot_sources:
        yield f"zero-shot: {state.zero_shot_done} of {state.zero_shot_sources} sources"
    if state.others:
        yield f"results in the folder that are not of this run: {state.others}"
    if state.unreadable:
        more = f" (and {len(state.unreadable) - 1} more)" if len(state.unreadable) > 1 else ""
        yield f"cannot be read{more}: {state.unreadable[0]}"


# With figures: a row a locale


def _table(state: RunState) -> list[Text]:
    rows = lines_by_family(state.rows)
    family = max([6, *(cell_len(name) for name, _ in rows)])
    locale = max([6, *(cell_len(row.locale.name) for row in state.rows)])
    widths = {variant: max(FIGURE, cell_len(variant)) for variant in state.variants}
    lines = [Text(_line(family, locale, "family", "locale", {v: f"{v:>{widths[v]}}" for v in widths}))]
    for name, row in rows:
        cells = {v: f"{_figure(row.cells.get(v)):>{widths[v]}}" for v in widths}
        line = Text(_line(family, locale, name, row.locale.name, cells))
        line.highlight_words(["failed"], style="bold red")
        lines.append(line)
    means = {name: f"{_number(variant.mean):>{widths[name]}}" for name, variant in state.by_variant.items()}
    counts = {name: f"{variant.done:>{widths[name]}}" for name, variant in state.by_variant.items()}
    best = {name: f"{variant.best_locale or '':>{widths[name]}}" for name, variant in state.by_variant.items()}
    lines.append(Text(_line(family, locale, "mean", "", means), style="bold"))
    lines.append(Text(_line(family, locale, "done", "", counts)))
    lines.append(Text(_line(family, locale, "highest", "", best)))
    return lines


def _line(family: int, locale: int, first: str, second: str, cells: dict[str, str]) -> str:
    return " ".join([f"{first:<{family}}", f"{second:<{locale}}", *cells.values()]).rstrip()


def _figure(cell: CellState | None) -> str:
    if cell is None:
        return ABSENT
    return {"done": _number(cell.accuracy), "failed": "failed", "open": OPEN}[cell.state]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


# Without: a row a variant


@dataclass(frozen=True)
class _Column:
    """One locale in the compact grid, and the family that begins with it."""

    row: Row
    family: str
    first: bool


def _compact(state: RunState, width: int, height: int | None) -> list[Text]:
    """Return the grid in as many bands as its locales need; variants for which there is no line are counted."""
    name = min(max(map(cell_len, state.variants), default=0), LONGEST_NAME)
    columns = [
        _Column(row, family, index == 0)
        for family, rows in by_language_family(state.rows)
        for index, row in enumerate(rows)
    ]
    room = max(width - name - 2 - FIGURE, 10)
    bands = [columns[start : start + room] for start in range(0, len(columns), room)]
    headers = [_header(band, name) for band in bands]
    lines = None if height is None else max((height - sum(map(len, headers))) // max(len(bands), 1), 1)
    shown = state.variants if lines is None or len(state.variants) <= lines else state.variants[: max(lines - 1, 1)]
    found: list[Text] = []
    for number, (band, header) in enumerate(zip(bands, headers, strict=True)):
        found += header
        for variant in shown:
            mean = _number(state.by_variant[variant].mean) if number == len(bands) - 1 else ""
            found.append(_marks(variant, band, name, mean))
    if hidden := len(state.variants) - len(shown):
        found.append(Text(f"and {hidden} more variants: there is no room for them", style="dim"))
    return found


def _header(band: Sequence[_Column], name: int) -> list[Text]:
    """Return the families, where their names find room, and below them the languages, letter by letter."""
    families = ""
    for start, column in enumerate(band):
        if column.first or start == 0:
            many = next((n for n, other in enumerate(band[start + 1 :], 1) if other.family != column.family), None)
            many = len(band) - start if many is None else many
            families += set_cell_size(column.family, many - 1) + " " if many > 3 else " " * many
    codes = [column.row.locale.name.split("-")[0][:LETTERS] for column in band]
    letters = ["".join(code[n : n + 1] or " " for code in codes) for n in range(max(map(len, codes)))]
    return [Text(f"{'':<{name}} {line}".rstrip(), style="dim") for line in (families, *letters)]


def _marks(variant: str, band: Sequence[_Column], name: int, mean: str) -> Text:
    line = Text(f"{_shortened(variant, name):<{name}} ")
    for column in band:
        line.append(*_mark(column.row.cells.get(variant)))
    return line.append(f" {mean:>{FIGURE}}", style="bold")


def _shortened(name: str, width: int) -> str:
    """Leave out the middle of a long name: variants of one kind differ at their ends."""
    half = (width - 1) // 2
    return name if len(name) <= width else f"{name[: width - 1 - half]}…{name[-half:]}"


def _mark(cell: CellState | None) -> tuple[str, str]:
    """Return the character of a cell, and its style."""
    if cell is None:
        return ABSENT, ""
    if cell.state == "done":
        return str(min(int(10 * (cell.accuracy or 0.0)), 9)), ""
    return (FAILED, "bold red") if cell.state == "failed" else (OPEN, "dim")


# What came last


def _events(state: RunState, width: int, height: int | None) -> list[Text]:
    """Return what has failed and what came last; on ``height`` lines failures first, and one line at least for the others."""
    failed = [event for event in state.finished if event[2].state == "failed"]
    reasons = [
        Text(f"failed: {locale} {variant}: {' '.join((cell.reason or '').split())}") for variant, locale, cell in failed
    ]
    done = [event for event in state.finished if event[2].state == "done"]
    if height is None:
        return [*reasons, *_latest(done, width, 1)]
    most = min(MOST_FAILURES, max(height - 1, 0))
    if len(reasons) > most > 0:
        reasons = [*reasons[: most - 1], Text(f"failed: {len(reasons) - most + 1} more")]
    shown = reasons[:most]
    return [*shown, *_latest(done, width, min(height - len(shown), MOST_LATEST))]


def _latest(done: Sequence[tuple[str, str, CellState]], width: int, lines: int) -> list[Text]:
    """Return the latest results, as many as find room on so many lines."""
    found: list[str] = []
    for variant, locale, cell in done:
        said = f"{locale} {variant} {_number(cell.accuracy)}"
        if found and cell_len(found[-1]) + 2 + cell_len(said) <= width:
            found[-1] += f", {said}"
        elif len(found) < lines:
            found.append(f"{'latest:' if not found else '       '} {said}")
        else:
            break
    return [Text(line) for line in found]
