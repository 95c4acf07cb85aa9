"""Fine-tune the same base on the same rows with our loop and with transformers' Trainer: how long, and how well?

    python tools/compare_trainers.py

Both get the base with the head of the same seed and do the whole job: tokenise, train, measure the dev accuracy after each
epoch, save. Both have AdamW (fused), a linear warm-up over a tenth of the steps and a linear decay, clipped gradients, batches
of texts of like length. They differ in what each does by itself: how batches are drawn, which tensors decay (the Trainer leaves
out biases and norms), what happens around a step. The Trainer sorts texts by length within 50 batches and we within 8, so it is
also run with batches in random order. They take turns, on one thread; other work on the machine meets the time on the clock of
all, and the time of the processor hardly.

Embedded data, and two sizes: the width of the embedded models, and the width of XLM-R-base with two layers and few rows. Some
minutes on two idle cores. What came out: docs/experiments/trainer.md.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments

from sprachbund import data, inference
from sprachbund.data import Partition
from sprachbund.training.finetune import classifier, finetune
from sprachbund.training.loop import LARGEST_GRADIENT, WARMUP_SHARE, WEIGHT_DECAY
from sprachbund.training.pretrain import pretrain
from sprachbund.training.settings import FinetuneSettings, PretrainSettings

LOCALES = ("de-DE", "en-US", "fr-FR", "ja-JP", "ru-RU", "sw-KE")
TARGET = "de-DE"
MOST_DEV = 300


@dataclass(frozen=True)
class Size:
    """A base, and how it is fine-tuned."""

    base: PretrainSettings
    finetune: FinetuneSettings
    rows: int
    """Of the train split, at most."""


SIZES = {
    "96 wide, 2 layers": Size(
        PretrainSettings(mlm_steps=40, ranking_steps=80),
        FinetuneSettings(epochs=5, learning_rate=1.5e-3, dropout=0.0),
        rows=10**6,
    ),
    "768 wide, 2 layers": Size(
        PretrainSettings(hidden=768, layers=2, heads=12, intermediate=3072, mlm_steps=0, ranking_steps=0),
        FinetuneSettings(epochs=1, learning_rate=1e-4, dropout=0.0),
        rows=256,
    ),
}


@dataclass(frozen=True)
class Job:
    """All that either loop is given."""

    base: Path
    train: Partition
    dev: Partition
    intents: tuple[str, ...]
    settings: FinetuneSettings


Loop = Callable[[Job, Path], float]
"""Trains into a folder; returns the dev accuracy."""


def ours(job: Job, out: Path) -> float:
    """Train with the loop of the package."""
    return finetune(job.base, job.train, job.dev, job.intents, out, job.settings).dev_accuracy


def theirs(job: Job, out: Path, sampling: str = "group_by_length") -> float:
    """Train with transformers' Trainer."""
    settings = job.settings
    tokenizer = inference.load_tokenizer(job.base)
    model = classifier(job.base, job.intents, settings)
    train, dev = (rows(tokenizer, partition, job.intents) for partition in (job.train, job.dev))
    steps = settings.epochs * math.ceil(len(train) / settings.batch)
    arguments = TrainingArguments(
        output_dir=str(out),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        per_device_eval_batch_size=64,
        learning_rate=settings.learning_rate,
        weight_decay=WEIGHT_DECAY,
        warmup_steps=int(WARMUP_SHARE * steps),
        lr_scheduler_type="linear",
        max_grad_norm=LARGEST_GRADIENT,
        optim="adamw_torch_fused",
        train_sampling_strategy=sampling,
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        seed=settings.seed,
    )
    trainer = Trainer(
        model,
        arguments,
        data_collator=DataCollatorWithPadding(tokenizer),
        train_dataset=train,  # type: ignore[arg-type]  # a list has all that is asked of a data set
        eval_dataset=dev,  # type: ignore[arg-type]
        compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())},
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(str(out))
    tokenizer.save_pretrained(out)
    return float([entry["eval_accuracy"] for entry in trainer.state.log_history if "eval_accuracy" in entry][-1])


def rows(tokenizer: Any, partition: Partition, intents: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return what a Trainer calls a data set."""
    numbers = {intent: number for number, intent in enumerate(intents)}
    encoded = inference.tokenise(tokenizer, partition.texts)
    return [
        {"input_ids": tokens, "attention_mask": [1] * len(tokens), "labels": numbers[intent]}
        for tokens, intent in zip(encoded, partition.intents, strict=True)
    ]


LOOPS: dict[str, Loop] = {
    "ours": ours,
    "Trainer, by length": theirs,
    "Trainer, random": partial(theirs, sampling="random"),
}


@dataclass(frozen=True)
class Run:
    """What one run took and gave."""

    clock: float
    """Seconds."""
    processor: float
    """Seconds of all its threads."""
    accuracy: float


def compare(job: Job, runs: int) -> dict[str, list[Run]]:
    """Return the runs of each loop; they take turns, and turns at being first."""
    found: dict[str, list[Run]] = {name: [] for name in LOOPS}
    for seed in range(-1, runs):  # the first round warms up, and does not count
        turn = replace(job, settings=job.settings.model_copy(update={"seed": max(seed, 0)}))
        for name in list(LOOPS)[:: 1 if seed % 2 else -1]:
            made = measured(LOOPS[name], turn)
            if seed >= 0:
                found[name].append(made)
    return found


def measured(loop: Loop, job: Job) -> Run:
    """Run a loop once, into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        clock, processor = time.perf_counter(), time.process_time()
        accuracy = loop(job, Path(folder))
        return Run(time.perf_counter() - clock, time.process_time() - processor, accuracy)


def first(partition: Partition, most: int) -> Partition:
    """Return the first rows of a partition."""
    return replace(partition, ids=partition.ids[:most], texts=partition.texts[:most], intents=partition.intents[:most])


def main(runs: int) -> None:
    """Print a row for each size and loop: times are those of the same round of ours as 1."""
    inference.quieten()
    torch.set_num_threads(1)
    dataset = data.load("cldr")
    print("| base | rows × epochs | loop | processor time | on the clock | mean dev accuracy |")
    print("|---|---:|---|---:|---:|---:|")
    for name, size in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            pretrain(list(dataset.partitions("train", LOCALES)), Path(folder), size.base)
            train, dev = (dataset.partition(TARGET, part) for part in ("train", "dev"))
            job = Job(Path(folder), first(train, size.rows), first(dev, MOST_DEV), dataset.intents, size.finetune)
            found = compare(job, runs)
        for loop, made in found.items():
            pairs = list(zip(made, found["ours"], strict=True))
            processor = ranged([one.processor / our.processor for one, our in pairs])
            clock = ranged([one.clock / our.clock for one, our in pairs])
            accuracy = f"{np.mean([one.accuracy for one in made]):.3f}"
            amount = f"{len(job.train)} × {size.finetune.epochs}"
            print(f"| {name} | {amount} | {loop} | {processor} | {clock} | {accuracy} |", flush=True)


def ranged(values: list[float]) -> str:
    """Write a median with the smallest and the largest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare our loop with transformers' Trainer.")
    parser.add_argument("--runs", type=int, default=3, help="Rounds of each size. Default: 3.")
    main(parser.parse_args().runs)
