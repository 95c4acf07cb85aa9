"""``sprachbund data``: what a data set holds, locale by locale."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from sprachbund.cli.app import app
from sprachbund.cli.console import console
from sprachbund.data import PARTITIONS, DataSet

__all__ = ["show_data"]


@app.command(name="data")
def show_data(*, data: Annotated[str, Parameter(help="Data set: cldr, massive:PATH.")] = "cldr") -> int:
    """Print the rows of each split and locale, how many intents they have, and what was dropped."""
    from sprachbund.data import load

    dataset = load(data)
    console.print(dataset.notice, soft_wrap=True)
    console.print(f"{dataset.name}, {dataset.revision}, {len(dataset.intents)} intents", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for column in ("locale", *PARTITIONS, "intents", "largest intent", "dropped"):
        table.add_column(column, justify="left" if column in {"locale", "dropped"} else "right")
    for locale in dataset.locales:
        table.add_row(*_row(dataset, locale))
    console.print(table)
    return 0


def _row(dataset: DataSet, locale: str) -> list[str]:
    partitions = [dataset.partition(locale, name) for name in PARTITIONS]
    intents = [intent for partition in partitions for intent in partition.intents]
    largest = max(intents.count(intent) for intent in set(intents)) / len(intents)
    dropped = getattr(dataset, "dropped", {}).get(locale, {})
    return [
        locale,
        *(str(len(partition)) for partition in partitions),
        str(len(set(intents))),
        f"{largest:.1%}",
        ", ".join(f"{count} {reason}" for reason, count in dropped.items()),
    ]
