"""How long the statistics of a report take, on made-up answers of the size of MASSIVE.

    make bench-statistics

2,974 ids, 60 intents, 52 locales, three variants. Each line: seconds on the wall, CPU seconds of this process, how many of them
are allowed. On one thread of an idle machine both are the same, on a shared one only the latter say something. Exit status 1
where one took more.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from sprachbund import locales
from sprachbund.report.analysis import MACRO_F1_RESAMPLES, comparison, contrast
from sprachbund.report.answers import Answers
from sprachbund.report.stats import RESAMPLES, draws, intervals, macro_f1_interval

IDS, INTENTS, VARIANTS = 2974, 60, {"baseline": 0.85, "similarity": 0.7, "average": 0.68}


def made_up(lot: np.random.Generator) -> Answers:
    """Return answers to the same ids in all locales, the hard ones hard in all of them."""
    names = locales.names()
    gold = lot.integers(INTENTS, size=IDS).astype(np.int16)
    hard = lot.random(IDS)
    right = {(v, name): (hard + lot.random(IDS)) / 2 < skill for v, skill in VARIANTS.items() for name in names}
    predicted = {cell: np.where(hit, gold, (gold + 1) % INTENTS).astype(np.int16) for cell, hit in right.items()}
    return Answers(
        ids=tuple(map(str, range(IDS))),
        intents=tuple(f"intent {number}" for number in range(INTENTS)),
        gold=dict.fromkeys(names, gold),
        predicted=predicted,
        confidence={},
        gold_probability={},
    )


def timed(what: str, allowed: float | None, work: Callable[[], object]) -> bool:
    """Do some work once, print how long it took, and return whether that is allowed."""
    begun, begun_cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    within = allowed is None or cpu <= allowed
    limit = "" if allowed is None else f" (at most {allowed:g} s{'' if within else ': too long'})"
    print(f"{seconds:6.2f} s  {cpu:6.2f} s of CPU  {what}{limit}", flush=True)
    return within


def main() -> int:
    """Time each statistic once, and return 1 where one took too long."""
    answers = made_up(np.random.default_rng(0))
    rows = {cell: (answers.gold[cell[1]], predicted) for cell, predicted in answers.predicted.items()}
    first, second = "similarity", "average"

    def macro_f1() -> None:
        drawn = draws(IDS, MACRO_F1_RESAMPLES)
        for gold, predicted in rows.values():
            macro_f1_interval(gold, predicted, drawn)

    hits = np.stack([gold == predicted for gold, predicted in rows.values()]).astype(np.float64)
    within = [
        timed(f"accuracy, {RESAMPLES:,} resamples, {len(rows)} cells", 5, lambda: intervals(hits)),
        timed(f"macro-F1, {MACRO_F1_RESAMPLES:,} resamples, {len(rows)} cells", 60, macro_f1),
        timed(f"contrasts of a pair in {len(answers.gold)} locales", None, lambda: contrast(answers, first, second)),
        timed(f"comparison of a pair, {RESAMPLES:,} resamples", None, lambda: comparison(answers, first, second)),
    ]
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
