"""Let commands meet faults at many moments, and see that nothing is lost: one sentence, no crumbs, and the same end.

    make faults
    PYTHONPATH=$PWD/tests python tools/inject_faults.py --times 8 --only "full disk" --out build/faults.jsonl

Each time a small command (pre-train, train, or an experiment over three locales with zero-shot) meets one fault at one of the
changes that it makes to the disk, evenly spread over them, or a disk of a size with which it gets so far. Then the fault goes,
and the same command runs again. Looked for is whatever must not be: a traceback or more than one sentence, an exit status that
says something else, a file of work that was under way, a worker that lives on, something finished that was touched again, and
an end that is not that of a run without faults. A finding makes the exit status 1.

What comes out is written to a file after each time, and a run that is begun again goes on from there. Disks that are full or
read-only are real ones (tmpfs), mounted in a name space of this program's own, which takes Linux and root, or the right to have
such a name space; without it they are left out, and that is said. The table that it prints: docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from faulting import CHANGING, OTHER
from killing import EXPERIMENT, PRETRAIN, TRAIN, Command, Killer, Ran, Tree, differences, finished, tree

OURS = "FAULTS_NAMESPACE"
"""Set in the process that has a name space of its own for mounts."""
ONE_JOB, TWO_JOBS = ("--jobs", "1"), ("--jobs", "2")
ROOMY = 256 << 20
"""Bytes of a disk that is large enough."""
SMALLEST = 16 << 10

COMMANDS: Mapping[str, Command] = {
    "pretrain": PRETRAIN,
    "train": (*TRAIN, *ONE_JOB),
    "experiment": (*EXPERIMENT, *ONE_JOB),
    "experiment, merges in memory": (*EXPERIMENT, *ONE_JOB, "--keep-models", "none"),
    "experiment, adapted": (*EXPERIMENT[:-1], *ONE_JOB, "--variants", "pick-confidence"),
    "experiment, two workers": (*EXPERIMENT, *TWO_JOBS),
}
"""By name; experiments begin where the training ends, and that where the pre-training does."""
BEFORE = {"pretrain": "", "train": "pretrain"}


@dataclass(frozen=True)
class Kind:
    """A kind of fault, and how a command must end that meets it."""

    what: str
    fault: str
    """One of ``faulting.FAULTS``, or ``tmpfs`` or ``tmpfs-ro``, a disk of its own."""
    commands: Sequence[str]
    statuses: frozenset[int]
    said: str
    """A pattern of the sentence."""
    leaves: bool = False
    """Whether what is under way may stay until the next run: where nobody can remove it, or lives to do it."""

    @property
    def on_a_disk(self) -> bool:
        """Whether a disk has to be mounted for it."""
        return self.fault.startswith("tmpfs")


EXPERIMENTS = ("experiment", "experiment, merges in memory")
EVERY = (*EXPERIMENTS, "train", "pretrain", "experiment, adapted")
WORK = EVERY[:4]
KINDS = (
    Kind("a full disk (tmpfs)", "tmpfs", EVERY, frozenset({2}), r"No space left|has .* free"),
    Kind("a full disk (no new file)", "full", EVERY, frozenset({2}), r"No space left on device: .*Make room"),
    Kind(
        "a read-only disk (tmpfs)",
        "tmpfs-ro",
        EVERY,
        frozenset({2}),
        r"Nothing can be written to .*Read-only|Read-only file system",
    ),
    Kind("a disk that turns read-only", "read-only", EVERY, frozenset({2}), r"Read-only file system", leaves=True),
    Kind("SIGTERM", "SIGTERM", EVERY, frozenset({143}), r"^error: Terminated\. .* the same command goes on"),
    Kind("Ctrl-C", "SIGINT", EVERY, frozenset({130}), r"^error: Interrupted\. .* the same command goes on"),
    Kind("out of memory (numpy)", "memory", WORK, frozenset({1, 2}), r"Memory ran out when 2\.00 GiB more"),
    Kind("out of memory (torch)", "torch-memory", WORK, frozenset({1, 2}), r"Memory ran out when 4000000000000 bytes"),
    Kind("out of memory (GPU)", "gpu-memory", WORK, frozenset({1, 2}), r"The memory of the GPU ran out when 2\.00 GiB"),
    Kind("a source that is replaced", "changed", EXPERIMENTS, frozenset({0, 1, 2}), r"has changed while this run"),
    Kind(
        "a source that is cut short",
        "cut",
        EXPERIMENTS,
        frozenset({0, 1, 2, -7}),
        r"has changed while this run|truncated or corrupt|became shorter",
        leaves=True,
    ),
    Kind("a clock that is set back, and runs backwards", "clock", WORK, frozenset({0}), r"^$"),
    Kind("SIGTERM with two workers", "SIGTERM", ("experiment, two workers",), frozenset({143}), r"Terminated"),
    Kind("Ctrl-C with two workers", "SIGINT", ("experiment, two workers",), frozenset({130}), r"Interrupted"),
)


@dataclass
class Found:
    """What one fault led to."""

    what: str
    command: str
    moment: str
    status: int = 0
    said: str = ""
    bad: list[str] = field(default_factory=list)
    """What must not be."""


class Bench:
    """A folder in which commands run, and what each of them comes to without a fault."""

    def __init__(self, killer: Killer, root: Path) -> None:
        self.killer, self.root = killer, root
        self._alone: dict[str, tuple[Path, Sequence[str], Tree]] = {}

    def alone(self, name: str) -> tuple[Path, Sequence[str], Tree]:
        """Return the folder that a command begins in, the changes that it makes, and what is there in the end."""
        if name not in self._alone:
            start = self._start(name)
            folder = self.root / "run"
            fresh(folder, start)
            ran = self.killer.run(COMMANDS[name], folder)
            if ran.status:
                sys.exit(f"{name} fails without a fault:\n{ran.printed}")
            kept = self.root / f"after {name}"
            fresh(kept, folder)
            self._alone[name] = start, ran.changes, tree(folder)
        return self._alone[name]

    def _start(self, name: str) -> Path:
        before = BEFORE.get(name, "train")
        if not before:
            (self.root / "empty").mkdir(exist_ok=True)
            return self.root / "empty"
        self.alone(before)
        start = self.root / f"after {before}"
        if before == "train":  # the other weights are those of another language
            (source,) = start.glob(CHANGING.replace("nb-NO", "sv-SE"))
            shutil.copyfile(source, self.root / OTHER)
        return start

    def meet(self, kind: Kind, name: str, moment: int, times: int) -> Found:
        """Let a command meet a fault at one of so many moments, and look at what is there then and in the end."""
        start, changes, reference = self.alone(name)
        folder = self.root / "run"
        if kind.fault == "tmpfs":
            need = room_of(reference, start)
            size = start_size(start) + SMALLEST + need * moment // times
            with disk(folder, size) as grow:
                fresh(folder, start)
                ran = self.killer.run(COMMANDS[name], folder)
                return self._judge(kind, name, f"{size >> 10} kB", folder, ran, reference, grow)
        if kind.fault == "tmpfs-ro":
            with disk(folder, ROOMY):
                fresh(folder, start)
                if moment:  # as far as a run gets that is ended there
                    self.killer.run(COMMANDS[name], folder, moment * len(changes) // times, fault="SIGTERM")
                subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
                ran = self.killer.run(COMMANDS[name], folder)

                def mend() -> None:
                    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)

                return self._judge(kind, name, f"{moment} of {times}", folder, ran, reference, mend)
        place = moment * (len(changes) - 1) // max(1, times - 1)
        fresh(folder, start)
        ran = self.killer.run(COMMANDS[name], folder, place, fault=kind.fault)
        where = changes[min(place, len(changes) - 1)]
        return self._judge(kind, name, f"{place}: {where}", folder, ran, reference, lambda: None, start)

    def _judge(
        self,
        kind: Kind,
        name: str,
        moment: str,
        folder: Path,
        ran: Ran,
        reference: Tree,
        mend: Callable[[], None],
        start: Path | None = None,
    ) -> Found:
        errors = [line for line in ran.printed.splitlines() if line.startswith("error: ")]
        reasons = [line for line in ran.printed.splitlines() if re.search(kind.said, line)]
        said = (reasons or errors or [""])[0]
        found = Found(kind.what, name, moment, ran.status, as_written(said, folder))
        bad = found.bad
        if ran.status not in {*kind.statuses, 0}:
            bad.append(f"exit status {ran.status}: {ran.printed[-600:]}")
        if "Traceback" in ran.printed or len(errors) > 1 or (ran.status > 0 and not errors):
            bad.append(f"not one sentence: {ran.printed[-600:]}")
        elif ran.status and ran.status > 0 and not reasons:
            bad.append(f"says something else: {ran.printed[-600:]}")
        if not kind.leaves and (left := sorted(map(str, folder.rglob("*.partial")))):
            bad.append(f"left: {left}")
        if living(folder):
            bad.append("a process lives on")
        mend()
        if start is not None and kind.fault in ("changed", "cut"):
            (weights,) = start.glob(CHANGING)
            shutil.copy2(weights, folder / weights.relative_to(start))
        done = {path: was for path, was in finished(folder, reference).items() if not fnmatch(path, CHANGING)}
        again = self.killer.run(COMMANDS[name], folder)
        if again.status:
            bad.append(f"does not go on: {again.printed[-600:]}")
        now = finished(folder, reference)
        bad += [f"done again: {path}" for path, was in done.items() if now.get(path) != was]
        bad += [f"different: {path}" for path in differences(tree(folder), reference)]
        if any(b'"seconds": -' in path.read_bytes() for path in folder.rglob("results.json")):
            bad.append("took less than no time")
        return found


def as_written(sentence: str, folder: Path) -> str:
    """Return a sentence without what is another thing each time."""
    sentence = sentence.replace(str(folder), "…").removeprefix("error: ").strip()
    sentence = re.sub(r"^\w\w-\w\w \S+: ", "", sentence)
    return re.sub(r"\d+\.\d [kMG]B", "…", sentence)


def living(folder: Path) -> list[str]:
    """Return the processes that work in a folder, after they have had time to end."""
    for _ in range(50):
        found = [process.name for process in Path("/proc").glob("[0-9]*") if works_in(process, folder)]
        if not found:
            return []
        time.sleep(0.1)
    return found


def works_in(process: Path, folder: Path) -> bool:
    """Return whether it does; of those that are gone, or somebody else's, not."""
    try:
        return (process / "cwd").readlink() == folder
    except OSError:
        return False


def fresh(folder: Path, start: Path) -> None:
    """Let a folder hold what another one holds, and nothing else; the folder itself stays, as a disk may be mounted there."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(start, folder, symlinks=True, dirs_exist_ok=True)


# --- real disks --------------------------------------------------------------------------------------------------------


def start_size(start: Path) -> int:
    """Return the bytes that a folder takes on a disk of pages."""
    return sum(pages(path.stat().st_size if path.is_file() else 1) for path in start.rglob("*"))


def room_of(reference: Tree, start: Path) -> int:
    """Return the bytes that a command adds to the folder that it begins in."""
    return sum(pages(len(content)) for content in reference.values()) - start_size(start)


def pages(size: int) -> int:
    """Return a size in whole pages."""
    return -(-size // 4096) * 4096


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Callable[[], None]]:
    """Mount a disk of so many bytes; what is given makes it large enough."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)

    def grow() -> None:
        subprocess.run(["mount", "-o", f"remount,size={ROOMY}", folder], check=True)

    try:
        yield grow
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def in_a_name_space() -> bool:
    """Go on in a name space of our own for mounts, if that is to be had; return whether this is one."""
    if os.environ.get(OURS):
        return True
    how = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if shutil.which("unshare") is None or subprocess.run([*how, "true"], check=False, capture_output=True).returncode:
        return False
    again = subprocess.run([*how, sys.executable, *sys.argv], env={**os.environ, OURS: "1"}, check=False)
    sys.exit(again.returncode)


# --- all of them -------------------------------------------------------------------------------------------------------


def main() -> int:
    """Bring about all faults; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=8, help="how often each command meets each fault")
    parser.add_argument("--only", nargs="*", default=[], help="kinds of faults whose names have one of these in them")
    parser.add_argument("--commands", nargs="*", default=list(COMMANDS), help="which commands")
    parser.add_argument("--out", type=Path, default=Path("build/faults.jsonl"), help="where each time is written down")
    arguments = parser.parse_args()
    real = in_a_name_space()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    known = read(arguments.out)
    chosen = [kind for kind in KINDS if not arguments.only or any(part in kind.what for part in arguments.only)]
    if not real:
        print("No right to mount disks here: real disks, full or read-only, are left out.", file=sys.stderr)
        chosen = [kind for kind in chosen if not kind.on_a_disk]
    with tempfile.TemporaryDirectory(prefix="faults.") as folder, Killer() as killer:
        bench = Bench(killer, Path(folder).resolve())
        for moment in range(arguments.times):  # so that a run that is cut off has something of each
            for kind in chosen:
                for name in (name for name in kind.commands if name in arguments.commands):
                    key = f"{kind.what} | {name} | {moment} of {arguments.times}"
                    if key in known:
                        continue
                    known[key] = bench.meet(kind, name, moment, arguments.times)
                    with arguments.out.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps({"key": key, **asdict(known[key])}, ensure_ascii=False) + "\n")
                    print(
                        f"{key}: {known[key].status} {'BAD' if known[key].bad else 'fine'}", file=sys.stderr, flush=True
                    )
    print(table(list(known.values())))
    return 1 if any(found.bad for found in known.values()) else 0


def read(path: Path) -> dict[str, Found]:
    """Return what was found before, by what it was."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    return {each.pop("key"): Found(**each) for each in found}


def table(all_found: Sequence[Found]) -> str:
    """Return the faults with how often they came, what was said, and what was lost."""
    groups: dict[str, list[Found]] = defaultdict(list)
    for found in all_found:
        groups[found.what].append(found)
    lines = ["| fault | times | ended with | what was said most often | lost |", "|---|---|---|---|---|"]
    for what, group in groups.items():
        statuses = Counter(each.status for each in group)
        said = Counter(each.said for each in group if each.said).most_common(1)
        ended = ", ".join(f"{status} ({count})" for status, count in sorted(statuses.items()))
        lost = sum(bool(each.bad) for each in group)
        lines.append(f"| {what} | {len(group)} | {ended} | {said[0][0] if said else ''} | {lost} |")
    bad = [f"{each.what}, {each.command}, {each.moment}: {reason}" for each in all_found for reason in each.bad]
    return "\n".join([*lines, *bad])


if __name__ == "__main__":
    sys.exit(main())
