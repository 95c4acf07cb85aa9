"""Kill a small run at random moments, again and again until it is through; is the end that of an uninterrupted one?

    make soak-resume ROUNDS=100
    PYTHONPATH=tests python tools/soak_resume.py --rounds 100 --seed 0

The run: pre-train a base, train three sources, the experiment over their locales (four variants, zero-shot), with two worker
processes. In each round it begins in an empty folder. SIGKILL goes to the main process alone, at moments that
are uniform over the time that the run takes; workers have to notice by themselves. The same commands follow at once, and may be
killed as well. Compared are all files but for times, and what was finished at a kill must not have been touched since. A
difference makes the exit status 1. About half a minute a round. What came out: docs/reliability.md.
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

PRETRAIN, TRAIN, EXPERIMENT = three_locales(
    "cldr:300",
    "--vocabulary 900 --hidden 64 --layers 2 --heads 2 --intermediate 128 --mlm-steps 30 --ranking-steps 30 --ranking-batch 32",
)
TWO = ("--jobs", "2")
COMMANDS = (PRETRAIN, (*TRAIN, *TWO), (*EXPERIMENT, *TWO, "--variants", "baseline", "similarity", "average", "average-all"))
"""So large that work, not the start of processes, takes a good part of the time."""
HELPERS = str(Path(killing.__file__).resolve().parent)
MOST_KILLS = 10
"""In one round: so that it ends, whatever the dice say."""
SECONDS_TO_DIE = 20.0
"""For workers whose parent was killed."""


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
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", action="store_true", help="be the run that is killed, in the current folder")
    arguments = parser.parse_args()
    if arguments.work:
        return work()
    with tempfile.TemporaryDirectory(prefix="soak.") as folder:
        return soak(Path(folder).resolve(), arguments.rounds, random.Random(arguments.seed))


def work() -> int:
    """Run the commands here; say on standard output which one it is."""
    for command in COMMANDS:
        print(command[0], flush=True)
        status = run(command)
        if status:
            return status
    return 0


def soak(folder: Path, rounds: int, lot: random.Random) -> int:
    """Compare so many killed runs with one that is left alone."""
    started = time.monotonic()
    start(fresh(folder / "alone")).wait()
    seconds = time.monotonic() - started
    reference = tree(folder / "alone")
    if "experiment_final_results.json" not in reference:
        sys.exit(f"The uninterrupted run failed:\n{(folder / 'log').read_text()}")
    print(f"Uninterrupted: {seconds:.1f} s, {len(reference)} files and folders", flush=True)
    kills: Counter[str] = Counter()
    bad = 0
    for number in range(1, rounds + 1):
        found = one_round(fresh(folder / "killed"), reference, seconds, lot)
        kills.update(found.stages)
        bad += found.bad
        print(
            f"{number}/{rounds}: killed in {', '.join(found.stages)}: {'DIFFERENT' if found.bad else 'equal'}",
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
    while True:
        process = start(root)
        patience = lot.uniform(0, seconds) if len(found.stages) < MOST_KILLS else None
        try:
            process.wait(patience)
            if found.stages:
                break
            shutil.rmtree(root)  # quicker than the uninterrupted one: nothing was killed, so it counts for nothing
            root.mkdir()
            continue
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        found.stages.append(stage(root))
        found.redone += touched(root, done)
        done = finished(root, reference)
    found.redone += touched(root, done)
    found.different = differences(tree(root), reference)
    found.orphans = living(root)
    return found


def start(root: Path) -> subprocess.Popen[bytes]:
    """Start the run in a folder; what it says goes to files beside that folder."""
    with (root.parent / "stage").open("wb") as said, (root.parent / "log").open("ab") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": HELPERS}
        command = [sys.executable, Path(__file__).resolve(), "--work"]
        return subprocess.Popen(command, cwd=root, env=environment, stdout=said, stderr=log)


def stage(root: Path) -> str:
    """Return where a run was that has just been killed: from what it said last, and from what it left."""
    commands = [word for word in (root.parent / "stage").read_text().split() if word in {command[0] for command in COMMANDS}]
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
