"""Run the demonstration's sweep again and again in one process: does memory grow, is any file left open?

    make soak-memory ROUNDS=20
    PYTHONPATH=$PWD/tests python tools/soak_memory.py --rounds 20 --out soak-memory.csv

A round is what `sprachbund demo` does, by the commands themselves and in this process alone (`--jobs 1`): the cells of 52
locales × baseline, similarity, average; some sources, as they are, on all locales; tables; picture. Each has a folder of its
own, whose records have to be those of the first round, times aside; it is deleted afterwards. After each round, and after the
garbage collector, what the process holds is a row of the CSV.

Verdict: from round 5 on, when every library is loaded and every pool has started, resident memory grows by at most BOUND
megabytes a round (the median of all slopes between two rounds, Theil–Sen), and file handles, threads, child processes, mapped
files and entries of our caches are equal in every round. Else the exit status is 1. The models are made first if they are not
there. A round is about a minute on an idle core. What came out: docs/reliability.md.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import ctypes
import functools
import gc
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import psutil
import pyarrow
from killing import Tree, differences, tree
from scipy.stats import theilslopes

from sprachbund.cli import run
from sprachbund.store import RESULTS
from sprachbund.training import embedded

FROM = 5
"""The first round that the verdict looks at."""
BOUND = 1.0
"""Megabytes a round: a hundredth of a percent of what a machine of 8 GB has, 7 KB a cell."""
SOURCES = ("da-DK", "sw-KE")
"""Two that are evaluated as they are: all 52 of them take four times as long as the cells."""
EQUAL = ("files", "threads", "children", "mapped", "cached")
"""What has to be the same number in each round."""
MEGABYTE = 1e6

CACHE = type(functools.lru_cache(len))


@dataclass(frozen=True)
class Held:
    """What this process holds, once what nobody refers to is gone."""

    rss: float
    """Resident memory, MB."""
    allocated: float
    """What of it malloc has given away and not got back, MB; 0 where the C library does not tell."""
    arrow: float
    """What Arrow's pool holds, MB."""
    objects: int
    """Objects that the garbage collector follows."""
    files: int
    """Open file handles."""
    threads: int
    children: int
    """Processes that it has started and that are still there."""
    mapped: int
    """Files in its address space: libraries, and tensors that somebody still refers to."""
    cached: int
    """Entries of the caches of functions of ours,"""
    cached_by_others: int
    """and of anybody else's."""
    handlers: int
    """Of the loggers."""


def held() -> Held:
    """Return what this process holds."""
    gc.collect()
    process = psutil.Process()
    followed = gc.get_objects()
    caches = [each for each in followed if type(each) is CACHE]  # some objects warn when asked for their class
    ours = [each for each in caches if (each.__module__ or "").partition(".")[0] == "sprachbund"]
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    sizes = {id(each): each.cache_info().currsize for each in caches}
    return Held(
        rss=process.memory_info().rss / MEGABYTE,
        allocated=_allocated() / MEGABYTE,
        arrow=pyarrow.total_allocated_bytes() / MEGABYTE,
        objects=len(followed),
        files=process.num_fds(),
        threads=process.num_threads(),
        children=len(process.children(recursive=True)),
        mapped=sum(1 for each in process.memory_maps() if each.path.startswith("/")),
        cached=sum(sizes[id(each)] for each in ours),
        cached_by_others=sum(sizes.values()) - sum(sizes[id(each)] for each in ours),
        handlers=sum(len(each.handlers) for each in loggers if isinstance(each, logging.Logger)),
    )


class _Mallinfo(ctypes.Structure):
    """What glibc tells of its malloc; see mallinfo(3)."""

    _fields_ = (
        ("arena", ctypes.c_size_t),
        ("ordblks", ctypes.c_size_t),
        ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t),
        ("hblkhd", ctypes.c_size_t),
        ("usmblks", ctypes.c_size_t),
        ("fsmblks", ctypes.c_size_t),
        ("uordblks", ctypes.c_size_t),
        ("fordblks", ctypes.c_size_t),
        ("keepcost", ctypes.c_size_t),
    )


def _allocated() -> int:
    """Return the bytes that glibc's malloc has given away, in blocks of its arenas and in mappings of their own."""
    told = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if told is None:  # another C library, or one of before 2021
        return 0
    told.restype = _Mallinfo
    found = told()
    return int(found.uordblks + found.hblkhd)


def rounds(work: Callable[[Path], None], count: int, root: Path) -> Iterator[tuple[Held, Sequence[str]]]:
    """Do the work ``count`` times, each in a fresh folder; yield what is held then, and records that differ from the first."""
    first: Tree | None = None
    for number in range(1, count + 1):
        folder = root / f"round-{number}"
        work(folder)
        found = {name: content for name, content in tree(folder).items() if Path(name).parts[0] == RESULTS}
        first = first or found
        shutil.rmtree(folder)
        yield held(), differences(found, first)


def verdict(seen: Sequence[Held], first: int = FROM, bound: float = BOUND) -> tuple[str, Sequence[str]]:
    """Return how resident memory grows from a round on (counted from 1), in words, and what is not flat."""
    rest = seen[first - 1 :]
    slope, _, low, high = theilslopes([each.rss for each in rest], range(first, first + len(rest)))
    growth = f"resident memory grows by {slope:+.3f} MB a round (95%: {low:+.3f} to {high:+.3f}), allowed are {bound:g}"
    complaints = [growth] if slope > bound else []
    for name in EQUAL:
        numbers = [getattr(each, name) for each in rest]
        if len(set(numbers)) > 1:
            complaints.append(f"{name}: {min(numbers)} to {max(numbers)} instead of one number")
    return growth, complaints


def sweep(folder: Path) -> None:
    """Do what the demonstration does; what its commands say goes to a file beside the folder.

    Raises:
        SystemExit: one of them failed.
    """
    results = str(folder / RESULTS)
    here = ("--demo", "--jobs", "1")
    cells = ("--variants", "baseline", "similarity", "average", "--skip-zero-shot", "--output-dir", str(folder))
    commands = (
        ("experiment", *here, *cells),
        ("transfer", *here, "--sources", *SOURCES, "--split", "dev", "--results-dir", results),
        ("aggregate", "--results-dir", results, "--output-dir", str(folder)),
        ("plot", "--results-dir", results, "--out", str(folder / "dumbbell.png")),
    )
    log = folder.with_suffix(".log")
    with log.open("w") as stream, contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        failed = next((command[0] for command in commands if run(command)), None)
    if failed:
        sys.exit(f"{failed} failed:\n{log.read_text()}")
    log.unlink()


def main() -> int:
    """Run all rounds; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("soak-memory.csv"))
    arguments = parser.parse_args()
    if arguments.rounds < FROM + 2:
        parser.error(
            f"--rounds {arguments.rounds}: the verdict begins with round {FROM} and needs three: give {FROM + 2}."
        )
    embedded.ensure()
    seen: list[Held] = []
    different: list[str] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak.") as root, arguments.out.open("w", newline="") as stream:
        table = csv.DictWriter(stream, ["round", "seconds", *(field.name for field in fields(Held))])
        table.writeheader()
        for what, differs in rounds(sweep, arguments.rounds, Path(root).resolve()):
            seen.append(what)
            different += [f"round {len(seen)}: {name} is not what it was in round 1" for name in differs]
            row = {"round": len(seen), "seconds": time.monotonic() - started, **asdict(what)}
            table.writerow({name: round(value, 3) for name, value in row.items()})
            stream.flush()
            print(f"{len(seen)}/{arguments.rounds}: " + ", ".join(f"{k} {v:g}" for k, v in row.items()), flush=True)
    growth, complaints = verdict(seen)
    print(f"From round {FROM} on, {growth}.")
    for complaint in (*complaints, *different):
        print(f"NOT FLAT: {complaint}" if complaint in complaints else f"DIFFERENT: {complaint}")
    return 1 if complaints or different else 0


if __name__ == "__main__":
    sys.exit(main())
