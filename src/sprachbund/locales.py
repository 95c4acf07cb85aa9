"""The 52 locales of MASSIVE: language, ISO 639-3 code, script, family.

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

__all__ = ["LOCALES", "Locale", "check", "find", "locale", "names"]


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


def locale(name: str) -> Locale:
    """Return the locale with exactly this name (case is forgiven)."""
    table = _table()
    exact = table.get(name) or next((row for key, row in table.items() if key.lower() == name.lower()), None)
    if exact is None:
        raise UnknownName("locale", name, table, "See --list-locales.")
    return exact


def find(text: str) -> Locale:
    """Return the locale that a name or a language code stands for: ``sq-AL``, ``sq``, ``sqi`` and ``als`` are Albanian."""
    matches = [row for row in LOCALES if text.lower() in row.codes]
    if len(matches) > 1:
        choices = " or ".join(row.name for row in matches)
        raise UserError(f"Language code {text!r} stands for several locales: say {choices}.")
    return matches[0] if matches else locale(text)


def check(wanted: Iterable[str]) -> tuple[str, ...]:
    """Return the wanted locale names in canonical spelling, each once, in the order given."""
    return tuple(dict.fromkeys(locale(name).name for name in wanted))
