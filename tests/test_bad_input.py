"""Bad input: each gets one sentence that says what is wrong, where, and what next; exit status 2; nothing is touched.

A case is a real command line in a folder with pico models, data and results of which something was spoiled. The table in
docs/reliability.md is made of the cases and of what they print, and is compared with both here. To write it anew:

    SPRACHBUND_WRITE_DOCS=1 python -m pytest tests/test_bad_input.py
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_input import (
    CASES,
    CONFIG,
    EVALUATE,
    EVERY,
    EXPERIMENT,
    RECORD,
    TARGET,
    Case,
    as_json,
    put,
    row,
    small_files,
    tensors,
    workshop,
)

from sprachbund.cli import run

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- the cases of tests/test_bad_input.py, written by it -->", "<!-- end of the cases -->"
WRITE_DOCS = "SPRACHBUND_WRITE_DOCS"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workshop, to be copied."""
    folder = tmp_path_factory.mktemp("workshop")
    workshop(folder)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the workshop, in which the command is typed."""
    folder = tmp_path / "here"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SPRACHBUND_CACHE", str(folder.parent / "cache"))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes, hidden ones too; a lock that nobody holds is no content."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return {str(path.relative_to(folder)): path.read_bytes() if os.access(path, os.R_OK) else b"" for path in found}


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence on standard error, after whatever notes there are."""
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1, lines
    return lines[-1].removeprefix("error: ")


def check_style(sentence: str) -> None:
    """No words of programmers, and not too many of ours."""
    assert not re.search(r"Traceback|\[Errno|\b[A-Z]\w+(Error|Exception)\b|<class|object at 0x", sentence), sentence
    assert sentence[-1] in ".?", sentence
    assert len(sentence.split()) <= 75, sentence


# --- the tests ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written() -> Iterator[dict[str, str]]:
    """Collects the sentences of the cases; writes the page if it was asked for."""
    sentences: dict[str, str] = {}
    yield sentences
    if os.environ.get(WRITE_DOCS):
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{table(sentences)}{END}{rest.partition(END)[2]}", encoding="utf-8")


def table(sentences: dict[str, str]) -> str:
    """All cases, group by group, in Markdown."""
    return "".join(
        f"**{group}**\n\n| what is wrong | what is said |\n|---|---|\n"
        + "".join(f"| {case.what} | {sentences[case.what]} |\n" for case in cases if case.what in sentences)
        + "\n"
        for group, cases in CASES.items()
    )


def as_written(sentence: str, here: Path) -> str:
    """Leave out what is another thing elsewhere: the folder, times, numbers of bytes, the words of transformers."""
    sentence = re.sub(rf"{re.escape(tempfile.gettempdir())}/tmp\w+", "…", sentence.replace(str(here), "…"))
    sentence = sentence.replace(str(here.parent), "…")
    sentence = re.sub(r"\d{4}-\d\d-\d\dT[\d:+]+|\b\d{3,}\b|(?<=no JSON at line )\d+|\b\d+\.\d [kMG]B\b", "…", sentence)
    return re.sub(r"(by transformers) \(.*?\)", r"\1 (…)", sentence).replace("|", "\\|")


def on_the_page() -> dict[str, str]:
    """The rows of the page's table."""
    text = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    return dict(re.findall(r"^\| (?!what is wrong)(.+?) \| (.+) \|$", text, re.MULTILINE))


@pytest.mark.parametrize("case", EVERY, ids=[case.what for case in EVERY])
def test_it_is_one_sentence_and_nothing_is_touched(
    case: Case, here: Path, capsys: pytest.CaptureFixture[str], written: dict[str, str]
) -> None:
    case.spoil(here)
    before = content(here)
    capsys.readouterr()
    with case.during():
        assert run(shlex.split(case.line)) == 2
    sentence = complaint(capsys)
    check_style(sentence)
    for word in case.words:
        assert word in sentence
    after = content(here)
    assert {path: after[path] for path in after if path not in case.leaves} == before
    written[case.what] = as_written(sentence, here)
    if not os.environ.get(WRITE_DOCS):
        assert on_the_page()[case.what] == written[case.what]


def test_the_page_lists_these_cases_and_no_others() -> None:
    if os.environ.get(WRITE_DOCS):
        pytest.skip("the page is being written")
    assert list(on_the_page()) == [case.what for case in EVERY]


# --- what is no error, or not one that stops ---------------------------------------------------------------------------


def predictions(folder: Path) -> str:
    return (folder / RECORD).with_name("predictions.csv").read_text(encoding="utf-8")


def test_numbered_labels_that_fit_are_read_in_the_data_s_order_and_that_is_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(shlex.split(EVALUATE)) == 0
    named = predictions(here)
    shutil.rmtree(here / "results")
    as_json(CONFIG, id2label={str(number): f"LABEL_{number}" for number in range(60)})(here)
    capsys.readouterr()
    assert run(shlex.split(EVALUATE)) == 0
    assert "models/sq-AL names its labels LABEL_0 to LABEL_59: read in the label order of massive." in (
        capsys.readouterr().err
    )
    assert predictions(here) == named
    assert "LABEL" not in named


def test_long_texts_are_cut_to_the_positions_of_the_model_whatever_its_tokenizer_claims(here: Path) -> None:
    as_json(f"models/{TARGET}/tokenizer_config.json", model_max_length=10**30)(here)
    row(67, utt="bala dono " * 500)(here)
    assert run(shlex.split(EVALUATE)) == 0


def test_in_an_experiment_nan_in_a_source_costs_its_merges_and_nothing_else(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors("el-GR", put("classifier.out_proj.weight", float("nan")))(here)
    assert run(shlex.split(EXPERIMENT)) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "2 of 3 experiments failed" in error
    assert "sq-AL average: Tensor classifier.out_proj.weight of models/el-GR holds NaN" in error
    assert (here / RECORD).exists()
    assert not list((here / "merged_models").iterdir())


def test_after_a_full_disk_the_same_command_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with small_files():
        assert run(shlex.split(EXPERIMENT)) == 2
    assert "File too large: merged_models." in complaint(capsys)
    assert sorted(path.name for path in (here / "results").glob("*_*")) == [f"baseline_{TARGET}"]
    assert not list(here.rglob("*.partial"))
    kept = content(here / "results")
    assert run(shlex.split(EXPERIMENT)) == 0
    assert "3 of 3 results (1 of them from before)" in " ".join(capsys.readouterr().out.split())
    assert kept.items() <= content(here / "results").items()
