"""Merge checkpoints with FusionBench 0.2.33, as its users do from Python; for ``bench_fusionbench.py``, in a venv that has it.

    VENV/bin/python tools/fusionbench_merge.py METHOD OUT BASE SOURCE SOURCE ...

Models are named to its pool, not handed over, so that it loads each of them when it wants to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from fusion_bench.method import SimpleAverageAlgorithm, TaskArithmeticAlgorithm, TiesMergingAlgorithm
from fusion_bench.modelpool import BaseModelPool
from omegaconf import DictConfig

METHODS: dict[str, Callable[[], Any]] = {
    "linear": SimpleAverageAlgorithm,
    "task_arithmetic": lambda: TaskArithmeticAlgorithm(scaling_factor=0.3),
    "ties": lambda: TiesMergingAlgorithm(scaling_factor=0.3, threshold=20, remove_keys=[], merge_func="mean"),
}


def main(method: str, out: str, base: str, *sources: str) -> None:
    """Merge, and write a checkpoint."""
    named = dict(zip((f"source {number}" for number in range(len(sources))), sources, strict=True))
    if method != "linear":
        named["_pretrained_"] = base
    METHODS[method]().run(pool(named)).save_pretrained(out)


def pool(folders: dict[str, str]) -> Any:
    """Return FusionBench's collection of models that are to be loaded."""
    load = "transformers.AutoModelForSequenceClassification.from_pretrained"
    made = {name: {"_target_": load, "pretrained_model_name_or_path": folder} for name, folder in folders.items()}
    return BaseModelPool(DictConfig(made))


if __name__ == "__main__":
    main(*sys.argv[1:])
