"""``sprachbund data``: what a data set holds, locale by locale, and what whoever reads figures made on it has to know."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from sprachbund import digests
from sprachbund.cli.app import app
from sprachbund.cli.console import console, result
from sprachbund.data import PARTITIONS, DataSet
from sprachbund.data.findings import Matching, leaked, matching, repeated
from sprachbund.errors import DataError

__all__ = ["show_data"]

TEXT = {"locale", "digest"}
"""Columns that begin at the left."""
SHOWN = 8
"""Letters of a digest, for people."""
LEGEND = "twice: rows whose text came before in their split; in train: test rows whose text stands in train too"


@app.command(name="data")
def show_data(
    *,
    data: Annotated[
        str, Parameter(help="Data set: massive, massive:PATH, table:PATH, cldr, or split: before one.")
    ] = "massive",
) -> int:
    """Print for each locale the rows of each split, labels, repetitions, test texts that stand in train, and a digest."""
    from sprachbund.data import load

    dataset = load(data)
    rows = [_row(dataset, locale) for locale in dataset.locales]
    ids = _matchings(dataset)

    def show() -> None:
        console.print(dataset.notice, soft_wrap=True)
        console.print(f"{dataset.name}, {dataset.revision}, {len(dataset.intents)} intents", soft_wrap=True)
        console.print(_table(rows))
        console.print(LEGEND, style="dim", soft_wrap=True)
        for one in ids:
            console.print(one.sentence, soft_wrap=True)
        dropped = sum((Counter(row["dropped"]) for row in rows), Counter[str]())
        if dropped:
            reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
            console.print(f"dropped: {reasons} (for each locale: --json)", soft_wrap=True)

    said = ("name", "revision", "licence", "notice", "demonstration", "intents")
    found = {key: getattr(dataset, key) for key in said}
    result(lambda: {**found, "locales": rows, "ids": [asdict(one) for one in ids]}, show)
    return 0


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    shown = [_shown(row) for row in rows]
    for column in shown[0]:
        table.add_column(column, justify="left" if column in TEXT else "right")
    for line in shown:
        table.add_row(*line.values())
    return table


def _shown(row: dict[str, Any]) -> dict[str, str]:
    """Return a row in the words of the table."""
    share = row["test_in_train_share"]
    return {
        "locale": row["locale"],
        **{name: str(row[name]) for name in PARTITIONS},
        "intents": str(row["intents"]),
        "largest": f"{row['largest_intent']:.1%}",
        "twice": str(sum(row["repeated"].values())),
        "in train": "" if share is None else f"{row['test_in_train']} {share:5.1%}",
        "dropped": str(sum(row["dropped"].values())),
        "digest": row["digest"][:SHOWN],
    }


def _row(dataset: DataSet, locale: str) -> dict[str, Any]:
    train, _, test = partitions = [dataset.read(locale, name) for name in PARTITIONS]
    intents = [intent for partition in partitions for intent in partition.intents]
    if not intents:
        raise DataError(f"Data set {dataset.name!r} has no rows at all for {locale}: mend it, or leave the locale out.")
    in_train = leaked(test, train)
    return {
        "locale": locale,
        **{partition.name: len(partition) for partition in partitions},
        "intents": len(set(intents)),
        "largest_intent": max(intents.count(intent) for intent in set(intents)) / len(intents),
        "repeated": {partition.name: repeated(partition) for partition in partitions},
        "test_in_train": in_train,
        "test_in_train_share": in_train / len(test) if len(test) else None,
        "digest": digests.of_value([partition.digest for partition in partitions]),
        "dropped": dict(getattr(dataset, "dropped", {}).get(locale, {})),
    }


def _matchings(dataset: DataSet) -> list[Matching]:
    """Compare the ids of several locales; one locale alone matches itself."""
    if len(dataset.locales) < 2:
        return []
    return [matching([dataset.read(locale, name) for locale in dataset.locales]) for name in PARTITIONS]
