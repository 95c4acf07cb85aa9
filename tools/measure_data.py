"""Measure what reading a data set takes: one locale's test split, then everything; seconds since the start, and peak memory.

    python tools/measure_data.py massive:PATH

The first run keeps an archive in the cache: the second one is what every later command pays. Promised for MASSIVE: a split in
0.5 s, all 52 locales in 15 s and 500 MB.
"""

from __future__ import annotations

import resource
import sys
import time

START = time.monotonic()


def measured(what: str, rows: int) -> str:
    """Say how long it took until now, and how much memory at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{what:<16}{rows:>9,} rows  {time.monotonic() - START:6.2f} s  {peak:6.0f} MB"


def main(spec: str) -> None:
    """Read, and print two lines."""
    from sprachbund import data

    dataset = data.load(spec)
    print(measured("one test split", len(dataset.partition(dataset.locales[-1], "test"))))
    rows = sum(len(part) for name in data.PARTITIONS for part in dataset.partitions(name))
    print(measured("everything", rows))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__))
