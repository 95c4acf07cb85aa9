"""The same results, whoever works on the cells and however many; what kills a worker fails its cell alone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from killing import differences, tree

from sprachbund import files, parallel
from sprachbund.config import ExperimentConfig
from sprachbund.errors import InUse
from sprachbund.executors import local, stands_anywhere
from sprachbund.experiment import FINAL, Experiment
from sprachbund.parallel import Processes
from sprachbund.plan import Cell
from sprachbund.prepared import Done
from sprachbund.store import Record

Make = Callable[..., Experiment]


def quiet(stage: str, done: int, total: int) -> None:
    """Report nothing."""


@pytest.mark.parametrize("keep", ["all", "none"])
@pytest.mark.usefixtures("forked_workers")
def test_two_workers_leave_what_one_leaves(
    make: Make, tmp_path: Path, keep: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # else one has more threads than two have, and records say so
    made = {jobs: make(str(jobs), keep_models=keep, zero_shot=True, jobs=jobs).run(quiet) for jobs in (1, 2)}
    assert len(made[1].records) == len(made[2].records) == 12
    assert list(made[1].records) == list(made[2].records)
    one, two = tree(tmp_path / "1"), tree(tmp_path / "2")
    settings = {"experiment_config.yaml", FINAL}  # which say how many there are
    assert set(differences(one, two)) <= settings
    assert "Loading weights" not in capfd.readouterr().err, "workers draw no bars"


def test_an_experiment_says_what_each_group_reads(make: Make) -> None:
    experiment = make()
    (german,) = {experiment.reads([cell]) for cell in experiment.cells if cell.target == "de-DE" and cell.model_folder}
    assert german == {"nl-NL", "da-DK"}


def test_several_workers_get_several_groups_each(make: Make) -> None:
    experiment = make()
    assert len(experiment.groups()) == 1
    assert experiment.groups(2) == (("de-DE",), ("ja-JP",), ("sq-AL",), ("sw-KE",))


class Fatal(Experiment):
    """Whose work on one cell kills the worker."""

    def work(self, group: Sequence[Cell]) -> Any:
        """Work as the others do, up to that cell."""
        for cell in group:
            if (cell.target, cell.variant.name) == ("ja-JP", "average"):
                os.kill(os.getpid(), signal.SIGKILL)
            yield from super().work([cell])


@pytest.mark.usefixtures("forked_workers")
def test_a_cell_that_kills_its_worker_is_a_failed_cell(make: Make) -> None:
    experiment = make(jobs=2)
    outcome = Fatal(**{name: getattr(experiment, name) for name in experiment.__dataclass_fields__}).run(quiet)
    (failure,) = outcome.failures
    assert (failure.locale, failure.variant) == ("ja-JP", "average")
    assert "its process was killed" in failure.reason
    assert len(outcome.records) == 11
    again = make().run(quiet)
    assert (len(again.records), again.reused) == (12, 11)


@pytest.mark.usefixtures("forked_workers")
def test_the_last_cell_that_is_left_kills_no_run_either(make: Make) -> None:
    """One cell is one task, which two workers do not share: it is done apart from the run all the same."""
    make(jobs=1, variants=("baseline", "similarity")).run(quiet)
    experiment = make(jobs=2, variants=("average",), locales=("ja-JP",))
    outcome = Fatal(**{name: getattr(experiment, name) for name in experiment.__dataclass_fields__}).run(quiet)
    assert (list(outcome.records), [failure.locale for failure in outcome.failures]) == ([], ["ja-JP"])


class Last(Experiment):
    """Whose worker is killed after a cell is done, and before it could say that this was all; also where it is done alone."""

    def work(self, group: Sequence[Cell]) -> Any:
        """Work as the others do, and be killed."""
        for what in super().work(group):
            yield what
            if isinstance(what, Done) and what.cell.target == "ja-JP" and (len(group) > 1 or what.cell is group[-1]):
                os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.usefixtures("forked_workers")
def test_a_worker_that_is_killed_after_its_last_word_costs_nothing(make: Make) -> None:
    experiment = make(jobs=2)
    outcome = Last(**{name: getattr(experiment, name) for name in experiment.__dataclass_fields__}).run(quiet)
    assert (len(outcome.records), outcome.failures) == (12, [])


class Late(Experiment):
    """Whose worker is killed when the record of one cell has been written, as often as it comes there."""

    def complete(self, cell: Cell, record: Record) -> Record:
        """Be killed before the card of the model is."""
        if parallel.is_worker() and (cell.target, cell.variant.name) == ("ja-JP", "average"):
            with (self.config.output_dir.parent / "killed").open("a", encoding="utf-8") as told:
                told.write(f"{(cell.results_folder / 'results.json').stat().st_mtime_ns}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().complete(cell, record)


@pytest.mark.usefixtures("forked_workers")
def test_a_record_that_a_killed_worker_has_written_is_one(make: Make, tmp_path: Path) -> None:
    experiment = make(jobs=2)
    outcome = Late(**{name: getattr(experiment, name) for name in experiment.__dataclass_fields__}).run(quiet)
    assert (len(outcome.records), outcome.failures) == (12, [])
    (written,) = tmp_path.glob("run/results/average_ja-JP/results.json")
    assert (tmp_path / "killed").read_text(encoding="utf-8").split() == [str(written.stat().st_mtime_ns)] * 2
    make(jobs=1).run(quiet)
    (card,) = tmp_path.glob("run/merged_models/average_merge_ja-JP/README.md")
    assert "accuracy" in card.read_text(encoding="utf-8")


class Untidy(Experiment):
    """Each worker that comes to a cell in Japanese for the first time is killed while it writes, wherever work is written."""

    def work(self, group: Sequence[Cell]) -> Any:
        """Work as the others do, but for that."""
        told = self.config.output_dir.parent / "killed"
        if any(cell.target == "ja-JP" for cell in group) and not told.exists():
            told.touch()
            root = self.config.output_dir
            places = (
                root,
                root / "merged_models",
                root / "answers/source",
                root / "results",
                root / "results/transfer/test",
            )
            with ExitStack() as stack:
                for place in places:
                    stack.enter_context(files.temporary_folder(place, "half"))
                os.kill(os.getpid(), signal.SIGKILL)
        yield from super().work(group)


@pytest.mark.usefixtures("forked_workers")
def test_what_a_killed_worker_has_left_is_gone_at_the_end_of_the_run(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    experiment = make(jobs=2)
    outcome = Untidy(**{name: getattr(experiment, name) for name in experiment.__dataclass_fields__}).run(quiet)
    assert (tmp_path / "killed").exists()
    assert (len(outcome.records), outcome.failures) == (12, [])
    assert list((tmp_path / "run").rglob("*.partial")) == []
    assert {record.evaluation_info.threads for record in outcome.records.values()} == {3}, (
        "of six cores for two workers"
    )


def test_who_joins_does_what_nobody_has_begun(make: Make) -> None:
    """The first run stops in the middle of a target; the second does all others, and then waits for it."""
    first, second = make(jobs=1), make(jobs=1, join=True)
    begun, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def stop(result: Any, was_there: bool) -> None:
        begun.set()
        assert go_on.wait(60)

    def waits(stage: str, done: int, total: int) -> None:
        seen.append(stage)
        if "waiting for another run" in stage:
            go_on.set()

    run = threading.Thread(target=lambda: first.run(quiet, stop))
    run.start()
    assert begun.wait(60)
    with pytest.raises(InUse, match="in use by"):
        make().run(quiet)
    outcome = second.run(waits)
    run.join()
    assert any("waiting for another run" in stage for stage in seen)
    assert len(outcome.records) == 12
    assert outcome.reused > 0


def test_a_claimed_target_is_left_alone(make: Make) -> None:
    experiment = make()
    group = experiment.cells[:6]
    with experiment.store.claim("de-DE") as ours:
        assert ours
        said = list(experiment.work(group))
    assert [what.cell for what in said if isinstance(what, Done)] == list(group[3:])


def test_workers_are_as_many_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "cores", lambda: 16)
    memory = type("Memory", (), {"total": 64e9})
    monkeypatch.setattr(local.psutil, "virtual_memory", lambda: memory)
    assert local.for_working(0, 10**9) == Processes(4, apart=True)
    assert local.for_working(0, 10**10) == Processes(1, apart=True)
    assert local.for_working(7, 10**10) == Processes(7, apart=True)
    assert local.for_asking(0) == Processes(16)
    monkeypatch.setattr(local, "_gpus", lambda: ("2", "5"))
    assert (
        local.for_working(0, 10**9) == replace(local.for_asking(0), apart=True) == Processes(2, ("2", "5"), apart=True)
    )


def seen_gpu(task: int) -> tuple[str | None, int]:
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid()


@pytest.mark.usefixtures("forked_workers")
def test_each_worker_sees_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_prepare", light)
    found = [what for _, what in parallel.attempts(seen_gpu, range(12), Processes(2, ("2", "5")))]
    assert {gpu for gpu, _ in found} <= {"2", "5"}
    assert len({process for _, process in found}) == len(set(found))


def light(threads: int) -> None:
    """Instead of loading torch."""


@pytest.mark.usefixtures("forked_workers")
def test_a_worker_takes_first_what_reads_what_it_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_prepare", light)
    one = Processes(2).alone()
    order = [task for task, _ in one.stream(twice, ["ab", "cd", "ac", "bd", "ab"], reads=set)]
    assert order[::2] == ["ab", "ab", "ac", "cd", "bd"]


def twice(task: str) -> list[str]:
    return [task, task]


@pytest.mark.parametrize(
    ("settings", "anywhere"),
    [
        ({}, True),
        ({"models": "/zoo/{locale}", "base": "/zoo:base", "data": "split:massive:/data"}, True),
        ({"output_dir": Path("run")}, False),
        ({"models": "zoo/{locale}"}, False),
        ({"models": "/zoo/models.csv"}, False),
        ({"base": "base"}, False),
        ({"data": "table:texts.csv"}, False),
    ],
)
def test_work_whose_paths_are_absolute_may_be_done_in_any_folder(settings: dict[str, Any], anywhere: bool) -> None:
    assert stands_anywhere(ExperimentConfig(**{"output_dir": Path("/run"), **settings})) == anywhere
