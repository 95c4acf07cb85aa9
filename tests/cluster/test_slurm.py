"""The file of ``sprachbund cluster slurm``, submitted to a real Slurm of two nodes: Ray begins, works and ends on both.

Where only the file is asked about, a small program of Ray stands in the place of sprachbund, put into the PATH by --setup.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import psutil
import pytest
from killing import differences, tree
from two_nodes import Slurm
from workshop import INPUTS, make_workshop

from sprachbund.cli import run
from sprachbund.experiment import FINAL

pytestmark = pytest.mark.cluster

LOCALES = ("da-DK", "el-GR", "nb-NO", "ro-RO", "sq-AL", "sv-SE")

HOSTILE = 'it\'s $(touch here) `id` "two"  & <blanks> \\ ünï'
"""A folder that a shell must not read as anything but a name."""

WITNESS = """\
#!{python}
'''Stands in the place of sprachbund: tells how it was called, and which nodes its tasks have seen.'''
import json, os, pathlib, sys, time
import ray

here = pathlib.Path("witness.jsonl")
ray.init(log_to_driver=False)


@ray.remote(num_cpus=1, num_gpus=1)
def seen():
    time.sleep(2)
    return os.environ["SLURMD_NODENAME"], os.environ["CUDA_VISIBLE_DEVICES"]


places = ray.get([seen.remote() for _ in range(4)])
told = dict(arguments=sys.argv[1:], places=sorted(places))
with here.open("a") as file:
    file.write(json.dumps(told) + "\\n")
{then}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the job is submitted and runs."""
    here = tmp_path / HOSTILE
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def witness(folder: Path, then: str) -> str:
    """Put the witness where the job finds it before sprachbund, and return the line for --setup that says so."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "sprachbund").write_text(WITNESS.format(python=sys.executable, then=then), encoding="utf-8")
    (programs / "sprachbund").chmod(0o755)
    return f"export PATH={shlex.quote(str(programs))}:$PATH"


def written(*flags: str, experiment: Sequence[str]) -> str:
    assert (
        run(["cluster", "slurm", "--nodes", "2", "--cpus-per-task", "2", *flags, "--", "experiment", *experiment]) == 0
    )
    return "run.sbatch"


def told(folder: Path) -> list[dict[str, object]]:
    path = folder / "witness.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def output(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in folder.glob("slurm-*.out"))


def assert_nothing_is_left(slurm: Slurm, job: str) -> None:
    """No process of the job's Ray, and none of its folders."""
    name = f"/tmp/ray-{job}-"
    slurm.wait(
        lambda: not any(name in part for process in psutil.process_iter() for part in _line(process)), "Ray is gone"
    )
    slurm.wait(lambda: not list(Path("/tmp").glob(f"ray-{job}-*")), "the folders of Ray are gone")


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return []


def test_tasks_run_on_the_gpus_of_both_nodes_and_the_status_is_that_of_the_experiment(
    slurm: Slurm, folder: Path
) -> None:
    models = "models; exit 9 \"$HOME\" '{locale}'"
    file = written(
        "--gpus-per-node", "2", "--mem", "1G", "--time", "00:05:00", "--partition", "main",
        "--setup", witness(folder, "sys.exit(3)"),
        experiment=("--models", models),
    )  # fmt: skip
    job = slurm.submit(file, folder)
    end = slurm.ended(job, folder)
    assert (end["JobState"], end["ExitCode"]) == ("FAILED", "3:0"), output(folder)
    (only,) = told(folder)
    assert only["arguments"] == ["experiment", "--models", models, "--executor", "ray"]
    assert only["places"] == [["n1", "0"], ["n1", "1"], ["n2", "0"], ["n2", "1"]]
    assert "ended with status 3" in output(folder)
    assert not (folder / "here").exists(), "the name of the folder was run"
    assert_nothing_is_left(slurm, job)


def test_an_experiment_stops_before_the_time_is_up_and_goes_on_from_the_queue(slurm: Slurm, folder: Path) -> None:
    make_workshop(folder, LOCALES, LOCALES)
    experiment = (*INPUTS, "--locales", *LOCALES, "--sources", *LOCALES, "--num-languages", "2")
    setup = f"export SPRACHBUND_CACHE={shlex.quote(str(folder / 'cache'))}"
    file = written(
        "--requeue", "--gpus-per-node", "2", "--setup", setup, experiment=(*experiment, "--output-dir", "run")
    )
    job = slurm.submit(file, folder)
    records = partial((folder / "run" / "results").glob, "*/results.json")
    slurm.wait(lambda: any(records()), "a cell is finished", folder=folder)
    slurm.ask("scancel", "--batch", "--signal=USR1", job)  # what --signal=B:USR1@120 has Slurm send
    end = slurm.ended(job, folder)
    assert (end["JobState"], end["Restarts"]) == ("COMPLETED", "1"), output(folder)
    assert "The time is nearly up" in output(folder)
    total = 3 * len(LOCALES)
    (reused,) = re.findall(rf"{total} of {total} results \((\d+) of them from before\)", output(folder))
    assert 0 < int(reused) < total
    assert_nothing_is_left(slurm, job)

    there, here = (folder / "run").rename(folder / "there"), folder / "run"
    assert run(["experiment", *experiment, "--output-dir", "run"]) == 0
    assert set(differences(tree(here), tree(there))) <= {"experiment_config.yaml", FINAL}


def test_a_job_that_is_cancelled_stops_ray(slurm: Slurm, folder: Path) -> None:
    flags = ("--requeue", "--gpus-per-node", "2", "--setup", witness(folder, "time.sleep(600)"))
    job = slurm.submit(written(*flags, experiment=()), folder)
    slurm.wait(lambda: len(told(folder)) == 1, "it works", folder=folder)
    slurm.ask("scancel", job)
    assert slurm.ended(job, folder)["JobState"] == "CANCELLED"
    assert_nothing_is_left(slurm, job)
    assert "told to end" in output(folder)
    assert len(told(folder)) == 1, "it was begun again"


def test_a_node_that_does_not_join_is_said_in_time(slurm: Slurm, folder: Path) -> None:
    setup = witness(folder, "")
    broken = folder / "programs" / "ray"
    real = shlex.quote(str(Path(sys.executable).with_name("ray")))
    broken.write_text(
        f'#!/bin/sh\n[ "$SLURMD_NODENAME" = n1 ] || {{ echo no module here; exit 5; }}\nexec {real} "$@"\n'
    )
    broken.chmod(0o755)
    job = slurm.submit(written("--start-timeout", "15", "--setup", setup, experiment=()), folder)
    end = slurm.ended(job, folder)
    assert (end["JobState"], end["ExitCode"]) == ("FAILED", "1:0"), output(folder)
    for words in ("no module here", "Ray has ended on n2", "1 of 2 nodes have joined Ray in time"):
        assert words in output(folder)
    assert told(folder) == []
    assert_nothing_is_left(slurm, job)
