"""Merge XLM-R-base-shaped checkpoints with mergekit and with sprachbund, from the same recipe files, and compare what it takes.

    PYTHONPATH=$PWD/tests python tools/bench.py --folder bench --oracle VENV [--rows ties della] [--repeats 3]

VENV holds mergekit 0.1.5 (see ``tools/make_goldens.py``); ``--our-only`` goes without. What is measured are whole processes,
``mergekit-yaml RECIPE OUT`` and ``sprachbund merge RECIPE --out OUT``: with imports, until the checkpoint is on its way to the
disk. A row begins with one run of each from a cold cache, for the bytes that are read from the disk; then both run in turn,
with a warm cache, for the rest.

- wall: seconds from start to exit
- CPU: seconds of all threads and children, user and system
- memory: the largest RssAnon seen, summed over the process and its children, looked at every 20 ms
- read: bytes that the kernel fetched from the disk, in the cold run

The checkpoints (seven of 1.11 GB, float32: a base, and six sources that are the base and a random change) are built into the
folder once. Every run is kept in ``FOLDER/runs.json`` as it ends, and what is there is not run again; the table is made of
all that is there and goes to ``FOLDER/bench.md`` as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import yaml
from reference.checkpoints import tokenizer
from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

from sprachbund import files
from sprachbund.checkpoints.tensors import TensorInfo, write_tensors

BASE, BUILT, LINKED = "base", 6, 52
SOURCES = 5
"""How many a row merges."""
LABELS = 60
CHANGE, SPREAD = 0.002, 0.04
"""Standard deviations of task vectors and of the base."""
INTERVAL = 0.02
"""Seconds between two looks at a process."""
OURS, THEIRS = "sprachbund", "mergekit"
MB, GB = 1e6, 1e9


@dataclass(frozen=True)
class Row:
    """A line of the table: a recipe."""

    method: str
    weight: float | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    base: bool = True
    sources: int = SOURCES
    theirs: bool = True
    """Whether mergekit runs it too."""
    sweep: str = ""
    """What becomes of twelve merges in one pass, see ``tools/bench_sweep.py``; compared with twelve times ``linear_6``."""


AGREED = {"normalize": True}
"""The mean of those that agree with the elected sign, which is what sign election does with us."""
ROWS = {
    "linear": Row("linear", 0.2, base=False),
    "task_arithmetic": Row("task_arithmetic", 0.3),
    "model_stock": Row("model_stock"),
    "dare_linear": Row("dare_linear", 0.3, {"density": 0.5, "rescale": False}),
    "dare_ties": Row("dare_ties", 0.3, {"density": 0.5, "rescale": False, **AGREED}),
    "ties": Row("ties", 0.3, {"density": 0.2, **AGREED}),
    "della": Row("della", 0.3, {"density": 0.5, "epsilon": 0.1, "rescale": False, **AGREED}),
    "breadcrumbs": Row("breadcrumbs", 0.3, {"density": 0.9, "gamma": 0.01}),
    "sce": Row("sce", parameters={"select_topk": 0.1}),
    "multislerp": Row("multislerp", 0.2, base=False),
    "karcher": Row("karcher", base=False),
    "linear_6": Row("linear", 1 / BUILT, base=False, sources=BUILT),
    "twelve": Row("linear", theirs=False, sweep="nowhere"),
    "twelve, of 5,000 words": Row("linear", theirs=False, sweep="rows"),
    "twelve, written as bf16": Row("linear", theirs=False, sweep="bfloat16"),
    "linear_52": Row("linear", 1 / LINKED, base=False, sources=LINKED, theirs=False),
    "ties_6": Row("ties", 0.3, {"density": 0.2, **AGREED}, sources=BUILT, theirs=False),
    "ties_52": Row("ties", 0.3, {"density": 0.2, **AGREED}, sources=LINKED, theirs=False),
}


@dataclass(frozen=True)
class Run:
    """What one process took."""

    row: str
    tool: str
    repeat: int
    """0 is the run from a cold cache."""
    status: int
    """Of exit; negative: the signal that ended it."""
    wall: float
    cpu: float
    memory: int
    read: int


@dataclass(frozen=True)
class Bench:
    """A folder of checkpoints, and the runs over them."""

    folder: Path
    shape: Mapping[str, int]
    oracle: Path | None

    @property
    def runs_file(self) -> Path:
        """What is kept of each run."""
        return self.folder / "runs.json"

    def runs(self) -> list[Run]:
        """Return what was measured so far."""
        if not self.runs_file.exists():
            return []
        return [Run(**each) for each in json.loads(self.runs_file.read_text(encoding="utf-8"))]

    def keep(self, runs: Sequence[Run]) -> None:
        """Keep these runs."""
        files.write_json(self.runs_file, [asdict(run) for run in runs])


def main() -> int:
    """Build, run, compare; return the exit status."""
    options = arguments()
    shape = {"num_hidden_layers": options.layers, "vocab_size": options.vocab}
    bench = Bench(options.folder.resolve(), shape, None if options.our_only else options.oracle.resolve())
    build(bench)
    bench.keep([run for run in bench.runs() if run.tool == THEIRS or not run.status])  # ours may have been mended
    for name in options.rows:
        for repeat in range(options.repeats + 1):
            for tool in (THEIRS, OURS):
                measure(bench, name, tool, repeat)
    report = "\n".join([*machine(bench), "", *table(bench.runs())]) + "\n"
    (bench.folder / "bench.md").write_text(report, encoding="utf-8")
    print(report)
    return 0


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="checkpoints, recipes and what was measured (9 GB)")
    parser.add_argument("--oracle", type=Path, help="a venv with mergekit 0.1.5")
    parser.add_argument("--our-only", action="store_true", help="measure sprachbund alone")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--repeats", type=int, default=3, help="runs with a warm cache; default: 3")
    parser.add_argument("--layers", type=int, default=12, help="default: those of XLM-R base")
    parser.add_argument("--vocab", type=int, default=250_002, help="words; default: those of XLM-R base")
    options = parser.parse_args()
    if not options.our_only and options.oracle is None:
        parser.error("Say where mergekit is (--oracle VENV), or that it is not wanted (--our-only).")
    return options


# The checkpoints


def build(bench: Bench) -> None:
    """Make the checkpoints and recipes, unless they are there."""
    built = bench.folder / "shape.json"
    if not built.exists():
        config = xlmr(**bench.shape)
        for number, name in enumerate((BASE, *map(source, range(BUILT)))):
            print(f"building {name}", flush=True)
            make(bench.folder / name, config, number)
        for number in range(BUILT, LINKED):
            link(bench.folder / source(number % BUILT), bench.folder / source(number))
        os.sync()
        files.write_json(built, dict(bench.shape))
    if json.loads(built.read_text(encoding="utf-8")) != bench.shape:
        sys.exit(f"{bench.folder} holds checkpoints of another shape: name another folder, or remove it.")
    (bench.folder / "recipes").mkdir(exist_ok=True)
    for name, row in ((name, row) for name, row in ROWS.items() if not row.sweep):
        text = yaml.safe_dump(recipe(row), sort_keys=False)
        (bench.folder / "recipes" / f"{name}.yml").write_text(text, encoding="utf-8")


def xlmr(**shape: int) -> XLMRobertaConfig:
    """Return the config of a classifier of XLM-R base's width, 60 labels."""
    return XLMRobertaConfig(
        **shape,
        hidden_size=768,
        num_attention_heads=12,
        intermediate_size=3072,
        max_position_embeddings=514,
        type_vocab_size=1,
        num_labels=LABELS,
        architectures=["XLMRobertaForSequenceClassification"],
        dtype="float32",
    )


def make(place: Path, config: XLMRobertaConfig, number: int) -> None:
    """Write the base (0), or a source, into a folder of its own."""
    infos = [TensorInfo(name, "F32", shape) for name, shape in shapes(config).items()]
    shutil.rmtree(place, ignore_errors=True)
    config.save_pretrained(place)
    (place / "tokenizer.json").write_text(json.dumps(tokenizer(config.vocab_size)), encoding="utf-8")
    (place / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    write_tensors(place / "model.safetensors", infos, numbers(infos, number), {"format": "pt"})


def source(number: int) -> str:
    """Return the name of a source."""
    return f"s{number:02d}"


def shapes(config: XLMRobertaConfig) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a classifier, which is not built for that."""
    with torch.device("meta"):
        model = XLMRobertaForSequenceClassification(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def numbers(infos: Iterable[TensorInfo], number: int) -> Iterator[np.ndarray]:
    """Yield the tensors of the base (0), or of a source: those of the base with a change."""
    for place, info in enumerate(infos):
        theta = normal(info, (0, place)) * np.float32(SPREAD)
        yield theta + normal(info, (number, place)) * np.float32(CHANGE) if number else theta


def normal(info: TensorInfo, seed: Sequence[int]) -> np.ndarray:
    """Return normal noise in a tensor's shape."""
    return np.random.default_rng(seed).standard_normal(info.shape, dtype=np.float32)


def link(made: Path, copy: Path) -> None:
    """Make a source that is another one's files."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in made.iterdir():
        (copy / path.name).hardlink_to(path)


def recipe(row: Row) -> dict[str, Any]:
    """Return a mergekit recipe; its models lie in the current folder."""
    parameters = {} if row.weight is None else {"parameters": {"weight": row.weight}}
    return {
        "merge_method": row.method,
        **({"base_model": BASE} if row.base else {}),
        "models": [{"model": source(number), **parameters} for number in range(row.sources)],
        **({"parameters": dict(row.parameters)} if row.parameters else {}),
        "dtype": "float32",
    }


# The runs


def measure(bench: Bench, name: str, tool: str, repeat: int) -> None:
    """Run a row once, unless that was done, or the tool failed at it before."""
    if tool == THEIRS and (bench.oracle is None or not ROWS[name].theirs):
        return
    before = [run for run in bench.runs() if (run.row, run.tool) == (name, tool)]
    if any(run.repeat == repeat or run.status for run in before):
        return
    out = bench.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    os.sync()
    if repeat == 0:
        forget(bench.folder)
    run = watch(name, tool, repeat, command(bench, name, tool), bench.folder)
    shutil.rmtree(out, ignore_errors=True)
    bench.keep([*bench.runs(), run])
    print(
        f"{name}, {tool}, run {repeat}: {run.wall:.1f} s, CPU {run.cpu:.1f} s, {run.memory / MB:.0f} MB"
        + (f", FAILED ({run.status}), see {bench.folder / 'log'}" if run.status else ""),
        flush=True,
    )


def command(bench: Bench, name: str, tool: str) -> list[str]:
    """Return a command that merges in the folder of the checkpoints."""
    if ROWS[name].sweep:
        return [sys.executable, str(Path(__file__).with_name("bench_sweep.py")), ".", ROWS[name].sweep]
    if tool == OURS:
        return [str(Path(sys.executable).parent / "sprachbund"), "merge", f"recipes/{name}.yml", "--out", "out"]
    card = "--no-write-model-card"  # it asks the hub about every model
    return [f"{bench.oracle}/bin/mergekit-yaml", f"recipes/{name}.yml", "out", "--quiet", "--random-seed", "0", card]


def watch(row: str, tool: str, repeat: int, line: Sequence[str], folder: Path) -> Run:
    """Start a process, look at it until it ends; what it says goes into a file."""
    memory = read = 0
    with (folder / "log").open("wb") as log:
        started = time.monotonic()
        process = subprocess.Popen(line, cwd=folder, env=environment(), stdout=log, stderr=log)
        alive = True
        while alive:
            alive = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            seen = [
                (figure(each, "status", "RssAnon"), figure(each, "io", "read_bytes")) for each in family(process.pid)
            ]
            memory = max(memory, 1024 * sum(anonymous for anonymous, _ in seen))
            read = max(read, sum(fetched for _, fetched in seen))
            time.sleep(INTERVAL * alive)
        wall = time.monotonic() - started
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Run(row, tool, repeat, process.returncode, wall, usage.ru_utime + usage.ru_stime, memory, read)


def environment() -> dict[str, str]:
    """Return what both tools find around them: no network."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def family(process: int) -> Iterator[int]:
    """Yield a process and its children, and theirs."""
    yield process
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = listed.read_text().split()
        except OSError:
            continue  # it has ended
        for child in children:
            yield from family(int(child))


def figure(process: int, file: str, key: str) -> int:
    """Return a figure that the kernel keeps of a process, 0 once it is gone."""
    try:
        lines = Path(f"/proc/{process}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), 0)


def forget(folder: Path) -> None:
    """Let the kernel drop the checkpoints from its cache."""
    for name in (BASE, *map(source, range(BUILT))):
        with (folder / name / "model.safetensors").open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


# The table


def machine(bench: Bench) -> list[str]:
    """Return what was measured with."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    parameters = sum(info.stat().st_size for info in bench.folder.glob(f"{BASE}/model.safetensors")) / 4
    theirs = bench.oracle and next(bench.oracle.glob("lib/python*/site-packages/mergekit-*.dist-info"), None)
    return [
        f"{os.cpu_count()} cores ({processor()}), {memory:.0f} GB; Python {platform.python_version()}, numpy {np.__version__}"
        + (f"; {theirs.name.removesuffix('.dist-info').replace('-', ' ')}" if theirs else ""),
        "",
        f"Checkpoints of {parameters / 1e6:.0f} million parameters in float32; {SOURCES} sources, and a base where a method"
        " works on task vectors. Medians, in brackets the smallest and the largest; times is theirs / ours.",
    ]


def processor() -> str:
    """Return what the kernel calls the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def table(runs: Sequence[Run]) -> list[str]:
    """Return a row for each recipe that was run, as Markdown."""
    columns = (
        "row",
        f"{THEIRS}: wall, s",
        "CPU, s",
        "memory, GB",
        "read, GB",
        f"{OURS}: wall, s",
        "CPU, s",
        "memory, GB",
        "read, GB",
        "wall, times",
        "CPU, times",
        "memory, times",
    )
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for name in ROWS:
        ours = [run for run in runs if (run.row, run.tool) == (name, OURS)]
        theirs = [run for run in runs if (run.row, run.tool) == ("linear_6" if ROWS[name].sweep else name, THEIRS)]
        if ROWS[name].sweep:
            theirs = [replace(run, wall=12 * run.wall, cpu=12 * run.cpu, read=12 * run.read) for run in theirs]
        if theirs or ours:
            lines.append(f"| {' | '.join([name, *cells(theirs), *cells(ours), *ratios(theirs, ours)])} |")
    return lines


def cells(runs: Sequence[Run]) -> list[str]:
    """Return wall, CPU, memory and bytes of a tool; blank what was not measured."""
    failed = [run.status for run in runs if run.status]
    if failed:
        return [f"failed ({failed[0]})", "", "", ""]
    warm, cold = [run for run in runs if run.repeat], [run for run in runs if not run.repeat]
    spread = [
        f"{median(values):{form}} ({min(values):{form}}–{max(values):{form}})" if values else ""
        for values, form in (
            ([run.wall for run in warm], ".1f"),
            ([run.cpu for run in warm], ".1f"),
            ([run.memory / GB for run in warm], ".2f"),
        )
    ]
    return [*spread, *(f"{run.read / GB:.2f}" for run in cold)] if cold else [*spread, ""]


def ratios(theirs: Sequence[Run], ours: Sequence[Run]) -> list[str]:
    """Return how many times less we take of wall time, CPU and memory; blank where one of the two is not there."""
    if any(run.status for run in (*theirs, *ours)):
        return ["", "", ""]
    pairs = [
        ([getattr(run, what) for run in theirs if run.repeat], [getattr(run, what) for run in ours if run.repeat])
        for what in ("wall", "cpu", "memory")
    ]
    return [f"{median(a) / median(b):.1f}" if a and b and median(b) else "" for a, b in pairs]


if __name__ == "__main__":
    sys.exit(main())
