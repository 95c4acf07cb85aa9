"""Every command of the user's own description, typed word for word with ``--demo`` added."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from sprachbund import locales

SCRIPT = "python run_large_scale_experiment.py"
SINGLE_LOCALE = [
    "uv run evaluate_specific_model.py --base-model haryoaw/xlm-roberta-base_massive_k_sq-AL "
    "--model-dir alpha_0.5_sq-AL_epoch-9 --locale sq-AL --prefix baseline --demo",
    "python run_merging_pipeline.py --mode similarity --target-lang sq-AL --demo",
    "uv run evaluate_specific_model.py --base-model merged_models/similarity_merge_sq-AL "
    "--locale sq-AL --prefix similarity --demo",
    "python run_merging_pipeline.py --mode average --target-lang sq-AL --demo",
    "uv run evaluate_specific_model.py --base-model merged_models/average_merge_sq-AL "
    "--locale sq-AL --prefix average --demo",
]
AGGREGATES = ("results_aggregated_*.csv", "results_comparison_*.csv", "results_summary_*.json", "results_report_*.md")


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def cells(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("results/*/results.json")}


def progress(folder: Path) -> dict[str, object]:
    return json.loads((folder / "experiment_progress.json").read_text())  # type: ignore[no-any-return]


@dataclass(frozen=True)
class WholeRun:
    """What came of typing the single-locale workflow and then the run over all locales, in one folder."""

    folder: Path
    after_workflow: dict[Path, int]
    """Modification time of each record that the single-locale workflow left."""
    out: str


@pytest.fixture(scope="module")
def whole_run(type_in_any, tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    folder = tmp_path_factory.mktemp("workflow")
    for line in SINGLE_LOCALE:
        ok(type_in_any(line, folder=folder))
    after_workflow = {path: path.stat().st_mtime_ns for path in folder.glob("results/*/results.json")}
    return WholeRun(folder, after_workflow, ok(type_in_any(f"{SCRIPT} --demo", folder=folder)))


@pytest.fixture
def with_transfer(whole_run: WholeRun, tmp_path: Path) -> None:
    """What the sources answer by themselves is there: the same 52 would answer the same again, for each command."""
    shutil.copytree(whole_run.folder / "results/transfer", tmp_path / "results/transfer")


def test_the_workflow_for_a_single_locale(whole_run) -> None:
    names = {path.parent.name for path in whole_run.after_workflow}
    assert names == {"baseline_sq-AL", "similarity_sq-AL", "average_sq-AL"}
    for name in ("similarity_merge_sq-AL", "average_merge_sq-AL"):
        inside = {path.name for path in (whole_run.folder / "merged_models" / name).iterdir()}
        assert {
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "merge_details.txt",
            "merge_details.json",
        } <= inside
        assert "README.md" in inside


def test_the_run_over_all_locales_takes_what_the_single_workflow_left(whole_run) -> None:
    assert "156 of 156" in whole_run.out
    assert "3 of them from before" in whole_run.out
    assert {path: path.stat().st_mtime_ns for path in whole_run.after_workflow} == whole_run.after_workflow
    assert cells(whole_run.folder) == {
        f"{v}_{name}" for v in ("baseline", "similarity", "average") for name in locales.names()
    }
    assert progress(whole_run.folder)["completed_locales"] == list(locales.names())
    final = json.loads((whole_run.folder / "experiment_final_results.json").read_text())
    assert final["successful_experiments"] == final["total_experiments"] == 156


def test_its_table_fits_80_columns_and_says_that_it_is_a_demonstration(whole_run) -> None:
    table = [line for line in whole_run.out.splitlines() if re.search(r"\b[a-z]{2}-[A-Z]{2}\b.*0\.\d", line)]
    assert len(table) == 52
    assert max(map(len, table)) <= 80
    assert "DEMONSTRATION" in whole_run.out


def test_typed_again_it_does_nothing_again(type_in, whole_run) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole_run.folder.glob("results/**/*.json")}
    assert "156 of them from before" in ok(type_in(f"{SCRIPT} --demo", folder=whole_run.folder))
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("flags", ["", "--format csv", "--format markdown", "--format json", "--show-missing"])
def test_aggregate(type_in, whole_run, tmp_path, flags) -> None:
    wanted = {
        "--format csv": AGGREGATES[:2],
        "--format json": AGGREGATES[2:3],
        "--format markdown": AGGREGATES[3:],
    }.get(flags, AGGREGATES)
    (tmp_path / "results").symlink_to(whole_run.folder / "results")
    out = ok(type_in(f"python aggregate_results.py {flags} --demo"))
    assert "156 of 156" in out
    assert {p.name for p in tmp_path.glob("results_*")} == {p.name for g in wanted for p in tmp_path.glob(g)}
    assert all(len(list(tmp_path.glob(pattern))) == 1 for pattern in wanted)
    if "csv" in flags:
        with next(tmp_path.glob("results_comparison_*.csv")).open(newline="") as stream:
            rows = {row["locale"]: row for row in csv.DictReader(stream)}
        record = json.loads((tmp_path / "results/similarity_sq-AL/results.json").read_text())
        assert float(rows["sq-AL"]["similarity"]) == record["performance"]["accuracy"]


@pytest.mark.usefixtures("with_transfer")
def test_the_quick_test_with_two_locales(type_in, tmp_path) -> None:
    ok(type_in(f"{SCRIPT} --locales sq-AL cy-GB --max-locales 2 --demo"))
    assert cells(tmp_path) == {f"{v}_{n}" for v in ("baseline", "similarity", "average") for n in ("sq-AL", "cy-GB")}


def test_specific_locales_only(type_in, tmp_path) -> None:
    ok(type_in(f"{SCRIPT} --locales sq-AL cy-GB ja-JP --demo"))
    assert progress(tmp_path)["completed_locales"] == ["sq-AL", "cy-GB", "ja-JP"]


@pytest.mark.usefixtures("with_transfer")
def test_skipping_baseline_and_similarity_leaves_average(type_in, tmp_path) -> None:
    ok(type_in(f"{SCRIPT} --skip-baseline --skip-similarity --demo"))
    assert cells(tmp_path) == {f"average_{name}" for name in locales.names()}


@pytest.mark.usefixtures("with_transfer")
def test_only_similarity_merging_for_all_locales(type_in, tmp_path) -> None:
    ok(type_in(f"{SCRIPT} --skip-baseline --skip-average --demo"))
    assert cells(tmp_path) == {f"similarity_{name}" for name in locales.names()}


@pytest.mark.usefixtures("with_transfer")
def test_start_from_counts_from_zero_in_the_order_of_list_locales(type_in, tmp_path) -> None:
    listed = ok(type_in(f"{SCRIPT} --list-locales --demo"))
    assert re.search(r"^10\s+en-US\b", listed, re.MULTILINE)
    assert len(re.findall(r"[a-z]{2}-[A-Z]{2}", listed)) == 52
    ok(type_in(f"{SCRIPT} --start-from 10 --demo"))
    assert progress(tmp_path)["completed_locales"] == list(locales.names()[10:])
    assert len(cells(tmp_path)) == 3 * 42


@pytest.mark.usefixtures("with_transfer")
def test_max_locales(type_in, tmp_path) -> None:
    ok(type_in(f"{SCRIPT} --max-locales 5 --demo"))
    assert progress(tmp_path)["completed_locales"] == list(locales.names()[:5])


@pytest.mark.usefixtures("with_transfer")
def test_missing_cells_are_blank_counted_and_listed(type_in, tmp_path) -> None:
    ok(type_in(f"{SCRIPT} --locales sq-AL cy-GB --skip-average --demo"))
    out = ok(type_in("python aggregate_results.py --show-missing --demo"))
    assert "4 of 156" in out
    assert "average: all 52 missing" in out
    with next(tmp_path.glob("results_comparison_*.csv")).open(newline="") as stream:
        row = next(row for row in csv.DictReader(stream) if row["locale"] == "sq-AL")
    assert row["average"] == ""
    assert float(row["baseline"]) >= 0
