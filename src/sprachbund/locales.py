"""The 52 locales of MASSIVE: language, ISO 639-3 code, script, family.

A data set may hold others. Their names are what its files call them, known to whoever has the data at hand; nothing else is
known of them.

The order is that of ``--list-locales``: alphabetical, so that index 10 is en-US. (The original README calls locale 10
"ja-JP"; that is a slip: ja-JP is 22.)
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sprachbund.errors import UnknownName, UserError

__all__ = ["LOCALES", "OTHER", "Locale", "check", "describe", "find", "locale", "names", "position"]

OTHER = "other"
"""Family and genus of locales that are not in the table."""


@dataclass(frozen=True)
class Locale:
    """One row of the locale table."""

    name: str
    """As MASSIVE writes it: ``sq-AL``."""
    language: str
    """English name."""
    iso639_3: str
    lang2vec_code: str
    """The code under which URIEL's feature tables know the language."""
    lang2vec_code_fam: str
    """The code under which URIEL's ``fam`` table knows it."""
    script: str
    """ISO 15924."""
    family: str
    genus: str

    @property
    def codes(self) -> frozenset[str]:
        """Every language code that a user may type for this locale, in lower case."""
        language_subtag = self.name.split("-")[0]
        return frozenset({self.iso639_3, self.lang2vec_code, self.lang2vec_code_fam, language_subtag})


@cache
def _table() -> dict[str, Locale]:
    text = files("sprachbund").joinpath("locales.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["locale"]: Locale(name=row.pop("locale"), **row) for row in rows}


LOCALES: tuple[Locale, ...] = tuple(_table().values())
"""All 52, in order."""


def names() -> tuple[str, ...]:
    """Return the names of all locales, in order."""
    return tuple(_table())


def locale(name: str, known: Iterable[str] = ()) -> Locale:
    """Return the locale with exactly this name (case is forgiven), of the table or among those that are ``known`` besides."""
    rows = _table() | {other: describe(other) for other in known}
    exact = rows.get(name) or next((row for key, row in rows.items() if key.lower() == name.lower()), None)
    if exact is None:
        raise UnknownName("locale", name, rows, "See --list-locales.")
    return exact


def describe(name: str) -> Locale:
    """Return the row of a locale; one that is not in the table is called by its name, and is of the family ``other``."""
    code = name.split("-")[0]
    return _table().get(name) or Locale(name, name, code, code, code, "", OTHER, OTHER)


def position(name: str) -> tuple[int, str]:
    """Return what to sort a locale by: its place in the table; others stand behind, in the order of the alphabet."""
    table = names()
    return (table.index(name), name) if name in _table() else (len(table), name)


def find(text: str, known: Iterable[str] = ()) -> Locale:
    """Return the locale that a name or a language code stands for: ``sq-AL``, ``sq``, ``sqi`` and ``als`` are Albanian.

    Names that are ``known`` besides, from the data at hand, come first: what a data set calls ``sq`` is that.
    """
    known = tuple(known)
    matches = [] if text in known else [row for row in LOCALES if text.lower() in row.codes]
    if len(matches) > 1:
        choices = " or ".join(row.name for row in matches)
        raise UserError(f"Language code {text!r} stands for several locales: say {choices}.")
    return matches[0] if matches else locale(text, known)


def check(wanted: Iterable[str], known: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the wanted locale names in canonical spelling, each once, in the order given.

    They are of the table, or ``known`` besides.
    """
    known = tuple(known)
    return tuple(dict.fromkeys(locale(name, known).name for name in wanted))
