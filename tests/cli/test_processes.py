"""What only a process of its own can show: Ctrl-C, and a reader that leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from workshop import INPUTS, make_workshop

from sprachbund import __version__

COMMAND = (sys.executable, "-m", "sprachbund")
NAMES = ("de-DE", "el-GR", "fr-FR", "ro-RO", "sq-AL")
EXPERIMENT = ("experiment", *INPUTS, "--sources", *NAMES, "--num-languages", "2", "--locales", *NAMES, "--jobs", "1")
LONGEST = 120
"""Seconds: so long a busy machine may take for what takes three."""


@pytest.fixture
def folder(here: Path) -> Path:
    return make_workshop(here, NAMES, NAMES)


def test_the_package_can_be_run_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "sprachbund", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"sprachbund {__version__}"


def test_ctrl_c_leaves_what_is_finished_and_says_how_to_go_on(folder: Path) -> None:
    process = subprocess.Popen([*COMMAND, *EXPERIMENT], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + LONGEST
    while not list(folder.glob("results/*/results.json")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LONGEST)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "error: Interrupted. What is finished is kept: the same command goes on from here."
    assert "Traceback" not in said
    before = {path: path.stat().st_mtime_ns for path in folder.glob("results/*/results.json")}
    assert 0 < len(before) < 15
    again = subprocess.run([*COMMAND, *EXPERIMENT], capture_output=True, text=True, timeout=LONGEST, check=False)
    assert again.returncode == 0, again.stderr
    assert f"15 of 15 results ({len(before)} of them from before)" in " ".join(again.stdout.split())
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_reader_that_leaves_early_is_no_error() -> None:
    reads, writes = os.pipe()
    os.close(reads)  # before a word is read
    try:
        process = subprocess.run(
            [*COMMAND, "experiment", "--list-locales"], stdout=writes, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writes)
    assert (process.returncode, process.stderr) == (141, "")


@pytest.mark.parametrize("setting", [{}, {"NO_COLOR": "1"}])
def test_what_is_no_terminal_gets_no_colour(setting: dict[str, str], folder: Path) -> None:
    found = subprocess.run(
        [*COMMAND, "similarity", "sq-AL"], capture_output=True, text=True, check=True, env={**os.environ, **setting}
    )
    assert "\x1b" not in found.stdout + found.stderr
    assert "ro-RO" in found.stdout
