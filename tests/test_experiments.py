"""The files in ``experiments/``: each can be run as its header says, and promises what comes of it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from sprachbund.cli import run
from sprachbund.config import ExperimentConfig

FILES = sorted((Path(__file__).parents[1] / "experiments").glob("*.yaml"))


def test_there_are_the_three_that_users_look_for() -> None:
    assert {path.stem for path in FILES} >= {"seed", "demo", "two-minutes"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_header_has_command_cost_and_expected_result(path: Path) -> None:
    header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    (command,) = [line for line in header if re.match(r"#\s+command:", line)]
    assert f"--config experiments/{path.name}" in command
    for promise in ("cost:", "expected:"):
        assert any(re.match(rf"#\s+{promise}\s+\S", line) for line in header)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_command_takes_it_and_settles_on_what_it_says(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = re.search(r"sprachbund (.*)", path.read_text(encoding="utf-8"))
    assert command
    words = [word.replace("experiments/", f"{path.parent}/") for word in shlex.split(command[1])]
    assert run([*words, "--print-config"]) == 0
    settled = yaml.safe_load(capsys.readouterr().out)
    assert settled | yaml.safe_load(path.read_text(encoding="utf-8")) == settled
    ExperimentConfig.model_validate(
        {key: value for key, value in settled.items() if key in ExperimentConfig.model_fields}
    )
