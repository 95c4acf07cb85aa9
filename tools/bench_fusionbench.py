"""Merge the checkpoints of ``bench.py`` with FusionBench and with sprachbund, and compare what it takes.

    PYTHONPATH=$PWD/tests python tools/bench_fusionbench.py --folder bench-fusionbench --oracle VENV --vocab 50000

VENV holds FusionBench 0.2.33 (see ``make_goldens.py``). What is measured are whole processes, as in ``bench.py``, by the same
clocks: ``fusionbench_merge.py`` in that venv and ``sprachbund merge RECIPE --out OUT``, with imports, until the checkpoint is
on its way to the disk. Both run in turn, the first time of each for the files to be in memory; medians are of the others.

The means and the sums of task vectors have to be the same numbers, or the exit status is 1. TIES is not the same: FusionBench
trims all of a model at once, mergekit and we tensor by tensor.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import bench
import numpy as np
from bench import BASE, GB, SOURCES, Bench, Run
from safetensors.numpy import load_file

OURS, THEIRS = "sprachbund", "FusionBench"
ROWS = ("linear", "task_arithmetic", "ties")
EQUAL = ("linear", "task_arithmetic")
APART = 1e-6
"""How far numbers of up to 0.2 may be apart."""


def main() -> int:
    """Build, run, compare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="checkpoints and recipes")
    parser.add_argument("--oracle", type=Path, required=True, help="a venv with FusionBench 0.2.33")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--repeats", type=int, default=3, help="runs with a warm cache")
    parser.add_argument("--layers", type=int, default=12, help="default: those of XLM-R base")
    parser.add_argument("--vocab", type=int, default=250_002, help="words; default: those of XLM-R base")
    options = parser.parse_args()
    shape = {"num_hidden_layers": options.layers, "vocab_size": options.vocab}
    place = Bench(options.folder.resolve(), shape, options.oracle.resolve())
    bench.build(place)
    runs, apart = [], {}
    for name in options.rows:
        for repeat in range(options.repeats + 1):
            for tool in (THEIRS, OURS):
                runs.append(measure(place, name, tool, repeat))
        apart[name] = distance(place.folder / THEIRS, place.folder / OURS)
    print("\n".join(table(runs, apart)))
    return 1 if any(run.status for run in runs) or any(apart.get(name, 0) > APART for name in EQUAL) else 0


def measure(place: Bench, name: str, tool: str, repeat: int) -> Run:
    """Run a row once, into a folder that is called like the tool."""
    shutil.rmtree(place.folder / tool, ignore_errors=True)
    os.sync()
    run = bench.watch(name, tool, repeat, command(place, name, tool), place.folder)
    print(f"{name}, {tool}, run {repeat}: {run.wall:.1f} s, {run.memory / GB:.2f} GB, status {run.status}", flush=True)
    return run


def command(place: Bench, name: str, tool: str) -> list[str]:
    """Return a command that merges in the folder of the checkpoints."""
    if tool == OURS:
        return [str(Path(sys.executable).parent / "sprachbund"), "merge", f"recipes/{name}.yml", "--out", tool]
    program = str(Path(__file__).with_name("fusionbench_merge.py"))
    return [f"{place.oracle}/bin/python", program, name, tool, BASE, *map(bench.source, range(SOURCES))]


def distance(one: Path, other: Path) -> float:
    """Return how far the numbers of two checkpoints are apart at most."""
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (one, other))
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours.keys() | theirs.keys())


def table(runs: Sequence[Run], apart: dict[str, float]) -> list[str]:
    """Return the lines of a table, medians of warm runs."""
    lines = [
        "| | FusionBench: wall, s | memory, GB | sprachbund: wall, s | memory, GB | wall, ratio | apart at most |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name in apart:
        warm = {t: [run for run in runs if (run.row, run.tool) == (name, t) and run.repeat] for t in (THEIRS, OURS)}
        wall = {tool: median(run.wall for run in found) for tool, found in warm.items()}
        memory = {tool: median(run.memory for run in found) / GB for tool, found in warm.items()}
        figures = " | ".join(f"{wall[tool]:.1f} | {memory[tool]:.2f}" for tool in (THEIRS, OURS))
        lines.append(f"| {name} | {figures} | {wall[THEIRS] / wall[OURS]:.1f} | {apart[name]:.1g} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
