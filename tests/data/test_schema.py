"""What every data set promises, and what is said of one that does not keep it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from pico import ROWS, TinyData, rows_of, tiny_data

from sprachbund.data import Partition, Row
from sprachbund.errors import DataError, UnknownName


def row(id_: str, partition: str = "test", intent: str = "ask", utt: str = "aska") -> Row:
    return Row(id_, "sq-AL", partition, "made-up", intent, utt)


def of(*rows: Row) -> TinyData:
    """A data set with these rows in every locale."""

    def source(locale: str) -> Iterable[Row]:
        return [replace(row, locale=locale) for row in rows]

    return tiny_data(source=source)


def test_rows_become_columns_in_their_order() -> None:
    data = of(row("7", utt="aska bala"), row("3", "train"), row("5", intent="greet", utt="greeta"))
    assert data.partition("sq-AL", "test") == Partition(
        "sq-AL", "test", ("7", "5"), ("aska bala", "greeta"), ("ask", "greet")
    )
    assert len(data.partition("sq-AL", "train")) == 1


def test_a_locale_is_read_once_and_only_when_asked_for() -> None:
    read: list[str] = []

    def source(locale: str) -> Iterable[Row]:
        read.append(locale)
        return rows_of(locale)

    data = tiny_data(source=source)
    for name in ROWS:
        data.partition("sq-AL", name)
    assert read == ["sq-AL"]
    assert [partition.locale for partition in data.partitions("dev", ["de-DE", "sq-AL"])] == ["de-DE", "sq-AL"]
    assert read == ["sq-AL", "de-DE"]


def test_partitions_of_all_locales(tiny: TinyData) -> None:
    assert [partition.locale for partition in tiny.partitions("dev")] == list(tiny.locales)


def test_the_majority_rate() -> None:
    data = of(row("1"), row("2"), row("3", intent="greet"), row("4"))
    assert data.partition("sq-AL", "test").majority_rate() == 0.75


def test_the_digest_is_of_content_and_order() -> None:
    rows = [row("1"), row("2", utt="aske")]
    digest = of(*rows).partition("sq-AL", "test").digest
    assert of(*rows).partition("sq-AL", "test").digest == digest
    others = [
        of(*reversed(rows)),
        of(rows[0], row("2", utt="asko")),
        of(rows[0], row("2", utt="aske", intent="greet")),
        of(rows[0], row("3", utt="aske")),
    ]
    assert len({digest, *(other.partition("sq-AL", "test").digest for other in others)}) == 5
    assert of(*rows).partition("de-DE", "test").digest != digest


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("1"), row("1", "train")], "Data set 'tiny', sq-AL, id 1 stands there twice: remove one"),
        (
            [row("1", intent="sing")],
            "Data set 'tiny', sq-AL, id 1: intent 'sing' is not among its 4 intents: mend or remove",
        ),
        (
            [row("1", intent="gre")],
            "Data set 'tiny', sq-AL, id 1: intent 'gre' is not among its 4 intents (did you mean gr",
        ),
        ([row("1", "validation")], "Data set 'tiny', sq-AL, id 1: partition 'validation' is none of train, dev, test"),
        ([row("1", "train")], "Data set 'tiny' has no test rows for sq-AL: choose another split or locale"),
    ],
)
def test_what_does_not_add_up_is_said(rows: list[Row], message: str) -> None:
    with pytest.raises(DataError) as caught:
        of(*rows).partition("sq-AL", "test")
    assert str(caught.value).startswith(message)


def test_rows_of_another_locale_are_refused() -> None:
    """A file that was given the wrong name would be evaluated under it."""
    data = tiny_data(source=lambda locale: [row("1")])
    with pytest.raises(
        DataError, match="'tiny', de-DE, id 1 is a row of sq-AL: keep each locale's rows in a file of its"
    ):
        data.partition("de-DE", "test")


def test_unknown_locales_and_splits(tiny: TinyData) -> None:
    with pytest.raises(
        UnknownName, match=r"Unknown locale 'sq-XK': did you mean sq-AL or .*\? That is what the data set 'tiny' holds"
    ):
        tiny.partition("sq-XK", "test")
    with pytest.raises(UnknownName, match="Unknown split 'tset': did you mean test"):
        tiny.partition("sq-AL", "tset")
