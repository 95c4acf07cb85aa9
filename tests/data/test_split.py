"""``split:SPEC``: who trains and who adapts never sees a text of the same id, and nothing of an id reaches who adapts."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from pico import TinyData, rows_of, tiny_data

from sprachbund import data
from sprachbund.data import Row, split
from sprachbund.data.split import SplitData, is_unlabelled
from sprachbund.data.unlabelled import read_texts, shuffled
from sprachbund.errors import DataError, UnknownName


def halves(monkeypatch: pytest.MonkeyPatch, whole: TinyData) -> SplitData:
    monkeypatch.setattr(split, "load_data", lambda argument: whole)
    loaded = data.load("split:tiny")
    assert isinstance(loaded, SplitData)
    return loaded


def test_train_ids_are_dealt_out_and_the_same_ones_in_all_locales(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tiny_data()
    split_data = halves(monkeypatch, whole)
    for locale in ("de-DE", "sq-AL"):
        everything, kept = whole.partition(locale, "train"), split_data.partition(locale, "train")
        assert set(kept.ids) == {id_ for id_ in everything.ids if not is_unlabelled(id_)}
        assert 0 < len(kept) < len(everything)
        for name in ("dev", "test"):
            assert split_data.partition(locale, name).digest == whole.partition(locale, name).digest


def test_one_id_in_four_is_set_aside() -> None:
    assert sum(is_unlabelled(str(number)) for number in range(10_000)) == pytest.approx(2500, abs=150)


def test_unlabelled_texts_are_those_of_the_other_ids_without_what_is_evaluated_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = list(rows_of("de-DE"))
    test = next(row for row in rows if row.partition == "test")
    aside = [row for row in rows if row.partition == "train" and is_unlabelled(row.id)]

    def with_a_test_text(locale: str) -> Iterable[Row]:
        return (replace(row, utt=test.utt) if row == aside[0] else row for row in rows_of(locale))

    found = halves(monkeypatch, tiny_data(source=with_a_test_text)).unlabelled("de-DE")
    evaluated = {row.utt for row in rows if row.partition != "train"}
    assert sorted(found) == sorted(row.utt for row in aside[1:] if row.utt not in evaluated)
    assert test.utt not in found
    assert all(isinstance(text, str) for text in found)


def test_order_ids_and_labels_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(rows_of("de-DE"))
    aside = [row for row in rows if row.partition == "train" and is_unlabelled(row.id)]
    lot = random.Random(1)
    ids, intents = [row.id for row in aside], [row.intent for row in aside]
    lot.shuffle(ids)
    lot.shuffle(intents)
    others = [row for row in rows if row not in aside]
    strange = [replace(row, id=i, intent=c) for row, i, c in zip(aside, ids, intents, strict=True)] + others
    lot.shuffle(strange)
    plain = halves(monkeypatch, tiny_data()).unlabelled("de-DE")
    assert halves(monkeypatch, tiny_data(source=lambda locale: strange)).unlabelled("de-DE") == plain
    in_order = [row.utt for row in aside]
    assert list(plain) != in_order
    assert list(plain) != sorted(in_order)


def test_the_notice_says_that_texts_are_set_aside() -> None:
    found = data.load("split:cldr:10")
    assert found.name == "split:cldr:10"
    assert "one train id in 4" in found.notice.lower()
    assert found.demonstration
    assert found.unlabelled("sq-AL")


def test_other_data_sets_say_who_has_unlabelled_text() -> None:
    with pytest.raises(DataError, match=r"'tiny' sets no unlabelled text of de-DE aside: split:tiny does"):
        tiny_data().unlabelled("de-DE")
    with pytest.raises(UnknownName, match="Unknown data set 'mass'"):
        data.load("split:mass:x")


def test_texts_are_those_set_aside_or_without_such_those_of_train(monkeypatch: pytest.MonkeyPatch) -> None:
    split_data = halves(monkeypatch, tiny_data())
    assert split_data.texts("de-DE") == split_data.unlabelled("de-DE")
    train = tiny_data().partition("de-DE", "train").texts
    assert sorted(tiny_data().texts("de-DE")) == sorted(train)
    assert tiny_data().texts("de-DE") == shuffled(reversed(train))
    with pytest.raises(UnknownName, match="Unknown locale 'de-XX'"):
        tiny_data().texts("de-XX")


def test_shuffling_hangs_on_the_texts_alone() -> None:
    texts = [f"text {number}" for number in range(50)]
    first = shuffled(texts)
    assert first == shuffled(reversed(texts))
    assert sorted(first) == sorted(texts)
    assert list(first) != texts
    assert shuffled([" a", "b\n", "", "  ", "a"]) in {("a", "a", "b"), ("a", "b", "a"), ("b", "a", "a")}


def test_texts_come_from_a_file_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("\ufeffmirë\n\nnatën  \n", encoding="utf-8")
    assert sorted(read_texts(path)) == ["mirë", "natën"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "There is no file {path}: name a text file with one text a line."),
        (b"\n \n", "{path} holds no text: it should have one text a line."),
        (b"\xff\xfe\x00", "{path} is not UTF-8: save it as that."),
    ],
)
def test_what_is_no_text_is_told(content: bytes | None, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_texts(path)
    assert str(caught.value) == sentence.format(path=path)
    with pytest.raises(DataError, match="is a folder"):
        read_texts(tmp_path)
