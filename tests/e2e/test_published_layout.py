"""The command of the original experiment, word for word: sources and data from the hub, then again without the network."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hub import Hub
from killing import differences, tree
from published import SOURCE, SUBFOLDER, publish_data, publish_sources
from workshop import make_workshop

from sprachbund import locales
from sprachbund.checkpoints import PUBLISHED

REPOSITORY = Path(__file__).parents[2]
COMMAND = "run_large_scale_experiment.py --locales sq-AL cy-GB --max-locales 2"
TARGETS = ("sq-AL", "cy-GB")


@dataclass(frozen=True)
class Internet:
    """A hub, and a machine that has never asked it."""

    hub: Hub
    root: Path

    def type(self, line: str, folder: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Type a script of the repository in a folder."""
        here = self.root / folder
        here.mkdir(exist_ok=True)
        script, *arguments = shlex.split(line)
        own = {"SPRACHBUND_CACHE": str(self.root / "cache"), "COLUMNS": "80", **environment}
        return subprocess.run(
            [sys.executable, str(REPOSITORY / script), *arguments],
            cwd=here,
            env=self.hub.environment(self.root / "home", **own),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@pytest.fixture
def internet(tmp_path: Path) -> Iterator[Internet]:
    with Hub() as hub:
        publish_sources(hub, tmp_path / "made", locales.names())
        publish_data(hub, locales.names())
        yield Internet(hub, tmp_path.resolve())


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_original_command_end_to_end_and_again_without_the_network(internet: Internet) -> None:
    hub = internet.hub
    assert "6 of 6 results" in " ".join(ok(internet.type(COMMAND, "online")).split())
    check_results(internet.root / "online", hub, internet.root / "home")
    check_requests(hub)
    before = len(hub.requests)
    ok(internet.type(COMMAND, "again"))
    assert {path for method, path in hub.requests[before:] if method != "GET"} == {"/"}
    assert not [path for _, path in hub.requests[before:] if "/resolve/" in path]  # only whether it has changed
    hub.stop()
    ok(internet.type(COMMAND, "offline", HF_HUB_OFFLINE="1"))
    reference = tree(internet.root / "online")
    assert {
        f"results/{variant}_{target}/results.json"
        for variant in ("baseline", "similarity", "average")
        for target in TARGETS
    } <= set(reference)
    for folder in ("again", "offline"):
        assert differences(tree(internet.root / folder), reference) == []


def check_results(folder: Path, hub: Hub, home: Path) -> None:
    """Records and cards name models as the user does, with their commits, and no folder of a cache."""
    record = json.loads((folder / "results/baseline_sq-AL/results.json").read_text(encoding="utf-8"))
    name = SOURCE.format(locale="sq-AL")
    commit = hub.model(name).branches["main"]
    assert record["model_info"]["model"] == f"{name}@{commit}:{SUBFOLDER.format(locale='sq-AL')}"
    assert record["model_info"]["zoo"] == PUBLISHED
    merged = folder / "merged_models/similarity_merge_sq-AL"
    details = json.loads((merged / "merge_details.json").read_text(encoding="utf-8"))
    assert details["zoo"] == PUBLISHED
    for source in details["sources"]:
        repository, _, rest = source["model"].partition("@")
        assert rest == f"{hub.model(repository).branches['main']}:{SUBFOLDER.format(locale=source['locale'])}"
        assert f"- {repository}\n" in (merged / "README.md").read_text(encoding="utf-8")
    leaks = [path for path in folder.rglob("*") if path.is_file() and str(home).encode() in path.read_bytes()]
    assert leaks == []


def check_requests(hub: Hub) -> None:
    """Each file was fetched once, by one process; of the sources only those that take part, and no more than their cards."""
    files = [
        path for method, path in hub.requests if method == "GET" and "/resolve/" in path and "/datasets/" not in path
    ]
    assert files
    assert len(files) == len(set(files))
    assert all("/alpha_0.5_" in path or path.endswith("/README.md") for path in files)  # and the card of the repository
    repositories = {path.partition("/resolve/")[0] for path in files}
    assert len(repositories) <= 12  # two baselines, and five sources for each of two targets
    assert len(hub.asked_for("^/api/models/haryoaw/[^/]+$")) == len(repositories)


def test_worker_processes_ask_nobody(internet: Internet) -> None:
    make_workshop(internet.root, sources=(), data=["sq-AL"])
    line = "run_large_scale_experiment.py --locales sq-AL --variants baseline average --data massive:../data"
    ok(internet.type(f"{line} --zero-shot --jobs 2 --sources el-GR sq-AL --num-languages 1", "here"))
    assert len(list((internet.root / "here").glob("results/transfer/test/*.json"))) == 2
    assert len(list((internet.root / "here").glob("results/*/results.json"))) == 2
    assert len(internet.hub.asked_for("^/api/models/haryoaw/[^/]+$")) == 2
    check_requests(internet.hub)


def test_one_model_and_the_list_of_models(internet: Internet) -> None:
    evaluate = f"evaluate_specific_model.py --base-model {SOURCE.format(locale='sq-AL')}"
    assert ok(internet.type(f"{evaluate} --list-models", "here")) == f"{SUBFOLDER.format(locale='sq-AL')}\n"
    assert not internet.hub.asked_for("/resolve/")
    make_workshop(internet.root, sources=(), data=["sq-AL"])
    wrong = internet.type(
        f"{evaluate} --model-dir alpha_0.5_sq-AL_epoch-8 --locale sq-AL --data massive:../data", "here"
    )
    assert wrong.returncode == 2
    assert "did you mean alpha_0.5_sq-AL_epoch-9?" in wrong.stderr
    ok(internet.type(f"{evaluate}:alpha_0.5_sq-AL_epoch-9 --locale sq-AL --data massive:../data", "here"))
    (record,) = (internet.root / "here/results").glob("*/results.json")
    assert record.parent.name == "xlm-roberta-base_massive_k_sq-AL_alpha_0.5_sq-AL_epoch-9_sq-AL"
