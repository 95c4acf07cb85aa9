"""What a model, a similarity or a source has seen of its target: a few words, and the union of them.

Everything that is made of parts has seen what its parts have seen. So nobody writes down what a candidate has seen: each part
says it for itself, and :func:`union_of_uses` does the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sprachbund.errors import UnknownName

__all__ = [
    "NOTHING",
    "SOURCE_DEV",
    "TARGET_FEW",
    "TARGET_TRAIN",
    "UNLABELLED",
    "USES",
    "check_uses",
    "sentences_of_uses",
    "union_of_uses",
]

NOTHING = "nothing"
UNLABELLED = "unlabelled"
"""Raw text of the target, no label."""
SOURCE_DEV = "source-dev"
"""Labelled dev data of other languages, which has chosen something."""
TARGET_TRAIN = "target-train"
"""Labelled train data of the target, if only through a source that was fine-tuned on it."""
TARGET_FEW = "target-few"
"""A few labelled texts of the target, 20 per intent at most, which train or choose."""
USES = (NOTHING, UNLABELLED, SOURCE_DEV, "source-labels", TARGET_FEW, TARGET_TRAIN, "target-dev", "target-test")
"""All words that there are."""


def union_of_uses(*parts: Iterable[str]) -> tuple[str, ...]:
    """Return the sorted union; ``nothing`` stands only where there is nothing else."""
    union = {use for part in parts for use in part} - {NOTHING}
    return tuple(sorted(union)) or (NOTHING,)


def sentences_of_uses(seen: Mapping[str, str]) -> list[str]:
    """Say what each of several things, by name, has seen of its target; those that have seen the same stand together."""
    alike: dict[str, list[str]] = {}
    for name, uses in seen.items():
        alike.setdefault(uses, []).append(name)
    return [f"has seen {uses}: {', '.join(names)}" for uses, names in alike.items()]


def check_uses(words: Iterable[str], where: str) -> tuple[str, ...]:
    """Return the union of what somebody wrote down; ``where`` says in which place.

    Raises:
        UnknownName: a word is none of :data:`USES`.
    """
    found = tuple(words)
    for word in found:
        if word not in USES:
            raise UnknownName(f"use in {where}", word, USES)
    return union_of_uses(found)
