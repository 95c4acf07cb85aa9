"""Killed anywhere, the same command goes on, and ends with what an uninterrupted one ends with; nothing is done twice.

Killed is with SIGKILL, at the changes that commands make to the disk, see ``killing``. Random moments and worker processes are
the business of ``make soak-resume``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from killing import EXPERIMENT, MODELS, PRETRAIN, TRAIN, Killer, Ran, differences, finished, tree
from pico import poison
from test_locks import end, hold

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="forks and memory files are Linux's")

KILLED = -9
ONE_JOB = ("--jobs", "1")
COMMIT = r"^os\.rename \S+ (results/\S+/results\.json|merged_models/[^./]+|results/transfer/\S+\.json)$"
"""A record, a merged model or a zero-shot row takes its place."""


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    with Killer() as killer:
        yield killer


@pytest.fixture(scope="module")
def trained(killer: Killer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base and three sources in it; for reading only."""
    folder = tmp_path_factory.mktemp("trained").resolve()
    for command in (PRETRAIN, (*TRAIN, *ONE_JOB)):
        through(killer.run(command, folder))
    return folder


def through(ran: Ran, status: int = 0) -> Ran:
    assert ran.status == status, ran.printed
    return ran


class Run:
    """One command line that starts in copies of one folder, and what comes of it if nobody kills it."""

    def __init__(self, killer: Killer, start: Path, folder: Path, command: Sequence[str], status: int = 0) -> None:
        self.killer, self.start, self.folder, self.command, self.status = killer, start, folder, command, status
        alone = self.copy("alone")
        self.changes = through(killer.run(command, alone), status).changes
        self.reference = tree(alone)

    def copy(self, name: str) -> Path:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        shutil.copytree(self.start, self.folder / name, symlinks=True)
        return self.folder / name

    def kill(self, number: int, among: str = "", after: bool = False) -> None:
        """Kill it there, start it again, compare."""
        root = self.copy("killed")
        ran = through(self.killer.run(self.command, root, number, among, after), KILLED)
        done = finished(root, self.reference)
        through(self.killer.run(self.command, root), self.status)
        self.check(root, done, ran.changes[-1])

    def check(self, root: Path, done: dict[str, tuple[int, int]], where: str) -> None:
        different = differences(tree(root), self.reference)
        assert different == [], f"killed before: {where}"
        again = finished(root, self.reference)
        assert [name for name, was in done.items() if again[name] != was] == [], f"done again; killed before: {where}"


Killable = Callable[..., Run]


@pytest.fixture
def killable(killer: Killer, trained: Path, tmp_path: Path) -> Killable:
    return lambda command, start=trained, status=0: Run(killer, start, tmp_path.resolve(), command, status)


def places(changes: Sequence[str], pattern: str) -> list[int]:
    found = [number for number, change in enumerate(changes) if re.search(pattern, change)]
    assert found, f"no change like {pattern} in {changes}"
    return found


# --- training ----------------------------------------------------------------------------------------------------------


def test_pretraining(killable: Killable, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    run = killable(PRETRAIN, tmp_path / "empty")
    (writes,) = places(run.changes, r"training\.json$")[-1:]
    (last,) = places(run.changes, r"^os\.rename .* zoo/base$")
    for number in (3, writes, last, last + 1, last + 2):
        run.kill(number)


def test_training(killable: Killable, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "start/zoo").mkdir(parents=True)
    shutil.copytree(trained / "zoo/base", tmp_path / "start/zoo/base")
    run = killable((*TRAIN, *ONE_JOB), tmp_path / "start")
    first, second, _ = places(run.changes, r"^os\.rename \S+ \S*epoch-9$")
    for number in (*range(3, first, 4), first, first + 1, second, second + 1, len(run.changes) - 1):
        run.kill(number)


# --- the experiment ----------------------------------------------------------------------------------------------------


@pytest.fixture
def experiment(killable: Killable) -> Run:
    return killable((*EXPERIMENT, *ONE_JOB))


def test_in_merging_in_evaluation_and_before_the_progress_file(experiment: Run) -> None:
    for number, among, after in (
        (1, r"^open .*/model\.safetensors$", True),
        (4, r"^os\.rename \S+ \S*partial/new/merge_details\.json$", False),
        (3, r"^os\.rename \S+ \S*predictions\.csv$", True),
        (1, r"^os\.rename \S+ results/transfer/test/\S*\.parquet$", False),
        (1, r"^os\.rename \S+ results/transfer/test/\S*\.parquet$", True),
        (1, r"^os\.rename \S+ experiment_progress\.json$", False),
        (1, r"^os\.rename \S+ experiment_progress\.json$", True),
        (2, r"^os\.rename \S+ experiment_progress\.json$", False),
        (2, r"^os\.rename \S+ experiment_progress\.json$", True),
        (0, r"^os\.rename \S+ experiment_final_results\.json$", False),
        (0, r"^os\.rename \S+ experiment_final_results\.json$", True),
    ):
        experiment.kill(number, among, after)


def test_killed_before_and_after_every_result(experiment: Run) -> None:
    """In one folder: each run gets to its first result, in turn just before and just after it."""
    root = experiment.copy("killed")
    done: dict[str, tuple[int, int]] = {}
    for commit in places(experiment.changes, COMMIT):
        for after in (False, True):
            ran = through(experiment.killer.run(experiment.command, root, 0, COMMIT, after), KILLED)
            assert re.search(COMMIT, ran.changes[-1 - after])
            assert place(ran.changes[-1 - after]) == place(experiment.changes[commit])
            now = finished(root, experiment.reference)
            assert [name for name, was in done.items() if now[name] != was] == []
            done = now
    through(experiment.killer.run(experiment.command, root))
    experiment.check(root, done, "every result")


def place(rename: str) -> str:
    return rename.split()[-1]


def test_with_models_that_are_not_kept(killable: Killable) -> None:
    """Merges are in memory alone; a head that is fitted to others is made on the disk, and removed."""
    common = (*EXPERIMENT[:-1], "--max-locales", "2", "--keep-models", "none")
    run = killable(common)
    assert "merged_models" not in run.reference
    assert not any("safetensors" in change for change in run.changes)
    records = places(run.changes, r"^os\.rename \S+ results/\S*/results\.json$")
    for number in (records[1], records[1] + 1, records[2]):
        run.kill(number)
    on_disk = killable((*common, "--head-policy", "wide"))
    removals = places(on_disk.changes, r"^os\.(remove|rmdir) \S*safetensors$|^os\.rmdir ")
    for number in (removals[0], removals[1], removals[1] + 1):
        on_disk.kill(number)


def test_with_results_of_something_else_in_the_way(
    killable: Killable, killer: Killer, trained: Path, tmp_path: Path
) -> None:
    """Killed at every move and removal while one cell and its model are replaced."""
    only = ("--max-locales", "1", "--skip-baseline", "--skip-average", "--skip-zero-shot")
    shutil.copytree(trained, tmp_path / "start")
    others = (*EXPERIMENT[:-1], *only, "--sharpness", "1")
    through(killer.run(others, tmp_path / "start"))
    run = killable((*EXPERIMENT[:-1], *only, "--overwrite"), tmp_path / "start")
    (aside,) = places(run.changes, r"^os\.rename merged_models/similarity_merge_da-DK merged_models/\S*\.partial/old$")
    assert place(run.changes[aside + 1]) == "merged_models/similarity_merge_da-DK"
    for number in (number for number in places(run.changes, r"^os\.(rename|remove|rmdir)") if number >= aside):
        run.kill(number)


def test_with_a_source_that_cannot_be_used(killable: Killable, trained: Path, tmp_path: Path) -> None:
    """The failed cells are listed, tried again on resume, and make the exit status 1."""
    shutil.copytree(trained, tmp_path / "start")
    (poor,) = (tmp_path / "start/zoo").glob("*_nb-NO/*")
    poison(poor)
    run = killable((*EXPERIMENT, *ONE_JOB), tmp_path / "start", status=1)
    failed = {"similarity_da-DK", "average_da-DK", "similarity_sv-SE", "average_sv-SE", "baseline_nb-NO"}
    assert {name.split("/")[1] for name in run.reference if name.endswith("failure.json")} == failed
    assert "results/transfer/test/nb-NO.json" not in run.reference
    ran = run.killer.run(run.command, run.copy("again"))
    assert "6 of 12 experiments failed; the same command tries them again." in ran.printed
    for name in failed:
        variant, locale = name.split("_")
        assert f"\n  {locale} {variant}: " in ran.printed
    assert "\n  zero-shot of nb-NO: " in ran.printed
    for number in (0, 2):
        run.kill(number, r"^os\.rename \S+ \S*failure\.json$")
        run.kill(number, r"^os\.rename \S+ \S*failure\.json$", after=True)


def test_with_a_source_that_was_mended(killable: Killable, killer: Killer, trained: Path, tmp_path: Path) -> None:
    """A failure is gone once its cell is done, also if the kill came in between."""
    shutil.copytree(trained, tmp_path / "start")
    (poor,) = (tmp_path / "start/zoo").glob("*_nb-NO/*")
    poison(poor)
    only = ("--max-locales", "1", "--skip-zero-shot", "--skip-average")
    through(killer.run((*EXPERIMENT[:-1], *only), tmp_path / "start"), status=1)
    for name in ("config.json", "model.safetensors"):
        shutil.copy(trained / poor.relative_to(tmp_path / "start") / name, poor)
    run = killable((*EXPERIMENT[:-1], *only), tmp_path / "start")
    assert not any(name.endswith("failure.json") for name in run.reference)
    run.kill(0, r"^os\.remove \S*failure\.json$")
    run.kill(0, r"^os\.remove \S*failure\.json$", after=True)
    run.kill(0, r"^os\.rename \S+ results/\S*/results\.json$", after=True)


def test_one_merge_and_one_evaluation(killable: Killable) -> None:
    models = ("--models", MODELS, "--sources", "nb-NO", "sv-SE", "--num-languages", "2")
    merge = killable(("merge", *models, "--mode", "average", "--target-lang", "da-DK"))
    for among in (r"^open .*model\.safetensors$", r"^os\.rename .*average_merge_da-DK$", r"^os\.rmdir "):
        merge.kill(0, among)
    model = MODELS.replace("{locale}", "da-DK").partition(":")
    named = ("--base-model", model[0], "--model-dir", model[2], "--locale", "da-DK", "--data", "cldr:10")
    evaluate = killable(("evaluate", *named))
    for among in (r"^os\.rename .*predictions\.csv$", r"^os\.rename .*results\.json$"):
        evaluate.kill(0, among)


# --- two at once -------------------------------------------------------------------------------------------------------

TRANSFER = ("transfer", *EXPERIMENT[1 : EXPERIMENT.index("--num-languages")])


@pytest.mark.parametrize(
    ("command", "folder", "name", "flag"),
    [
        (EXPERIMENT, "results", "", "--output-dir"),
        (TRANSFER, "results", "", "--results-dir"),
        (TRAIN, "zoo", "", "--out"),
        (PRETRAIN, "zoo", "base", "--out"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_second_run_is_told_of_the_first(
    command: tuple[str, ...], folder: str, name: str, flag: str, killer: Killer, trained: Path, tmp_path: Path
) -> None:
    root = tmp_path.resolve() / "run"
    shutil.copytree(trained, root)
    first = hold(root / folder, name)
    before = tree(root)
    refused = through(killer.run(command, root), status=2)
    end(first)
    (message,) = [line for line in refused.printed.splitlines() if line.startswith("error: ")]
    assert re.fullmatch(
        rf"error: {Path(folder, name)} is in use by process {first.pid} on \S+, at work since \S+ \(.*\): "
        rf"wait until it is done, or choose another {flag}\.",
        message,
    )
    assert differences(tree(root), before) == []
