"""Two results folders on a terminal of 80 columns: the means of each pair of variants, then locale by locale.

One pair has its figures in each locale, several have their differences alone. Nothing is said by colour alone: what is more
than chance, after adjustment, carries a star.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sprachbund.report.compare import Compared, Pair, PairRow
from sprachbund.report.stats import LEVEL
from sprachbund.report.summary import lines_by_family, points
from sprachbund.uses import sentences_of_uses

__all__ = ["print_compared"]

BEYOND_CHANCE = "*"
LEADING = 14 + 1 + 6
"""Characters for the longest family and the locale, with what stands between them."""
LEGEND = (
    "A - B in points, 95 % by bootstrap over ids, each with its answers in all locales; >/=/< locales where A is higher, "
    "equal, lower; A only, B only: ids that only one answers rightly.",
    "p over all locales: exact test over ids, adjusted over the pairs (Holm); in a locale: McNemar's exact test, adjusted over "
    "the locales (Benjamini-Hochberg).",
    f"{BEYOND_CHANCE} p, adjusted, at most {1 - LEVEL:.2f}",
)
DIFFERENCE = 7
"""Characters of a difference in points with its star, at most: -100.0*"""
WIDEST = 20
"""Characters of a column with differences; names that are longer are broken."""


def print_compared(console: Console, found: Compared, first: str, second: str) -> None:
    """Print the comparison of two folders, which are called ``first`` and ``second``."""
    setup = found.first
    for line in (f"A: {first}", f"B: {second}"):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    for line in (f"Data: {setup.data} ({setup.revision}), {setup.split} split.", *found.notes):
        # a path that is longer than a line is left whole
        long = any(cell_len(word) > console.width for word in line.split())
        console.print(line, soft_wrap=long, markup=False, highlight=False)
    console.print()
    console.print(_means(found))
    for sentence in sentences_of_uses({pair.name: pair.seen for pair in found.pairs}):
        console.print(sentence, style="dim", markup=False, highlight=False)
    console.print()
    shown = _that_fit(found.pairs, console.width)
    console.print(_one_pair(found.pairs[0]) if len(found.pairs) == 1 else _many_pairs(shown))
    if left_out := [pair.name for pair in found.pairs if pair not in shown]:
        console.print(f"No room in the table for {escape(', '.join(left_out))}.", style="dim", highlight=False)
    for line in LEGEND:
        console.print(line, style="dim", highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)  # the box itself parts columns by a space
    for name in columns:
        left = name in {"variant", "family", "locale"}
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "variant", overflow="fold")
    return table


def _add_pairs(table: Table, pairs: Sequence[Pair]) -> None:
    """Add a column a pair; a long name takes several lines, none of it is left out."""
    for pair in pairs:
        table.add_column(escape(pair.name), justify="right", overflow="fold", max_width=WIDEST)


def _means(found: Compared) -> Table:
    table = _table("variant", "locales", "A", "B", "A - B", "95 %", ">/=/<", "p")
    for pair in found.pairs:
        whole = pair.comparison
        first, second = pair.means
        table.add_row(
            escape(pair.name),
            str(whole.locales),
            f"{first:.3f}",
            f"{second:.3f}",
            f"{points(whole.mean)}{_star(whole.p_adjusted)}",
            f"{points(whole.interval.low)} … {points(whole.interval.high)}",
            f"{whole.wins}/{whole.ties}/{whole.losses}",
            _p(whole.p_adjusted),
        )
    return table


def _one_pair(pair: Pair) -> Table:
    table = _table("family", "locale", "A", "B", "A - B", "95 %", "A only", "B only", "p")
    for family, row in lines_by_family(pair.rows):
        each = row.contrast
        table.add_row(
            family,
            row.locale.name,
            f"{row.first:.3f}",
            f"{row.second:.3f}",
            f"{points(each.difference)}{_star(each.p_adjusted)}",
            f"{points(each.interval.low)} … {points(each.interval.high)}",
            str(each.wins),
            str(each.losses),
            _p(each.p_adjusted),
        )
    return table


def _many_pairs(pairs: Sequence[Pair]) -> Table:
    table = _table("family", "locale")
    _add_pairs(table, pairs)
    rows = [{row.locale.name: row for row in pair.rows} for pair in pairs]
    anywhere = {name: row for of_pair in rows for name, row in of_pair.items()}
    for family, row in lines_by_family(list(anywhere.values())):
        differences = [_difference(of_pair.get(row.locale.name)) for of_pair in rows]
        table.add_row(family, row.locale.name, *differences)
    table.add_section()
    means = [f"{points(pair.comparison.mean)}{_star(pair.comparison.p_adjusted)}" for pair in pairs]
    table.add_row("mean", "", *means, style="bold")
    return table


def _that_fit(pairs: Sequence[Pair], width: int) -> list[Pair]:
    """Return the first pairs that find room side by side."""
    room = width - LEADING
    shown: list[Pair] = []
    for pair in pairs:
        room -= 1 + max(DIFFERENCE, min(cell_len(pair.name), WIDEST))
        if room < 0 and shown:
            break
        shown.append(pair)
    return shown


def _difference(row: PairRow | None) -> str:
    return "" if row is None else f"{points(row.contrast.difference)}{_star(row.contrast.p_adjusted)}"


def _star(p: float) -> str:
    return BEYOND_CHANCE if p <= 1 - LEVEL else " "


def _p(value: float) -> str:
    return "<.001" if value < 0.001 else f"{value:.3f}"
