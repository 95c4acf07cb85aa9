"""A locale on its own: its figures, how they compare, what was merged, and sentences that one variant alone got right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sprachbund.locales import Locale
from sprachbund.report.html.material import Material, anchor
from sprachbund.report.html.sheets import Head, Sheet, shown
from sprachbund.report.html.tables import contrast_sheet, record_sheet, score_sheet, source_sheet
from sprachbund.report.mistakes import Example, Places, examples, flips
from sprachbund.report.summary import LocaleRow

__all__ = ["Group", "Place", "flip_sheet", "places"]

RIGHT_TO_LEFT = {"Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm"}
"""Scripts, ISO 15924."""
TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{2,8})*")
"""What a language tag looks like (BCP 47)."""
EXAMPLES_OF = (("similarity", "baseline"), ("similarity", "average"), ("auto", "similarity"))
FEW = 3
"""So many examples of each kind."""


@dataclass(frozen=True)
class Group:
    """Sentences that exactly one of two variants gets right."""

    title: str
    caption: str
    first: str
    second: str
    examples: tuple[Example, ...]

    @property
    def with_texts(self) -> bool:
        """Whether any text is known."""
        return any(example.text is not None for example in self.examples)


@dataclass(frozen=True)
class Place:
    """All that the page says of one locale."""

    id: str
    name: str
    line: str
    """Its figures, on one line."""
    lang: str
    """The language of its sentences as HTML names it; empty where nobody knows."""
    direction: str
    """``rtl``, ``ltr`` or ``auto``."""
    scores: Sheet
    contrasts: Sheet | None
    sources: Sheet | None
    groups: tuple[Group, ...]
    making: Sheet


def places(material: Material) -> Iterator[Place]:
    """Yield every locale with results, by language family."""
    for row in material.rows:
        yield _place(material, row)


def _place(material: Material, row: LocaleRow) -> Place:
    locale = row.locale
    name, id_ = locale.name, anchor(locale.name)
    scores = [score for (_, place), score in material.analysis.scores.items() if place == name]
    contrasts = [found for rows in material.analysis.contrasts.values() for found in rows if found.locale == name]
    records = [record for (_, place), record in material.results.records.items() if place == name]
    return Place(
        id=id_,
        name=f"{locale.language} ({name})" if locale.language != name else name,
        line=_line(material, row),
        lang=name if TAG.fullmatch(name) else "",
        direction=_direction(locale),
        scores=score_sheet(f"{id_}-scores", "Figures", scores, material, with_locale=False),
        contrasts=contrast_sheet(f"{id_}-pairs", "One column against another", contrasts, material, by="pair")
        if contrasts
        else None,
        sources=source_sheet(f"{id_}-sources", name, material),
        groups=tuple(_groups(material, name)),
        making=record_sheet(f"{id_}-making", "Where the figures come from", records, short=True),
    )


def _direction(locale: Locale) -> str:
    return "auto" if not locale.script else "rtl" if locale.script in RIGHT_TO_LEFT else "ltr"


def _line(material: Material, row: LocaleRow) -> str:
    figures = [(column.title, row.values[column.name]) for column in material.summary.variants]
    said = [f"{title} {shown(value, 'fraction')}" for title, value in figures if value is not None]
    return ", ".join([row.locale.family, *said])


def _groups(material: Material, locale: str) -> Iterator[Group]:
    """Yield what was gained and lost between the pairs that people ask about."""
    for pair in _pairs(material):
        for right, wrong, found in _sides(material, pair, locale):
            title = f"{material.titles[right]} is right, {material.titles[wrong]} is not"
            yield _group(material, locale, pair, title, found)


def _pairs(material: Material) -> list[tuple[str, str]]:
    """Return the pairs that people ask about, or else the first pair there is."""
    asked = [pair for pair in EXAMPLES_OF if pair in material.analysis.contrasts]
    return asked or list(material.analysis.contrasts)[:1]


def _sides(material: Material, pair: tuple[str, str], locale: str) -> Iterator[tuple[str, str, Places]]:
    """Yield who alone is right, who is wrong there, and where; nothing where one of the two has no answers."""
    first, second = pair
    flipped = flips(material.answers, first, second, locale)
    if flipped is not None:
        yield first, second, flipped.gained
        yield second, first, flipped.lost


def flip_sheet(material: Material) -> Sheet:
    """All sentences of which a few are shown as examples: who alone is right, and the ids, parted by semicolons."""
    ids = material.answers.ids
    rows = tuple(
        (row.locale.name, right, wrong, len(found), ";".join(ids[place] for place in found))
        for row in material.rows
        for pair in _pairs(material)
        for right, wrong, found in _sides(material, pair, row.locale.name)
    )
    heads = (
        Head("locale", "locale"),
        Head("right", "right"),
        Head("wrong", "wrong"),
        Head("sentences", "sentences", "count"),
        Head("ids", "ids", "prose"),
    )
    return Sheet("flips", "Sentences that exactly one of two variants gets right", heads, rows)


def _group(material: Material, locale: str, pair: tuple[str, str], title: str, found: Places) -> Group:
    texts = material.texts.by_locale.get(locale, {})
    few = examples(material.answers, pair, locale, found, texts, FEW)
    number = len(found)
    said = "1 sentence" if number == 1 else f"{number} sentences"
    caption = "No sentence." if not few else f"{said}." if len(few) == number else f"{len(few)} of {said}."
    first, second = (material.titles[name] for name in pair)
    return Group(title, caption, first, second, few)
