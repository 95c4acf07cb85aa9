"""``sprachbund methods``: the merge methods there are."""

from __future__ import annotations

from rich.table import Table

from sprachbund.cli.app import app
from sprachbund.cli.console import console
from sprachbund.methods import METHODS

__all__ = ["methods"]


@app.command
def methods() -> int:
    """List the merge methods with formula and paper."""
    table = Table(box=None, pad_edge=False)
    for column in ("method", "formula", "paper"):
        table.add_column(column)
    for method in METHODS.values():
        table.add_row(method.name, method.formula, method.paper)
    console.print(table)
    return 0
