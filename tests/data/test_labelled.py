"""A few labels: nested draws from what is set aside, and files of one's own."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from pico import INTENTS, rows_of, tiny_data

from sprachbund import data
from sprachbund.data import Row, split
from sprachbund.data.few import Labelled, draw, read_labelled
from sprachbund.data.split import SplitData, is_unlabelled
from sprachbund.errors import DataError


def many(locale: str) -> Iterable[Row]:
    """Rows of which about a hundred are set aside, with texts of their own in each locale."""
    yield from rows_of(locale)
    for number in range(400):
        yield Row(f"more {number}", locale, "train", "made-up", INTENTS[number % 4], f"{locale} text {number}")


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> SplitData:
    monkeypatch.setattr(split, "load_data", lambda argument: tiny_data(source=many))
    loaded = data.load("split:tiny")
    assert isinstance(loaded, SplitData)
    return loaded


def pairs(few: Labelled) -> set[tuple[str, str]]:
    return set(zip(few.texts, few.intents, strict=True))


def test_who_has_five_has_the_first_one_too(halves: SplitData) -> None:
    one, five, all_ = (halves.few("de-DE", count) for count in (1, 5, 1000))
    assert pairs(one) < pairs(five) < pairs(all_)
    assert Counter(one.intents) == dict.fromkeys(INTENTS, 1)
    assert Counter(five.intents) == dict.fromkeys(INTENTS, 5)
    assert pairs(five.first(1)) <= pairs(five)


def test_they_are_texts_of_u_with_their_own_labels_and_fewer_where_there_are_fewer(halves: SplitData) -> None:
    all_ = halves.few("de-DE", 1000)
    aside = {row.utt: row for row in many("de-DE") if row.partition == "train" and is_unlabelled(row.id)}
    assert set(all_.texts) == set(halves.unlabelled("de-DE")) <= set(aside)
    assert all(aside[text].intent == intent for text, intent in pairs(all_))
    evaluated = {row.utt for row in many("de-DE") if row.partition != "train"}
    assert not evaluated & set(all_.texts)
    assert not set(all_.texts) & set(halves.partition("de-DE", "train").texts)


def test_they_are_the_same_sentences_in_every_locale(halves: SplitData) -> None:
    ids = []
    for locale in ("de-DE", "sq-AL"):
        by_text = {row.utt: row.id for row in many(locale)}
        ids.append({by_text[text] for text in halves.few(locale, 5).texts})
    assert len(ids[0]) == 20
    assert ids[0] == ids[1]


def test_the_order_of_the_rows_and_of_the_file_says_nothing(halves: SplitData, monkeypatch: pytest.MonkeyPatch) -> None:
    before = halves.few("de-DE", 5)

    def stirred(locale: str) -> Iterable[Row]:
        rows = list(many(locale))
        random.Random(3).shuffle(rows)
        return rows

    monkeypatch.setattr(split, "load_data", lambda argument: tiny_data(source=stirred))
    assert data.load("split:tiny").few("de-DE", 5) == before
    assert list(before.texts) != sorted(before.texts)
    assert list(before.intents) != sorted(before.intents)


def test_a_text_that_stands_there_twice_counts_once() -> None:
    rows = [(str(number), " same ", "greet") for number in range(5)]
    assert pairs(draw([*rows, ("x", "other", "greet"), ("y", " ", "greet")], 2)) == {
        ("same", "greet"),
        ("other", "greet"),
    }


def test_data_that_sets_nothing_aside_says_so() -> None:
    with pytest.raises(
        DataError, match=r"^Data set 'tiny' sets no labelled texts of de-DE aside: split:tiny does, or name"
    ):
        tiny_data().few("de-DE", 5)


def test_intents_can_have_other_names_and_must_be_known() -> None:
    few = Labelled.of([("hello", "greet"), ("bye", "leave")])
    assert pairs(few.under({"greet": "LABEL_0", "leave": "LABEL_1"})) == {("hello", "LABEL_0"), ("bye", "LABEL_1")}
    few.check(INTENTS, "here")
    with pytest.raises(DataError, match=r"^here: intent 'greet' is none of the 2 .*\(did you mean greeting\?\): mend"):
        few.check(("greeting", "leave"), "here")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("few.tsv", "\ufeffgreet\tmirë, si je\n\nleave\t natën \ngreet\tmirë, si je\n"),
        ("few.csv", 'text,intent\n"mirë, si je",greet\nnatën,leave\n'),
    ],
)
def test_a_file_of_labelled_texts(name: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    assert pairs(read_labelled(path)) == {("mirë, si je", "greet"), ("natën", "leave")}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("few.tsv", None, "There is no file {path}: name a file of labelled texts (one text a line, as intent, tab,"),
        ("few.tsv", b" \n", "{path} holds no labelled text: it should have one text a line, as intent, tab, text;"),
        ("few.tsv", b"\xff\xfe", "{path} is not UTF-8: save it as that."),
        ("few.tsv", b"greet\thello\nhello\n", "{path}, line 2 is no labelled text: write it as intent, tab, text"),
        ("few.tsv", b"greet\t \n", "{path}, line 1 is no labelled text"),
        ("few.csv", b"label,text\na,b\n", "{path} has no column 'intent': its first line should be intent,text."),
        ("few.csv", b"intent,text\ngreet,\n", "{path}, line 2 is no labelled text"),
        ("few.csv", b"intent,text\ngreet\n", "{path}, line 2 is no labelled text"),
        ("few.csv", b'intent,text\n"greet,hello\n', "{path}, line 2 is not CSV"),
        ("few.csv", b"intent,text\n", "{path} holds no labelled text"),
    ],
)
def test_what_is_no_such_file_is_told(name: str, content: bytes | None, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_labelled(path)
    assert str(caught.value).startswith(sentence.format(path=path))
    with pytest.raises(DataError, match="is a folder"):
        read_labelled(tmp_path)


def test_labels_of_a_row_come_with_its_text_alone(halves: SplitData) -> None:
    """A row whose text is evaluated on is passed over, and the next one takes its place."""
    whole = halves.whole
    first = halves.few("de-DE", 1).texts[0]
    rows = [replace(row, utt=first) if row.partition == "test" else row for row in many("de-DE")]
    assert first not in replace(halves, whole=tiny_data(source=lambda locale: rows)).few("de-DE", 1).texts
    assert halves.whole is whole
