"""On a real Ray of two nodes: the same results as here, though workers are killed, a node goes, or the driver is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from killing import differences, tree

from sprachbund.errors import UserError
from sprachbund.executors import executors_of, on_ray
from sprachbund.experiment import FINAL, Experiment
from sprachbund.parallel import attempts
from sprachbund.plan import Cell

ray = pytest.importorskip("ray", reason="there is no Ray: pip install 'sprachbund[ray]'")
pytestmark = pytest.mark.cluster

Make = Callable[..., Experiment]


def quiet(stage: str, done: int, total: int) -> None:
    """Report nothing."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core each, on this machine."""
    from ray.cluster_utils import Cluster

    here = Path(__file__).parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]))
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        nodes.add_node(num_cpus=1)
        yield nodes
        ray.shutdown()
        nodes.shutdown()


def on(cluster: Any, **settings: Any) -> dict[str, Any]:
    return {"executor": "ray", "ray_address": cluster.address, **settings}


def as_made_here(make: Make, tmp_path: Path) -> None:
    """Compare with a run on one thread of this process; the settings, which say where the work was done, aside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # as each task on Ray has one; records say so
        make("here", zero_shot=True, jobs=1).run(quiet)
    settings = {"experiment_config.yaml", FINAL}
    assert set(differences(tree(tmp_path / "here"), tree(tmp_path / "run"))) <= settings


def test_two_nodes_leave_what_one_process_leaves(make: Make, cluster: Any, tmp_path: Path) -> None:
    outcome = make(zero_shot=True, **on(cluster)).run(quiet)
    assert (len(outcome.records), outcome.reused) == (12, 0)
    as_made_here(make, tmp_path)


def test_relative_paths_are_meant_from_where_the_run_is(
    make: Make, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = make(output_dir=Path("run"), **on(cluster)).run(quiet)
    assert (len(outcome.records), outcome.failures) == (12, [])
    assert len(list((tmp_path / "run/results").glob("*/results.json"))) == 12


def test_a_node_that_does_not_see_the_folder_is_told_of() -> None:
    items, error = on_ray._do("run", [], "/nowhere/at/all", 1, None)
    assert items == []
    assert str(error).endswith(
        "has no folder /nowhere/at/all: work in a folder that all nodes see, or write all paths absolute."
    )


def test_where_all_paths_are_absolute_nobody_goes_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(on_ray._kept, "run", lambda task: [Path.cwd()])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.set_num_threads", lambda threads: None)
    assert on_ray._do("run", [], None, 1, None) == ([tmp_path], None)


class Once(Experiment):
    """The first worker that comes to a cell in Japanese is killed in the middle of it."""

    def work(self, group: Sequence[Cell]) -> Any:
        """Work as the others do, but for that."""
        for cell in group:
            told = self.config.output_dir.parent / "killed"
            if cell.target == "ja-JP" and cell.variant.name == "average" and not told.exists():
                told.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield from super().work([cell])


def test_a_worker_that_is_killed_costs_nothing(make: Make, cluster: Any, tmp_path: Path) -> None:
    experiment = make(zero_shot=True, **on(cluster))
    outcome = Once(**{name: getattr(experiment, name) for name in experiment.__dataclass_fields__}).run(quiet)
    assert (tmp_path / "killed").exists()
    assert (len(outcome.records), outcome.failures) == (12, [])
    as_made_here(make, tmp_path)


class Slow(Experiment):
    """Says which process does a cell, and takes its time."""

    def work(self, group: Sequence[Cell]) -> Any:
        """Work as the others do, and leave a line for each cell that is finished."""
        for cell in group:
            time.sleep(0.3)
            for what in super().work([cell]):
                if not isinstance(what, str):
                    with (self.config.output_dir.parent / "done").open("a", encoding="utf-8") as log:
                        log.write(f"{cell.target} {cell.variant.name} {what.was_there}\n")
                yield what


def test_a_node_that_goes_costs_nothing(make: Make, cluster: Any, tmp_path: Path) -> None:
    experiment = make(zero_shot=True, **on(cluster))
    doomed = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    seen: list[str] = []

    def told(result: Any, was_there: bool) -> None:
        if not seen:
            cluster.remove_node(doomed, allow_graceful=False)
        seen.append(result.evaluation_info.locale)

    outcome = Slow(**{name: getattr(experiment, name) for name in experiment.__dataclass_fields__}).run(quiet, told)
    assert (len(outcome.records), outcome.failures) == (12, [])
    finished = [line for line in (tmp_path / "done").read_text().splitlines() if line.endswith("False")]
    assert len(finished) == len(set(finished)) == 12  # no cell was run twice to completion
    as_made_here(make, tmp_path)


def test_ctrl_c_cancels_what_is_under_way_and_the_next_run_goes_on(make: Make, cluster: Any, tmp_path: Path) -> None:
    experiment = make(zero_shot=True, **on(cluster))
    slow = Slow(**{name: getattr(experiment, name) for name in experiment.__dataclass_fields__})

    def interrupt(result: Any, was_there: bool) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        slow.run(quiet, interrupt)
    said = (tmp_path / "done").read_text(encoding="utf-8")
    time.sleep(1)
    assert (tmp_path / "done").read_text(encoding="utf-8") == said, "nobody works on"
    outcome = make(zero_shot=True, **on(cluster)).run(quiet)
    assert (len(outcome.records), outcome.failures) == (12, [])
    assert outcome.reused > 0
    as_made_here(make, tmp_path)


DRIVER = """
import sys
sys.path[:0] = sys.argv[3:]
import cloudpickle
experiment = cloudpickle.loads(open(sys.argv[1], "rb").read())
open(sys.argv[2], "w").close()
experiment.run(lambda *of: None)
"""


def test_a_driver_that_is_lost_leaves_work_that_goes_on(make: Make, cluster: Any, tmp_path: Path) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    experiment = make(zero_shot=True, **on(cluster))
    slow = Slow(**{name: getattr(experiment, name) for name in experiment.__dataclass_fields__})
    (tmp_path / "pickled").write_bytes(cloudpickle.dumps(slow))
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path / "pickled"), str(tmp_path / "begun"), *paths], cwd=tmp_path
    )
    until(lambda: (tmp_path / "done").exists())
    driver.kill()
    driver.wait()
    outcome = make(zero_shot=True, **on(cluster)).run(quiet)
    assert (len(outcome.records), outcome.failures) == (12, [])
    assert outcome.reused > 0
    as_made_here(make, tmp_path)


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_no_node_can_do_is_refused(make: Make, cluster: Any) -> None:
    with (
        pytest.raises(UserError, match="--threads 64: no node of this cluster has more than 1 cores: name fewer"),
        executors_of(make(**on(cluster, threads=64)).config, 1),
    ):
        pass


def test_a_cluster_that_is_not_there_is_told_of(make: Make) -> None:
    with (
        pytest.raises(UserError, match="--executor ray: the cluster at 127.0.0.1:1 is not to be used"),
        executors_of(make(executor="ray", ray_address="127.0.0.1:1").config, 1),
    ):
        pass


@pytest.mark.parametrize("address", ["local", None])
def test_a_ray_of_its_own_ends_with_the_run(
    make: Make, cluster: Any, address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an address it is one of its own, too, although another one runs here."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with executors_of(make(executor="ray", ray_address=address).config, 1) as found:
        assert found.working.workers >= 1
        assert ray.get_runtime_context().gcs_address != cluster.address
    assert not ray.is_initialized()


def hungry(task: int) -> Iterator[int]:
    """Take some time, in which the memory of the node runs out."""
    time.sleep(60)
    yield task


def test_memory_that_runs_out_on_ray_fails_a_task_and_not_the_run(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself would begin it again for ever."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.005")  # which is less than what runs already
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    with executors_of(make(executor="ray").config, 1) as found:
        ((task, failed),) = found.working.stream(hungry, [7])
    assert (task, failed.killed) == (7, True)
    assert failed.reason.startswith(
        "its process was killed, as Ray does when the memory of a node runs out: use fewer --jobs"
    )


def test_work_that_a_node_cannot_read_says_why(
    make: Make, cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "only_here.py").write_text("def work(task):\n    return task\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        work = import_module("only_here").work
    with executors_of(make(**on(cluster)).config, 1) as found:
        ((_, failed),) = attempts(work, [0], found.working)  # which tries again what Ray has lost on the way
    assert failed.reason == "Ray: System error: No module named 'only_here'."
    assert not failed.killed
