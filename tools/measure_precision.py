"""How far accuracy moves when trained classifiers answer in bf16 or int8 instead of fp32: a Markdown table.

    python tools/measure_precision.py MODELS DATA SPLIT LOCALE…

MODELS is a template with {locale} in it; each source is evaluated in its own locale.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from sprachbund import data, inference
from sprachbund.checkpoints import Zoo
from sprachbund.config import Precision
from sprachbund.data import Partition
from sprachbund.evaluation import correct, label_names

KINDS: tuple[Precision, ...] = ("fp32", "bf16", "int8")


def answered(zoo: Zoo, dataset: data.DataSet, partition: Partition) -> tuple[list[np.ndarray], list[int]]:
    """Return the logits in each precision, and how many rows get their gold label."""
    checkpoint = zoo.checkpoint(partition.locale)
    names = label_names(checkpoint.labels, dataset, checkpoint.name).names
    encoded = inference.encode(checkpoint.folder, partition.texts)
    found = [
        inference.logits(inference.ready(inference.load_classifier(checkpoint.folder), kind), encoded) for kind in KINDS
    ]
    return found, [correct(each, names, partition) for each in found]


def main(models: str, spec: str, split: str, locales: Sequence[str]) -> None:
    """Measure and print."""
    inference.quieten()
    zoo, dataset = Zoo(models), data.load(spec)
    print(f"| locale | rows | fp32 | {' | '.join(f'{kind} | other answers | largest Δ' for kind in KINDS[1:])} |")
    print("|---" * (3 + 3 * len(KINDS[1:])) + "|")
    hits, changed, rows = np.zeros(len(KINDS)), np.zeros(len(KINDS)), 0
    for locale in locales:
        partition = dataset.partition(locale, split)
        found, right = answered(zoo, dataset, partition)
        others = [int((each.argmax(1) != found[0].argmax(1)).sum()) for each in found]
        cells = [
            f"{right[n] / len(partition):.4f} | {others[n]} | {np.abs(found[n] - found[0]).max():.3f}"
            for n in range(1, len(KINDS))
        ]
        print(f"| {locale} | {len(partition)} | {right[0] / len(partition):.4f} | {' | '.join(cells)} |", flush=True)
        hits, changed, rows = hits + right, changed + others, rows + len(partition)
    cells = [f"{hits[n] / rows:.4f} | {changed[n]:.0f} | " for n in range(1, len(KINDS))]
    print(f"| all | {rows} | {hits[0] / rows:.4f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(*sys.argv[1:4], sys.argv[4:]) if len(sys.argv) > 4 else sys.exit(__doc__)
