"""How long the whole sweep takes where the sources stay on the device: 52 targets, each its own source and two merges.

    python tools/bench_gpu.py [--sources 52] [--merged 5] [--precision bf16] [--method linear] [--rounds 3]

To be run where there is a GPU with room for all sources; without one the same code runs on the CPU, for which the shape can be
made small (--sources 3 --texts 20 --layers 1 --hidden 16 --vocabulary 300 --words 100). The sources have the shape of XLM-R
base and random numbers that are made on the device: no file is read, and what that takes is not measured. Texts are random
tokens, in each target of other words, of the lengths of MASSIVE's utterances (see tools/bench_inference.py). Each cell goes the
way that the experiment takes: tokens are renumbered, of the vocabulary the rows that occur are merged, a model is built of what
comes out, and it answers to all texts of its target. The first sweep is not counted: it makes the sources.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from bench_inference import LABELS, TEXTS, lengths
from transformers import AutoModelForSequenceClassification, XLMRobertaConfig

from sprachbund import inference
from sprachbund.checkpoints import CONFIG, WEIGHTS, Checkpoint, TensorInfo, TensorWriter, open_checkpoint
from sprachbund.checkpoints.checkpoint import TOKENIZER
from sprachbund.merging import Merge
from sprachbund.merging.resident import TORCH, Resident, needed
from sprachbund.methods import METHODS

STAGES = ("tokens", "merge", "build", "answer")
HEADS_OF = 64
"""Numbers in an attention head."""


class Made(Resident):
    """Makes random numbers where it would load a tensor: those of the base, and a small change of each source's own."""

    def read(self, source: Checkpoint, name: str) -> torch.Tensor:
        """Return a tensor of a source, the same each time."""
        info = source.file.tensors[name]
        base, own = (self._normal(f"{who} {name}", info.shape) for who in ("", source.name))
        return (0.02 * base + 0.002 * own + ("LayerNorm.weight" in name)).to(TORCH[info.dtype])

    def _normal(self, seed: str, shape: Sequence[int]) -> torch.Tensor:
        generator = torch.Generator(self.device).manual_seed(zlib.crc32(seed.encode()))
        return torch.randn(*shape, generator=generator, device=self.device)


def shape_of(asked: argparse.Namespace) -> XLMRobertaConfig:
    """Return the config of the sources."""
    return XLMRobertaConfig(
        vocab_size=asked.vocabulary,
        hidden_size=asked.hidden,
        num_hidden_layers=asked.layers,
        num_attention_heads=max(1, asked.hidden // HEADS_OF),
        intermediate_size=4 * asked.hidden,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        num_labels=LABELS,
        architectures=["XLMRobertaForSequenceClassification"],
    )


def header_only(folder: Path, config: XLMRobertaConfig, dtype: str) -> Checkpoint:
    """Return a checkpoint whose tensors have names and shapes; the file is a hole that takes no room on the disk."""
    folder.mkdir()
    config.to_json_file(folder / CONFIG)
    (folder / TOKENIZER).write_text(json.dumps({"model": {"type": "WordLevel", "vocab": {"<s>": 0}}}), encoding="utf-8")
    with torch.device("meta"):
        model: Any = AutoModelForSequenceClassification.from_config(config)
    infos = [TensorInfo(name, dtype, tuple(tensor.shape)) for name, tensor in model.state_dict().items()]
    with TensorWriter(folder / WEIGHTS, infos, {"format": "pt"}):
        pass
    return open_checkpoint(folder, folder.name)


def texts_of(target: int, counts: Sequence[int], words: int, vocabulary: int) -> inference.Encoded:
    """Return token ids of texts of these lengths, of so many words that the target has."""
    lot = random.Random(target)
    known = lot.sample(range(5, vocabulary), min(words, vocabulary - 5))
    return [[0, *lot.choices(known, k=count - 2), 2] for count in counts]


class Clock:
    """Adds up the seconds of each stage; what the device has still to do when one ends is a part of it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block."""
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[name] += time.perf_counter() - start


def sweep(engine: Resident, sources: Sequence[Checkpoint], base: Checkpoint, asked: argparse.Namespace) -> Clock:
    """Merge and evaluate all cells."""
    clock, lot = Clock(engine.device), random.Random(0)
    counts = lengths(None)[: asked.texts]
    needs_base = METHODS[asked.method].needs_base
    for target, own in enumerate(sources):
        encoded = texts_of(target, counts, asked.words, asked.vocabulary)
        with clock.stage("tokens"):
            config = inference.config_of(own.folder)
            compact, rows = inference.compact(encoded, inference.fixed_tokens(config))
        others = [source for source in sources if source is not own] or [own]
        mixes = [lot.sample(others, min(asked.merged, len(others))) for _ in range(2)]
        merges = [Merge([own], [1.0], rows=rows)] + [
            Merge(mix, [1 / len(mix)] * len(mix), asked.method, {}, base if needs_base else None, rows=rows)
            for mix in mixes
        ]
        models = engine.merge(merges)
        for _ in merges:
            with clock.stage("merge"):
                found = next(models)
            with clock.stage("build"):
                live = inference.live_classifier(own.folder, found.tensors, vocabulary_rows=rows)
                live = inference.ready(live, asked.precision)
            with clock.stage("answer"):
                inference.logits(live, compact)
    return clock


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=52, help="As many targets, with three cells each.")
    parser.add_argument("--merged", type=int, default=5, help="Sources of a merge.")
    parser.add_argument("--method", default="linear", choices=[name for name in METHODS if _is_sum(name)])
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--dtype", default="F32", choices=["F32", "BF16", "F16"], help="Of the sources.")
    parser.add_argument("--texts", type=int, default=TEXTS, help="In each target.")
    parser.add_argument("--words", type=int, default=4000, help="Different tokens in the texts of a target.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--vocabulary", type=int, default=250_002)
    asked = parser.parse_args()
    inference.quieten()
    device = inference.chosen()
    with tempfile.TemporaryDirectory() as root:
        config = shape_of(asked)
        base, *sources = [
            header_only(Path(root) / f"{place:02}", config, asked.dtype) for place in range(asked.sources + 1)
        ]
        engine = Made(device)
        start = time.perf_counter()
        sweep(engine, sources, base, asked)
        first = time.perf_counter() - start
        clocks = [sweep(engine, sources, base, asked) for _ in range(asked.rounds)]
        _print(asked, device, needed(sources, base), first, clocks)


def _is_sum(name: str) -> bool:
    method = METHODS[name]
    return method.kind == "coefficient" and method.most_sources is None


def _print(asked: argparse.Namespace, device: torch.device, room: float, first: float, clocks: Sequence[Clock]) -> None:
    is_gpu = device.type == "cuda"
    named = torch.cuda.get_device_name(device) if is_gpu else f"CPU, {torch.get_num_threads()} threads"
    peak = f", {torch.cuda.max_memory_allocated(device) / 1e9:.1f} GB at most" if is_gpu else ""
    cells, mixed = 3 * asked.sources, min(asked.merged, max(1, asked.sources - 1))
    print(
        f"{named}, torch {torch.__version__}; {asked.sources} sources in {asked.dtype}, {room / 1e9:.1f} GB asked for{peak}; "
        f"{cells} cells, {2 * asked.sources} of them {asked.method} merges of {mixed}, {asked.texts} texts each, "
        f"{asked.precision}; {asked.rounds} rounds after one of {first:.1f} s that made the sources\n"
    )
    print("| stage | s (range) | ms a cell |")
    print("|---|---|---|")
    totals = [sum(clock.seconds.values()) for clock in clocks]
    rows = [(stage, [clock.seconds[stage] for clock in clocks]) for stage in STAGES]
    for name, seconds in [*rows, ("all", totals)]:
        middle = statistics.median(seconds)
        print(f"| {name} | {middle:.2f} ({min(seconds):.2f}-{max(seconds):.2f}) | {1000 * middle / cells:.1f} |")


if __name__ == "__main__":
    main()
