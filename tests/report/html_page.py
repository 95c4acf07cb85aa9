"""A results folder with predictions, and the page that is made of it, read back as a browser's parser would."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

from results_folder import ZOO, ResultsFolder

from sprachbund import store
from sprachbund.report import Texts, read_answers
from sprachbund.report.analysis import analyse
from sprachbund.report.html import html_report

LOCALES = ("af-ZA", "he-IL", "ja-JP", "sq-AL")
VARIANTS = {"baseline": 0.8, "similarity": 0.6, "average": 0.5}
"""How often each answers rightly, about."""
INTENTS = ("alarm_set", "music_play", "weather_query", "lists_add", "qa_maths")
IDS = tuple(str(3 * number) for number in range(60))
EQUAL = {"de-DE": 0.5, "nl-NL": 0.5}
"""Sources of the average."""
WHEN = datetime(2026, 11, 24, 12, 30)
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
"""Elements of HTML that have no end tag."""


def answered(
    folder: ResultsFolder,
    variants: Mapping[str, float] = VARIANTS,
    intents: tuple[str, ...] = INTENTS,
    zoo: str = ZOO,
) -> ResultsFolder:
    """Write results whose figures are those of their predictions, which are drawn by lot; transfer, too."""
    lot = random.Random(0)
    gold = [lot.choice(intents) for _ in IDS]
    for locale in LOCALES:
        for variant, rate in variants.items():
            said = [intent if lot.random() < rate else lot.choice(intents) for intent in gold]
            predictions = [
                store.Prediction(id=id_, gold=right, predicted=answer, confidence=0.5)
                for id_, right, answer in zip(IDS, gold, said, strict=True)
            ]
            correct = sum(right == answer for right, answer in zip(gold, said, strict=True))
            sources = EQUAL if variant == "average" else None
            folder.record(variant, locale, correct, total=len(IDS), sources=sources, predictions=predictions, zoo=zoo)
    for place, source in enumerate(("af-ZA", "de-DE", "nl-NL", "sv-SE")):
        folder.transfer(source, {target: 20 + 7 * place + number for number, target in enumerate(LOCALES)}, zoo=zoo)
    return folder


def page_of(folder: ResultsFolder, texts: Texts | None = None, command: str = "sprachbund report") -> str:
    """Return the page of a results folder."""
    results = folder.load()
    answers = read_answers(folder.root, results)
    analysis = analyse(results, answers, resamples=200, macro_f1_resamples=20)
    return html_report(results, folder.summary(), answers, analysis, when=WHEN, command=command, texts=texts)


@dataclass
class Node:
    """An element with what is in it."""

    tag: str
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """Its own text, and that of all elements in it, in order."""

    def all(self, tag: str, **attributes: str) -> list[Node]:
        """Return the elements of a name below this one, in order, that have these attributes."""
        found = [self] if self.tag == tag and attributes.items() <= self.attributes.items() else []
        return found + [node for child in self.children for node in child.all(tag, **attributes)]

    def everything(self) -> list[Node]:
        """Return all elements below this one, itself first."""
        return [self] + [node for child in self.children for node in child.everything()]

    @property
    def text(self) -> str:
        """All that is written in it, with single blanks."""
        return " ".join("".join(self.said).split())

    def table(self) -> list[dict[str, str]]:
        """Return the rows of a table by what stands above their cells."""
        heads = [cell.text for row in self.all("thead") for cell in row.all("th")]
        rows = [row for body in self.all("tbody") for row in body.all("tr")]
        return [dict(zip(heads, [cell.text for cell in row.children], strict=True)) for row in rows]


class _Reader(HTMLParser):
    """Reads a page into nodes; a tag that is closed wrongly is an error."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Node("document", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice: <{tag} {attrs}>"
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert any(node.tag == "svg" for node in self.open) or tag in VOID, f"<{tag} /> is not closed in HTML"
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes something else, at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        for node in self.open:
            node.said.append(data)


def parsed(page: str) -> Node:
    """Return the page as a tree; whatever is open at its end, or closed wrongly, is an error."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert len(reader.open) == 1, f"still open: {[node.tag for node in reader.open[1:]]}"
    return reader.open[0]


def counted(path: Path) -> Counter[tuple[str, str]]:
    """Return how often each intent was answered by each, straight from the predictions of a cell."""
    return Counter((row.gold, row.predicted) for row in store.read_predictions(path))
