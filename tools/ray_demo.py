"""The demonstration's 156 cells on two Ray nodes, one of which goes when half of them are done: is the end that of a local run?

    make ray-demo
    OMP_NUM_THREADS=1 PYTHONPATH=$PWD/tests:$PWD/tools python tools/ray_demo.py

The cells: 52 locales × baseline, similarity, average, on the embedded models (made first if they are not there). They are done
in one process of this machine, and then on a cluster of two Ray nodes with one core each, started here. Once half of the
records exist and the second node is at work on a group of cells, that node is killed. Compared are all files, times aside, and
what was concluded of them; only the settings differ, which say where the work was done.

Whether a cell was run twice to its completion is counted where it would show: a cell is complete when its record takes its
place, by a rename, and the interpreter of each worker announces every rename (an audit hook) before it is made. So each
completion is counted, whatever becomes of the worker afterwards. 156 renames, no two to the same record: no cell was run twice.
A difference, or a second completion, makes the exit status 1. Some minutes. What came out: docs/reliability.md.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from killing import differences, tree

from sprachbund import inference
from sprachbund.config import ExperimentConfig
from sprachbund.experiment import CONFIGURATION, FINAL, Experiment
from sprachbund.inputs import open_inputs
from sprachbund.parallel import Report
from sprachbund.plan import Cell
from sprachbund.prepared import Done
from sprachbund.preparing import needed_sources, prepare
from sprachbund.store import RESULTS

VARIANTS = ("baseline", "similarity", "average")
RECORD = "results.json"
SAID_OF_THE_RUN = ("configuration", "started", "finished")
"""What is in the file of all results besides results."""
LOG = "log"
SECONDS_BETWEEN_LOOKS = 0.02
SECONDS_TO_TELL = 10.0


class Watched(Experiment):
    """Says in a file beside its folder what each worker begins, completes and ends."""

    def work(self, group: Sequence[Cell]) -> Iterator[str | Done]:
        """Work as the others do."""
        log = self.config.output_dir.parent / LOG
        listen(log)
        targets = sorted({cell.target for cell in group})
        note(log, "begun", targets=targets)
        yield from super().work(group)
        note(log, "ended", targets=targets)


@cache
def listen(log: Path) -> None:
    """Note from now on each record that this process is about to put in its place."""

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and Path(os.fsdecode(arguments[1])).name == RECORD:
            note(log, "record", cell=Path(os.fsdecode(arguments[1])).parent.name)

    sys.addaudithook(heard)


def note(log: Path, what: str, **more: Any) -> None:
    """Append a line, which is written as a whole."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    line = json.dumps({"what": what, "node": node, "process": os.getpid(), "at": time.time(), **more})
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def noted(log: Path) -> list[dict[str, Any]]:
    """Return what has been noted so far."""
    whole, _, _ = log.read_text().rpartition("\n") if log.exists() else ("", "", "")
    return [json.loads(line) for line in whole.splitlines()]


def at_work(notes: Sequence[dict[str, Any]], node: str) -> list[list[str]]:
    """Return the targets of the groups that a node has begun and not ended."""
    begun = [each["targets"] for each in notes if each["node"] == node and each["what"] == "begun"]
    ended = [each["targets"] for each in notes if each["node"] == node and each["what"] == "ended"]
    return [targets for targets in begun if targets not in ended]


def prepared(folder: Path, **settings: Any) -> Experiment:
    """Return the experiment, checked, in a folder."""
    config = ExperimentConfig(demo=True, variants=VARIANTS, skip_zero_shot=True, output_dir=folder, **settings)
    return prepare(config, open_inputs(config, lambda held, without: needed_sources(config, held, without), tell()))


def tell() -> Report:
    """Return what says in a line how far it is, not too often."""
    told = -SECONDS_TO_TELL

    def report(stage: str, done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= SECONDS_TO_TELL or done == total:
            told = time.monotonic()
            print(f"  {stage}: {done}/{total}", flush=True)

    return report


def run(experiment: Experiment) -> tuple[float, int]:
    """Run an experiment whose every cell has to succeed; return the seconds, and how many records were found again.

    Where a node goes, whoever does its group again finds the records that it has completed.

    Raises:
        SystemExit: one failed.
    """
    started = time.monotonic()
    outcome = experiment.run(tell())
    if outcome.failures:
        sys.exit(f"{len(outcome.failures)} cells failed: {outcome.reasons}")
    return time.monotonic() - started, outcome.reused


class Removal(threading.Thread):
    """Kills a node of a cluster once half of the records exist and it is in the middle of something."""

    def __init__(self, cluster: Any, doomed: Any, folder: Path, half: int) -> None:
        super().__init__(name="removal", daemon=True)
        self.cluster, self.doomed, self.folder, self.half = cluster, doomed, folder, half
        self.at: float | None = None
        """When it was gone; None as long as it is there."""
        self.records = 0
        """How many there were."""
        self.cut_off: list[list[str]] = []
        """The targets that it was at work on."""

    def run(self) -> None:
        """Wait, and kill."""
        log = self.folder.parent / LOG
        while (count := records(self.folder)) < self.half or not at_work(noted(log), self.doomed.node_id):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        self.records, self.cut_off = count, at_work(noted(log), self.doomed.node_id)
        self.cluster.remove_node(self.doomed, allow_graceful=False)
        self.at = time.time()


def records(folder: Path) -> int:
    """Return how many cells are finished."""
    return sum(1 for _ in (folder / RESULTS).glob(f"*/{RECORD}"))


def concluded(folder: Path) -> dict[str, Any]:
    """Return all results as the run has written them at its end."""
    found: dict[str, Any] = json.loads((folder / FINAL).read_text())
    return {name: value for name, value in found.items() if name not in SAID_OF_THE_RUN}


def main() -> int:
    """Run both and compare; return the exit status."""
    inference.quieten()
    with two_nodes() as (cluster, doomed), tempfile.TemporaryDirectory(prefix="ray-demo.") as root:
        return compared(Path(root).resolve(), cluster, doomed)


@contextmanager
def two_nodes() -> Iterator[tuple[Any, Any]]:
    """Give a cluster of two nodes of one core each on this machine, and the second of them.

    What starts it (on a machine that is very busy Ray gives up) comes before all that takes long.
    """
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster, second
    finally:
        ray.shutdown()
        cluster.shutdown()


def compared(root: Path, cluster: Any, doomed: Any) -> int:
    """Run both in a folder, say what came out, and return the exit status."""
    here, there = root / "here", root / "there"
    alone = prepared(here, jobs=1)
    total = len(alone.cells)
    seconds, _ = run(alone)
    print(f"local, one process: {total} cells in {seconds:.0f} s", flush=True)
    plain = prepared(there, executor="ray", ray_address=cluster.address)
    removal = Removal(cluster, doomed, there, total // 2)
    removal.start()
    seconds, again = run(Watched(**{field.name: getattr(plain, field.name) for field in fields(plain)}))
    print(f"two nodes of Ray, then one: {total} cells in {seconds:.0f} s, {again} found again", flush=True)
    if removal.at is None:
        print("WRONG: the run was over before a node was removed")
        return 1
    notes = noted(root / LOG)
    print(told_of(removal, notes))
    written = Counter(each["cell"] for each in notes if each["what"] == "record")
    twice = sorted(cell for cell, count in written.items() if count > 1)
    reference = tree(here)
    different = [name for name in differences(tree(there), reference) if name not in (CONFIGURATION, FINAL)]
    if concluded(there) != concluded(here):
        different.append(FINAL)
    print(f"completions: {written.total()}, of {len(written)} cells; cells completed twice: {len(twice)}")
    print(f"files compared: {sum(1 for each in reference.values() if each != b'folder')}; different: {len(different)}")
    for name in (*twice, *different):
        print(f"WRONG: {name}")
    return 0 if written.total() == len(written) == total and not different else 1


def told_of(removal: Removal, notes: Sequence[dict[str, Any]]) -> str:
    """Return in words when a node went, what it was doing, and who put the records in their places."""
    gone = removal.doomed.node_id
    records_of = [each["node"] for each in notes if each["what"] == "record"]
    late = sum(1 for each in notes if each["node"] == gone and each["at"] > (removal.at or 0))
    return (
        f"the second node went at {removal.records} records, in the middle of a group of targets "
        f"({'; '.join(' '.join(targets) for targets in removal.cut_off)}); records by it: {records_of.count(gone)}, "
        f"by the first: {len(records_of) - records_of.count(gone)}; noted by its workers after it was gone: {late}"
    )


if __name__ == "__main__":
    # As a module, so that workers find it under its name instead of getting copies, each with an audit hook of its own.
    from ray_demo import main as run_it

    sys.exit(run_it())
