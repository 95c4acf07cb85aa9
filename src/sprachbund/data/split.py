"""``split:SPEC``: another data set with its train ids split once, into S, which has labels, and U, which has none.

Where rows of one id are translations, an id is a label: who can join a target's text to another locale by id, or by row
number, holds the gold intents; and a source is unrealistically good at translations of what it was trained on. So a hash of
the id decides, for all locales alike: ids of S stay in the train partition, texts of U are given out as ``unlabelled``, in an
order that says nothing, and nothing else of their rows is. The one exception is for those who may see a few labels and say so:
``few`` gives out some of these texts with their intents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from sprachbund.data.few import Labelled, draw
from sprachbund.data.registry import load as load_data
from sprachbund.data.schema import DataSet, Row
from sprachbund.data.unlabelled import shuffled

__all__ = ["SplitData", "is_unlabelled", "load"]

ONE_IN = 4
"""So many train ids are one of U."""


def load(argument: str) -> SplitData:
    """Return the data set that ``argument`` names, split.

    Raises:
        UserError: there is no such data set.
    """
    whole = load_data(argument)
    return SplitData(
        name=f"split:{whole.name}",
        revision=whole.revision,
        licence=whole.licence,
        notice=f"{whole.notice} One train id in {ONE_IN} is set aside: its texts are unlabelled.",
        demonstration=whole.demonstration,
        intents=whole.intents,
        locales=whole.locales,
        translations=whole.translations,
        whole=whole,
    )


def is_unlabelled(id_: str) -> bool:
    """Return whether a train id belongs to U."""
    return int.from_bytes(hashlib.sha256(id_.encode()).digest()[:8]) % ONE_IN == 0


@dataclass
class SplitData(DataSet):
    """A data set without the train rows of U."""

    whole: DataSet = field(kw_only=True, repr=False)

    def rows(self, locale: str) -> Iterable[Row]:
        """Yield all rows but those of U."""
        return (row for row in self.whole.rows(locale) if not _is_set_aside(row))

    @property
    def apart(self) -> bool:
        """Whether splits of the whole lie apart."""
        return self.whole.apart

    def split_rows(self, locale: str, split: str) -> Iterable[Row]:
        """Yield the rows of a split but for those of U."""
        return (row for row in self.whole.split_rows(locale, split) if not _is_set_aside(row))

    def unlabelled(self, locale: str) -> tuple[str, ...]:
        """Return the texts of U that occur in neither dev nor test of the locale."""
        return shuffled(row.utt for row in self._aside(locale))

    def few(self, locale: str, per_intent: int) -> Labelled:
        """Return at most so many labelled texts of U per intent: of the same ids in all locales, where they have them."""
        return draw(((row.id, row.utt, row.intent) for row in self._aside(locale)), per_intent)

    def _aside(self, locale: str) -> Iterable[Row]:
        """Return the rows of U whose text occurs in neither dev nor test of the locale."""
        rows = list(self.whole.rows(locale))
        evaluated = {row.utt for row in rows if row.partition != "train"}
        return (row for row in rows if _is_set_aside(row) and row.utt not in evaluated)

    def texts(self, locale: str) -> tuple[str, ...]:
        """Return the texts of U, which are those of :meth:`unlabelled`."""
        return self.unlabelled(locale)


def _is_set_aside(row: Row) -> bool:
    return row.partition == "train" and is_unlabelled(row.id)
