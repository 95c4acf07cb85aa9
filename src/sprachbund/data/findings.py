"""What can be found in a data set without a model: repetitions, leaks from train into test, ids that do not match.

Nothing here is an error: data comes as it is. It is what whoever reads figures made on the data has to know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sprachbund.data.schema import Partition

__all__ = ["Matching", "leaked", "matching", "repeated"]


@dataclass(frozen=True)
class Matching:
    """How far the ids of a split are the same in all locales."""

    split: str
    ids: int
    """Ids that stand in some locale."""
    everywhere: int
    """Ids that stand in every one."""
    several_labels: int
    """Ids whose label is not the same wherever they stand."""

    @property
    def sentence(self) -> str:
        """Say it for people."""
        said = f"{self.split}: {self.everywhere} of {self.ids} ids stand in every locale"
        return f"{said}, {self.several_labels} have several labels" if self.several_labels else said


def repeated(partition: Partition) -> int:
    """Return how many rows have a text that has stood in an earlier row of the partition."""
    return len(partition) - len(set(partition.texts))


def leaked(test: Partition, train: Partition) -> int:
    """Return how many rows of ``test`` have a text that stands in ``train`` too, letter by letter."""
    known = set(train.texts)
    return sum(text in known for text in test.texts)


def matching(partitions: Sequence[Partition]) -> Matching:
    """Compare the ids of one split in several locales."""
    counts: Counter[str] = Counter()
    labels: dict[str, str] = {}
    several: set[str] = set()
    for partition in partitions:
        counts.update(partition.ids)
        for id_, label in partition.labels.items():
            if labels.setdefault(id_, label) != label:
                several.add(id_)
    everywhere = sum(count == len(partitions) for count in counts.values())
    return Matching(partitions[0].name, len(counts), everywhere, len(several))
