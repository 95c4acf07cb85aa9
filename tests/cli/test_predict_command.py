"""``sprachbund predict``: the answers that the model itself gives, from wherever texts come."""

from __future__ import annotations

import csv
import io
import json
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow
import pytest
import torch
from pico import INTENTS, Pico
from pyarrow import parquet
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sprachbund.cli import run
from sprachbund.data.stream import handfuls
from sprachbund.errors import DataError

TEXTS = ["bala aska", "dono greeta furi", "leavo", "counte keme lisu mano"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def model(here: Path) -> Path:
    return Pico(here).source("model").folder


def expected(folder: Path) -> list[list[tuple[str, float]]]:
    """What transformers says by itself: all intents of each text, the most probable first."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    classifier = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    found = []
    for text in TEXTS:
        with torch.no_grad():
            shares = classifier(**tokenizer(text, return_tensors="pt")).logits[0].double().softmax(0).tolist()
        found.append(sorted(zip(INTENTS, shares, strict=True), key=lambda pair: -pair[1]))
    return found


def type_into(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False))


def printed(line: str, capsys: Capture) -> list[list[str]]:
    assert run(["predict", "--model", "model", *shlex.split(line)]) == 0, capsys.readouterr().err
    return [row.split("\t") for row in capsys.readouterr().out.splitlines()]


def test_typed_piped_and_in_a_file_they_get_the_same_answers(
    model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [[pairs[0][0], f"{pairs[0][1]:.4f}", text] for pairs, text in zip(expected(model), TEXTS, strict=True)]
    assert printed(shlex.join(TEXTS), capsys) == wanted
    Path("texts.txt").write_text("\ufeff" + "\n\n".join(TEXTS) + "\n", encoding="utf-8")
    assert printed("--file texts.txt", capsys) == wanted
    type_into(monkeypatch, "\r\n".join(TEXTS).encode())
    assert printed("", capsys) == wanted


def test_the_best_few_are_printed_in_order(model: Path, capsys: Capture) -> None:
    pairs = expected(model)[0]
    (row,) = printed(f"'{TEXTS[0]}' --top 3", capsys)
    assert row == [*(cell for intent, share in pairs[:3] for cell in (intent, f"{share:.4f}")), TEXTS[0]]
    (row,) = printed(f"'{TEXTS[0]}' --top 9", capsys)  # more than there are
    assert len(row) == 2 * len(INTENTS) + 1


def test_a_table_has_a_heading_for_each_of_its_columns(model: Path, capsys: Capture) -> None:
    printed(f"'{TEXTS[0]}' --top 99 --out all.csv", capsys)
    with Path("all.csv").open(encoding="utf-8", newline="") as stream:
        heading, row = csv.reader(stream)
    assert len(heading) == len(row) == 2 * len(INTENTS) + 1


def table_of(name: str, column: str) -> None:
    """The texts as a table, each beside a number that is nobody's text."""
    rows = [{"number": str(number), column: text} for number, text in enumerate(TEXTS)]
    if name.endswith(".parquet"):
        parquet.write_table(pyarrow.Table.from_pylist(rows), name)
    elif name.endswith(".jsonl"):
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with Path(name).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, ["number", column], delimiter="\t" if name.endswith(".tsv") else ",")
            writer.writeheader()
            writer.writerows(rows)


@pytest.mark.parametrize("name", ["texts.csv", "texts.tsv", "texts.jsonl", "texts.parquet"])
@pytest.mark.parametrize(("column", "flag"), [("utt", ""), ("headline", "--column headline")])
def test_of_a_table_the_column_of_texts_is_read(
    name: str, column: str, flag: str, model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sprachbund.cli.predict.HANDFUL", 3)
    table_of(name, column)
    assert [row[-1] for row in printed(f"--file {name} {flag}", capsys)] == TEXTS


def test_a_file_that_is_there_is_replaced_only_when_that_is_typed(model: Path, capsys: Capture) -> None:
    Path("answers.csv").write_text("mine", encoding="utf-8")
    line = ["predict", "--model", "model", *TEXTS, "--out", "answers.csv"]
    assert run(line) == 2
    assert "answers.csv is there already: name another file, or replace it with --overwrite." in capsys.readouterr().err
    assert Path("answers.csv").read_text(encoding="utf-8") == "mine"
    assert run([*line, "--overwrite"]) == 0
    assert Path("answers.csv").read_text(encoding="utf-8").startswith("text,intent,confidence\n")


def test_programs_get_one_document(model: Path, capsys: Capture) -> None:
    assert run(["predict", "--model", "model", *TEXTS, "--top", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [answer["text"] for answer in found] == TEXTS
    for answer, pairs in zip(found, expected(model), strict=True):
        assert [each["intent"] for each in answer["intents"]] == [intent for intent, _ in pairs[:2]]
        assert [each["confidence"] for each in answer["intents"]] == pytest.approx([s for _, s in pairs[:2]], abs=2e-6)


@pytest.mark.parametrize("name", ["answers.csv", "answers.jsonl"])
def test_answers_go_into_a_file_as_a_whole(name: str, model: Path, capsys: Capture) -> None:
    assert run(["predict", "--model", "model", *TEXTS, "--top", "2", "--out", name]) == 0
    assert capsys.readouterr().out == f"4 answers: {name}\n"
    text = Path(name).read_text(encoding="utf-8")
    if name.endswith("csv"):
        rows = list(csv.DictReader(io.StringIO(text)))
        assert list(rows[0]) == ["text", "intent", "confidence", "intent_2", "confidence_2"]
        best = [(row["text"], row["intent"]) for row in rows]
    else:
        found = [json.loads(line) for line in text.splitlines()]
        best = [(answer["text"], answer["intents"][0]["intent"]) for answer in found]
    assert best == [(text, pairs[0][0]) for text, pairs in zip(TEXTS, expected(model), strict=True)]
    assert run(["predict", "--model", "model", "--file", "nowhere.txt", "--out", name, "--overwrite"]) == 2
    assert Path(name).read_text(encoding="utf-8") == text
    assert sorted(path.name for path in Path().iterdir()) == sorted([name, "model"])


class Slow:
    """A pipe into which somebody writes a piece at a time."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def read1(self, size: int, /) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def test_texts_are_handed_on_as_they_come() -> None:
    stream = Slow(b"one\ntw", b"o\n", b"\n  \nthr\xc3", b"\xa9\nfour")
    found = handfuls(stream, "pipe")
    assert next(found) == ["one"]
    assert len(stream.pieces) == 3
    assert list(found) == [["two"], [], ["thré"], ["four"]]


@pytest.mark.parametrize(("content", "line"), [(b"a\nb\xff\n", 2), (b"a\n\nb\0c", 3), (bytes(range(256)), 1)])
def test_what_is_no_text_is_named_by_its_line(content: bytes, line: int) -> None:
    with pytest.raises(DataError, match=f"^pipe, line {line}, "):
        list(handfuls(Slow(content), "pipe"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--model model", "There is no text to classify"),
        ("--model model ''", "There is no text to classify"),
        ("--model model --file empty.txt", "There is no text to classify"),
        ("--model model --file nowhere.txt", "There is no file nowhere.txt"),
        ("--model model --file model", "model is a folder: name a text file"),
        ("--model model --file model/model.safetensors", "is not UTF-8 text"),
        ("--model model text --file empty.txt", "leave one out"),
        ("--model model text --out answers.txt", "its ending says the format, .csv or .jsonl"),
        ("--model model text --top 0", "--top is 0, but must be at least 1"),
        ("--model nowhere text", "nowhere is not a folder here"),
        ("--model base text", "base holds no classifier"),
        ("text", "--model is needed"),
        ("--model model --file table.csv", "has no column 'text' or 'utt' or 'utterance' or 'sentence' for the texts"),
        ("--model model --file table.csv --column headlin", "(did you mean headline?): name it with --column"),
        ("--model model --file table.csv --column headline", "table.csv, line 3 has no text in its column 'headline'"),
        ("--model model --file nowhere.csv", "nowhere.csv is not there: name a table of texts"),
        ("--model model --file empty.txt --column text", "--column goes with --file TABLE"),
        (
            "--model model --file table.csv --out table.csv --overwrite",
            "is the --file of the texts, which would be lost",
        ),
        ("--model model text --overwrite", "--overwrite has no effect without --out"),
        ("--model model text --out folder.csv", "--out folder.csv is a folder: name a file"),
        ("--model model text --out empty.txt/answers.csv", "Nothing can be written to empty.txt"),
    ],
)
def test_a_wrong_call_gets_one_sentence(
    line: str, words: str, model: Path, here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pico(here).base()
    Path("empty.txt").write_text("\n \n")
    Path("table.csv").write_text("headline,number\nbala,1\n,2\n")
    Path("folder.csv").mkdir()
    type_into(monkeypatch, b"")
    before: dict[str, Any] = {str(path): path.stat().st_mtime_ns for path in Path().rglob("*")}
    assert run(["predict", *shlex.split(line)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("error: ") == 1
    assert words in err
    assert {str(path): path.stat().st_mtime_ns for path in Path().rglob("*")} == before
