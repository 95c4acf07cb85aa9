"""Make the tables of docs/experiments/massive-52-first.md from finished runs of experiments/massive-52-first.yaml.

    python tools/massive_first.py --run RUN --original-run RUN [--reported FILE] [--similarity file:TABLE]

The first run has the transfer of all sources on test and, by ``sprachbund transfer --split dev``, on dev. The second one has
the merges by the original selection: they stand in the table as ``similarity-original`` and ``average-original``. FILE is the
CSV of what the original experiment reported (locale, baseline, similarity, average).
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import pearsonr, spearmanr

from sprachbund import store
from sprachbund.locales import locale
from sprachbund.report.stats import intervals
from sprachbund.similarity import SIMILARITIES, load
from sprachbund.store import RESULTS, RunStore, Transfer
from sprachbund.uses import union_of_uses

COLUMNS = ("locale", "variant", "uses", "accuracy", "correct", "total")
TRANSFER_COLUMNS = ("split", "source", "target", "accuracy", "correct", "total")
ORIGINAL = "-original"
MEAN, ENGLISH, ORACLE, ORACLE_DEV = "zero-shot-mean", "zero-shot-english", "zero-shot-oracle", "zero-shot-oracle-dev"


@dataclass(frozen=True)
class Figure:
    """One cell of the table."""

    locale: str
    variant: str
    uses: tuple[str, ...]
    correct: float
    """Rows; a fraction of one only for the mean over sources."""
    total: int
    right: np.ndarray | None = None
    """Which rows were right, [rows], where there are predictions."""

    @property
    def accuracy(self) -> float:
        """Fraction in [0, 1]."""
        return self.correct / self.total


def merged(run: Path, suffix: str = "") -> list[Figure]:
    """Return what the records of a run say; a suffix tells its variants from those of another run."""
    figures = []
    for path in sorted((run / RESULTS).glob(f"*/{store.RECORD}")):
        record = store.read_record(path.parent)
        info, reached = record.evaluation_info, record.performance
        right = np.array([row.gold == row.predicted for row in store.read_predictions(path.parent)])
        variant = info.variant + suffix
        figures.append(Figure(info.locale, variant, info.uses, reached.correct, reached.total, right))
    return figures


def single(rows: Sequence[Transfer], dev: Sequence[Transfer]) -> list[Figure]:
    """Return what single foreign sources reach in each locale: their mean, English, and the best by test and by dev."""
    figures = []
    uses = union_of_uses(*(row.uses for row in rows))
    by_dev = {row.source: row for row in dev}
    for target in sorted({target for row in rows for target in row.cells}):
        foreign = {row.source: row.cells[target] for row in rows if row.source != target and target in row.cells}
        total = next(iter(foreign.values())).total
        best = max(foreign.values(), key=lambda cell: cell.correct)
        mean = float(np.mean([cell.correct for cell in foreign.values()]))
        figures.append(Figure(target, MEAN, uses, mean, total))
        figures.append(Figure(target, ORACLE, union_of_uses(uses, ["target-test"]), best.correct, total))
        if "en-US" in foreign:
            figures.append(Figure(target, ENGLISH, uses, foreign["en-US"].correct, total))
        if all(source in by_dev and target in by_dev[source].cells for source in foreign):
            chosen = max(foreign, key=lambda source: by_dev[source].cells[target].accuracy)
            seen = union_of_uses(uses, ["target-dev"])
            figures.append(Figure(target, ORACLE_DEV, seen, foreign[chosen].correct, total))
    return figures


Table = Mapping[str, Mapping[str, Figure]]
"""By variant, then by locale."""


def by_variant(figures: Iterable[Figure]) -> Table:
    """Sort figures into a table."""
    table: dict[str, dict[str, Figure]] = {}
    for figure in figures:
        table.setdefault(figure.variant, {})[figure.locale] = figure
    return table


def means(table: Table) -> str:
    """Return the means over locales as a Markdown table."""
    lines = []
    for variant, cells in table.items():
        accuracies = [cell.accuracy for cell in cells.values()]
        seen = union_of_uses(*(cell.uses for cell in cells.values()))
        lines.append(
            f"| {variant} | {', '.join(seen)} | {len(cells)} | {np.mean(accuracies):.4f} | "
            f"{np.min(accuracies):.3f} … {np.max(accuracies):.3f} |"
        )
    return (
        "| variant | has seen of its target | locales | mean accuracy | range |\n|---|---|--:|--:|--:|\n"
        + "\n".join(sorted(lines, key=lambda line: line.split("|")[4], reverse=True))
    )


def compared(table: Table, pairs: Sequence[tuple[str, str]]) -> str:
    """Return differences of variants as a Markdown table; intervals (ids drawn anew) where both have predictions."""
    lines = []
    for first, second in pairs:
        both = [name for name in table[first] if name in table[second]]
        ours, theirs = ([table[variant][name] for name in both] for variant in (first, second))
        gains = np.array([a.accuracy - b.accuracy for a, b in zip(ours, theirs, strict=True)])
        between = _interval([cell.right for cell in ours], [cell.right for cell in theirs])
        wins, ties, losses = (int((np.sign(np.round(gains, 9)) == sign).sum()) for sign in (1, 0, -1))
        lines.append(f"| {first} − {second} | {100 * gains.mean():+.2f} | {between} | {wins} / {ties} / {losses} |")
    return "| | points | 95 %, ids drawn anew | higher / equal / lower |\n|---|--:|--:|--:|\n" + "\n".join(lines)


def _interval(ours: Sequence[np.ndarray | None], theirs: Sequence[np.ndarray | None]) -> str:
    """Return the 95 % interval of the mean difference in points, blank where there are no predictions."""
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    if len(pairs) < len(ours):
        return ""
    by_id = np.mean([a.astype(float) - b for a, b in pairs], axis=0)
    low, high = intervals(by_id[None])[0]
    return f"{100 * low:+.2f} … {100 * high:+.2f}"


def beside(table: Table, reported: Mapping[str, Mapping[str, float]]) -> str:
    """Return our means beside the reported ones, over the locales that both have, and how the locales' orders agree."""
    lines = []
    for variant, theirs in reported.items():
        for ours in (name for name in (variant, variant + ORIGINAL) if name in table):
            both = [name for name in theirs if name in table[ours]]
            x, y = np.array([table[ours][name].accuracy for name in both]), np.array([theirs[name] for name in both])
            lines.append(
                f"| {ours} | {len(both)} | {x.mean():.4f} | {y.mean():.4f} | {spearmanr(x, y).statistic:.2f} | "
                f"{pearsonr(x, y).statistic:.2f} |"
            )
    head = "| variant | locales | here | reported | rank correlation | correlation |\n|---|--:|--:|--:|--:|--:|\n"
    return head + "\n".join(lines)


def families(table: Table, variants: Sequence[str]) -> str:
    """Return the means by language family as a Markdown table, the largest family first."""
    groups: dict[str, list[str]] = {}
    for name in next(iter(table.values())):
        groups.setdefault(locale(name).family, []).append(name)
    lines = []
    for family, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        cells = [
            np.mean([table[variant][name].accuracy for name in members if name in table[variant]] or [np.nan])
            for variant in variants
        ]
        lines.append(f"| {family} | {len(members)} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    head = "| family | locales | " + " | ".join(variants) + " |\n|---|--:|" + "--:|" * len(variants) + "\n"
    return head + "\n".join(lines)


def guides(rows: Sequence[Transfer], names: Iterable[str]) -> str:
    """Return how far the accuracy of foreign sources follows similarities, over all pairs and within each target."""
    targets = [row.source for row in rows]
    foreign = [(row, target) for target in targets for row in rows if row.source != target]
    lines = []
    for name in names:
        matrix = load(name)
        pairs = {
            target: np.array(
                [(matrix.score(t, row.source), row.cells[t].accuracy) for row, t in foreign if t == target]
            )
            for target in targets
        }
        within = [spearmanr(*pair.T).statistic for pair in pairs.values() if np.ptp(pair[:, 0])]
        overall = spearmanr(*np.concatenate(list(pairs.values())).T).statistic
        lines.append(f"| {name} | {overall:.2f} | {np.mean(within):.2f} |")
    head = "| similarity | rank correlation, all pairs | mean within a target |\n|---|--:|--:|\n"
    return head + "\n".join(lines)


def best_sources(rows: Sequence[Transfer]) -> str:
    """Return which foreign sources are the best one of how many targets, the most frequent first."""
    best = Counter(
        max((row for row in rows if row.source != target), key=lambda row: row.cells[target].correct).source
        for target in (row.source for row in rows)
    )
    return "Best source: " + ", ".join(f"{name} of {count}" for name, count in best.most_common(8))


def read_reported(path: Path) -> dict[str, dict[str, float]]:
    """Return what the original experiment reported, by variant and locale; what is blank was not run."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {
        variant: {row["locale"]: float(row[variant]) for row in rows if row[variant]}
        for variant in ("baseline", "similarity", "average")
    }


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def main() -> None:
    """Write both tables, print those of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--original-run", type=Path, required=True)
    parser.add_argument("--reported", type=Path)
    parser.add_argument(
        "--similarity", action="append", default=[], help="file:TABLE, as `sprachbund similarity --out` writes"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/experiments"))
    arguments = parser.parse_args()
    known = RunStore(arguments.run / RESULTS)
    test, dev = list(known.transfers("test")), list(known.transfers("dev"))
    figures = [*merged(arguments.run), *merged(arguments.original_run, ORIGINAL), *single(test, dev)]
    table = by_variant(figures)
    write(
        arguments.out / "massive-52-first.csv",
        COLUMNS,
        (
            (f.locale, f.variant, " ".join(f.uses), f"{f.accuracy:.6f}", f"{f.correct:g}", f.total)
            for f in sorted(figures, key=lambda f: (f.locale, list(table).index(f.variant)))
        ),
    )
    write(
        arguments.out / "massive-52-transfer.csv",
        TRANSFER_COLUMNS,
        (
            (row.split, row.source, target, f"{cell.accuracy:.6f}", cell.correct, cell.total)
            for row in sorted([*test, *dev], key=lambda row: (row.split, row.source))
            for target, cell in sorted(row.cells.items())
        ),
    )
    print(means(table), end="\n\n")
    merges = ("similarity", "average", "similarity-original", "average-original")
    pairs = [("similarity", "average"), ("similarity", "similarity-original"), ("average", "average-original")]
    pairs += [("similarity-original", "average-original")]
    pairs += [(merge, single) for single in (MEAN, ENGLISH, ORACLE_DEV, ORACLE) for merge in merges[:2]]
    print(compared(table, pairs), end="\n\n")
    if arguments.reported:
        print(beside(table, read_reported(arguments.reported)), end="\n\n")
    uriel = [name for name in SIMILARITIES if name.startswith("uriel:")]
    print(guides(dev, [*uriel, *arguments.similarity]), best_sources(test), sep="\n\n", end="\n\n")
    print(families(table, ["baseline", *merges[:2], MEAN, ENGLISH, ORACLE]))


if __name__ == "__main__":
    main()
