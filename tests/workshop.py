"""A folder in which commands can be typed: pico sources under ``models/`` and MASSIVE in the official layout under ``data/``.

For tests that run whole commands in process. The rows are few and made up; intents and labels are those of MASSIVE, since
that is what ``--data massive:PATH`` takes.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pico import FILLERS, Pico

from sprachbund.cli import run
from sprachbund.data.massive import INTENTS

Capture = pytest.CaptureFixture[str]

INPUTS = ("--models", "models/{locale}", "--data", "massive:data")
ROWS = {"train": 60, "dev": 6, "test": 6}
"""Rows in each locale: every intent once to train on."""


def make_workshop(folder: Path, sources: Iterable[str], data: Iterable[str]) -> Path:
    """Make a source for each of ``sources``, and rows for each locale of ``data``."""
    for locale in sources:
        Pico(folder / "models").source(locale, labels=INTENTS)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for locale in data:
        (folder / "data" / f"{locale}.jsonl").write_text("".join(rows(locale)), encoding="utf-8")
    return folder


def content(folder: Path) -> dict[str, bytes | None]:
    """Every file with its bytes, every folder with None, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def typed(line: str, capsys: Capture) -> tuple[Any, str]:
    """The result of a line that goes through, and what was said beside it."""
    capsys.readouterr()
    status = run([*shlex.split(line), "--json"])
    out, err = capsys.readouterr()
    assert status == 0, err
    return json.loads(out), err


def refused(line: str, capsys: Capture) -> str:
    """The sentence that refuses a line, which leaves everything as it was."""
    before = content(Path())
    capsys.readouterr()
    assert run(shlex.split(line)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert content(Path()) == before
    (sentence,) = [said for said in err.splitlines() if said.startswith("error: ")]
    return sentence.removeprefix("error: ")


def merged_of(target: str, variant: str = "similarity") -> set[str]:
    """The sources that stand in the record of a merge."""
    record = json.loads(Path(f"results/{variant}_{target}/results.json").read_text(encoding="utf-8"))
    return {source["locale"] for source in record["model_info"]["sources"]}


def rows(locale: str) -> Iterator[str]:
    """The rows of a locale, as lines of MASSIVE's own files."""
    partitions = [partition for partition, count in ROWS.items() for _ in range(count)]
    for number, partition in enumerate(partitions):
        entry = {
            "id": str(number),
            "locale": locale,
            "partition": partition,
            "scenario": "made-up",
            "intent": INTENTS[number % len(INTENTS)],
            "utt": f"{FILLERS[number % 10]} {locale} {FILLERS[number // 10]}",
        }
        yield json.dumps(entry) + "\n"
