"""The tool that looks whether a process grows: when it complains, and three rounds that leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pico import Pico, rows_of

from sprachbund.cli import run

SOURCES = ("de-DE", "el-GR", "fr-FR")


@pytest.fixture(scope="module")
def tool(tool_named: Callable[[str], ModuleType]) -> ModuleType:
    return tool_named("soak_memory")


@pytest.fixture(scope="module")
def now(tool: ModuleType) -> Any:
    """What this process holds, which takes seconds to find out where so much is imported."""
    return tool.held()


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """A round of the tool on three pico models: cells, single sources, tables and a picture, into a folder."""
    models = Pico(tmp_path / "models")
    for locale in SOURCES:
        models.source(locale)
    rows = [f"{r.locale},{r.partition},{r.id},{r.utt},{r.intent}" for name in SOURCES for r in rows_of(name)]
    table = tmp_path / "texts.csv"
    table.write_text("\n".join(["locale,split,id,text,label", *rows]) + "\n", encoding="utf-8")
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    models_and_data = ("--models", f"{models.root}/{{locale}}", "--data", f"table:{table}", "--sources", *SOURCES)
    common = (*models_and_data, "--locales", "de-DE", "--jobs", "1")

    def do(folder: Path) -> None:
        results = str(folder / "results")
        cells = ("--num-languages", "2", "--variants", "baseline", "similarity", "average", "--output-dir", str(folder))
        assert run(["experiment", *common, *cells]) == 0
        assert run(["transfer", *common, "--split", "dev", "--results-dir", results]) == 0
        assert run(["aggregate", "--results-dir", results, "--output-dir", str(folder)]) == 0
        assert run(["plot", "--results-dir", results, "--out", str(folder / "dumbbell.png")]) == 0

    return do


def test_a_sweep_leaves_nothing_open(tool: ModuleType, sweep: Callable[[Path], None], tmp_path: Path) -> None:
    seen, differences = zip(*tool.rounds(sweep, 3, tmp_path), strict=True)
    assert not any(differences)
    assert seen[0].files == seen[1].files == seen[2].files
    for name in tool.EQUAL:
        assert getattr(seen[1], name) == getattr(seen[2], name), name
    assert seen[1].handlers == seen[2].handlers


def test_what_a_round_leaves_behind_is_complained_of(tool: ModuleType, tmp_path: Path) -> None:
    kept = []

    def leaves_a_file_open(folder: Path) -> None:
        (folder / "results").mkdir(parents=True)
        (folder / "results" / "record").write_text(f"{len(kept)}")
        kept.append((folder / "results" / "record").open())

    seen, differences = zip(*tool.rounds(leaves_a_file_open, 3, tmp_path), strict=True)
    for stream in kept:
        stream.close()
    assert [list(each) for each in differences] == [[], ["results/record"], ["results/record"]]
    _, complaints = tool.verdict(seen, first=1)
    assert f"files: {seen[0].files} to {seen[0].files + 2} instead of one number" in complaints


@pytest.mark.parametrize(("megabytes", "is_flat"), [(0.0, True), (0.9, True), (1.1, False)])
def test_memory_may_grow_by_the_bound(tool: ModuleType, now: Any, megabytes: float, is_flat: bool) -> None:
    warming_up = [replace(now, rss=50.0 * number, files=number) for number in range(4)]
    seen = [*warming_up, *(replace(now, rss=500 + megabytes * number) for number in range(10))]
    seen[-1] = replace(seen[-1], rss=900.0)  # one that stands out does not decide
    growth, complaints = tool.verdict(seen)
    assert f"{megabytes:+.3f} MB a round" in growth
    assert list(complaints) == ([] if is_flat else [growth])
