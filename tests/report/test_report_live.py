"""The picture of a run under way: what stands in it, and that it fits terminals of any size."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len
from watched import LAST, Run

from sprachbund import locales
from sprachbund.report.live import frame
from sprachbund.report.progress import Reader, RunState

SAID = ("run: 3 of 4 results", "1.0/min, about 12 s left", "process 1 on here")
MANY = tuple(f"few-finetuned-merge-reliability-{number}" for number in range(22))
ALL = locales.names()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


def state_of(run: Run) -> RunState:
    state = Reader(run.folder).look()
    assert state is not None
    return state


def picture(run: Run, width: int = 80, height: int | None = 24) -> list[str]:
    return [line.plain for line in frame(state_of(run), SAID, width=width, height=height)]


def row_of(name: str, found: list[str]) -> str:
    return next(line for line in found if line.startswith(f"{name} "))


@pytest.fixture
def seed(run: Run) -> Run:
    """The main job in 52 locales, halfway; one cell has failed."""
    run.announce(variants=("baseline", "similarity", "average"), names=ALL)
    for index, name in enumerate(ALL[:26]):
        run.finish("baseline", name, 60 + index)
        run.finish("similarity", name, 40 + index)
        if index:
            run.finish("average", name, 30 + index, at=LAST)
    run.fail("average", ALL[0], "a source holds NaN in\nencoder.layer.0")
    return run


def test_on_24_lines_there_is_a_row_a_variant_and_a_character_a_locale(seed: Run) -> None:
    found = picture(seed)
    assert found[: len(SAID)] == list(SAID)
    assert max(map(cell_len, found)) <= 80
    assert len(found) <= 24
    marks = row_of("baseline", found)[len("similarity") + 1 :][:52]
    letters = next(n for n, line in enumerate(found) if "Indo-European" in line) + 1
    codes = ["".join(pair) for pair in zip(found[letters], found[letters + 1], strict=False)][len("similarity") + 1 :]
    assert len(codes) == len(marks) == 52
    shown = dict(zip(codes, marks, strict=True))
    for index, name in enumerate(ALL[:26]):
        if not name.startswith("zh"):
            assert shown[name[:2]] == str((60 + index) // 10), name
    assert marks.count(".") == 26
    average = row_of("average", found)[len("similarity") + 1 :][:52]
    assert average.count("x") == 1
    assert average[codes.index(ALL[0][:2])] == "x"
    assert row_of("baseline", found).endswith("0.725")
    assert f"failed: {ALL[0]} average: a source holds NaN in encoder.layer.0" in found
    assert "highest mean so far: baseline, 0.730 (25 locales that all have)" in found
    assert "has seen target-train: baseline" in found
    assert "has seen nothing: similarity, average" in found
    assert any(line.startswith(f"latest: {ALL[25]} average 0.550") for line in found)


def test_on_a_tall_terminal_there_is_a_row_a_locale_with_figures(seed: Run) -> None:
    found = picture(seed, height=70)
    assert max(map(cell_len, found)) <= 80
    assert found[3].split() == ["family", "locale", "baseline", "similarity", "average"]
    first = next(line for line in found if ALL[0] in line.split()[:2] and "0." in line).split()
    assert first[-4:] == [ALL[0], "0.600", "0.400", "failed"]
    open_row = next(line for line in found if ALL[40] in line.split()[:2]).split()
    assert open_row[-3:] == [".", ".", "."]
    assert row_of("mean", found).split() == ["mean", "0.725", "0.525", "0.430"]
    assert row_of("done", found).split() == ["done", "26", "26", "25"]
    assert row_of("highest", found).split() == ["highest", ALL[25], ALL[25], ALL[25]]
    assert not any("tenths" in line for line in found)


def test_a_reason_is_cut_on_a_terminal_alone(seed: Run) -> None:
    seed.fail("similarity", ALL[30], "because " * 40, at=LAST)
    assert max(map(cell_len, picture(seed))) <= 80
    whole = picture(seed, height=None)
    assert any(line.count("because") == 40 for line in whole)
    assert len(whole) > 52, "where there is no height, figures"


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("height", [1, 4, 10, 24, 40, 60, 100])
@pytest.mark.parametrize("variants", [("auto",), ("baseline", "similarity", "average", "auto"), MANY])
def test_it_fits_every_terminal(run: Run, width: int, height: int, variants: tuple[str, ...]) -> None:
    run.announce(variants=variants, names=ALL)
    for name in ALL[:2]:
        for variant in variants[:3]:
            run.finish(variant, name, 100)
    for name in ALL[2:12]:
        run.fail(variants[0], name, "no memory " * 30)
    found = picture(run, width, height)
    assert len(found) <= height
    assert max(map(cell_len, found)) <= width


def test_variants_without_a_line_are_counted(run: Run) -> None:
    run.announce(variants=MANY, names=ALL)
    run.finish(MANY[0], ALL[0], 100)
    found = picture(run)
    named = [line for line in found if line.startswith("few-finet")]
    assert f"and {len(MANY) - len(named)} more variants: there is no room for them" in found
    assert 8 < len(named) < len(MANY)
    assert len({line.split()[0] for line in named}) == len(named), "names that are shortened can be told apart"
    assert "9" in named[0]
    everything = picture(run, height=None)
    assert sum(line.startswith("few-finet") for line in everything) == len(MANY)


def test_many_failures_leave_room_for_what_came_last(seed: Run) -> None:
    for name in ALL[26:46]:
        seed.fail("auto", name, "no memory")
        seed.fail("average", name, "no memory")
    found = picture(seed)
    failed = [line for line in found if line.startswith("failed: ")]
    assert failed[-1] == f"failed: {21 - len(failed) + 1} more"
    assert found[-1].startswith(("latest:", "        "))
    assert sum(line.startswith("failed: ") for line in picture(seed, height=None)) == 21


def test_locales_that_nobody_knows_and_those_that_nobody_asked_for(run: Run) -> None:
    run.results.record("mine", "tlh", 70)
    run.results.record("mine", "nl-NL", 50)
    run.results.record("other", "nl-NL", 40)
    found = picture(run)
    assert [line.split() for line in found[3:6]] == [
        ["family", "locale", "mine", "other"],
        ["Indo-European", "nl-NL", "0.500", "0.400"],
        ["other", "tlh", "0.700"],
    ]
    narrow = picture(run, width=30)
    assert row_of("other", narrow).split() == ["other", "4", "0.400"]
    assert row_of("mine", narrow).split() == ["mine", "57", "0.600"]


def test_what_else_there_is_to_know(run: Run) -> None:
    run.announce(variants=("auto",), names=("nl-NL",), zero_shot=("de-DE", "en-US"))
    run.results.record("ties", "nl-NL", 40)
    (run.folder / "results/broken_nl-NL").mkdir()
    (run.folder / "results/broken_nl-NL/results.json").write_text("{", encoding="utf-8")
    found = picture(run, width=200)
    assert "zero-shot: 0 of 2 sources" in found
    assert "results in the folder that are not of this run: 1" in found
    assert any(line.startswith("cannot be read: ") and "broken_nl-NL" in line for line in found)
