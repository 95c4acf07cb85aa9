"""How long the statistics of a report take, on made-up answers of the size of MASSIVE.

    python tools/bench_statistics.py

2,974 ids, 60 intents, 52 locales, three variants. Each line: seconds, and how many are allowed for it.
"""

from __future__ import annotations

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


def timed(what: str, allowed: float | None, work: Callable[[], object]) -> None:
    """Do some work once, and print how long it took."""
    begun = time.perf_counter()
    work()
    limit = "" if allowed is None else f" (at most {allowed:.0f} s)"
    print(f"{time.perf_counter() - begun:6.2f} s  {what}{limit}", flush=True)


def main() -> None:
    """Time each statistic once."""
    answers = made_up(np.random.default_rng(0))
    rows = {cell: (answers.gold[cell[1]], predicted) for cell, predicted in answers.predicted.items()}
    first, second = "similarity", "average"

    def macro_f1() -> None:
        drawn = draws(IDS, MACRO_F1_RESAMPLES)
        for gold, predicted in rows.values():
            macro_f1_interval(gold, predicted, drawn)

    hits = np.stack([gold == predicted for gold, predicted in rows.values()]).astype(np.float64)
    timed(f"accuracy, {RESAMPLES:,} resamples, {len(rows)} cells", 5, lambda: intervals(hits))
    timed(f"macro-F1, {MACRO_F1_RESAMPLES:,} resamples, {len(rows)} cells", 60, macro_f1)
    timed(f"contrasts of a pair in {len(answers.gold)} locales", None, lambda: contrast(answers, first, second))
    timed(f"comparison of a pair, {RESAMPLES:,} resamples", None, lambda: comparison(answers, first, second))


if __name__ == "__main__":
    main()
