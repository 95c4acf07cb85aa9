"""Two results folders side by side, checked against counts by hand and scipy's own tests."""

from __future__ import annotations

import csv
import io
import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from results_folder import ResultsFolder
from rich.cells import cell_len
from rich.console import Console
from scipy.stats import binomtest, false_discovery_control

from sprachbund import files, locales, store
from sprachbund.errors import StoreError, UnknownName, UserError
from sprachbund.report import (
    Compared,
    compare,
    compare_json,
    compare_rows,
    csv_text,
    pairs_of,
    print_compared,
)

IDS = tuple(str(number) for number in range(60))
INTENTS = ("ask", "count", "greet")
GOLD = tuple(INTENTS[number % 3] for number in range(60))
NAMES = ("af-ZA", "de-DE", "sq-AL")
ANOTHER: dict[str, Any] = {"zoo": "another zoo", "source_digest": "a" * 64}


def answered(seed: str, share: float) -> list[str]:
    """Answers to all ids, about so many of them right."""
    lot = random.Random(seed)
    return [gold if lot.random() < share else lot.choice(INTENTS) for gold in GOLD]


def put(folder: ResultsFolder, variant: str, locale: str, answers: Sequence[str], **more: Any) -> None:
    """Write a record whose figures are those of its answers; the rows of the file stand in an order of their own."""
    rows = [
        store.Prediction(id=id_, gold=gold, predicted=answer, confidence=0.5)
        for id_, gold, answer in zip(IDS, GOLD, answers, strict=True)
    ]
    random.Random(f"{folder.root}").shuffle(rows)
    correct = sum(row.gold == row.predicted for row in rows)
    folder.record(variant, locale, correct, total=len(rows), predictions=rows, **more)


@pytest.fixture
def a(tmp_path: Path) -> ResultsFolder:
    folder = ResultsFolder(tmp_path / "a")
    for locale in NAMES:
        put(folder, "similarity", locale, answered(f"one {locale}", 0.8))
        put(folder, "average", locale, answered(f"two {locale}", 0.5))
    return folder


@pytest.fixture
def b(tmp_path: Path) -> ResultsFolder:
    folder = ResultsFolder(tmp_path / "b")
    for locale in NAMES:
        put(folder, "similarity", locale, answered(f"three {locale}", 0.4), **ANOTHER)
        put(folder, "ties", locale, answered(f"four {locale}", 0.45), **ANOTHER)
    return folder


def compared(a: ResultsFolder, b: ResultsFolder, *asked: str) -> Compared:
    first, second = a.load(), b.load()
    return compare(first, second, pairs_of(asked, first, second))


def rights(folder: ResultsFolder, variant: str, locale: str) -> dict[str, bool]:
    """Which ids a file answers rightly, read as plainly as can be."""
    text = (folder.root / f"{variant}_{locale}" / "predictions.csv").read_text(encoding="utf-8")
    return {row["id"]: row["gold"] == row["predicted"] for row in csv.DictReader(io.StringIO(text))}


def test_every_figure_is_that_of_the_files(a: ResultsFolder, b: ResultsFolder) -> None:
    found = compared(a, b, "similarity", "average:ties")
    assert [(pair.first, pair.second) for pair in found.pairs] == [("similarity", "similarity"), ("average", "ties")]
    for pair in found.pairs:
        differences, p_values = [], []
        assert [row.locale.name for row in pair.rows] == list(NAMES)
        for row in pair.rows:
            one, other = rights(a, pair.first, row.locale.name), rights(b, pair.second, row.locale.name)
            wins = sum(one[id_] and not other[id_] for id_ in IDS)
            losses = sum(other[id_] and not one[id_] for id_ in IDS)
            assert (row.first, row.second) == (sum(one.values()) / 60, sum(other.values()) / 60)
            assert (row.contrast.wins, row.contrast.losses) == (wins, losses)
            assert row.contrast.difference == pytest.approx(row.first - row.second)
            p_values.append(binomtest(wins, wins + losses).pvalue if wins + losses else 1.0)
            differences.append(row.first - row.second)
        assert [row.contrast.p for row in pair.rows] == pytest.approx(p_values)
        assert [row.contrast.p_adjusted for row in pair.rows] == pytest.approx(false_discovery_control(p_values))
        whole = pair.comparison
        assert whole.mean == pytest.approx(statistics.fmean(differences))
        assert whole.wins == sum(difference > 0 for difference in differences)
        assert whole.losses == sum(difference < 0 for difference in differences)
        assert pair.means[0] - pair.means[1] == pytest.approx(whole.mean)
        per_id = [
            statistics.fmean(rights(a, pair.first, name)[id_] - rights(b, pair.second, name)[id_] for name in NAMES)
            for id_ in IDS
        ]
        half = 1.96 * statistics.pstdev(per_id) / math.sqrt(len(IDS))
        assert whole.interval.low == pytest.approx(whole.mean - half, abs=0.02), "as by the normal law"
        assert whole.interval.high == pytest.approx(whole.mean + half, abs=0.02)
    first, second = sorted((pair.comparison for pair in found.pairs), key=lambda whole: whole.p)
    assert first.p_adjusted == pytest.approx(min(1, 2 * first.p)), "Holm"
    assert second.p_adjusted == pytest.approx(max(first.p_adjusted, second.p))
    assert found.pairs[0].comparison.better == 3, "0.8 against 0.4"


def test_by_default_it_is_what_both_have(a: ResultsFolder, b: ResultsFolder) -> None:
    assert pairs_of((), a.load(), b.load()) == (("similarity", "similarity"),)
    (pair,) = compared(a, b).pairs
    assert pair.seen == "nothing"
    (turned,) = compared(b, a).pairs
    assert turned.comparison.mean == pytest.approx(-pair.comparison.mean)
    assert turned.comparison.p == pytest.approx(pair.comparison.p)
    assert [row.contrast.wins for row in turned.rows] == [row.contrast.losses for row in pair.rows]


def test_a_folder_can_be_compared_with_itself(a: ResultsFolder) -> None:
    same, other = compared(a, a, "similarity", "similarity:average").pairs
    assert (same.comparison.mean, same.comparison.ties, same.comparison.p_adjusted) == (0, 3, 1)
    assert other.comparison.mean > 0.1


def test_what_differs_besides_is_said(a: ResultsFolder, b: ResultsFolder) -> None:
    put(b, "similarity", "nl-NL", answered("nl", 0.5), **ANOTHER)
    (a.root / "similarity_sq-AL" / "results.json").unlink()
    found = compared(a, b)
    assert found.notes == (
        "The sources differ, too: A's zoo is embedded-xlmr 1a2b3c, B's is another zoo.",
        "similarity: 2 locales are in both; only in A none; only in B nl-NL, sq-AL.",
    )
    assert [row.locale.name for row in found.pairs[0].rows] == ["af-ZA", "de-DE"]
    assert compared(a, a).notes == ()


def test_sources_are_the_same_by_content_not_by_path(a: ResultsFolder, tmp_path: Path) -> None:
    copied, trained_anew = ResultsFolder(tmp_path / "copied"), ResultsFolder(tmp_path / "anew")
    for locale in NAMES:
        put(copied, "similarity", locale, answered(locale, 0.5), zoo="the same models elsewhere")
        put(trained_anew, "similarity", locale, answered(locale, 0.5), source_digest="a" * 64)
    assert compared(a, copied).notes == ()
    assert compared(a, trained_anew).notes == (
        "The sources differ, too: embedded-xlmr 1a2b3c held other models for A than for B, of de-DE, nl-NL, sv-SE.",
    )


def test_sources_of_which_there_are_none_in_both(a: ResultsFolder, tmp_path: Path) -> None:
    same, other = ResultsFolder(tmp_path / "same"), ResultsFolder(tmp_path / "other")
    for locale in NAMES:
        put(same, "similarity", locale, answered(locale, 0.5), sources={"fr-FR": 1.0})
        put(other, "similarity", locale, answered(locale, 0.5), sources={"fr-FR": 1.0}, **ANOTHER)
    assert compared(a, same).notes == ()
    assert compared(a, other).notes == (
        "The sources differ, too: A's zoo is embedded-xlmr 1a2b3c, B's is another zoo.",
    )


def test_one_variant_made_in_two_ways(a: ResultsFolder, b: ResultsFolder) -> None:
    for locale in NAMES:
        put(a, "auto", locale, answered(locale, 0.5), adaptation="auto", uses=("unlabelled",))
        put(b, "auto", locale, answered(locale, 0.5), adaptation="distilled", zoo="another zoo")
    found = compared(a, b, "auto")
    assert "auto differs in adaptation." in found.notes
    assert "has seen unlabelled (A), nothing (B): auto" in shown(found)
    assert found.pairs[0].comparison.mean == 0


def test_what_differs_in_any_locale_is_said(tmp_path: Path) -> None:
    a, b = ResultsFolder(tmp_path / "a"), ResultsFolder(tmp_path / "b")
    for locale in NAMES:
        put(a, "auto", locale, answered(locale, 0.5))
        put(b, "auto", locale, answered(locale, 0.5))
    path = b.root / "auto_sq-AL" / store.RECORD
    record = store.read_record(path.parent)
    half = record.evaluation_info.model_copy(update={"precision": "fp16"})
    files.write_json(path, record.model_copy(update={"evaluation_info": half}).model_dump())
    assert compared(a, b).notes == ("auto differs in precision.",)


# --- what cannot be compared -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"data": "massive"}, "massive"),
        ({"revision": "CLDR 48"}, "CLDR 48"),
        ({"split": "dev"}, "dev split"),
    ],
)
def test_other_texts_are_refused(a: ResultsFolder, tmp_path: Path, more: dict[str, str], said: str) -> None:
    other = ResultsFolder(tmp_path / "other")
    put(other, "similarity", "de-DE", answered("x", 0.5), **more)
    with pytest.raises(StoreError, match=f"A is about .*, B about .*{said}.*never compared") as caught:
        compared(a, other)
    assert len(str(caught.value).splitlines()) == 1


def test_other_rows_under_the_same_name_are_refused(a: ResultsFolder, b: ResultsFolder) -> None:
    put(b, "similarity", "de-DE", answered("x", 0.5), rows="others", zoo="another zoo")
    put(b, "ties", "de-DE", answered("y", 0.5), rows="others", zoo="another zoo")
    with pytest.raises(StoreError, match="different rows of cldr for de-DE"):
        compared(a, b)


def test_nothing_in_common(a: ResultsFolder, b: ResultsFolder, tmp_path: Path) -> None:
    other = ResultsFolder(tmp_path / "other")
    put(other, "ties", "nl-NL", answered("x", 0.5))
    with pytest.raises(StoreError, match=r"no variant in common \(A: similarity, average; B: ties\).*--variants"):
        compared(a, other)
    with pytest.raises(StoreError, match=r"no locale in common"):
        compared(a, other, "average:ties")
    with pytest.raises(UnknownName, match="Unknown variant of B 'average'"):
        compared(a, b, "average")
    with pytest.raises(UnknownName, match="Unknown variant of A 'tie'"):
        compared(a, b, "tie:ties")
    with pytest.raises(UserError, match="stands there twice"):
        compared(a, b, "similarity", "similarity:similarity")


@pytest.mark.parametrize("asked", [(), ("similarity",)])
def test_results_without_a_prefix_have_no_variant(a: ResultsFolder, tmp_path: Path, asked: tuple[str, ...]) -> None:
    nameless = ResultsFolder(tmp_path / "nameless")
    put(nameless, "", "de-DE", answered("x", 0.5))
    for first, second, said in ((a, nameless, "B"), (nameless, a, "A"), (nameless, nameless, "A and B")):
        with pytest.raises(StoreError, match=f"results of {said} have no prefix.*--prefix NAME") as caught:
            compared(first, second, *asked)
        assert "--variants" not in str(caught.value)


def test_damaged_predictions_are_no_figures(a: ResultsFolder, b: ResultsFolder) -> None:
    path = b.root / "similarity_de-DE" / "predictions.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("count", "greet"), encoding="utf-8")
    with pytest.raises(StoreError, match="similarity_de-DE"):
        compared(a, b)


# --- what it looks like ------------------------------------------------------------------------------------------------


def shown(found: Compared, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_compared(console, found, "results-1", "results-2")
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_one_pair_has_all_its_figures(a: ResultsFolder, b: ResultsFolder) -> None:
    found = compared(a, b)
    lines = shown(found)
    assert max(map(cell_len, lines)) <= 80
    assert lines[:2] == ["A: results-1", "B: results-2"]
    row = found.pairs[0].rows[1]
    line = next(line for line in lines if "de-DE" in line).split()
    assert line[-10:-8] == ["de-DE", f"{row.first:.3f}"]
    assert line[-3:-1] == [str(row.contrast.wins), str(row.contrast.losses)]
    assert f"{100 * row.contrast.difference:+.1f}*" in line
    whole = next(line for line in lines if line.startswith("similarity"))
    assert "3/0/0" in whole.split()
    assert "has seen nothing: similarity" in lines


@pytest.mark.parametrize(("one", "other"), [(0.6, 0.5), (1.0, 0.0), (0.0, 1.0)])
def test_one_pair_in_52_locales_fits_whole(tmp_path: Path, one: float, other: float) -> None:
    folder = ResultsFolder(tmp_path / "wide")
    for index, locale in enumerate(locales.names()):
        put(folder, "similarity", locale, answered(f"one {locale}", one if index else other))
        wrong = [INTENTS[(INTENTS.index(gold) + 1) % 3] for gold in GOLD]
        put(folder, "average", locale, answered(f"two {locale}", other) if other else wrong)
    (pair,) = compared(folder, folder, "similarity:average").pairs
    lines = shown(compared(folder, folder, "similarity:average"))
    assert max(map(cell_len, lines)) <= 80
    header = next(line for line in lines if line.startswith("family"))
    assert header.endswith("A only B only     p")
    assert header.count("A - B") == 1
    for row in pair.rows:
        each = row.contrast
        line = next(line for line in lines if row.locale.name in line.split()[:2]).split()
        p = "<.001" if each.p_adjusted < 0.001 else f"{each.p_adjusted:.3f}"
        assert line[-3:] == [str(each.wins), str(each.losses), p]
        assert line[-6:-3] == [f"{100 * each.interval.low:+.1f}", "…", f"{100 * each.interval.high:+.1f}"]


def test_52_locales_and_many_pairs_fit(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "many")
    variants = ("baseline", "similarity", "average", "auto", "distilled-merge-reliability")
    for variant in variants:
        for locale in locales.names():
            put(folder, variant, locale, answered(f"{variant} {locale}", 0.5))
    found = compared(folder, folder, *variants[1:], "distilled-merge-reliability:similarity")
    lines = shown(found)
    assert max(map(cell_len, lines)) <= 80
    assert not any("…" in line and "locale" in line for line in lines)
    for locale in locales.names():
        assert any(locale in line.split()[:2] for line in lines)
    assert any(line.startswith("No room in the table for distilled-merge-reliability") for line in lines)
    assert max(map(cell_len, shown(compared(folder, folder, "distilled-merge-reliability:similarity")))) <= 80


def test_long_names_are_broken_and_stay_apart(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "long")
    one, other = (f"few-finetuned-merge-reliability-{number}" for number in (16, 32))
    for locale in locales.names():
        put(folder, one, locale, answered(f"one {locale}", 0.6))
        put(folder, other, locale, answered(f"two {locale}", 0.5))
    for asked in ((f"{one}:{other}", f"{other}:{one}"), (one, other)):
        found = compared(folder, folder, *asked)
        lines = shown(found)
        assert max(map(cell_len, lines)) <= 80
        means = lines[lines.index("") + 3 : next(n for n, line in enumerate(lines) if line.startswith("has seen"))]
        assert "".join(line.split()[0] for line in means) == "".join(pair.name for pair in found.pairs)
        last = next(n for n, line in enumerate(lines) if line.startswith("family"))
        header = lines[lines.index("", lines.index("") + 1) + 1 : last + 1]
        width = len(lines[last + 1])
        for pair, (start, end) in zip(found.pairs, ((-41, -21), (-20, None)), strict=True):
            assert "".join(line.ljust(width)[start:end].strip() for line in header) == pair.name
        for locale in locales.names():
            assert any(locale in line.split()[:2] for line in lines)
        assert not any(line.startswith("No room") for line in lines)


@pytest.mark.parametrize("length", [60, 79, 80, 81, 160, 240])
def test_a_long_path_is_left_whole(a: ResultsFolder, tmp_path: Path, length: int) -> None:
    zoo = "/zoo" * (length // 4) + "/" * (length % 4)
    other = ResultsFolder(tmp_path / "other")
    put(other, "similarity", "de-DE", answered("x", 0.5), **{**ANOTHER, "zoo": zoo})
    lines = shown(compared(a, other))
    assert any(zoo in line for line in lines)
    assert "." not in lines
    assert max(cell_len(line) for line in lines if zoo not in line) <= 80


def test_what_programs_get(a: ResultsFolder, b: ResultsFolder) -> None:
    found = compared(a, b, "similarity", "average:ties")
    document = compare_json(found)
    assert document["first"]["zoo"] == "embedded-xlmr 1a2b3c"
    assert [pair["second"] for pair in document["pairs"]] == ["similarity", "ties"]
    pair = document["pairs"][0]
    assert pair["mean"] == found.pairs[0].comparison.mean
    assert [row["locale"] for row in pair["by_locale"]] == list(NAMES)
    rows = list(csv.DictReader(io.StringIO(csv_text(compare_rows(found)))))
    assert len(rows) == 6
    assert [float(row["difference"]) for row in rows[:3]] == [row["difference"] for row in pair["by_locale"]]
    assert {row["first"] for row in rows} == {"similarity", "average"}
