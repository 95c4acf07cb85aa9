"""``sprachbund watch``: a run is followed to its end, whatever that is; nothing is locked, nothing written."""

from __future__ import annotations

import io
import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pico import poison
from rich.console import Console
from workshop import INPUTS, content, make_workshop, refused, typed

from sprachbund import locks
from sprachbund.cli import run
from sprachbund.cli import watch as command

Capture = pytest.CaptureFixture[str]

NAMES = ("el-GR", "ro-RO", "sq-AL")
EXPERIMENT = (
    f"experiment {shlex.join(INPUTS)} --sources {' '.join(NAMES)} --num-languages 2 --jobs 1 --locales sq-AL ro-RO "
    "--output-dir run --quiet"
)
WATCH = "watch --output-dir run"
Moment = Callable[[], object]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six cells, three of which have failed; to be copied."""
    folder = make_workshop(tmp_path_factory.mktemp("finished"), NAMES, NAMES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        poison(Path("models/ro-RO"))
        assert run(shlex.split(EXPERIMENT)) == 1
    return folder / "run"


@pytest.fixture
def made(finished: Path, here: Path) -> Path:
    """A copy of that run, in ``run``."""
    return Path(shutil.copytree(finished, here / "run"))


class Screen:
    """A terminal that somebody watches; ``moments`` are what happens between one look and the next."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, width: int = 80, height: int = 24) -> None:
        self.written = io.StringIO()
        self.moments: Iterator[Moment] = iter(())
        terminal = Console(file=self.written, force_terminal=True, width=width, height=height, highlight=False)
        monkeypatch.setattr(command, "console", terminal)
        monkeypatch.setattr(command.time, "sleep", lambda seconds: next(self.moments)())

    def watch(self, *moments: Moment) -> int:
        """Watch until the end, or until nothing happens any more."""
        self.moments = iter(moments)
        return run(shlex.split(WATCH))

    @property
    def text(self) -> str:
        return self.written.getvalue()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch)


def nothing() -> None:
    """A moment at which nothing happens."""


# --- one look ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("made")
def test_what_is_no_terminal_gets_one_look(here: Path, capsys: Capture) -> None:
    before = content(here)
    assert run(shlex.split(WATCH)) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "run: 3 of 6 results, 3 failed, 0 to do"
    assert out.splitlines()[1] == "nobody is at work"
    assert out.count("\nfailed: ") == 3
    assert "NaN" in out
    assert (err, content(here)) == ("", before)


@pytest.mark.usefixtures("made")
def test_programs_get_a_document(capsys: Capture) -> None:
    found, _ = typed(WATCH, capsys)
    assert (found["total"], found["done"], found["failed"], found["open"], found["complete"]) == (6, 3, 3, 0, True)
    assert found["at_work"] is None
    final = json.loads(Path("run/experiment_final_results.json").read_text(encoding="utf-8"))
    for locale, results in final["results"].items():
        for variant, result in results.items():
            assert found["cells"][locale][variant]["accuracy"] == result.get("accuracy")
            assert found["cells"][locale][variant]["reason"] == result.get("error")
    with locks.exclusive(Path("run/results")):
        assert typed(WATCH, capsys)[0]["at_work"]["process"] > 0


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("line", [f"{WATCH} --once", f"{WATCH} --json", WATCH])
def test_where_there_is_no_run_one_look_is_refused(line: str, capsys: Capture) -> None:
    sentence = refused(line, capsys)
    assert sentence.startswith("run holds nothing of a run yet: ")
    assert "--output-dir" in sentence


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("wrong", ["run", "run/results"])
def test_a_file_is_no_folder_of_a_run(wrong: str, screen: Screen, capsys: Capture) -> None:
    Path(wrong).parent.mkdir(exist_ok=True)
    Path(wrong).write_text("", encoding="utf-8")
    said = f"{wrong} is a file, not a folder: name the folder of a run with --output-dir."
    assert refused(f"{WATCH} --json", capsys) == said
    assert refused(f"{WATCH} --once", capsys) == said
    assert screen.watch() == 2
    assert capsys.readouterr().err == f"error: {said}\n"


def test_where_nothing_can_be_read_there_is_nothing_to_show(made: Path, screen: Screen, capsys: Capture) -> None:
    (made / "experiment_progress.json").write_text("{", encoding="utf-8")
    assert typed(WATCH, capsys)[0]["done"] == 3, "results are readable"
    shutil.rmtree(made / "results")
    sentence = refused(f"{WATCH} --json", capsys)
    assert sentence.startswith("run/experiment_progress.json is not a record of sprachbund (no JSON")
    assert refused(f"{WATCH} --once", capsys) == sentence
    assert screen.watch(*[nothing] * 4) == 2
    assert capsys.readouterr().err == f"error: {sentence}\n"


@pytest.mark.usefixtures("made")
def test_once_on_a_terminal_fits_it(screen: Screen) -> None:
    assert run(shlex.split(f"{WATCH} --once")) == 0
    assert "3 of 6 results" in screen.text
    assert len(screen.text.splitlines()) <= 24


# --- until the end -----------------------------------------------------------------------------------------------------


def test_a_run_is_followed_from_before_its_beginning(
    finished: Path, here: Path, screen: Screen, capsys: Capture
) -> None:
    with ExitStack() as held:

        def begin() -> None:
            held.enter_context(locks.exclusive(here / "run/results"))
            shutil.copy(finished / "experiment_progress.json", here / "run")

        def cell(name: str) -> Moment:
            return lambda: shutil.copytree(finished / "results" / name, here / "run/results" / name)

        names = sorted(path.name for path in (finished / "results").glob("[!.]*") if path.is_dir())
        assert len(names) == 6
        status = screen.watch(nothing, begin, *map(cell, names), nothing, held.close)
    assert status == 1
    assert "Nothing of a run in run yet: waiting for it." in screen.text
    for done in range(1, 4):
        assert f"run: {done} of 6 results" in screen.text
    assert "at work since" in screen.text
    assert screen.text.rindex("nobody is at work") > screen.text.rindex("at work since")
    assert "every cell had its turn" in screen.text
    error = capsys.readouterr().err
    assert error.startswith("error: 3 of 6 experiments failed")
    assert error.count("NaN") == 3
    with pytest.raises(StopIteration):
        next(screen.moments)


def test_where_all_is_done_there_is_nothing_to_wait_for(made: Path, screen: Screen) -> None:
    for name in ("baseline_ro-RO", "similarity_sq-AL", "average_sq-AL"):
        shutil.copy(made / "results/baseline_sq-AL/predictions.csv", made / "results" / name)
        (made / "results" / name / "failure.json").unlink()
    progress = json.loads((made / "experiment_progress.json").read_text(encoding="utf-8"))
    for locale, variant in (("ro-RO", "baseline"), ("sq-AL", "similarity"), ("sq-AL", "average")):
        del progress["cells"][locale][variant]
    (made / "experiment_progress.json").write_text(json.dumps(progress), encoding="utf-8")
    assert screen.watch() == 0
    assert "run: 3 of 3 results, 0 to do" in screen.text


def test_a_run_that_was_killed_ends_the_watch_and_one_that_nobody_works_on_is_waited_for(
    made: Path, screen: Screen, capsys: Capture
) -> None:
    shutil.rmtree(made / "results/baseline_sq-AL")
    lock = ExitStack()
    status = screen.watch(
        nothing, nothing, lambda: lock.enter_context(locks.exclusive(made / "results")), nothing, lock.close
    )
    assert status == 1
    assert "nobody is at work: the command of the run goes on from here" in screen.text
    assert "error: The run has ended, and 1 of 6 results are missing" in capsys.readouterr().err


def test_a_run_that_has_died_before_is_not_waited_for_for_ever(made: Path, screen: Screen, capsys: Capture) -> None:
    shutil.rmtree(made / "results/baseline_sq-AL")
    assert screen.watch(*[nothing] * 4) == 1
    assert "nobody is at work: the command of the run goes on from here" in screen.text
    assert "error: The run has ended, and 1 of 6 results are missing" in capsys.readouterr().err
    with pytest.raises(StopIteration):
        next(screen.moments)


def test_results_without_a_prefix_are_of_no_run(made: Path, screen: Screen, capsys: Capture) -> None:
    (made / "experiment_progress.json").unlink()
    for path in (made / "results").glob("*_*"):
        record = path / "results.json"
        if record.exists():
            found = json.loads(record.read_text(encoding="utf-8"))
            found["evaluation_info"]["variant"] = ""
            record.write_text(json.dumps(found), encoding="utf-8")
        else:
            shutil.rmtree(path)
    assert screen.watch(*[nothing] * 4) == 1
    assert "of a run there is nothing in the folder" in capsys.readouterr().err


def test_zero_shot_that_is_not_complete_by_the_end(made: Path, screen: Screen, capsys: Capture) -> None:
    progress = json.loads((made / "experiment_progress.json").read_text(encoding="utf-8"))
    progress["cells"] = {"sq-AL": {"baseline": progress["cells"]["sq-AL"]["baseline"]}}
    progress["zero_shot"] = ["el-GR"]
    (made / "experiment_progress.json").write_text(json.dumps(progress), encoding="utf-8")
    lock = ExitStack()
    lock.enter_context(locks.exclusive(made / "results"))
    assert screen.watch(lock.close) == 1
    assert "zero-shot: 0 of 1 sources" in screen.text
    assert "1 of 1 sources were not evaluated" in capsys.readouterr().err


def test_ctrl_c_leaves_the_watch_and_says_that_the_run_goes_on(made: Path, screen: Screen, capsys: Capture) -> None:
    def interrupt() -> Any:
        raise KeyboardInterrupt

    with locks.exclusive(made / "results"):
        assert screen.watch(nothing, interrupt) == 130
    assert capsys.readouterr().err == "No longer watched: the run goes on without it.\n"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("interval", ["0", "-1", "soon"])
def test_an_interval_that_is_none(interval: str, capsys: Capture) -> None:
    assert "--interval" in refused(f"{WATCH} --interval {interval}", capsys)
