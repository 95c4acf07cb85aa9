"""An experiment tracker is told what a run does if somebody asks for it, and costs no run if it fails."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pico import poison
from workshop import INPUTS, make_workshop

from sprachbund.cli import run
from sprachbund.experiment import FINAL

Capture = pytest.CaptureFixture[str]

NAMES = ("el-GR", "ro-RO", "sq-AL")
POOL = f"{shlex.join(INPUTS)} --sources {' '.join(NAMES)} --num-languages 2 --jobs 1"
EXPERIMENT = f"experiment {POOL} --variants baseline average"
COMMAND = (sys.executable, "-m", "sprachbund")
Calls = list[tuple[str, Any]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_workshop(tmp_path / "here", NAMES, NAMES)
    monkeypatch.chdir(folder)
    return folder


class Wandb(types.ModuleType):
    """The face of wandb; writes down what it is told, and raises where a test wants it to."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.calls: Calls = []
        self.fails: set[str] = set()

    def init(self, *, project: str, config: dict[str, Any]) -> object:
        return self._called("init", (project, config))

    def log(self, data: dict[str, Any]) -> None:
        self._called("log", data)

    def finish(self) -> None:
        self._called("finish", None)

    def logged(self) -> list[dict[str, Any]]:
        return [what for name, what in self.calls if name == "log"]

    def _called(self, name: str, what: Any) -> object:
        print("wandb: what trackers print")
        if name in self.fails:
            raise ConnectionResetError(f"{name} found\nno server")
        json.dumps(what, allow_nan=False)
        self.calls.append((name, what))
        return self


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wandb]:
    fake = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def typed(line: str, capsys: Capture, status: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert run(shlex.split(line)) == status, capsys.readouterr().err
    return capsys.readouterr()


@pytest.mark.usefixtures("here")
def test_settings_cells_failures_and_means_are_told(wandb: Wandb, capsys: Capture) -> None:
    poison(Path("models/ro-RO"))
    out, err = typed(f"{EXPERIMENT} --locales sq-AL ro-RO el-GR --track wandb:mine --json", capsys, status=1)
    final = json.loads(out)
    assert final["results"] == json.loads(Path(FINAL).read_text(encoding="utf-8"))["results"]
    assert "what trackers print" in err
    assert wandb.calls[0][0] == "init"
    project, settings = wandb.calls[0][1]
    assert project == "mine"
    assert settings["num_languages"] == 2
    assert settings["variants"] == ["baseline", "average"]
    assert settings["track"] == "wandb:mine"
    assert settings["zoo"].endswith("models/{locale}")
    assert {"revision", "sprachbund"} <= settings.keys()
    assert [name for name, _ in wandb.calls[-2:]] == ["log", "finish"]

    *cells, means = wandb.logged()
    assert [cell["cell"] for cell in cells] == [1, 2, 3, 4, 5, 6]
    told = {(cell["variant"], cell["locale"]): cell for cell in cells}
    assert not any(cell["from_before"] for cell in cells)
    for locale, results in final["results"].items():
        for variant, result in results.items():
            cell = told[variant, locale]
            if "error" in result:
                assert cell["failure"] == result["error"]
            else:
                record = json.loads(Path(f"results/{variant}_{locale}/results.json").read_text(encoding="utf-8"))
                assert cell[f"accuracy/{variant}"] == result["accuracy"]
                assert cell[f"macro_f1/{variant}"] == record["performance"]["macro_f1"]
    done = [
        results["baseline"]["accuracy"] for results in final["results"].values() if "error" not in results["baseline"]
    ]
    assert means["mean_accuracy/baseline"] == pytest.approx(sum(done) / 2)
    assert (means["locales/baseline"], means["failed"]) == (2, final["failed_experiments"])

    wandb.calls.clear()
    typed(f"{EXPERIMENT} --locales sq-AL --skip-average --track wandb:mine", capsys)
    assert [entry["from_before"] for entry in wandb.logged()[:-1]] == [True]
    assert "track" not in Path("experiment_config.yaml").read_text(encoding="utf-8"), "nobody is told unasked"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("fails", "logged"), [({"log"}, 0), ({"finish"}, 3), ({"log", "finish"}, 0)])
def test_a_tracker_that_fails_costs_no_run(fails: set[str], logged: int, wandb: Wandb, capsys: Capture) -> None:
    wandb.fails = fails
    out, err = typed(f"{EXPERIMENT} --locales sq-AL --track wandb:mine --json", capsys)
    assert json.loads(out)["successful_experiments"] == 2
    assert err.count("wandb is told nothing more") == 1
    assert "found no server" in err
    assert len(wandb.logged()) == logged
    assert ("finish", None) in wandb.calls or "finish" in fails, "what was begun is ended"


@pytest.mark.usefixtures("here")
def test_a_run_that_cannot_go_on_ends_its_tracker_too(wandb: Wandb, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sprachbund.cells.evaluate", interrupt)
    assert run(shlex.split(f"{EXPERIMENT} --track wandb:mine")) == 130
    assert wandb.calls[-1] == ("finish", None)


@pytest.mark.usefixtures("here")
def test_unasked_nobody_is_told(wandb: Wandb, capsys: Capture) -> None:
    typed(f"{EXPERIMENT} --locales sq-AL", capsys)
    typed(f"plan {POOL} --track wandb:mine", capsys)
    assert wandb.calls == []


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", ["experiment", "plan"])
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("wandbb:mine", ("Unknown tracker 'wandbb'", "wandb")),
        ("wandb", ("names no project", "wandb:PROJECT")),
        ("trackio:", ("names no project", "trackio:PROJECT")),
        ("wandb:mine", ("pip install wandb",)),
    ],
)
def test_a_wrong_tracker_is_refused_before_any_work(
    command: str, asked: str, said: tuple[str, ...], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    _, err = typed(f"{EXPERIMENT.replace('experiment', command, 1)} --track {asked}", capsys, status=2)
    (sentence,) = err.splitlines()
    assert all(part in sentence for part in said)
    assert not Path("results").exists()


@pytest.mark.usefixtures("here")
def test_a_tracker_that_cannot_begin_is_refused_before_the_first_cell(wandb: Wandb, capsys: Capture) -> None:
    wandb.fails = {"init"}
    _, err = typed(f"{EXPERIMENT} --track wandb:mine", capsys, status=2)
    assert "error: --track wandb:mine: wandb cannot begin (ConnectionResetError: init found no server)" in err
    assert not list(Path().glob("results/*/results.json"))


def test_trackio_itself_keeps_all_of_it_on_this_machine(here: Path, tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TRACKIO_")}
    line = [*COMMAND, *shlex.split(EXPERIMENT), "--locales", "sq-AL", "--track", "trackio:mine", "--json"]
    process = subprocess.run(
        line,
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"TRACKIO_DIR": str(tmp_path / "kept"), "HOME": str(tmp_path / "home")},
    )
    assert process.returncode == 0, process.stderr
    final = json.loads(process.stdout)
    assert "is told nothing more" not in process.stderr
    with sqlite3.connect(tmp_path / "kept" / "mine.db") as kept:
        entries = [json.loads(row[0]) for row in kept.execute("select metrics from metrics order by id")]
        (settings,) = [json.loads(row[0]) for row in kept.execute("select config from configs")]
    kept.close()
    assert settings["num_languages"] == 2
    baseline, average, means = entries
    assert (baseline["variant"], baseline["locale"]) == ("baseline", "sq-AL")
    assert baseline["accuracy/baseline"] == final["results"]["sq-AL"]["baseline"]["accuracy"]
    assert average["accuracy/average"] == final["results"]["sq-AL"]["average"]["accuracy"]
    assert means["mean_accuracy/average"] == average["accuracy/average"]
