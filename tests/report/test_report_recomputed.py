"""Every number in the page's CSV files, computed again from the prediction files by numpy, scipy, statsmodels and scikit-learn.

Nothing of the report's own arithmetic is used here. Records hold what `evaluation` makes of the same predictions. Intervals by
lot are drawn again, by another lot, and so agree only about; all else does to the last digits.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pytest
from html_page import Node, page_of, parsed
from pyarrow import parquet
from results_folder import ResultsFolder
from scipy import stats
from sklearn.metrics import f1_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from sprachbund import store
from sprachbund.data import Partition
from sprachbund.evaluation import performance

PLACES = ("af-ZA", "he-IL", "ja-JP", "sq-AL")
RATES = {"baseline": 0.85, "similarity": 0.65, "average": 0.5}
SOURCES = {"de-DE": 0.4, "en-US": 0.6, "nl-NL": 0.3}
INTENTS = ("alarm", "music", "news", "play", "weather")
SIZE = 100
BEST, ENGLISH, MEAN = "zero-shot best", "zero-shot English", "zero-shot mean"
ASKED = {("similarity", "average"), ("similarity", "baseline"), ("average", "baseline")}
"""The main job's questions."""
MODELS = ASKED | {(variant, BEST) for variant in RATES} | {("similarity", ENGLISH)}
"""What is compared in each locale, too; a mean of sources is no model."""
DRAWN = 2_000
ABOUT = 0.04
"""What two lots may lie apart, of quantiles of a share of 100 ids."""
EXACT = 1e-9
FP32 = 1e-6
"""Probabilities of sources are kept so."""


@dataclass(frozen=True)
class Row:
    """An answer as it stands in a file."""

    id: str
    gold: str
    predicted: str
    confidence: float
    gold_probability: float

    @property
    def right(self) -> bool:
        return self.gold == self.predicted


Files = dict[tuple[str, str], list[Row]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder whose records, predictions and transfer are of one piece."""
    folder = ResultsFolder(tmp_path_factory.mktemp("recomputed") / "results")
    lot = np.random.default_rng(5)
    hard = lot.random(SIZE)
    gold = [INTENTS[number] for number in lot.integers(len(INTENTS), size=SIZE)]

    def answers(rate: float) -> store.Columns:
        right = (hard + lot.random(SIZE)) / 2 < rate
        said = [g if hit else INTENTS[(INTENTS.index(g) + 1) % 5] for g, hit in zip(gold, right, strict=True)]
        sure = lot.uniform(0.3, 1, SIZE).round(6)
        likely = np.where(right, sure, (1 - sure) / 2).round(6)
        return store.Columns([*map(str, range(SIZE))], gold, said, sure, likely)

    for place in PLACES:
        for variant, rate in RATES.items():
            found = answers(rate)
            columns = zip(found.ids, found.gold, found.predicted, found.confidence, found.gold_probability, strict=True)
            rows = [
                store.Prediction(id=i, gold=g, predicted=p, confidence=float(c), gold_probability=float(likely))
                for i, g, p, c, likely in columns
            ]
            record = folder.record(variant, place, 0, predictions=rows)
            measured = performance(rows, Partition(place, "test", tuple(found.ids), ("",) * SIZE, tuple(gold)))
            record = record.model_copy(update={"performance": measured})
            store.write_record(store.RunStore(folder.root).folder(variant, place), record, rows)
    for source, rate in SOURCES.items():
        told = {place: answers(rate) for place in PLACES}
        hits = {place: sum(map(str.__eq__, each.gold, each.predicted)) for place, each in told.items()}
        folder.transfer(source, hits, answers=told)
    return folder.root


@pytest.fixture(scope="module")
def tree(root: Path) -> Node:
    return parsed(page_of(ResultsFolder(root)))


@pytest.fixture(scope="module")
def downloads(tree: Node) -> dict[str, list[dict[str, str]]]:
    """All CSV files of the page by name."""
    links = {
        link.attributes["download"]: link.attributes["href"] for link in tree.all("a") if "download" in link.attributes
    }
    return {
        name.removesuffix(".csv"): [*csv.DictReader(io.StringIO(unquote(link.partition(",")[2])))]
        for name, link in links.items()
    }


@pytest.fixture(scope="module")
def transfer(root: Path) -> Files:
    """What sources answer, by source and target."""
    found: Files = defaultdict(list)
    for path in (root / "transfer").rglob("*.parquet"):
        source = next(name for name in SOURCES if name in path.name)
        for row in parquet.read_table(path).to_pylist():
            found[source, row.pop("locale")].append(Row(**row))
    return found


@pytest.fixture(scope="module")
def files(root: Path, transfer: Files) -> Files:
    """What columns of the page answer, by column and locale: the files of cells, and the best source's."""
    found: Files = {}
    for variant in RATES:
        for place in PLACES:
            with (root / f"{variant}_{place}" / "predictions.csv").open(encoding="utf-8", newline="") as stream:
                rows = [*csv.DictReader(stream)]
            numbers = ("confidence", "gold_probability")
            found[variant, place] = [Row(**{**row, **{name: float(row[name]) for name in numbers}}) for row in rows]
    found |= {(ENGLISH, place): transfer["en-US", place] for place in PLACES}
    return found | {(BEST, place): transfer[best(transfer, place), place] for place in PLACES}


def best(transfer: Files, place: str) -> str:
    return max(SOURCES, key=lambda source: accuracy(transfer[source, place]))


def accuracy(rows: list[Row]) -> float:
    return sum(row.right for row in rows) / len(rows)


def resampled(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The bootstrap's interval of a mean over ids."""
    drawn = np.random.default_rng(77).integers(len(values), size=(DRAWN, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def macro_f1(rows: list[Row]) -> float:
    gold = [row.gold for row in rows]
    said = [row.predicted for row in rows]
    return float(f1_score(gold, said, labels=sorted({*gold}), average="macro", zero_division=0))


def nll(rows: list[Row]) -> float:
    return sum(-math.log(max(row.gold_probability, 2.0**-52)) for row in rows) / len(rows)


def ece(rows: list[Row]) -> float:
    bins: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        bins[math.ceil(round(row.confidence, 6) * 15)].append(round(row.confidence, 6) - row.right)
    return sum(abs(sum(each)) for each in bins.values()) / len(rows)


def deltas(files: Files, first: str, second: str, place: str) -> npt.NDArray[np.int64]:
    there = {row.id: row.right for row in files[second, place]}
    return np.array([int(row.right) - int(there[row.id]) for row in files[first, place]])


def bounds(row: dict[str, str], name: str = "interval") -> tuple[float, float]:
    return float(row[f"{name}_low"]), float(row[f"{name}_high"])


def test_scores(downloads: dict[str, list[dict[str, str]]], files: Files) -> None:
    found = {(row["column"], row["locale"]): row for row in downloads["scores"]}
    assert found.keys() == files.keys()
    for cell, rows in files.items():
        row, hits = found[cell], sum(each.right for each in rows)
        assert (int(row["correct"]), int(row["total"])) == (hits, len(rows))
        assert float(row["accuracy"]) == pytest.approx(accuracy(rows), abs=EXACT)
        wilson = proportion_confint(hits, len(rows), 0.05, method="wilson")
        assert bounds(row, "accuracy_interval") == pytest.approx(wilson, abs=EXACT)
        assert float(row["macro_f1"]) == pytest.approx(macro_f1(rows), abs=EXACT)
        assert int(row["macro_f1_intents"]) == len({each.gold for each in rows})
        assert float(row["nll"]) == pytest.approx(nll(rows), abs=FP32)
        assert float(row["ece"]) == pytest.approx(ece(rows), abs=FP32)


def test_the_interval_of_macro_f1(root: Path, files: Files) -> None:
    """Of one cell, with more resamples than a page of these tests draws."""
    rows, lot = files["similarity", "sq-AL"], np.random.default_rng(3)
    drawn = [macro_f1([rows[place] for place in lot.integers(SIZE, size=SIZE)]) for _ in range(400)]
    found = ResultsFolder(root).analysis(macro_f1_resamples=1000).scores["similarity", "sq-AL"].macro_f1_interval
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=ABOUT)


def test_contrasts(downloads: dict[str, list[dict[str, str]]], files: Files) -> None:
    pairs: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in downloads["contrasts"]:
        pairs[row["first"], row["second"]].append(row)
    assert pairs.keys() == MODELS
    for pair, rows in pairs.items():
        assert [row["locale"] for row in rows] == [*PLACES]
        p_values = []
        for row in rows:
            signs = deltas(files, *pair, row["locale"])
            wins, losses = int((signs > 0).sum()), int((signs < 0).sum())
            assert (int(row["wins"]), int(row["losses"])) == (wins, losses)
            assert float(row["difference"]) == pytest.approx((wins - losses) / SIZE, abs=EXACT)
            p_values.append(stats.binomtest(wins, wins + losses).pvalue)
            assert float(row["p"]) == pytest.approx(p_values[-1], abs=EXACT)
            assert bounds(row) == pytest.approx(resampled(signs.astype(float)), abs=ABOUT)
        adjusted = multipletests(p_values, method="fdr_bh")[1]
        assert [float(row["p_adjusted"]) for row in rows] == pytest.approx(adjusted, abs=EXACT)


def tossed(sums: npt.NDArray[np.int64]) -> float:
    """The exact p of sums whose signs are tosses of a coin, by counting all of them."""
    counts = Counter({0: 1})
    for number in map(int, sums):
        counts = Counter(
            {s: counts[s - number] + counts[s + number] for one in counts for s in (one - number, one + number)}
        )
    far = sum(count for total, count in counts.items() if abs(total) >= abs(int(sums.sum())))
    return far / sum(counts.values())


def test_comparisons(downloads: dict[str, list[dict[str, str]]], files: Files) -> None:
    found = {(row["first"], row["second"]): row for row in downloads["comparisons"]}
    against_mean = ("similarity", MEAN)
    assert found.keys() == MODELS | {against_mean}
    p_values = {against_mean: float(found[against_mean]["p"])}
    for pair in MODELS:
        row = found[pair]
        signs = np.array([deltas(files, *pair, place) for place in PLACES])
        means = signs.mean(axis=1)
        assert int(row["locales"]) == len(PLACES)
        assert float(row["mean"]) == pytest.approx(means.mean(), abs=EXACT)
        counted = [int(row[name]) for name in ("wins", "ties", "losses")]
        assert counted == [int((means > 0).sum()), int((means == 0).sum()), int((means < 0).sum())]
        assert bounds(row) == pytest.approx(resampled(signs.mean(axis=0)), abs=ABOUT)
        p_values[pair] = tossed(signs.sum(axis=0))
        assert float(row["p"]) == pytest.approx(p_values[pair], abs=EXACT)
        assert float(row["wilcoxon_p"]) == pytest.approx(stats.wilcoxon(means[means != 0]).pvalue, abs=EXACT)
        tests = [stats.binomtest(int((each > 0).sum()), int((each != 0).sum())).pvalue for each in signs]
        sure = multipletests(tests, method="fdr_bh")[1] <= 0.05
        assert (int(row["better"]), int(row["worse"])) == (
            int((sure & (means > 0)).sum()),
            int((sure & (means < 0)).sum()),
        )
    for method, group in (("holm", ASKED), ("fdr_bh", found.keys() - ASKED)):
        ordered = sorted(group)
        adjusted = multipletests([p_values[pair] for pair in ordered], method=method)[1]
        assert [float(found[pair]["p_adjusted"]) for pair in ordered] == pytest.approx(adjusted, abs=EXACT)


def test_the_mean_of_sources(downloads: dict[str, list[dict[str, str]]], files: Files, transfer: Files) -> None:
    (row,) = [row for row in downloads["comparisons"] if row["second"] == MEAN]
    right = {key: np.array([each.right for each in rows], dtype=float) for key, rows in (files | transfer).items()}
    mean = {place: np.mean([right[source, place] for source in SOURCES], axis=0) for place in PLACES}
    differences = np.array([right["similarity", place] - mean[place] for place in PLACES])
    assert float(row["mean"]) == pytest.approx(differences.mean(), abs=EXACT)
    assert bounds(row) == pytest.approx(resampled(differences.mean(axis=0)), abs=ABOUT)
    assert [int(row[name]) for name in ("wins", "ties", "losses")] == [len(PLACES), 0, 0]
    assert (row["better"], row["worse"]) == ("", "")
    signs = np.random.default_rng(8).choice([-1, 1], size=(DRAWN, SIZE))
    sums = differences.sum(axis=0)
    p = np.mean(np.abs(signs @ sums) >= abs(sums.sum()) - EXACT)
    assert float(row["p"]) == pytest.approx(p, abs=0.02)


def by_locale(files: Files, transfer: Files) -> dict[str, dict[str, float]]:
    """Every figure of a locale, by column."""
    found: dict[str, dict[str, float]] = {}
    for place in PLACES:
        asked = [accuracy(transfer[source, place]) for source in SOURCES]
        most = Counter(row.gold for row in files["baseline", place]).most_common(1)[0][1]
        found[place] = {variant: accuracy(files[variant, place]) for variant in RATES} | {
            "zero_shot_mean": float(np.mean(asked)),
            "zero_shot_english": accuracy(transfer["en-US", place]),
            "zero_shot_best": max(asked),
            "majority_rate": most / SIZE,
        }
    return found


def test_accuracies_and_columns(downloads: dict[str, list[dict[str, str]]], files: Files, transfer: Files) -> None:
    figures = by_locale(files, transfer)
    contrasts = {(row["first"], row["second"], row["locale"]): row for row in downloads["contrasts"]}
    assert {row["locale"] for row in downloads["accuracies"]} == {*PLACES}
    for row in downloads["accuracies"]:
        place = row["locale"]
        assert {name: float(row[name]) for name in figures[place]} == pytest.approx(figures[place], abs=EXACT)
        assert row["zero_shot_best_source"] == best(transfer, place)
        name, same = "similarity_minus_average", contrasts["similarity", "average", place]
        assert (row[name], row[f"{name}_p_adjusted"]) == (same["difference"], same["p_adjusted"])
        assert bounds(row, f"{name}_interval") == bounds(same)
    titles = {name.replace("zero_shot_", "zero-shot ").replace("_", " "): name for name in figures[PLACES[0]]}
    columns = {row["column"].replace("zero-shot English", "zero-shot english"): row for row in downloads["columns"]}
    assert columns.keys() == titles.keys()
    for title, row in columns.items():
        values = [figures[place][titles[title]] for place in PLACES]
        assert int(row["locales"]) == len(PLACES)
        numbers = [float(row[name]) for name in ("mean", "median", "minimum", "maximum")]
        assert numbers == pytest.approx([np.mean(values), np.median(values), min(values), max(values)], abs=EXACT)


def test_calibration(downloads: dict[str, list[dict[str, str]]], files: Files) -> None:
    assert [row["column"] for row in downloads["calibration"]] == [*RATES, ENGLISH, BEST]
    for row in downloads["calibration"]:
        assert int(row["locales"]) == len(PLACES)
        for name, measure in (("nll", nll), ("ece", ece)):
            values = [measure(files[row["column"], place]) for place in PLACES]
            numbers = [float(row[key]) for key in (name, f"{name}_minimum", f"{name}_maximum")]
            assert numbers == pytest.approx([np.mean(values), min(values), max(values)], abs=FP32)


def test_intents_and_confusions(downloads: dict[str, list[dict[str, str]]], files: Files) -> None:
    said: dict[str, Counter[tuple[str, str]]] = {column: Counter() for column in (*RATES, ENGLISH, BEST)}
    for (column, _), rows in files.items():
        said[column].update((row.gold, row.predicted) for row in rows)
    names = {**dict.fromkeys(RATES), ENGLISH: "zero_shot_english", BEST: "zero_shot_best"}
    assert {row["intent"] for row in downloads["intents"]} == {*INTENTS}
    for column, counts in said.items():
        name = names[column] or column
        for row in downloads["intents"]:
            total = sum(number for (gold, _), number in counts.items() if gold == row["intent"])
            wrong = total - counts[row["intent"], row["intent"]]
            assert int(row["sentences"]) == total
            assert float(row[f"{name}_wrong"]) == pytest.approx(wrong / total, abs=EXACT)
        assert downloads["confused"]
        for row in downloads["confused"]:
            assert int(row[name]) == counts[row["gold"], row["predicted"]]


def test_flips(downloads: dict[str, list[dict[str, str]]], files: Files) -> None:
    """Of each pair that the page shows examples of, all sentences that one of the two alone gets right."""
    shown = {(row["right"], row["wrong"]) for row in downloads["flips"]}
    assert shown == {pair for one in ("baseline", "average") for pair in (("similarity", one), (one, "similarity"))}
    assert len(downloads["flips"]) == len(shown) * len(PLACES)
    for row in downloads["flips"]:
        right, wrong = (files[row[side], row["locale"]] for side in ("right", "wrong"))
        ids = [one.id for one, other in zip(right, wrong, strict=True) if one.right and not other.right]
        assert row["ids"].split(";") == ids
        assert int(row["sentences"]) == len(ids)


def test_transfer(downloads: dict[str, list[dict[str, str]]], transfer: Files) -> None:
    assert {row["target"] for row in downloads["transfer"]} == {*PLACES}
    for row in downloads["transfer"]:
        for source in SOURCES:
            assert float(row[source]) == pytest.approx(accuracy(transfer[source, row["target"]]), abs=EXACT)


def test_pictures_show_the_same_and_no_file_is_left_out(downloads: dict[str, list[dict[str, str]]]) -> None:
    contrasts = [list(row.values()) for row in downloads["contrasts"]]
    pictures = {name for name in downloads if name.startswith("difference-")}
    assert pictures
    for row in (row for name in pictures for row in downloads[name]):
        figures = [row[name] for name in ("difference", "interval_low", "interval_high", "p_adjusted")]
        assert any({*figures} <= {*values} and row["locale"] in values for values in contrasts)
    tested = {
        "scores",
        "contrasts",
        "comparisons",
        "accuracies",
        "columns",
        "calibration",
        "intents",
        "confused",
        "transfer",
        "flips",
    }
    as_recorded = {"records", "variants", "weights", "weights-1", "weights-2"}
    assert downloads.keys() == tested | as_recorded | pictures
