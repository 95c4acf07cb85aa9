"""``sprachbund compare``: what is typed, and one sentence for each thing that is wrong with it."""

from __future__ import annotations

import csv
import shlex
import shutil
from pathlib import Path

import pytest
from pico import Pico
from workshop import make_workshop, refused, typed

from sprachbund.cli import run
from sprachbund.data.massive import INTENTS

Capture = pytest.CaptureFixture[str]

NAMES = ("el-GR", "ro-RO", "sq-AL")
EXPERIMENT = (
    f"experiment --data massive:data --sources {' '.join(NAMES)} --num-languages 2 --jobs 1 --quiet --keep-models none"
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with two zoos on the same data; to be copied."""
    folder = make_workshop(tmp_path_factory.mktemp("finished"), NAMES, NAMES)
    for locale in NAMES:
        Pico(folder / "others").source(locale, labels=INTENTS, head_seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(shlex.split(f"{EXPERIMENT} --models models/{{locale}} --output-dir one")) == 0
        assert run(shlex.split(f"{EXPERIMENT} --models others/{{locale}} --output-dir two --skip-baseline")) == 0
    return folder


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the runs, in whose folder commands are typed."""
    folder = tmp_path / "copy"
    for name in ("one", "two"):
        shutil.copytree(finished / name, folder / name)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.usefixtures("here")
def test_two_runs_with_different_zoos(capsys: Capture) -> None:
    found, _ = typed("compare one/results two/results --out rows.csv", capsys)
    assert [pair["first"] for pair in found["pairs"]] == ["similarity", "average"]
    assert "models" in found["notes"][0]
    assert "others" in found["notes"][0]
    with Path("rows.csv").open(encoding="utf-8", newline="") as stream:
        assert [row["locale"] for row in csv.DictReader(stream)] == [*NAMES, *NAMES]
    assert found["file"] == "rows.csv"
    assert run(shlex.split("compare one/results two/results --out rows.csv")) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("A: one/results\nB: two/results\n")
    assert shown.endswith("rows.csv\n")


@pytest.mark.usefixtures("here")
def test_one_folder_with_two_zoos_is_compared_with_itself(capsys: Capture) -> None:
    Path("both").mkdir()
    for path in Path("one/results").iterdir():
        if path.is_dir():
            shutil.copytree(path, Path("both") / f"one-{path.name}")
    for path in Path("two/results").iterdir():
        if path.is_dir():
            shutil.copytree(path, Path("both") / f"two-{path.name}")
    sentence = refused("compare both both", capsys)
    assert "2 setups" in sentence
    assert "--zoo" in sentence
    found, _ = typed("compare both both --zoo models others", capsys)
    assert found["first"]["zoo"].endswith("models/{locale}")
    assert found["second"]["zoo"].endswith("others/{locale}")
    same, _ = typed("compare both both --zoo others", capsys)
    assert [pair["mean"] for pair in same["pairs"]] == [0, 0]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("compare one/results", ("B is needed",)),
        ("compare one/results nowhere", ("nowhere does not exist",)),
        ("compare one/results one/experiment_progress.json", ("one/experiment_progress.json is a file, not a folder",)),
        ("compare one two", ("one is the folder of a run", "one/results")),
        (
            "compare one/results two/results --variants baseline",
            ("Unknown variant of B 'baseline'", "ONE_IN_A:OTHER_IN_B"),
        ),
        ("compare one/results two/results --split dev", ("split", "dev")),
        ("compare one/results two/results --out one", ("--out one is a folder: name a file",)),
        ("compare one/results two/results --zoo a b c", ("--zoo names 3 zoos",)),
        ("compare one/results two/results --zoo others", ("zoo 'others'",)),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(line: str, said: tuple[str, ...], capsys: Capture) -> None:
    sentence = refused(line, capsys)
    assert all(part in sentence for part in said), sentence
