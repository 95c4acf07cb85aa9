"""Twelve linear merges of six sources in one pass: what tools/bench.py runs and measures as one process.

    python tools/bench_sweep.py FOLDER {nowhere,rows,bfloat16}

FOLDER holds the checkpoints ``s00`` … ``s05``. The merges are made and forgotten; with ``rows``, of the vocabulary 5,000 rows
alone, as an evaluation on MASSIVE takes; with ``bfloat16``, all of them are written, into ``out``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from sprachbund.checkpoints import open_checkpoint, vocabulary_tensors
from sprachbund.merging import Merge, Nowhere, merge_all, run

MERGES, SOURCES, ROWS = 12, 6, 5000


def main() -> None:
    """Merge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("into", choices=("nowhere", "rows", "bfloat16"))
    options = parser.parse_args()
    sources = [open_checkpoint(options.folder / f"s{number:02d}") for number in range(SOURCES)]
    lot = np.random.default_rng(0)
    merges = [Merge(sources, lot.dirichlet(np.ones(SOURCES))) for _ in range(MERGES)]
    if options.into == "bfloat16":
        outs = [options.folder / "out" / str(number) for number in range(MERGES)]
        for out in outs:
            out.mkdir(parents=True)
        merge_all([replace(merge, dtype="BF16") for merge in merges], outs)
        return
    if options.into == "rows":
        words = max(sources[0].tensors[name].shape[0] for name in vocabulary_tensors(sources[0]))
        rows = [np.sort(lot.choice(words, min(ROWS, words), replace=False)) for _ in merges]
        merges = [replace(merge, rows=wanted) for merge, wanted in zip(merges, rows, strict=True)]
    run(merges, [Nowhere()] * MERGES)


if __name__ == "__main__":
    main()
