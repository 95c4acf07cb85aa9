"""What every data set looks like: MASSIVE's schema, column by column.

A data set has locales; a locale has three partitions; a partition is parallel columns of id, text and intent. Rows of one id
are translations of each other. Intents are compared by name, never by number.
"""

from __future__ import annotations

import re
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sprachbund import digests
from sprachbund.data.few import Labelled
from sprachbund.data.unlabelled import shuffled
from sprachbund.errors import DataError, UnknownName, nearest

__all__ = ["PARTITIONS", "DataSet", "Partition", "Row", "check_name"]

PARTITIONS = ("train", "dev", "test")


_NAME = re.compile(r"[^\W_](?:[\w.+-]{0,62}[\w+-])?")


def check_name(locale: str, where: str) -> None:
    """Refuse the name of a locale that is no part of a file's name: results and models are named by it.

    Raises:
        DataError: says where it stands.
    """
    if not _NAME.fullmatch(locale):
        raise DataError(
            f"{where}: the locale {locale[:80]!r} makes no file name: use letters, digits and hyphens, at most 64 (sw-KE)."
        )


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

    @property
    def labels(self) -> dict[str, str]:
        """Intents by id."""
        return dict(zip(self.ids, self.intents, strict=True))

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
    translations: bool = field(default=False, kw_only=True)
    """True if every locale must hold the same ids in a split, each with the same label: anything else is an error."""
    _read: dict[str, dict[str, Partition]] = field(default_factory=dict, init=False, repr=False)

    @abstractmethod
    def rows(self, locale: str) -> Iterable[Row]:
        """Yield all rows of a locale, in file order."""

    @property
    def apart(self) -> bool:
        """Whether :meth:`split_rows` reads a split without the others; where it cannot, all are read at once."""
        return False

    def split_rows(self, locale: str, split: str) -> Iterable[Row]:
        """Yield the rows of a locale: of one split where splits lie apart, else of all."""
        return self.rows(locale)

    def unlabelled(self, locale: str) -> tuple[str, ...]:
        """Return texts of a locale that nobody labelled, in an order that says nothing.

        Raises:
            DataError: the data set has set none aside.
        """
        raise DataError(
            f"Data set {self.name!r} sets no unlabelled text of {locale} aside: split:{self.name} does, "
            "or name a file of texts (--unlabelled)."
        )

    def few(self, locale: str, per_intent: int) -> Labelled:
        """Return at most so many labelled texts per intent of a locale, of rows that nobody was trained on.

        Raises:
            DataError: the data set has set none aside.
        """
        raise DataError(
            f"Data set {self.name!r} sets no labelled texts of {locale} aside: split:{self.name} does, "
            "or name a file of a few (--labelled)."
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
        partition = self.read(locale, name)
        if not len(partition):
            raise DataError(f"Data set {self.name!r} has no {name} rows for {locale}: choose another split or locale.")
        return partition

    def read(self, locale: str, name: str) -> Partition:
        """Return one partition of one locale, which may be empty.

        Raises:
            UnknownName: no such locale or partition.
            DataError: the rows are inconsistent.
        """
        if name not in PARTITIONS:
            raise UnknownName("split", name, PARTITIONS)
        if locale not in self.locales:
            raise UnknownName("locale", locale, self.locales, f"That is what the data set {self.name!r} holds.")
        read = self._read.setdefault(locale, {})
        if name not in read:
            read |= _columns(self, locale, name, read)
        return read[name]

    def partitions(self, name: str, locales: Iterable[str] | None = None) -> Iterator[Partition]:
        """Yield the same partition of several locales (default: all)."""
        for locale in self.locales if locales is None else locales:
            yield self.partition(locale, name)

    def check(self, locales: Sequence[str], splits: Iterable[str]) -> None:
        """Read these splits and see that they agree, where rows of one id are translations everywhere.

        Raises:
            UnknownName: no such locale or split.
            DataError: a split is empty or inconsistent, or two locales hold different ids, or labels of one id.
        """
        for split in splits:
            partitions = list(self.partitions(split, locales))
            for other in partitions[1:] if self.translations else ():
                if difference := _difference(partitions[0], other):
                    raise DataError(
                        f"Data set {self.name!r}, {split}: {difference}, but all locales must hold the same rows, translated: "
                        "take the files of all locales from one source."
                    )


def _difference(first: Partition, second: Partition) -> str:
    """Say one thing in which two partitions that should be translations of each other differ; nothing where they don't."""
    labels, others = first.labels, second.labels
    if labels == others:
        return ""
    for one, two, place in ((labels, others, (first, second)), (others, labels, (second, first))):
        lacking = next((id_ for id_ in one if id_ not in two), None)
        if lacking is not None:
            return f"id {lacking} stands in {place[0].locale} and not in {place[1].locale}"
    id_ = next(id_ for id_ in labels if labels[id_] != others[id_])
    return f"id {id_} is {labels[id_]} in {first.locale} and {others[id_]} in {second.locale}"


def _columns(data: DataSet, locale: str, wanted: str, read: Mapping[str, Partition]) -> dict[str, Partition]:
    """Return the partition that is wanted, with all others where they come with it; ``read`` are those that came before.

    Ids and intents recur in every locale; they are kept once.
    """
    known = {intent: sys.intern(intent) for intent in data.intents}
    names = (wanted,) if data.apart else PARTITIONS
    columns: dict[str, tuple[list[str], list[str], list[str]]] = {name: ([], [], []) for name in names}
    seen = {id_ for partition in read.values() for id_ in partition.ids}
    for row in data.split_rows(locale, wanted):
        if row.locale != locale or row.partition not in columns or row.intent not in known or row.id in seen:
            raise _wrong(data, locale, row, columns)
        seen.add(row.id)
        ids, texts, intents = columns[row.partition]
        ids.append(sys.intern(row.id))
        texts.append(row.utt)
        intents.append(known[row.intent])
    return {
        name: Partition(locale, name, tuple(ids), tuple(texts), tuple(intents))
        for name, (ids, texts, intents) in columns.items()
    }


def _wrong(data: DataSet, locale: str, row: Row, names: Iterable[str]) -> DataError:
    """Return what is wrong with a row; if nothing else is, its id stands there twice."""
    where = f"Data set {data.name!r}, {locale}, id {row.id}"
    if row.locale != locale:
        return DataError(f"{where} is a row of {row.locale}: keep each locale's rows in a file of its own.")
    if row.partition not in names:
        return DataError(f"{where}: partition {row.partition!r} is none of train, dev, test: mend or remove the row.")
    if row.intent not in data.intents:
        hint = nearest(row.intent, data.intents)
        meant = f" ({hint})" if hint.startswith("did") else ""
        return DataError(
            f"{where}: intent {row.intent!r} is not among its {len(data.intents)} intents{meant}: mend or remove the row."
        )
    return DataError(f"{where} stands there twice: remove one of the two rows.")
