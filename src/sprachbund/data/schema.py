"""What every data set looks like: MASSIVE's schema, column by column.

A data set has locales; a locale has three partitions; a partition is parallel columns of id, text and intent. Rows of one id
are translations of each other. Intents are compared by name, never by number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sprachbund import digests
from sprachbund.data.unlabelled import shuffled
from sprachbund.errors import DataError, UnknownName, nearest

__all__ = ["PARTITIONS", "DataSet", "Partition", "Row"]

PARTITIONS = ("train", "dev", "test")


@dataclass(frozen=True)
class Row:
    """One labelled utterance, with the column names of MASSIVE."""

    id: str
    locale: str
    partition: str
    scenario: str
    intent: str
    utt: str


@dataclass(frozen=True)
class Partition:
    """The rows of one locale and partition, as parallel columns."""

    locale: str
    name: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    intents: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def digest(self) -> str:
        """Identifies the content: same ids, texts and intents in the same order, same digest."""
        return digests.of_value([self.locale, self.name, self.ids, self.texts, self.intents])

    def majority_rate(self) -> float:
        """Return the accuracy of always answering the most frequent intent, a fraction in (0, 1]."""
        return Counter(self.intents).most_common(1)[0][1] / len(self)


@dataclass
class DataSet(ABC):
    """A labelled, multilingual data set; locales are read when they are first asked for."""

    name: str
    """What users type after ``--data``."""
    revision: str
    """Which version of it this is, for people; the digests of partitions say it for programs."""
    licence: str
    notice: str
    """Where it came from and under which licence: printed wherever it is used."""
    demonstration: bool
    """True if figures on it demonstrate the program and say nothing about languages in the world."""
    intents: tuple[str, ...]
    """All labels, in the data set's own order."""
    locales: tuple[str, ...]
    _read: dict[str, Mapping[str, Partition]] = field(default_factory=dict, init=False, repr=False)

    @abstractmethod
    def rows(self, locale: str) -> Iterable[Row]:
        """Yield all rows of a locale, in file order."""

    def unlabelled(self, locale: str) -> tuple[str, ...]:
        """Return texts of a locale that nobody labelled, in an order that says nothing.

        Raises:
            DataError: the data set has set none aside.
        """
        raise DataError(
            f"Data set {self.name!r} sets no unlabelled text of {locale} aside: split:{self.name} does, "
            "or name a file of texts (--unlabelled)."
        )

    def texts(self, locale: str) -> tuple[str, ...]:
        """Return raw texts of a locale, in an order that says nothing: those set aside, else those of train, unlabelled.

        Raises:
            UnknownName: no such locale.
            DataError: there are none.
        """
        return shuffled(self.partition(locale, "train").texts)

    def partition(self, locale: str, name: str) -> Partition:
        """Return one partition of one locale.

        Raises:
            UnknownName: no such locale or partition.
            DataError: the rows are inconsistent, or the partition is empty.
        """
        if name not in PARTITIONS:
            raise UnknownName("split", name, PARTITIONS)
        if locale not in self.locales:
            raise UnknownName("locale", locale, self.locales, f"That is what the data set {self.name!r} holds.")
        if locale not in self._read:
            self._read[locale] = _columns(self, locale)
        partition = self._read[locale][name]
        if not len(partition):
            raise DataError(f"Data set {self.name!r} has no {name} rows for {locale}: choose another split or locale.")
        return partition

    def partitions(self, name: str, locales: Iterable[str] | None = None) -> Iterator[Partition]:
        """Yield the same partition of several locales (default: all)."""
        for locale in self.locales if locales is None else locales:
            yield self.partition(locale, name)


def _columns(data: DataSet, locale: str) -> Mapping[str, Partition]:
    known = set(data.intents)
    columns: dict[str, tuple[list[str], list[str], list[str]]] = {name: ([], [], []) for name in PARTITIONS}
    seen: set[str] = set()
    for row in data.rows(locale):
        where = f"Data set {data.name!r}, {locale}, id {row.id}"
        if row.locale != locale:
            raise DataError(f"{where} is a row of {row.locale}: keep each locale's rows in a file of its own.")
        if row.partition not in columns:
            raise DataError(
                f"{where}: partition {row.partition!r} is none of train, dev, test: mend or remove the row."
            )
        if row.intent not in known:
            hint = nearest(row.intent, data.intents)
            meant = f" ({hint})" if hint.startswith("did") else ""
            raise DataError(
                f"{where}: intent {row.intent!r} is not among its {len(known)} intents{meant}: mend or remove the row."
            )
        if row.id in seen:
            raise DataError(f"{where} stands there twice: remove one of the two rows.")
        seen.add(row.id)
        for column, value in zip(columns[row.partition], (row.id, row.utt, row.intent), strict=True):
            column.append(value)
    return {
        name: Partition(locale, name, tuple(ids), tuple(texts), tuple(intents))
        for name, (ids, texts, intents) in columns.items()
    }
