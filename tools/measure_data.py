"""Measure what reading a data set takes: one locale's test split, then everything; seconds and peak memory, of a process each.

    python tools/measure_data.py massive:PATH

Whatever is to be kept in the cache is kept before anything is measured. Promised for MASSIVE: a split in 0.5 s, all 52 locales
in 15 s and 500 MB.
"""

from __future__ import annotations

import subprocess
import sys

ONE = """
import resource, sys, time
start = time.monotonic()
from sprachbund import data
dataset = data.load(sys.argv[1])
names = {names}
rows = sum(len(part) for name in names for part in dataset.partitions(name, {locales}))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{{rows:>9,}} rows  {{time.monotonic() - start:6.2f}} s  {{peak:6.0f}} MB")
"""

if __name__ == "__main__":
    one = ONE.format(names='["test"]', locales="dataset.locales[-1:]")
    everything = ONE.format(names='["train", "dev", "test"]', locales="None")
    spec = sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__)
    subprocess.run([sys.executable, "-c", one, spec], check=True, stdout=subprocess.DEVNULL)
    for what, program in (("one test split", one), ("everything", everything)):
        print(f"{what:<16}", end="", flush=True)
        subprocess.run([sys.executable, "-c", program, spec], check=True)
