"""``sprachbund methods``: the merge methods there are."""

from __future__ import annotations

from rich.table import Table

from sprachbund.cli.app import app
from sprachbund.cli.console import console, result
from sprachbund.methods import METHODS

__all__ = ["methods"]

COLUMNS = {"method": "name", "formula": "formula", "paper": "paper"}


@app.command
def methods() -> int:
    """List the merge methods with formula and paper."""
    rows = [{column: getattr(method, name) for column, name in COLUMNS.items()} for method in METHODS.values()]
    result(lambda: rows, lambda: _show(rows))
    return 0


def _show(rows: list[dict[str, str]]) -> None:
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row.values())
    console.print(table)
