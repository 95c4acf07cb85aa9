"""A few labelled texts of a target: so many per intent, as somebody could label in an afternoon.

Who has 5 labels per intent also had the first one: the draw is nested. What comes first is said by a hash, of the id where
rows have one, so that it is the same sentences in every locale, and of the text in a file of one's own.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sprachbund.data.unlabelled import read_file, shuffled
from sprachbund.errors import DataError, nearest

__all__ = ["Labelled", "draw", "read_labelled"]

FORM = "one text a line, as intent, tab, text; or .csv with the columns intent and text"


@dataclass(frozen=True)
class Labelled:
    """Texts with their intents, as parallel columns, in an order that hangs on the texts alone."""

    texts: tuple[str, ...]
    intents: tuple[str, ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Labelled:
        """Return pairs of text and intent, those that are the same once, shuffled as unlabelled texts are."""
        by_text: dict[str, set[str]] = {}
        for text, intent in pairs:
            by_text.setdefault(text.strip(), set()).add(intent)
        both = [(text, intent) for text in shuffled(by_text) for intent in sorted(by_text[text])]
        return cls(tuple(text for text, _ in both), tuple(intent for _, intent in both))

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, per_intent: int) -> Labelled:
        """Return at most so many texts per intent, those whose hash comes first."""
        return draw(((text, text, intent) for text, intent in zip(self.texts, self.intents, strict=True)), per_intent)

    def under(self, names: Mapping[str, str]) -> Labelled:
        """Return the same texts with their intents under other names: theirs to ours."""
        return Labelled(self.texts, tuple(names[intent] for intent in self.intents))

    def check(self, known: Collection[str], where: str) -> None:
        """Complain of an intent that is not among the known ones.

        Raises:
            DataError: names the intent, and the nearest that there is.
        """
        for intent in self.intents:
            if intent not in known:
                raise DataError(
                    f"{where}: intent {intent!r} is none of the {len(known)} that the sources know "
                    f"({nearest(intent, list(known)).rstrip('.')}): mend or remove the line."
                )


def draw(rows: Iterable[tuple[str, str, str]], per_intent: int) -> Labelled:
    """Return at most ``per_intent`` texts of each intent from rows of key, text and intent: those whose hash comes first.

    A text that an intent has already does not count again.
    """
    taken: dict[tuple[str, str], None] = {}
    counts: Counter[str] = Counter()
    for _, text, intent in sorted(rows, key=lambda row: (_rank(row[0]), row)):
        pair = (text.strip(), intent)
        if pair[0] and pair not in taken and counts[intent] < per_intent:
            taken[pair] = None
            counts[intent] += 1
    return Labelled.of(taken)


def _rank(key: str) -> bytes:
    return hashlib.sha256(f"few {key}".encode()).digest()


def read_labelled(path: Path) -> Labelled:
    """Return what a UTF-8 file labels: intent and text with a tab between or, in a .csv, columns of these names.

    Raises:
        DataError: there is no such file, it is not UTF-8, has another form, or holds nothing.
    """
    lines = io.StringIO(read_file(path, f"a file of labelled texts ({FORM})"), newline="")
    pairs = list(_of_csv(lines, path) if path.suffix == ".csv" else _of_lines(lines, path))
    if not pairs:
        raise DataError(f"{path} holds no labelled text: it should have {FORM}.")
    return Labelled.of(pairs)


def _of_lines(lines: Iterable[str], path: Path) -> Iterable[tuple[str, str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        intent, tab, text = line.partition("\t")
        yield _pair(intent if tab else "", text, f"{path}, line {number}")


def _of_csv(lines: Iterable[str], path: Path) -> Iterable[tuple[str, str]]:
    reader = csv.DictReader(lines, strict=True)
    try:
        for name in ("intent", "text"):
            if name not in (reader.fieldnames or ()):
                raise DataError(f"{path} has no column {name!r}: its first line should be intent,text.")
        for row in reader:
            yield _pair(row["intent"] or "", row["text"] or "", f"{path}, line {reader.line_num}")
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.reader.line_num} is not CSV ({error}): mend it.") from error


def _pair(intent: str, text: str, where: str) -> tuple[str, str]:
    """Return text and intent, both of which must be there."""
    if not intent.strip() or not text.strip():
        raise DataError(f"{where} is no labelled text: write it as intent, tab, text (in a .csv: intent,text).")
    return text.strip(), intent.strip()
