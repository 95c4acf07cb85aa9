"""How fast a classifier of XLM-R base's shape reads utterances of MASSIVE's lengths: file order, sorted, bf16, int8.

    python tools/bench_inference.py [--texts 512] [--rounds 3] [--budgets 512 1024 2048 4096] [--vocabulary 250002]

The weights are random and the tokens too; lengths are those of en-US test, cut by a tokenizer, where SPRACHBUND_SHARED names
the folder with MASSIVE and --tokenizer a checkpoint, else made up alike. All roads take turns, round by round; medians and
ranges are printed, and ratios to the first road: batches of 32 in file order, which is the original's loop. What other answers
mean on trained models stands in docs/experiments/precision.md.
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, XLMRobertaConfig

from sprachbund import data, inference
from sprachbund.inference import Encoded
from sprachbund.inference.answering import TOKENS_PER_BATCH

LABELS, FILE_ORDER = 60, 32
TEXTS = 2974
"""In the test split of each locale."""
Road = Callable[[Encoded], np.ndarray]


def classifier(vocabulary: int) -> torch.nn.Module:
    """Return a classifier of XLM-R base's shape with random weights."""
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=vocabulary,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        num_labels=LABELS,
    )
    model: torch.nn.Module = AutoModelForSequenceClassification.from_config(config).eval()
    return model


def lengths(tokenizer: Path | None) -> list[int]:
    """Return the tokens of each utterance of en-US test; without data, draws with their mean and spread."""
    shared = os.environ.get("SPRACHBUND_SHARED")
    if tokenizer is None or shared is None:
        lot = random.Random(0)
        return [max(3, min(40, round(lot.gauss(10, 4)))) for _ in range(TEXTS)]
    texts = data.load(f"massive:{shared}/data/massive-1.1.tar.gz").partition("en-US", "test").texts
    return [len(tokens) for tokens in inference.encode(tokenizer, texts)]


def made_up(counts: list[int], vocabulary: int) -> Encoded:
    """Return token ids of these lengths."""
    lot = random.Random(0)
    return [[0, *(lot.randrange(5, vocabulary) for _ in range(count - 2)), 2] for count in counts]


def in_file_order(model: torch.nn.Module) -> Road:
    """Return the original's loop: batches of 32 as they come, padded to the longest of them."""

    def road(encoded: Encoded) -> np.ndarray:
        parts = []
        with torch.no_grad():
            for start in range(0, len(encoded), FILE_ORDER):
                ids, mask = inference.pad(encoded[start : start + FILE_ORDER], 1)
                parts.append(model(input_ids=ids, attention_mask=mask).logits.numpy())
        return np.concatenate(parts)

    return road


def measured(
    roads: Mapping[str, Road], encoded: Encoded, rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return the texts per second of each road in each round; the roads take turns."""
    for road in roads.values():
        road(encoded[:64])
    rates: dict[str, list[float]] = {name: [] for name in roads}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for name, road in roads.items():
            start = clock()
            road(encoded)
            rates[name].append(len(encoded) / (clock() - start))
    return rates


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=512, help="The first so many; all: 2974.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budgets", type=int, nargs="*", default=[], help="Tokens per batch: measure these instead.")
    parser.add_argument(
        "--vocabulary", type=int, default=250_002, help="Rows of the embedding; fewer take less memory."
    )
    parser.add_argument("--tokenizer", type=Path, help="A checkpoint whose tokenizer cuts the utterances.")
    parser.add_argument("--cpu", action="store_true", help="Seconds of all cores: for a machine that others work on.")
    asked = parser.parse_args()
    encoded = made_up(lengths(asked.tokenizer), asked.vocabulary)[: asked.texts]
    exact = classifier(asked.vocabulary)
    if asked.budgets:
        models = {"fp32": exact, **{kind: inference.ready(copy.deepcopy(exact), kind) for kind in ("bf16", "int8")}}
        roads: dict[str, Road] = {
            f"{kind}, {budget} tokens": lambda texts, model=model, budget=budget: inference.logits(model, texts, budget)
            for kind, model in models.items()
            for budget in asked.budgets
        }
    else:
        roads = {f"batches of {FILE_ORDER} in file order, fp32": in_file_order(exact)}
        for kind in ("fp32", "bf16", "int8"):
            model = inference.ready(copy.deepcopy(exact), kind) if kind != "fp32" else exact
            roads[f"sorted, {kind}"] = lambda texts, model=model: inference.logits(model, texts)
    rates = measured(roads, encoded, asked.rounds, time.process_time if asked.cpu else time.perf_counter)
    answers = {name: road(encoded) for name, road in roads.items()}
    first, sorted_fp32 = (list(roads)[place] for place in (0, min(1, len(roads) - 1)))
    print(
        f"{len(encoded)} texts of {np.mean([len(text) for text in encoded]):.1f} tokens, {asked.rounds} rounds, "
        f"{torch.get_num_threads()} threads, {'processor' if asked.cpu else 'wall'} time, torch {torch.__version__}, "
        f"{TOKENS_PER_BATCH['cpu']} tokens per batch\n"
    )
    print(f"| road | texts/s (range) | × first | × {sorted_fp32} | largest change of a logit | other answers |")
    print("|---|---|---|---|---|---|")
    for name, found in rates.items():
        middle = statistics.median(found)
        ratios = [middle / statistics.median(rates[other]) for other in (first, sorted_fp32)]
        change = np.abs(answers[name] - answers[first]).max()
        others = (answers[name].argmax(1) != answers[first].argmax(1)).mean()
        print(
            f"| {name} | {middle:.1f} ({min(found):.1f}-{max(found):.1f}) | {ratios[0]:.2f} | {ratios[1]:.2f} "
            f"| {change:.1e} | {others:.2%} |"
        )


if __name__ == "__main__":
    main()
