"""The embedded data set: say what a short phrase is (a territory, a full date, an amount of money, …).

Real words in all 52 locales, from Unicode CLDR as Babel carries it, so that the whole job runs without a download. It is a
demonstration: its figures show that the program works, not how languages help each other.

A *concept* is one thing to say ("FR" as a territory, 12 kilometres); it has the same id in every locale. Of the names that
CLDR lists (territories, languages, …) those that the most locales know are taken; dates, quantities and amounts are drawn
from the seed. A concept becomes a row of a locale unless

- CLDR leaves it untranslated there (no entry, the bare code, or the pattern of the root locale),
- its phrase has two intents there ("Luxembourg" the territory and the city), or
- its phrase stands in the locale's train split under another id already (dev and test rows only).

All three are counted: :attr:`CldrData.dropped`.

A third as many concepts again, the next in each intent's order, have no row anywhere: what a locale says of them is its
unlabelled text. So nobody was trained on a translation of it. Phrases that stand in a row of the locale all the same, as what
another concept is called there, are left out.

All 52 locales take seconds to make, so rows are kept in the cache, under a name made of all that they hang on.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import random
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import babel
from babel import dates, localedata, numbers, units

from sprachbund import digests, files, locales, untrusted
from sprachbund.cache import folder as cache_folder
from sprachbund.data import schema
from sprachbund.data.schema import PARTITIONS, DataSet, Row
from sprachbund.data.unlabelled import shuffled
from sprachbund.errors import UserError

__all__ = ["DEFAULT_PHRASES", "CldrData", "load"]

DEFAULT_PHRASES = 90
"""Concepts per intent."""
MOST_CONCEPTS = 58 * 7
"""So many relative times there are, and no intent can have more concepts than that."""
MOST_PHRASES = 400
"""With labels, of an intent; what is then left is set aside."""
UNLABELLED_SHARE = 3
"""Of so many concepts with labels, one more is set aside without."""
SEED = 2026
DEV_SHARE, TEST_SHARE = 0.1, 0.2

_BABEL_NAMES = {"tl-PH": "fil_PH", "zh-CN": "zh_Hans_CN", "zh-TW": "zh_Hant_TW", "sl-SL": "sl_SI"}
_CURRENCIES_IN_USE = ("EUR", "USD", "JPY", "GBP", "CNY", "INR", "BRL", "RUB", "KRW", "TRY", "CHF", "SEK")
_RELATIVE_UNITS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 604800,
    "month": 2592000,
    "year": 31536000,
}


@cache
def _babel(locale: str) -> babel.Locale:
    return babel.Locale.parse(_BABEL_NAMES.get(locale, locale.replace("-", "_")))


# --- saying a concept in a locale: None where CLDR has no words for it ------------------------------------------------


def _territory(locale: babel.Locale, code: str) -> str | None:
    return locale.territories.get(code)


def _language(locale: babel.Locale, code: str) -> str | None:
    return locale.languages.get(code)


def _script(locale: babel.Locale, code: str) -> str | None:
    return locale.scripts.get(code)


def _currency(locale: babel.Locale, code: str) -> str | None:
    return locale.currencies.get(code)


def _city(locale: babel.Locale, zone: str) -> str | None:
    city: str | None = locale.time_zones.get(zone, {}).get("city")
    return city


def _time_zone(locale: babel.Locale, key: str) -> str | None:
    zone, kind = key.split("/")
    name: str | None = locale.meta_zones.get(zone, {}).get("long", {}).get(kind)
    return name


def _full_date(locale: babel.Locale, key: str) -> str:
    return dates.format_date(datetime.date.fromisoformat(key), "full", locale)


def _month_and_year(locale: babel.Locale, key: str) -> str:
    return dates.format_skeleton("yMMMM", datetime.datetime.fromisoformat(key), locale=locale)


def _time_of_day(locale: babel.Locale, key: str) -> str:
    return dates.format_skeleton("Bhm", datetime.datetime.fromisoformat(f"2024-01-01T{key}"), locale=locale)


def _money(locale: babel.Locale, key: str) -> str | None:
    amount, code = key.split()
    if code not in locale.currencies:
        return None
    return numbers.format_currency(float(amount), code, locale=locale, format_type="name", currency_digits=False)


def _relative(locale: babel.Locale, key: str) -> str:
    count, unit = key.split()
    delta = datetime.timedelta(seconds=int(count) * _RELATIVE_UNITS[unit])
    # A threshold above every count keeps "13 months" from becoming "1 year".
    return dates.format_timedelta(delta, granularity=unit, threshold=10**6, add_direction=True, locale=locale)  # type: ignore[arg-type]


def _quantity(locale: babel.Locale, key: str) -> str | None:
    amount, unit = key.split()
    length = _pattern_length(locale, unit)
    if length is None:
        return None
    phrase = units.format_unit(float(amount), unit, length, format="#,##0.##", locale=locale)  # type: ignore[arg-type]
    # Where the plural form that this amount needs is missing, Babel writes the unit's own key.
    return None if unit in phrase else phrase


def _pattern_length(locale: babel.Locale, unit: str) -> str | None:
    """Return "long" or, where CLDR lets long forms fall back on short ones, "short"; None for the root's patterns."""
    own, root = (data["unit_patterns"].get(unit, {}) for data in (locale._data, _root()))
    return next((length for length in ("long", "short") if length in own and own[length] != root.get(length)), None)


@cache
def _root() -> localedata.LocaleDataDict:
    """Return what all locales inherit; since Babel 2.19 some of it points to other parts, which this kind of dict looks up."""
    return localedata.LocaleDataDict(localedata.load("root"))  # type: ignore[arg-type]


# --- which concepts there are ------------------------------------------------------------------------------------------

Say = Callable[[babel.Locale, str], str | None]
Draw = Callable[[random.Random, int], list[str]]


@dataclass(frozen=True)
class _Intent:
    name: str
    scenario: str
    say: Say
    concepts: Draw


def _best_known(say: Say, listed: Callable[[babel.Locale], Iterable[str]]) -> Draw:
    """Take the codes that the most locales have a name for, ties by lot."""

    def draw(lot: random.Random, count: int) -> list[str]:
        everywhere = [_babel(locale) for locale in locales.names()]
        known = Counter(code for locale in everywhere for code in listed(locale) if _translated(say, locale, code))
        shuffled = sorted(known)
        lot.shuffle(shuffled)
        return sorted(shuffled, key=lambda code: -known[code])[:count]

    return draw


def _drawn(one: Callable[[random.Random], str]) -> Draw:
    """Draw different concepts until there are enough."""

    def draw(lot: random.Random, count: int) -> list[str]:
        concepts: dict[str, None] = {}
        while len(concepts) < count:
            concepts[one(lot)] = None
        return list(concepts)

    return draw


def _any_date(lot: random.Random) -> str:
    return datetime.date.fromordinal(lot.randrange(711858, 748382)).isoformat()  # 1950 to 2049


def _any_month(lot: random.Random) -> str:
    return f"{lot.randrange(1900, 2050)}-{lot.randrange(1, 13):02}-01"


def _any_time(lot: random.Random) -> str:
    return f"{lot.randrange(24):02}:{lot.randrange(60):02}"


def _any_money(lot: random.Random) -> str:
    return f"{lot.randrange(2, 1000)} {lot.choice(_CURRENCIES_IN_USE)}"


def _any_relative(sign: str) -> Callable[[random.Random], str]:
    return lambda lot: f"{sign}{lot.randrange(2, 60)} {lot.choice(list(_RELATIVE_UNITS))}"


def _any_quantity(dimension: str) -> Callable[[random.Random], str]:
    kinds = sorted(unit for unit in _babel("en-US")._data["unit_patterns"] if unit.startswith(f"{dimension}-"))

    def draw(lot: random.Random) -> str:
        amount = lot.choice((lot.randrange(2, 100), lot.randrange(100, 10_000), lot.randrange(10, 1000) / 10))
        return f"{amount} {lot.choice(kinds)}"

    return draw


def _time_zone_names(locale: babel.Locale) -> Iterable[str]:
    return (f"{zone}/{kind}" for zone, names in locale.meta_zones.items() for kind in names.get("long", {}))


@cache
def _intents() -> tuple[_Intent, ...]:
    named: tuple[tuple[str, str, Say, Callable[[babel.Locale], Iterable[str]]], ...] = (
        ("territory", "place", _territory, lambda locale: locale.territories),
        ("city", "place", _city, lambda locale: locale.time_zones),
        ("language", "writing", _language, lambda locale: locale.languages),
        ("script", "writing", _script, lambda locale: locale.scripts),
        ("currency", "money", _currency, lambda locale: locale.currencies),
        ("time_zone", "time", _time_zone, _time_zone_names),
    )
    drawn: tuple[tuple[str, str, Say, Callable[[random.Random], str]], ...] = (
        ("full_date", "time", _full_date, _any_date),
        ("month_and_year", "time", _month_and_year, _any_month),
        ("time_of_day", "time", _time_of_day, _any_time),
        ("relative_future", "time", _relative, _any_relative("")),
        ("relative_past", "time", _relative, _any_relative("-")),
        ("money", "money", _money, _any_money),
        *(
            (f"unit_{dimension}", "measure", _quantity, _any_quantity(dimension))
            for dimension in (
                "length",
                "mass",
                "speed",
                "temperature",
                "volume",
                "area",
                "energy",
                "digital",
                "duration",
            )
        ),
    )
    return (
        *(_Intent(name, scenario, say, _best_known(say, listed)) for name, scenario, say, listed in named),
        *(_Intent(name, scenario, say, _drawn(one)) for name, scenario, say, one in drawn),
    )


def _translated(say: Say, locale: babel.Locale, concept: str) -> str | None:
    phrase = say(locale, concept)
    if phrase is None or phrase == concept:
        return None
    return " ".join(unicodedata.normalize("NFC", phrase).split())


# --- from concepts to rows ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Concept:
    id: str
    intent: _Intent
    key: str
    partition: str


@cache
def _keys(intent: _Intent, phrases: int) -> tuple[str, ...]:
    """Return the concepts of an intent: those that become rows, then those that are set aside."""
    most = min(phrases + phrases // UNLABELLED_SHARE, MOST_CONCEPTS)
    return tuple(intent.concepts(random.Random(f"{SEED} {intent.name}"), most))


@cache
def _concepts(phrases: int) -> tuple[_Concept, ...]:
    drawn = [(intent, key) for intent in _intents() for key in _keys(intent, phrases)[:phrases]]
    random.Random(SEED).shuffle(drawn)
    return tuple(_Concept(str(number), intent, key, _partition(number)) for number, (intent, key) in enumerate(drawn))


def _set_aside(phrases: int) -> list[tuple[_Intent, str]]:
    """Return the concepts that have no row in any locale."""
    return [(intent, key) for intent in _intents() for key in _keys(intent, phrases)[phrases:]]


def _partition(number: int) -> str:
    """Split by a hash of the id, so that a concept stands in the same partition in every locale."""
    digest = hashlib.sha256(f"{SEED} {number}".encode()).digest()
    share = int.from_bytes(digest[:8]) / 2**64
    train, dev, test = PARTITIONS
    return test if share < TEST_SHARE else dev if share < TEST_SHARE + DEV_SHARE else train


def _rows(locale: str, phrases: int) -> tuple[list[Row], Counter[str]]:
    """Return a locale's rows and, by reason, how many concepts it has no row for."""
    dropped: Counter[str] = Counter()
    said: list[tuple[_Concept, str]] = []
    for concept in _concepts(phrases):
        phrase = _translated(concept.intent.say, _babel(locale), concept.key)
        if phrase is None:
            dropped["untranslated"] += 1
        else:
            said.append((concept, phrase))

    meanings: dict[str, set[str]] = defaultdict(set)
    for concept, phrase in said:
        meanings[phrase.casefold()].add(concept.intent.name)
    trained = {phrase.casefold() for concept, phrase in said if concept.partition == "train"}

    rows = []
    for concept, phrase in said:
        if len(meanings[phrase.casefold()]) > 1:
            dropped["two intents"] += 1
        elif concept.partition != "train" and phrase.casefold() in trained:
            dropped["also in train"] += 1
        else:
            rows.append(
                Row(concept.id, locale, concept.partition, concept.intent.scenario, concept.intent.name, phrase)
            )
    return rows, dropped


def _kept_rows(locale: str, phrases: int) -> tuple[list[Row], Mapping[str, int]]:
    """Return what :func:`_rows` gives, from the cache if it is there."""
    place = cache_folder() / "data" / "cldr" / _state(phrases) / f"{locale}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):  # not there, or damaged
        rows, dropped = untrusted.read_json(place)
        return [Row(*map(_text, row)) for row in rows], {
            _text(reason): int(count) for reason, count in dict(dropped).items()
        }
    rows, dropped = _rows(locale, phrases)
    with suppress(OSError):  # no room, no right to write: then they are made again next time
        files.write_text(place, json.dumps([[astuple(row) for row in rows], dropped], ensure_ascii=False))
    return rows, dropped


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


@cache
def _state(phrases: int) -> str:
    """Return a digest of what rows hang on: this program and its locales, what Babel knows, and Python's Unicode."""
    program = [digests.of_file(Path(module)) for module in (__file__, schema.__file__)]
    known = [babel.__version__, localedata_version(), unicodedata.unidata_version]
    return digests.of_value([program, locales.names(), known, phrases])


@dataclass
class CldrData(DataSet):
    """The embedded data set; ``dropped`` says per locale and reason how many concepts have no row."""

    phrases: int = DEFAULT_PHRASES
    dropped: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def rows(self, locale: str) -> Iterable[Row]:
        """Make the rows of a locale and note what was dropped."""
        rows, self.dropped[locale] = _kept_rows(locale, self.phrases)
        return rows

    def unlabelled(self, locale: str) -> tuple[str, ...]:
        """Return what a locale says of the concepts that are set aside, but for phrases that stand in one of its rows."""
        known = {text.casefold() for name in PARTITIONS for text in self.read(locale, name).texts}
        said = (_translated(intent.say, _babel(locale), key) for intent, key in _set_aside(self.phrases))
        return shuffled(phrase for phrase in said if phrase and phrase.casefold() not in known)

    def texts(self, locale: str) -> tuple[str, ...]:
        """Return the texts of :meth:`unlabelled`."""
        return self.unlabelled(locale)


def load(argument: str = "") -> CldrData:
    """Return the embedded data set; the argument is the number of phrases per intent (default 90)."""
    if argument and not (argument.isdecimal() and 10 <= int(argument) <= MOST_PHRASES):
        raise UserError(
            f"--data cldr:{argument}: what follows 'cldr:' is the number of phrases per intent, 10 to {MOST_PHRASES}."
        )
    phrases = int(argument or DEFAULT_PHRASES)
    return CldrData(
        name="cldr" if phrases == DEFAULT_PHRASES else f"cldr:{phrases}",
        revision=f"CLDR {localedata_version()} (Babel {babel.__version__}), seed {SEED}, {phrases} phrases per intent",
        licence="Unicode-3.0",
        notice="Demonstration data: names and phrases of Unicode CLDR through Babel, © Unicode, Inc., Unicode License v3.",
        demonstration=True,
        intents=tuple(intent.name for intent in _intents()),
        locales=locales.names(),
        phrases=phrases,
    )


def localedata_version() -> str:
    """Return the version of CLDR that the installed Babel carries, or "?" where it does not say."""
    from babel import core

    return str(core.get_cldr_version()) if hasattr(core, "get_cldr_version") else "?"
