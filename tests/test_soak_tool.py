"""The tool that kills runs: its count goes on from its log, its moments lie in what is left, its table counts all of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def tool(tool_named: Callable[[str], ModuleType]) -> ModuleType:
    return tool_named("soak_resume")


def rounds(tool: ModuleType) -> list[Any]:
    worker, main = tool.Kill(tool.WORKER, "zero-shot"), tool.Kill(tool.MAIN, "start")
    return [
        tool.Round("local", [worker, main, worker], runs=3, failed=1, seconds=2.5),
        tool.Round("local", [main], runs=2, orphans=["7"], seconds=4),
    ]


def test_the_count_goes_on_from_the_log(tool: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "kills.jsonl"
    job = tool.job("local", tool.TWO)
    assert tool.read_log(log, job) == []
    log.write_text("".join(json.dumps(asdict(found)) + "\n" for found in rounds(tool)), encoding="utf-8")
    assert tool.read_log(log, job) == rounds(tool)
    with pytest.raises(SystemExit, match=r"is the log of local, not of ray: name another file\."):
        tool.read_log(log, tool.job("ray", tool.TWO))


def test_the_table_counts_every_kill_once(tool: ModuleType) -> None:
    *lines, last = tool.table(rounds(tool)).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["zero-shot", "0", "2"],
        ["start", "2", "0"],
        ["in", "all", "2", "2"],
    ]
    assert last.startswith("2 rounds, 5 runs (1 ended with failures after a worker was killed), 4 kills, 1 rounds that")


def test_moments_lie_in_what_is_left_of_the_run(tool: ModuleType, tmp_path: Path) -> None:
    job = tool.job("local", tool.TWO)
    (tmp_path / "results/average_da-DK").mkdir(parents=True)
    (tmp_path / "results/average_da-DK/results.json").touch()
    lot = random.Random(0)
    moments = [tool.a_moment(job, tmp_path, 30.0, again=True, lot=lot) for _ in range(200)]
    anywhere = [moment.seconds for moment in moments if not moment.records]
    assert 60 < len(anywhere) < 140
    assert 0 <= min(anywhere) < 1 < 27 < max(anywhere) <= 30 * (1 - 1 / job.records)
    assert {moment.records for moment in moments} == {0, *range(2, job.records + 1)}


def test_who_has_a_file_of_a_folder_open_works_in_it(tool: ModuleType, tmp_path: Path) -> None:
    assert tool.processes_in(tmp_path) == []
    with (tmp_path / "lock").open("w"):
        (found,) = tool.processes_in(tmp_path)
    assert found.endswith(f": {tmp_path / 'lock'}")
