"""``sprachbund cluster slurm``: what stands in the file; tests/cluster/ submits it to a real Slurm."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from sprachbund.cli import run
from sprachbund.cli.app import understood

Capture = pytest.CaptureFixture[str]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "cluster.md"
NAMES = ("it's", '"two" words', "$(touch here)", "`id`", "a\\b", "line\nline", "--", "*", "#no comment", "ünï", "")


def written(*words: str) -> str:
    assert run(["cluster", "slurm", *words]) == 0
    return Path("run.sbatch").read_text(encoding="utf-8")


def options(text: str) -> dict[str, str]:
    lines = re.findall(r"^#SBATCH --(\S+)$", text, flags=re.MULTILINE)
    return dict(line.partition("=")[::2] for line in lines)


def test_options_of_sbatch_are_those_that_were_typed_and_one_task_a_node(here: Path) -> None:
    always = {"ntasks-per-node": "1", "signal": "B:USR1@120", "open-mode": "append", "job-name": "sprachbund"}
    assert options(written("--nodes", "3", "--", "experiment")) == always | {"nodes": "3"}
    typed = {
        "nodes": "2",
        "cpus-per-task": "8",
        "gpus-per-node": "a100:4",
        "mem": "64G",
        "time": "1-02:30:00",
        "partition": "gpu,long",
        "account": "a_b",
        "qos": "high",
        "constraint": "[rack1|rack2]&ib*2",
        "job-name": "news-7",
    }
    flags = [word for name, value in typed.items() for word in (f"--{name}", value)]
    text = written(*flags, "--requeue", "--overwrite", "--", "experiment")
    assert options(text) == always | typed | {"requeue": ""}


@pytest.mark.parametrize("requeue", [(), ("--requeue",)])
def test_bash_reads_the_file(requeue: tuple[str, ...], here: Path) -> None:
    written("--nodes", "2", *requeue, "--setup", "module load cuda", "echo 'two'", "--", "experiment")
    assert subprocess.run(["bash", "-n", "run.sbatch"], capture_output=True).stderr == b""


@pytest.mark.parametrize("name", NAMES)
def test_what_is_typed_reaches_the_experiment_as_it_is(name: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = here / name.replace("\n", " ") if name else here
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    text = written("--nodes", "2", "--", "experiment", f"--output-dir={name}", f"--models={name}/{{locale}}")
    # Run by bash: the lines that go to the folder and start the experiment, with a program that says what it gets.
    place = re.search(r"^cd -- .*?(?=^export PATH=)", text, flags=re.MULTILINE | re.DOTALL)
    call = re.search(r"^watched sprachbund (.*?)^say", text, flags=re.MULTILINE | re.DOTALL)
    assert place
    assert call
    script = f"set -eu\ncd /\n{place[0]}\nprintf '%s\\0' \"$PWD\" {call[1]}"
    said = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.decode().split("\0")[:-1]
    assert said == [
        str(folder.resolve()),
        "experiment",
        f"--output-dir={name}",
        f"--models={name}/{{locale}}",
        "--executor",
        "ray",
    ]
    assert not Path("here").exists()


def test_settings_of_the_experiment_may_stand_in_a_file(here: Path, capsys: Capture) -> None:
    Path("mine.yaml").write_text("variants: [average]\nthreads: 4\n", encoding="utf-8")
    assert "experiment --config mine.yaml --executor ray" in written(
        "--nodes", "2", "--", "experiment", "--config", "mine.yaml"
    )
    line = ["cluster", "slurm", "--nodes", "2", "--cpus-per-task", "2", "--", "experiment", "--config", "mine.yaml"]
    capsys.readouterr()
    assert run(line) == 2
    assert "--threads 4 is more than --cpus-per-task 2" in capsys.readouterr().err


def test_those_of_the_job_may_too(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("job.yaml").write_text("nodes: 3\ntime: '4:00:00'\nsetup: [module load cuda]\n", encoding="utf-8")
    monkeypatch.setenv("SPRACHBUND_CLUSTER_SLURM_PARTITION", "gpu")
    text = written("--config", "job.yaml", "--", "experiment")
    assert {"nodes": "3", "time": "4:00:00", "partition": "gpu"}.items() <= options(text).items()
    assert "\nmodule load cuda\n" in text


def test_a_time_that_yaml_makes_a_number_of_is_refused(here: Path, capsys: Capture) -> None:
    Path("job.yaml").write_text("nodes: 3\ntime: 4:00:00\n", encoding="utf-8")
    assert run(["cluster", "slurm", "--config", "job.yaml", "--", "experiment"]) == 2
    assert "--time '14400'" in capsys.readouterr().err


def test_the_same_again_is_no_other_file(here: Path, capsys: Capture) -> None:
    first = written("--nodes", "2", "--", "experiment")
    assert written("--nodes", "2", "--", "experiment") == first
    capsys.readouterr()
    assert run(["cluster", "slurm", "--nodes", "2", "--out", "my job.sbatch", "--json", "--", "experiment"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"file": "my job.sbatch", "submit": "sbatch 'my job.sbatch'"}
    assert "#     sbatch 'my job.sbatch'\n" in Path("my job.sbatch").read_text(encoding="utf-8")


def test_what_the_page_runs_on_kubernetes_is_yaml_and_an_experiment() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    job = yaml.safe_load(block)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    program, *words = shlex.split(job["spec"]["entrypoint"])
    assert program == "sprachbund"
    _, arguments = understood(words)
    assert arguments["config"].executor == "ray"
    groups = [job["spec"]["rayClusterSpec"]["headGroupSpec"], *job["spec"]["rayClusterSpec"]["workerGroupSpecs"]]
    for pod in (group["template"]["spec"] for group in groups):
        (container,) = pod["containers"]
        assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"] for volume in pod["volumes"]]
