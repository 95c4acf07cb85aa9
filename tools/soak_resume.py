"""Kill a small run at random moments, again and again until it is through; is the end that of an uninterrupted one?

    make soak-resume KILLS=100
    make soak-resume KILLS=200 SOAK_ARGS="--executor ray --log kills.jsonl"
    PYTHONPATH=$PWD/tests python tools/soak_resume.py --kills 200 --executor local --seed 0

The run: pre-train a base, train three sources, the experiment over their locales (zero-shot, too). With ``--executor`` it is
the experiment alone, with an adaptation more; base and sources are made beforehand, once, and copied into each round. There
are two workers: processes of this machine or, with Ray, tasks on a cluster of two nodes, which stays up. Processes are forked
from one that has imported everything (Ray starts its workers itself): a start takes milliseconds instead of seconds, and
moments fall into the work instead of imports.

Each round begins in a new folder. What gets SIGKILL is drawn by lot: the main process (with Ray the driver) or one of its
workers; where none is at work, the main process. Half of the moments are drawn uniformly over the time that the uninterrupted
run takes, the other half between the records of the experiment. After the main process, the same command follows at once; a
killed worker leaves that alive, and it goes on. Where it ends with something failed because of that, the same command follows,
too. After each kill it is to be killed again, 19 times out of 20 by lot, and is if it does not end before that. Such moments
are drawn over the time that is left, by the share of records that are missing, and begin when the experiment holds its folder:
else most kills would fall into starts.

Compared are all files but for times (the number of threads in each record is among what is compared), and what was finished
at a kill, when all processes of the run were stopped for a look, must not have been touched since. No process may be left that
works in the folder. A difference makes the exit status 1, and the folder stays. ``--log`` takes a line of JSON per round; where
there are some, the count goes on from them. ``--folder`` is where it works, by default a new one under /tmp; what was made
there beforehand is not made again. What came out: docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context, resource_tracker
from multiprocessing.forkserver import _forkserver
from pathlib import Path

import psutil
from killing import Command, Tree, differences, finished, three_locales, tree

from sprachbund import locks, parallel
from sprachbund.cli import run
from sprachbund.prepared import ANSWERS, MERGED_MODELS
from sprachbund.store import RESULTS, RunStore
from sprachbund.training import snapshots

TWO = ("--jobs", "2")
PRETRAIN, TRAIN, EXPERIMENT = three_locales(
    "cldr:300",
    "--vocabulary 900 --hidden 64 --layers 2 --heads 2 --intermediate 128 --mlm-steps 30 --ranking-steps 30 --ranking-batch 32",
)
"""So large that work, not the start of processes, takes a good part of the time."""
MERGES = ("baseline", "similarity", "average", "average-all")
ADAPTATIONS = ("merge-refit",)
"""Which asks all sources, and fits a head in closed form."""
SECONDS_OF_CELL = 0.3
SECONDS_BETWEEN_SNAPSHOTS = 0.2
"""Of pre-training: it takes seconds here, and is to be killed between them."""
LAST_STAGE = 0.2
"""What part of the time is left at least, after all records."""
GO_ON = 0.95
"""How often a run that goes on after a kill is killed again."""
SECONDS_TO_DIE = 20.0
"""For workers whose parent was killed."""
SECONDS_TO_HANG = 900.0
"""After which a run that should have ended long ago is given up."""
BEFOREHAND = "beforehand"
MAIN, WORKER = "main process", "worker"
FORKS = get_context("forkserver")
IMPORTED = ("sprachbund", "scipy", "transformers.models.xlm_roberta", "transformers.models.auto", "ray")
"""Of what a run has imported, this is imported before all others begin, with all that it imports itself."""


@dataclass(frozen=True)
class Job:
    """What is killed."""

    name: str
    before: tuple[Command, ...]
    """What is done once, and copied into each round."""
    commands: tuple[Command, ...]
    """What is killed, and started again."""
    records: int
    """That the experiment among them makes."""


@dataclass(frozen=True)
class Moment:
    """When to kill."""

    records: int
    """Wait until so many are there,"""
    in_its_folder: bool
    """and, if this is set, until the experiment has its folder: what it does before that has been killed often enough,"""
    seconds: float
    """and so long after that."""


@dataclass(frozen=True)
class Kill:
    """What was killed, and where the run was."""

    victim: str
    stage: str


@dataclass
class Round:
    """What happened in one round."""

    job: str
    kills: list[Kill] = field(default_factory=list)
    runs: int = 0
    """How often the command was typed, the last one included, which ended well."""
    failed: int = 0
    """How many of these ended by themselves, but with something failed, after a worker was killed."""
    wrong: list[str] = field(default_factory=list)
    """Runs that failed though nobody killed anything of them."""
    different: list[str] = field(default_factory=list)
    """Files that are not those of the uninterrupted run."""
    redone: list[str] = field(default_factory=list)
    """Files that were finished at a kill and have been written again."""
    orphans: list[str] = field(default_factory=list)
    """Processes that still live."""
    seconds: float = 0.0
    uninterrupted: float = 0.0
    """How long the run takes that nobody disturbs, in seconds."""
    ended: str = ""
    """ISO 8601, UTC."""

    @property
    def bad(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.wrong or self.different or self.redone or self.orphans)


def main() -> int:
    """Run all rounds; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--executor", choices=("local", "ray"), help="kill an experiment alone, worked on there")
    parser.add_argument("--log", type=Path, help="a line of JSON per round; the count goes on from what is there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work; what was made there beforehand is not made again")
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
    folder = (arguments.folder or Path(tempfile.mkdtemp(prefix="soak."))).resolve()
    with place(arguments.executor) as where:
        bad = soak(job(arguments.executor, where), folder, arguments.kills, arguments.seed, arguments.log)
    if not bad and not arguments.folder:
        shutil.rmtree(folder)
    return 1 if bad else 0


def job(executor: str | None, where: Sequence[str]) -> Job:
    """Return what is to be killed: the experiment, worked on as these flags say, or the whole job."""
    merges = (*EXPERIMENT, *where, "--variants", *MERGES)
    train = (*TRAIN, *TWO)
    if executor is None:
        return Job("whole job", (), (PRETRAIN, train, merges), 3 * len(MERGES))
    return Job(executor, (PRETRAIN, train), ((*merges, *ADAPTATIONS),), 3 * len(MERGES + ADAPTATIONS))


@contextmanager
def place(executor: str | None) -> Iterator[tuple[str, ...]]:
    """Give the flags that say where the work is done; with Ray on two nodes here, which live as long as the block."""
    if executor != "ray":
        yield TWO
        return
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        nodes.add_node(num_cpus=1)
        yield (*TWO, "--executor", "ray", "--ray-address", nodes.address)
    finally:
        nodes.shutdown()


def soak(job: Job, folder: Path, wanted: int, seed: int, log: Path | None) -> int:
    """Compare runs with so many kills in all with one that is left alone; return how many rounds ended differently."""
    rounds = read_log(log, job) if log else []
    if job.before and not (folder / BEFOREHAND).exists():
        (folder / "preparing").mkdir(parents=True)
        undisturbed(job.before, folder / "preparing")
        (folder / "preparing").rename(folder / BEFOREHAND)
    if not (folder / "imported").exists():
        undisturbed(job.commands, beginning(job, folder / "rehearsal"))
    warm_up((folder / "imported").read_text().split())
    undisturbed(job.commands, beginning(job, folder / "rehearsal"))
    seconds = undisturbed(job.commands, beginning(job, folder / "alone"))
    reference = tree(folder / "alone")
    if found := differences(reference, tree(folder / "rehearsal")):
        sys.exit(f"Two runs that nobody disturbed are different: {', '.join(found)}")
    threads = Counter(record.evaluation_info.threads for record in RunStore(folder / "alone" / RESULTS).records())
    made = ", ".join(f"{count} records on {number} threads" for number, count in threads.items())
    print(f"Uninterrupted: {seconds:.1f} s, {len(reference)} files and folders, {made}", flush=True)
    while (kills := sum(len(found.kills) for found in rounds)) < wanted:
        lot = random.Random(f"{seed} {kills}")
        found = one_round(job, folder, reference, seconds, lot)
        rounds.append(found)
        seconds = found.uninterrupted
        if log:
            with log.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(found)) + "\n")
        say(found, kills + len(found.kills), wanted)
        if found.bad:
            kept = (folder / "killed").rename(folder / f"different-{len(rounds)}")
            print(f"  kept: {kept}, {folder / 'log'}", flush=True)
    print(f"\n{table(rounds)}")
    return sum(found.bad for found in rounds)


def undisturbed(commands: Sequence[Command], root: Path) -> float:
    """Run commands to their end; return how many seconds that took."""
    run = Run(commands, root)
    run.process.join()
    if run.process.exitcode:
        sys.exit(f"What nobody disturbed has failed:\n{(root.parent / 'log').read_text()}")
    return run.age


def read_log(log: Path, job: Job) -> list[Round]:
    """Return the rounds of a log, none if it is not there yet."""
    if not log.exists():
        return []
    rounds = [Round(**json.loads(line)) for line in log.read_text(encoding="utf-8").splitlines()]
    if others := {found.job for found in rounds} - {job.name}:
        sys.exit(f"{log} is the log of {', '.join(sorted(others))}, not of {job.name}: name another file.")
    for found in rounds:
        found.kills = [Kill(**kill) for kill in found.kills]  # type: ignore[arg-type]
    return rounds


def say(found: Round, kills: int, wanted: int) -> None:
    """Tell of one round."""
    how = ", ".join(f"{kill.victim} in {kill.stage}" for kill in found.kills)
    print(f"{kills}/{wanted}: {'DIFFERENT' if found.bad else 'equal'} after {how}; {found.seconds:.0f} s", flush=True)
    for what in ("wrong", "different", "redone", "orphans"):
        for name in getattr(found, what):
            print(f"  {what}: {name}", flush=True)


def table(rounds: Sequence[Round]) -> str:
    """Return how many kills there were, by what was killed and where it was, and what came of them."""
    counts = Counter((kill.stage, kill.victim) for found in rounds for kill in found.kills)
    stages = Counter(kill.stage for found in rounds for kill in found.kills)
    lines = [f"{'':28}{MAIN:>14}{WORKER:>14}"]
    lines += [f"{stage:28}{counts[stage, MAIN]:14d}{counts[stage, WORKER]:14d}" for stage, _ in stages.most_common()]
    lines += [f"{'in all':28}" + "".join(f"{sum(counts[s, v] for s in stages):14d}" for v in (MAIN, WORKER))]
    runs, failed, bad = (sum(getattr(found, what) for found in rounds) for what in ("runs", "failed", "bad"))
    seconds = sum(found.seconds for found in rounds)
    return "\n".join(lines) + (
        f"\n{len(rounds)} rounds, {runs} runs ({failed} ended with failures after a worker was killed), "
        f"{stages.total()} kills, {bad} rounds that ended differently, {seconds:.0f} s"
    )


# --- one round ---------------------------------------------------------------------------------------------------------


class Run:
    """The commands, at work in a folder; what they say goes to files beside that folder."""

    def __init__(self, commands: Sequence[Command], root: Path) -> None:
        self._log = root.parent / "log"
        self._begins = self._log.stat().st_size if self._log.exists() else 0
        self.process = FORKS.Process(target=work, args=(commands, root))
        self.process.start()
        self.born = time.monotonic()

    @property
    def age(self) -> float:
        """How many seconds ago it began."""
        return time.monotonic() - self.born

    def has_failures(self) -> bool:
        """Return whether it has ended as a run does in which something failed: with a word on it, and in no other way."""
        said = self._log.read_bytes()[self._begins :].decode()
        return self.process.exitcode == 1 and "error: " in said and "Traceback" not in said

    def workers(self, job: Job) -> list[psutil.Process]:
        """Return the processes that have things done: those that it had started or, with Ray, those that have a task."""
        if job.name == "ray":
            return [found for found in psutil.Process().children(recursive=True) if words(found)[:1] == ["ray::_do"]]
        forked = psutil.Process(_forkserver._forkserver_pid).children()
        return [found for found in forked if found.pid != self.process.pid]


def work(commands: Sequence[Command], root: Path) -> None:
    """Run commands in a folder; write down which one it is and, in the end, what was imported for them."""
    snapshots.SECONDS = SECONDS_BETWEEN_SNAPSHOTS
    # Workers are forked, too, by whom this process was forked by.
    _forkserver.ensure_running = resource_tracker.ensure_running  # type: ignore[method-assign]
    parallel.get_context = lambda method: FORKS if method == "spawn" else get_context(method)  # type: ignore
    os.chdir(root)
    with (root.parent / "log").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    for command in commands:
        (root.parent / "stage").write_text(command[0])
        status = run(command)
        if status:
            sys.exit(status)
    (root.parent / "imported").write_text("\n".join(sys.modules))


def warm_up(names: Sequence[str]) -> None:
    """Have what is forked from now on find imported what these modules are."""
    _forkserver._stop()  # type: ignore[attr-defined]
    FORKS.set_forkserver_preload(["__main__", *(name for name in names if name.startswith(IMPORTED))])


def one_round(job: Job, folder: Path, reference: Tree, seconds: float, lot: random.Random) -> Round:
    """Start, kill, go on or start again, …, until a run ends well by itself; the first is always killed."""
    found = Round(job.name, uninterrupted=round(seconds, 1))
    began, root = time.monotonic(), beginning(job, folder / "killed")
    done: dict[str, tuple[int, int]] = {}
    at_work, hurt = Run(job.commands, root), False
    while True:
        kill_again = not found.kills or lot.random() < GO_ON
        moment = a_moment(job, root, seconds, again=bool(found.kills), lot=lot) if kill_again else None
        if reached(at_work, root, moment):
            main, workers = psutil.Process(at_work.process.pid), at_work.workers(job)
            victim = lot.choice([MAIN, WORKER]) if workers else MAIN
            process = main if victim == MAIN else lot.choice(workers)
            with stopped([main, *workers]):
                if not process.is_running():  # it has come to its end meanwhile
                    continue
                found.kills.append(Kill(victim, stage(job, root, reference)))
                found.redone += touched(root, done)
                done = finished(root, reference)
                process.send_signal(signal.SIGKILL)
            hurt = hurt or victim == WORKER
            if victim == WORKER:
                continue
            at_work.process.join()
        elif at_work.process.exitcode == 0:
            if found.kills:
                break
            # Nothing was killed, so it counts for nothing; but that is how long it takes now that the machine has less to do.
            seconds = found.uninterrupted = round(at_work.age, 1)
            beginning(job, root)
        elif hurt and at_work.has_failures():
            found.failed += 1
        else:
            found.wrong.append(f"exit status {at_work.process.exitcode}")
            break
        found.runs += bool(found.kills)
        at_work, hurt = Run(job.commands, root), False
    found.runs += 1
    found.redone += touched(root, done)
    found.different = differences(tree(root), reference)
    found.orphans = living(root)
    found.seconds = round(time.monotonic() - began, 1)
    found.ended = datetime.now(UTC).isoformat(timespec="seconds")
    return found


def a_moment(job: Job, root: Path, seconds: float, *, again: bool, lot: random.Random) -> Moment:
    """Draw a moment: any of the time that is left or, as often, after one of the records that are still to come.

    Left is that share of an uninterrupted run's ``seconds`` which records are missing, and the last stage in any case.
    """
    there = records(root)
    if there == job.records or lot.random() < 0.5:
        left = seconds * max(1 - there / job.records, LAST_STAGE)
        return Moment(0, again and bool(job.before), lot.uniform(0, left))
    return Moment(lot.randint(there + 1, job.records), False, lot.uniform(0, SECONDS_OF_CELL))


def reached(at_work: Run, root: Path, moment: Moment | None) -> bool:
    """Wait for a moment, or for the end if there is none; return whether the run was still alive then."""
    since = at_work.age
    while at_work.process.is_alive():
        age = at_work.age
        if age > SECONDS_TO_HANG:
            sys.exit(f"The run hangs: {root}, process {at_work.process.pid}")
        if moment and (records(root) < moment.records or (moment.in_its_folder and not is_in_its_folder(root))):
            since = age
        elif moment and age - since >= moment.seconds:
            return True
        time.sleep(0.01)
    return False


def words(process: psutil.Process) -> list[str]:
    """Return the command line of a process, nothing if it is gone."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


@contextmanager
def stopped(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """Let nobody move while the block looks at what is there."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def records(root: Path) -> int:
    """Return how many cells are finished."""
    return sum(1 for _ in root.glob(f"{RESULTS}/*/results.json"))


def stage(job: Job, root: Path, reference: Tree) -> str:
    """Return where a run is that is about to be killed: from what it said last, and from what is there."""
    command = (root.parent / "stage").read_text()
    if command != EXPERIMENT[0]:
        return command
    if not is_in_its_folder(root):
        return "start"
    if missing(root, reference, f"{ANSWERS}/"):
        return "asking sources"
    if any((root / MERGED_MODELS).glob(".*.partial")):
        return "making models"
    if records(root) < job.records:
        return "evaluation and records"
    return "zero-shot" if missing(root, reference, f"{RESULTS}/transfer/") else "the end"


def is_in_its_folder(root: Path) -> bool:
    """Return whether an experiment that lives holds the lock of its folder."""
    return locks.holder(root / RESULTS) is not None


def missing(root: Path, reference: Tree, prefix: str) -> bool:
    """Return whether any file of the uninterrupted run is not there, of those whose path begins so."""
    return any(name.startswith(prefix) and not (root / name).exists() for name in reference)


def touched(root: Path, done: dict[str, tuple[int, int]]) -> list[str]:
    """Return what was finished and is no more the same file."""
    return sorted(name for name, was in done.items() if status(root / name) != was)


def status(path: Path) -> tuple[int, int] | None:
    """Return inode and time of change of a file, None if it is gone."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


def living(root: Path) -> list[str]:
    """Return the processes that still work in a folder, after they have had time to notice that they are alone."""
    deadline = time.monotonic() + SECONDS_TO_DIE
    while (found := processes_in(root)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def processes_in(root: Path) -> list[str]:
    """Name the processes (on Linux) that have files of a folder open, locks among them, or whose current folder it is.

    A worker of Ray that waits for the next run keeps the current folder of the last one, and does no harm.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        links = []
        with suppress(OSError):  # gone, or somebody else's
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            links = [*(process / "fd").iterdir(), *([] if command.startswith("ray::IDLE") else [process / "cwd"])]
        inside = [held for held in map(where, links) if held and held.is_relative_to(root)]
        if inside:
            found.append(f"{process.name} {command[:100]}: {inside[0]}")
    return found


def where(link: Path) -> Path | None:
    """Return where a link of the kernel's leads, None if it is gone."""
    try:
        return link.readlink()
    except OSError:
        return None


def beginning(job: Job, root: Path) -> Path:
    """Return a new folder with what was done beforehand."""
    shutil.rmtree(root, ignore_errors=True)
    if job.before:
        shutil.copytree(root.parent / BEFOREHAND, root)
    else:
        root.mkdir(parents=True)
    return root


if __name__ == "__main__":
    sys.exit(main())
