"""What goes wrong around a run: the disk, its sources, memory, the clock, and who tells it to end.

Each fault comes at changes that an experiment makes to the disk (see ``faulting``). Then: one sentence that says how to go on,
the exit status of it, no crumbs; and once the fault is gone, the same command ends with what a run without one ends with. Many
more moments, other commands, real disks and workers are the business of ``make faults``; docs/reliability.md has the figures.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faulting
import killing
import pytest
from killing import differences, finished, tree
from pico import Pico
from workshop import INPUTS, make_workshop

from sprachbund import locks
from sprachbund.cli import run
from sprachbund.data.massive import INTENTS
from sprachbund.store import records

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory files are Linux's")

Capture = pytest.CaptureFixture[str]
SOURCES = ("el-GR", "ro-RO", "sq-AL")
WHICH = ("--locales", "sq-AL", "--sources", *SOURCES[:2], "--num-languages", "2")
LINE = shlex.join(["experiment", *INPUTS, *WHICH, "--zero-shot", "--jobs", "1"])
CHANGING = "models/el-GR/model.safetensors"
MERGED, RECORD, ROW = r"^os\.rename .* merged_models/", r"^os\.rename .* results/\S*/results\.json$", "results/transfer"

_watching: list[Callable[[str, tuple[Any, ...]], None]] = []


def _hook(event: str, details: tuple[Any, ...]) -> None:
    for watcher in _watching:
        watcher(event, details)


@pytest.fixture(scope="module")
def listening() -> None:
    """Let the interpreter announce what it does to the disk; what is announced is heard by those in a list alone."""
    sys.addaudithook(_hook)


@dataclass(frozen=True)
class Alone:
    """A folder to begin in, and what a run without a fault makes of it."""

    start: Path
    changes: list[str]
    reference: killing.Tree


@contextmanager
def watched(folder: Path, **asked: Any) -> Iterator[list[str]]:
    """Write down the changes of a block, which meets a fault if one is asked for."""
    changes, written = os.memfd_create("changes"), []
    _watching.append(killing.watcher(str(folder), changes, **{"kill": None, **asked}))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored in a shell's background
    try:
        yield written
    finally:
        signal.signal(signal.SIGINT, before)
        _watching.clear()
        written += killing.read_all(changes).splitlines()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, listening: None) -> Alone:
    """The run without a fault."""
    start = make_workshop(tmp_path_factory.mktemp("start"), SOURCES, SOURCES)
    Pico(start.parent / "other").source("el-GR", labels=INTENTS, change=0.3)
    here = copy(start, tmp_path_factory.mktemp("alone"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        with watched(here) as changes:
            assert run(shlex.split(LINE)) == 0
    return Alone(start, changes, tree(here))


@pytest.fixture
def here(alone: Alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, in which the command is typed."""
    folder = copy(alone.start, tmp_path.resolve())
    shutil.copy(alone.start.parent / "other/el-GR/model.safetensors", folder.parent / faulting.OTHER)
    monkeypatch.setattr(faulting, "CHANGING", CHANGING)
    for module, name in ((time, "time"), (time, "time_ns"), (locks, "datetime"), (records, "datetime")):
        monkeypatch.setattr(module, name, getattr(module, name))  # to be as it was after the test
    monkeypatch.chdir(folder)
    return folder


def copy(start: Path, parent: Path) -> Path:
    shutil.copytree(start, parent / "here")
    return parent / "here"


def meets(fault: str, among: str, here: Path, alone: Alone, capsys: Capture, number: int = 0) -> tuple[int, str]:
    """The exit status and the sentence of a run that meets a fault; after it the same command goes on to the same end."""
    capsys.readouterr()
    with watched(here, kill=number, among=among, fault=fault):
        status = run(shlex.split(LINE))
    said = capsys.readouterr().err
    assert "Traceback" not in said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == (1 if status else 0), said
    if fault != "read-only":  # where nothing can be removed
        assert not list(here.rglob("*.partial"))
    shutil.copy2(alone.start / CHANGING, here / CHANGING)
    done = {name: was for name, was in finished(here, alone.reference).items() if name.startswith("results/")}
    assert run(shlex.split(LINE)) == 0, capsys.readouterr().err
    # What stays where nothing can be removed goes with the next process, and this one lives on.
    assert [name for name in differences(tree(here), alone.reference) if ".partial" not in name] == []
    now = finished(here, alone.reference)
    assert [name for name, was in done.items() if now[name] != was] == [], "done again"
    return status, said[said.find("error: ") :]


@pytest.mark.parametrize("among", [MERGED, RECORD, ROW])
@pytest.mark.parametrize(
    ("fault", "status", "sentence"),
    [
        ("SIGTERM", 143, "error: Terminated. What is finished is kept: the same command goes on from here."),
        ("SIGINT", 130, "error: Interrupted. What is finished is kept: the same command goes on from here."),
        ("full", 2, "error: No space left on device: "),
        ("read-only", 2, "error: Read-only file system: "),
        ("clock", 0, ""),
    ],
)
def test_told_to_end_or_out_of_room(
    fault: str, status: int, sentence: str, among: str, here: Path, alone: Alone, capsys: Capture
) -> None:
    found, said = meets(fault, among, here, alone, capsys)
    assert found == status
    assert said.startswith(sentence)
    assert status in (0, 130, 143) or "and the same command goes on from here." in said


@pytest.mark.parametrize(("fault", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_told_to_end_while_it_tidies_up(fault: str, status: int, here: Path, alone: Alone, capsys: Capture) -> None:
    assert meets(fault, r"^os\.rmdir .*\.partial$", here, alone, capsys)[0] == status


@pytest.mark.parametrize("line", ["report --out page.html", "aggregate --format all --output-dir tables"])
@pytest.mark.parametrize(("fault", "status"), [("full", 2), ("SIGTERM", 143), ("SIGINT", 130)])
def test_tables_and_pages_are_there_as_a_whole_or_not_at_all(
    line: str, fault: str, status: int, here: Path, capsys: Capture
) -> None:
    assert run(shlex.split(LINE)) == 0
    before = tree(here)
    with watched(here, kill=0, among=r"partial$", fault=fault):
        assert run(shlex.split(line)) == status
    (sentence,) = [said for said in capsys.readouterr().err.splitlines() if said.startswith("error: ")]
    assert "the same command goes on from here." in sentence
    left = {name for name, content in tree(here).items() if content != b"folder"}
    assert left == {name for name, content in before.items() if content != b"folder"}
    assert run(shlex.split(line)) == 0


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("memory", "Memory ran out when 2.00 GiB more were asked for: close other programs, use fewer --jobs"),
        ("torch-memory", "Memory ran out when 4000000000000 bytes more were asked for: close other programs"),
        ("gpu-memory", "The memory of the GPU ran out when 2.00 GiB more were asked for: close other programs"),
    ],
)
def test_memory_that_runs_out_fails_a_cell_and_the_run_goes_on(
    fault: str, sentence: str, here: Path, alone: Alone, capsys: Capture
) -> None:
    status, said = meets(fault, RECORD, here, alone, capsys, number=1)
    assert status == 1
    assert said.startswith("error: 1 of 5 experiments failed; the same command tries them again.")
    assert sentence in said


@pytest.mark.parametrize("among", [r"^os\.mkdir .*merged_models", r"^open .*model\.safetensors$", MERGED, RECORD])
def test_a_source_that_is_replaced_while_the_run_reads_it_fails_what_is_made_of_it(
    among: str, here: Path, alone: Alone, capsys: Capture
) -> None:
    status, said = meets("changed", among, here, alone, capsys)
    assert status == 1
    assert "models/el-GR has changed while this run was at work: bring back what was there, or run again" in said


def test_a_source_that_is_cut_short_is_told_of(here: Path, alone: Alone, capsys: Capture) -> None:
    status, said = meets("cut", r"^os\.mkdir .*merged_models", here, alone, capsys)
    assert status == 1
    assert "models/el-GR has changed while this run was at work" in said
