"""Kill a small run at random moments, again and again until it is through; is the end that of an uninterrupted one?

    make soak-resume KILLS=100
    PYTHONPATH=$PWD/tests python tools/soak_resume.py --kills 100 --seed 0

The run: pre-train a base, train three sources, the experiment over their locales (four variants, zero-shot), with two worker
processes. In each round it begins in an empty folder. SIGKILL goes to the main process alone: workers have to notice by
themselves. The moments are uniform over the time that the run takes; since most of that goes into training and the start of
processes, half of them are drawn between the records of the experiment instead. The same commands follow at once, and two
times out of three, by lot, are killed as well. Compared are all files but for times, and what was finished at a kill must not
have been touched since. A difference makes the exit status 1. About half a minute a kill. What came out: docs/reliability.md.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import killing
from killing import Tree, differences, finished, three_locales, tree

from sprachbund.cli import run
from sprachbund.training import snapshots

PRETRAIN, TRAIN, EXPERIMENT = three_locales(
    "cldr:300",
    "--vocabulary 900 --hidden 64 --layers 2 --heads 2 --intermediate 128 --mlm-steps 30 --ranking-steps 30 --ranking-batch 32",
)
TWO = ("--jobs", "2")
COMMANDS = (
    PRETRAIN,
    (*TRAIN, *TWO),
    (*EXPERIMENT, *TWO, "--variants", "baseline", "similarity", "average", "average-all"),
)
"""So large that work, not the start of processes, takes a good part of the time."""
RECORDS = 12
"""Of the experiment: four variants in three locales."""
SECONDS_OF_CELL = 0.3
SECONDS_BETWEEN_SNAPSHOTS = 0.2
"""Of pre-training: it takes seconds here, and is to be killed between them."""
GO_ON = 2 / 3
"""How often a run that goes on after a kill is killed again."""
SECONDS_TO_DIE = 20.0
"""For workers whose parent was killed."""


@dataclass(frozen=True)
class Moment:
    """When to kill."""

    records: int
    """Wait until so many are there,"""
    seconds: float
    """and so long after that."""


@dataclass
class Round:
    """What happened in one round."""

    stages: list[str] = field(default_factory=list)
    """Where it was killed."""
    different: list[str] = field(default_factory=list)
    """Files that are not those of the uninterrupted run."""
    redone: list[str] = field(default_factory=list)
    """Files that were finished at a kill and have been written again."""
    orphans: int = 0
    """Processes that still live."""

    @property
    def bad(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.different or self.redone or self.orphans)


def main() -> int:
    """Run all rounds; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", action="store_true", help="be the run that is killed, in the current folder")
    arguments = parser.parse_args()
    if arguments.work:
        return work()
    with tempfile.TemporaryDirectory(prefix="soak.") as folder:
        return soak(Path(folder).resolve(), arguments.kills, random.Random(arguments.seed))


def work() -> int:
    """Run the commands here; say on standard output which one it is."""
    snapshots.SECONDS = SECONDS_BETWEEN_SNAPSHOTS
    for command in COMMANDS:
        print(command[0], flush=True)
        status = run(command)
        if status:
            return status
    return 0


def soak(folder: Path, wanted: int, lot: random.Random) -> int:
    """Compare runs with so many kills in all with one that is left alone."""
    started = time.monotonic()
    start(fresh(folder / "alone")).wait()
    seconds = time.monotonic() - started
    reference = tree(folder / "alone")
    if "experiment_final_results.json" not in reference:
        sys.exit(f"The uninterrupted run failed:\n{(folder / 'log').read_text()}")
    print(f"Uninterrupted: {seconds:.1f} s, {len(reference)} files and folders", flush=True)
    kills: Counter[str] = Counter()
    rounds = bad = 0
    while kills.total() < wanted:
        found = one_round(fresh(folder / "killed"), reference, seconds, lot)
        kills.update(found.stages)
        rounds += 1
        bad += found.bad
        print(
            f"{kills.total()}/{wanted}: killed in {', '.join(found.stages)}: {'DIFFERENT' if found.bad else 'equal'}",
            flush=True,
        )
        for what in ("different", "redone"):
            for name in getattr(found, what):
                print(f"  {what}: {name}", flush=True)
        if found.orphans:
            print(f"  {found.orphans} processes still live", flush=True)
    print(
        f"\n{rounds} rounds, {kills.total()} kills, {bad} rounds that ended differently, {time.monotonic() - started:.0f} s"
    )
    for stage, count in kills.most_common():
        print(f"{count:6d}  {stage}")
    return 1 if bad else 0


def one_round(root: Path, reference: Tree, seconds: float, lot: random.Random) -> Round:
    """Start, kill, start again, …, until a run ends by itself; the first is always killed."""
    found = Round()
    done: dict[str, tuple[int, int]] = {}
    while not found.stages or lot.random() < GO_ON:
        process = start(root)
        if not reached(process, root, a_moment(root, seconds, lot)):
            if found.stages:
                break
            fresh(root)  # it was quicker than the uninterrupted one: nothing was killed, so it counts for nothing
            continue
        process.send_signal(signal.SIGKILL)
        process.wait()
        found.stages.append(stage(root))
        found.redone += touched(root, done)
        done = finished(root, reference)
    start(root).wait()
    found.redone += touched(root, done)
    found.different = differences(tree(root), reference)
    found.orphans = living(root)
    return found


def a_moment(root: Path, seconds: float, lot: random.Random) -> Moment:
    """Draw a moment: any of the run's time or, as often, after one of the records that are still to come."""
    there = records(root)
    if there == RECORDS or lot.random() < 0.5:
        return Moment(0, lot.uniform(0, seconds))
    return Moment(lot.randint(there + 1, RECORDS), lot.uniform(0, SECONDS_OF_CELL))


def reached(process: subprocess.Popen[bytes], root: Path, moment: Moment) -> bool:
    """Wait for a moment; return whether the run was still alive then."""
    since = time.monotonic()
    while process.poll() is None:
        if records(root) < moment.records:
            since = time.monotonic()
        elif time.monotonic() - since >= moment.seconds:
            return True
        time.sleep(0.005)
    return False


def records(root: Path) -> int:
    """Return how many cells are finished."""
    return sum(1 for _ in root.glob("results/*/results.json"))


def start(root: Path) -> subprocess.Popen[bytes]:
    """Start the run in a folder; what it says goes to files beside that folder."""
    with (root.parent / "stage").open("wb") as said, (root.parent / "log").open("ab") as log:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(Path(killing.__file__).parent),
        }
        command = [sys.executable, Path(__file__).resolve(), "--work"]
        return subprocess.Popen(command, cwd=root, env=environment, stdout=said, stderr=log)


def stage(root: Path) -> str:
    """Return where a run was that has just been killed: from what it said last, and from what it left."""
    names = {command[0] for command in COMMANDS}
    commands = [word for word in (root.parent / "stage").read_text().split() if word in names]
    if not commands:
        return "start"
    if commands[-1] != "experiment":
        return commands[-1]
    if any((root / "merged_models").glob(".*.partial")):
        return "merging"
    return "zero-shot and after" if (root / "experiment_final_results.json").exists() else "evaluation and records"


def touched(root: Path, done: dict[str, tuple[int, int]]) -> list[str]:
    """Return what was finished and is no more the same file."""
    return sorted(name for name, was in done.items() if status(root / name) != was)


def status(path: Path) -> tuple[int, int] | None:
    """Return inode and time of change of a file, None if it is gone."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


def living(root: Path) -> int:
    """Return how many processes still work in a folder, after they have had time to notice that they are alone."""
    deadline = time.monotonic() + SECONDS_TO_DIE
    while (count := sum(1 for _ in processes_in(root))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return count


def processes_in(root: Path) -> Iterator[Path]:
    """Yield the processes whose current folder it is (on Linux)."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == root:
                yield process
        except OSError:
            continue  # gone, or somebody else's


def fresh(root: Path) -> Path:
    """Return a folder with nothing in it."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    return root


if __name__ == "__main__":
    sys.exit(main())
