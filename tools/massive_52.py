"""Make docs/experiments/massive-52.csv and the figures of its page from finished runs of experiments/massive-52.yaml.

    python tools/massive_52.py --data split:massive:PATH --run one-seed=RUN,MODELS [--run independent=RUN,MODELS]

RUN is the output folder of a run, MODELS the template of its sources. Beside the records, it reads what the single sources
answered to the test texts (``RUN/answers``), so that every variant can be compared with the best of them id by id.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from sprachbund import data, store
from sprachbund.checkpoints import Zoo
from sprachbund.data import DataSet
from sprachbund.experiment import ANSWERS, RESULTS
from sprachbund.measures import AnswerStore
from sprachbund.store import RunStore

DEVELOPMENT = [
    "jv-ID",
    "hi-IN",
    "hu-HU",
    "de-DE",
    "nb-NO",
    "zh-TW",
    "ur-PK",
    "te-IN",
    "km-KH",
    "pl-PL",
    "th-TH",
    "cy-GB",
]
"""The first 12 of 52 in the order of the SHA-256 of "development LOCALE"; all choices were made on their dev splits."""
SOURCES = ["ar-SA", "de-DE", "en-US", "es-ES", "fr-FR", "hi-IN", "id-ID", "ru-RU", "tr-TR", "zh-CN"]
COLUMNS = ("zoo", "seed", "locale", "development", "variant", "uses", "accuracy", "correct", "total")
ORACLE = "zero-shot-oracle"
RESAMPLES = 10_000
LEVEL = 0.05


@dataclass(frozen=True)
class Run:
    """One zoo's run: which rows each variant got right, [rows], by locale and variant."""

    zoo: str
    right: Mapping[str, Mapping[str, np.ndarray]]
    uses: Mapping[str, str]


def read_run(name: str, folder: Path, models: str, dataset: DataSet) -> Run:
    """Return what a run came to, single sources included."""
    right: dict[str, dict[str, np.ndarray]] = {}
    uses: dict[str, str] = {}
    for path in sorted((folder / RESULTS).glob(f"*/{store.RECORD}")):
        info = store.read_record(path.parent).evaluation_info
        rows = store.read_predictions(path.parent)
        right.setdefault(info.locale, {})[info.variant] = np.array([row.gold == row.predicted for row in rows])
        uses[info.variant] = " ".join(info.uses)
    answers, zoo = AnswerStore(folder / ANSWERS), Zoo(models)
    dev = {row.source: row for row in RunStore(folder / RESULTS).transfers("dev")}
    for target in right:
        right[target] |= _single_sources(target, answers, zoo, dataset, dev)
    uses |= {
        "zero-shot-mean": "unlabelled",
        "zero-shot-english": "unlabelled",
        ORACLE: "target-test",
        "zero-shot-oracle-dev": "target-dev",
    }
    return Run(name, right, uses)


def _single_sources(
    target: str, answers: AnswerStore, zoo: Zoo, dataset: DataSet, dev: Mapping[str, store.Transfer]
) -> dict[str, np.ndarray]:
    partition = dataset.partition(target, "test")
    numbers = {intent: number for number, intent in enumerate(dataset.intents)}
    gold = np.array([numbers[intent] for intent in partition.intents])
    names = [source for source in SOURCES if source != target]
    each = {}
    for name in names:
        checkpoint = zoo.checkpoint(name)
        logits = answers.read(checkpoint, partition.texts)
        if logits is None:
            raise SystemExit(f"{name} has not answered to {target}: finish the run first.")
        order = np.array([numbers[label] for label in checkpoint.labels])
        each[name] = order[logits.argmax(axis=1)] == gold
    found = {
        "zero-shot-mean": np.mean([each[name] for name in names], axis=0),
        ORACLE: max(each.values(), key=lambda right: int(right.sum())),
    }
    if "en-US" in each:
        found["zero-shot-english"] = each["en-US"]
    if all(target in dev[name].cells for name in names if name in dev) and dev:
        found["zero-shot-oracle-dev"] = each[max(names, key=lambda name: dev[name].cells[target].accuracy)]
    return found


def rows_of(run: Run) -> list[dict[str, object]]:
    """Return the rows of the table, a locale and a variant each."""
    return [
        {
            "zoo": run.zoo,
            "seed": 0,
            "locale": locale,
            "development": str(locale in DEVELOPMENT).lower(),
            "variant": variant,
            "uses": run.uses[variant],
            "accuracy": f"{right.mean():.6f}",
            "correct": f"{right.sum():g}",
            "total": len(right),
        }
        for locale, variants in sorted(run.right.items())
        for variant, right in variants.items()
    ]


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return p-values adjusted for their number (Holm 1979), in the order given."""
    order = np.argsort(p_values)
    count = len(p_values)
    stepped = np.maximum.accumulate([(count - rank) * p_values[place] for rank, place in enumerate(order)])
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def mcnemar(one: np.ndarray, other: np.ndarray) -> float:
    """Return the exact two-sided p-value of paired answers: of the rows where they differ, half should go each way."""
    wins, losses = int((one & ~other).sum()), int((other & ~one).sum())
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def interval(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean of differences [locales, ids]; ids are drawn anew, for all locales alike."""
    lot = np.random.default_rng(seed)
    by_id = differences.mean(axis=0)
    means = [by_id[lot.integers(len(by_id), size=len(by_id))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def compared(run: Run, locales: Sequence[str], variant: str) -> dict[str, object]:
    """Compare a variant with the test oracle over locales that have both."""
    both = [locale for locale in locales if {variant, ORACLE, "baseline"} <= run.right[locale].keys()]
    ours = np.array([run.right[locale][variant] for locale in both])
    oracle = np.array([run.right[locale][ORACLE] for locale in both])
    differences = ours.astype(float) - oracle
    adjusted = holm([mcnemar(one, other) for one, other in zip(ours > 0.5, oracle > 0.5, strict=True)])
    mean = np.mean([run.right[locale]["zero-shot-mean"].mean() for locale in both])
    own = np.mean([run.right[locale]["baseline"].mean() for locale in both])
    low, high = interval(differences)
    gains = differences.mean(axis=1)
    return {
        "variant": variant,
        "locales": len(both),
        "accuracy": float(ours.mean()),
        "minus_oracle": float(differences.mean()),
        "low": low,
        "high": high,
        "at_or_above": int((gains >= 0).sum()),
        "worse": int(((adjusted < LEVEL) & (gains < 0)).sum()),
        "better": int(((adjusted < LEVEL) & (gains > 0)).sum()),
        "gap_closed": float((ours.mean() - mean) / (own - mean)),
    }


def table(run: Run, locales: Sequence[str]) -> str:
    """Return the comparison of all variants as a Markdown table, best first."""
    variants = dict.fromkeys(variant for locale in locales for variant in run.right[locale])
    rows = [compared(run, locales, variant) for variant in variants if variant != "zero-shot-mean"]
    rows.sort(key=lambda row: -float(str(row["accuracy"])))
    head = "| variant | uses | accuracy | − oracle, points | 95 % | ≥ oracle | better / worse | gap closed |\n"
    lines = [
        f"| {row['variant']} | {run.uses[str(row['variant'])]} | {row['accuracy']:.3f} | {100 * row['minus_oracle']:+.1f} | "
        f"{100 * row['low']:+.1f} … {100 * row['high']:+.1f} | {row['at_or_above']} of {row['locales']} | "
        f"{row['better']} / {row['worse']} | {100 * row['gap_closed']:.0f} % |"
        for row in rows
    ]
    return head + "|---|---|--:|--:|--:|--:|--:|--:|\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Write the table of rows, print those of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--run", action="append", required=True, help="NAME=RUN,MODELS")
    parser.add_argument("--out", type=Path, default=Path("docs/experiments/massive-52.csv"))
    arguments = parser.parse_args()
    dataset = data.load(arguments.data)
    rows: list[dict[str, object]] = []
    for spec in arguments.run:
        name, _, rest = spec.partition("=")
        folder, _, models = rest.partition(",")
        run = read_run(name, Path(folder), models, dataset)
        rows += rows_of(run)
        groups = {
            "headline: the locales that nothing was chosen on": [x for x in run.right if x not in DEVELOPMENT],
            "development locales": [x for x in run.right if x in DEVELOPMENT],
            "all": list(run.right),
        }
        for title, locales in groups.items():
            if locales:
                print(f"## {name}: {title} ({len(locales)})\n\n{table(run, locales)}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
