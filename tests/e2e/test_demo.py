"""``sprachbund demo``, which is what ``make demo`` runs in all 52 locales: all four variants, every file, and nothing twice."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from sprachbund import locales

FILES = {
    "results_aggregated_*.csv": 1,
    "results_comparison_*.csv": 1,
    "results_summary_*.json": 1,
    "results_report_*.md": 1,
    "dumbbell.png": 1,
    "results/auto_*/results.json": 3,
    "results/*/results.json": 12,
    "results/transfer/*/*.json": 104,
    "merged_models/auto_merge_*/merge_details.txt": 3,
}


def test_the_demonstration_shows_auto_beside_the_three_wherever_one_looks(type_in, tmp_path: Path) -> None:
    done = type_in("sprachbund demo --output-dir demo --locales sq-AL cy-GB ja-JP")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "demo"
    assert {pattern: len(list(folder.glob(pattern))) for pattern in FILES} == FILES
    assert "12 of 208 results are there, 196 missing." in done.stdout
    assert "DEMONSTRATION" in done.stdout
    header = next(line for line in done.stdout.splitlines() if line.startswith("family"))
    assert header.split()[2:6] == ["baseline", "similarity", "average", "auto"]
    table = [line for line in done.stdout.splitlines() if re.search(r"\b[a-z]{2}-[A-Z]{2}\b.*0\.\d", line)]
    assert len(table) == 3
    assert max(map(len, table)) <= 80

    summary = json.loads(next(folder.glob("results_summary_*.json")).read_text())
    assert summary["counts"] == {"expected": 208, "done": 12, "failed": 0, "missing": 196}
    assert summary["columns"]["auto"]["uses"] == ["unlabelled"]
    with next(folder.glob("results_comparison_*.csv")).open(newline="") as stream:
        rows = {row["locale"]: row for row in csv.DictReader(stream)}
    assert set(rows) == set(locales.names())
    record = json.loads((folder / "results/auto_sq-AL/results.json").read_text())
    assert float(rows["sq-AL"]["auto"]) == record["performance"]["accuracy"]
    assert "sq-AL" not in {source["locale"] for source in record["model_info"]["sources"]}

    again = type_in("sprachbund demo --output-dir demo --locales sq-AL cy-GB ja-JP")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "12 of 12 results are from before." in again.stdout
