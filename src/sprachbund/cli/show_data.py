"""``sprachbund data``: what a data set holds, locale by locale."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from sprachbund.cli.app import app
from sprachbund.cli.console import console, result
from sprachbund.data import PARTITIONS, DataSet

__all__ = ["show_data"]


@app.command(name="data")
def show_data(*, data: Annotated[str, Parameter(help="Data set: cldr, massive:PATH.")] = "cldr") -> int:
    """Print the rows of each split and locale, how many intents they have, and what was dropped."""
    from sprachbund.data import load

    dataset = load(data)
    rows = [_row(dataset, locale) for locale in dataset.locales]

    def show() -> None:
        console.print(dataset.notice, soft_wrap=True)
        console.print(f"{dataset.name}, {dataset.revision}, {len(dataset.intents)} intents", soft_wrap=True)
        console.print(_table(rows))

    said = ("name", "revision", "licence", "notice", "demonstration", "intents")
    result(lambda: {**{key: getattr(dataset, key) for key in said}, "locales": rows}, show)
    return 0


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="left" if column in {"locale", "dropped"} else "right")
    for row in rows:
        dropped = ", ".join(f"{count} {reason}" for reason, count in row["dropped"].items())
        shown = {**row, "largest_intent": f"{row['largest_intent']:.1%}", "dropped": dropped}
        table.add_row(*map(str, shown.values()))
    return table


def _row(dataset: DataSet, locale: str) -> dict[str, Any]:
    partitions = [dataset.partition(locale, name) for name in PARTITIONS]
    intents = [intent for partition in partitions for intent in partition.intents]
    largest = max(intents.count(intent) for intent in set(intents)) / len(intents)
    return {
        "locale": locale,
        **{partition.name: len(partition) for partition in partitions},
        "intents": len(set(intents)),
        "largest_intent": largest,
        "dropped": dict(getattr(dataset, "dropped", {}).get(locale, {})),
    }
