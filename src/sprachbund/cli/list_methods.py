"""``sprachbund methods`` and ``variants``: the merge methods there are, and what an experiment can run."""

from __future__ import annotations

from rich.table import Table

from sprachbund.cli.app import app
from sprachbund.cli.console import console, result
from sprachbund.methods import METHODS
from sprachbund.recipe import VARIANTS

__all__ = ["methods", "variants"]

COLUMNS = {"method": "name", "formula": "formula", "paper": "paper"}


@app.command
def methods() -> int:
    """List the merge methods with formula and paper."""
    rows = [{column: getattr(method, name) for column, name in COLUMNS.items()} for method in METHODS.values()]
    result(lambda: rows, lambda: _show(rows))
    return 0


@app.command
def variants() -> int:
    """List the variants that an experiment can run; adaptations need unlabelled text (--data split:…)."""
    rows = [
        {
            "variant": variant.name,
            "needs": "unlabelled text" if variant.adaptation else "",
            "what it is": variant.description,
        }
        for variant in VARIANTS.values()
    ]
    result(lambda: rows, lambda: _show(rows))
    return 0


def _show(rows: list[dict[str, str]]) -> None:
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row.values())
    console.print(table)
