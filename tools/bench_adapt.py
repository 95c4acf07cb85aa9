"""What ``sprachbund adapt`` takes of time and memory on ten sources of XLM-R base's shape and 1,000 texts.

    PYTHONPATH=$PWD/tests python tools/bench_adapt.py --folder bench-adapt [--texts 1000] [--epochs 10]

Ten checkpoints (1.11 GB each, float32: one base and a random change each, see ``tools/bench.py``) are built into the folder
once. The texts are made up, of words as unequally frequent as real ones and of MASSIVE's lengths. The command runs as users run
it, embeddings frozen, in a process of its own and with nothing cached; inside it, the time of each stage is taken. Printed are
seconds from start to exit, CPU seconds of all threads and children, the largest memory (RssAnon, summed over the process and
its children, looked at every 20 ms), and the seconds of the stages. On a machine that others work on, CPU seconds count.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import GB, make, source, watch, xlmr
from bench_inference import lengths

SOURCES, WORDS = 10, 20_000
TARGET = "xx"
INSIDE, TIMES = "--inside", "times.json"


def main() -> int:
    """Build what is not there, run the command, print what it took; return its exit status."""
    options = arguments()
    folder = options.folder.resolve()
    build(folder, {"num_hidden_layers": options.layers, "vocab_size": options.vocab})
    (folder / "texts.txt").write_text("".join(f"{text}\n" for text in texts(options.texts)), encoding="utf-8")
    for kept in ("adapted", "cache"):
        shutil.rmtree(folder / kept, ignore_errors=True)
    os.environ["SPRACHBUND_CACHE"] = str(folder / "cache")
    run = watch("adapt", "auto", 0, [sys.executable, __file__, INSIDE, *command(options)], folder)
    if run.status:
        print((folder / "log").read_text(encoding="utf-8"), file=sys.stderr)
        return run.status
    print(f"auto: {run.wall:.0f} s, CPU {run.cpu:.0f} s, {run.memory / GB:.2f} GB")
    for stage, (seconds, cpu) in json.loads((folder / TIMES).read_text(encoding="utf-8")).items():
        print(f"  {stage}: {seconds:.1f} s, CPU {cpu:.1f} s")
    return 0


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="checkpoints and what is made (15 GB)")
    parser.add_argument("--texts", type=int, default=1000, help="default: 1000")
    parser.add_argument("--epochs", type=int, default=10, help="of a student; default: 10")
    parser.add_argument("--layers", type=int, default=12, help="default: those of XLM-R base")
    parser.add_argument("--vocab", type=int, default=250_002, help="words; default: those of XLM-R base")
    return parser.parse_args()


def command(options: argparse.Namespace) -> list[str]:
    """Return the arguments of sprachbund; the current folder is that of the checkpoints."""
    sources = [source(number) for number in range(SOURCES)]
    return [
        *("adapt", "--target", TARGET, "--models", "{locale}", "--sources", *sources, "--unlabelled", "texts.txt"),
        *("--epochs", str(options.epochs), "--freeze-embeddings", "--out", "adapted"),
    ]


def build(folder: Path, shape: dict[str, int]) -> None:
    """Make the checkpoints, unless they are there."""
    built = folder / "shape.json"
    if not built.exists():
        for number in range(SOURCES):
            print(f"building {source(number)}", flush=True)
            make(folder / source(number), xlmr(**shape), number + 1)
        os.sync()
        built.write_text(json.dumps(shape), encoding="utf-8")
    if json.loads(built.read_text(encoding="utf-8")) != shape:
        sys.exit(f"{folder} holds checkpoints of another shape: name another folder, or remove it.")


def texts(count: int) -> list[str]:
    """Return made-up texts, all different: a word's frequency is 1 / rank (Zipf), a text's tokens are those of MASSIVE's."""
    lot = random.Random(0)
    words = [f"w{number}" for number in range(WORDS)]
    frequencies = [1 / (rank + 5) for rank in range(WORDS)]  # the first few of a language are not that far ahead
    tokens = lengths(None)
    found: dict[str, None] = {}
    while len(found) < count:
        special = 2
        found[" ".join(lot.choices(words, frequencies, k=lot.choice(tokens) - special))] = None
    return list(found)


# Inside the process that is measured


def inside(line: list[str]) -> int:
    """Run a line of sprachbund and keep what its stages took."""
    from sprachbund import distillation, inference, merging
    from sprachbund.cli import run
    from sprachbund.measures import AnswerStore

    times: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    open_stages: list[str] = []
    stages: list[tuple[str, Any, str]] = [
        ("asking the sources", AnswerStore, "collect"),
        ("merging and copying", merging, "merge"),
        ("loading", inference, "load_classifier"),
        ("distilling", distillation, "optimise"),
        ("saving the student", distillation, "save"),
        ("comparing", inference, "logits"),
    ]
    for stage, where, name in stages:
        setattr(where, name, timed(getattr(where, name), times, open_stages, stage))
    status = timed(run, times, [], "all but start and end of the process")(line)
    Path(TIMES).write_text(json.dumps(times), encoding="utf-8")
    return int(status)


def timed(
    work: Callable[..., Any], times: dict[str, list[float]], open_stages: list[str], stage: str
) -> Callable[..., Any]:
    """Return ``work`` so that its seconds and CPU seconds are added up, unless it is part of another stage."""

    def measured(*given: Any, **named: Any) -> Any:
        if open_stages:
            return work(*given, **named)
        open_stages.append(stage)
        start, cpu = time.monotonic(), cpu_seconds()
        try:
            return work(*given, **named)
        finally:
            times[stage][0] += time.monotonic() - start
            times[stage][1] += cpu_seconds() - cpu
            open_stages.pop()

    return measured


def cpu_seconds() -> float:
    """Return what this process and its children that have ended have computed."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    sys.exit(inside(sys.argv[2:]) if sys.argv[1:2] == [INSIDE] else main())
