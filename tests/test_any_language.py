"""Languages that are not among the 52, in a table of one's own: all commands, as for MASSIVE."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from pico import Pico, rows_of

from sprachbund.cli import run

NAMES = ("sw-KE", "wol", "yo")
"""The table of 52 knows the first one only."""
INPUTS = '--models "models/{locale}" --data table:news.csv'
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources of three languages, their base, and a table of them."""
    monkeypatch.setattr("sprachbund.similarity.uriel.installed", lambda: None)  # lang2vec, which knows them all
    Pico(tmp_path).base()
    for name in NAMES:
        Pico(tmp_path / "models").source(name)
    with (tmp_path / "news.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "lang", "split", "sentence", "topic"])
        writer.writerows([row.id, row.locale, row.partition, row.utt, row.intent] for n in NAMES for row in rows_of(n))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    return tmp_path


def document(line: str, capsys: Capture, status: int = 0) -> Any:
    capsys.readouterr()
    assert run([*shlex.split(line), "--json"]) == status, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def complaint(line: str, capsys: Capture) -> str:
    capsys.readouterr()
    assert run(shlex.split(line)) == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.usefixtures("here")
def test_an_experiment_runs_and_its_report_lists_the_languages(capsys: Capture) -> None:
    line = f"experiment {INPUTS} --variants baseline average-all --zero-shot --jobs 1"
    found = document(line, capsys)
    assert sorted(found["results"]) == sorted(NAMES)
    for name in NAMES:
        record = json.loads(Path(f"results/average-all_{name}/results.json").read_text(encoding="utf-8"))
        assert [source["locale"] for source in record["model_info"]["sources"]] == [n for n in NAMES if n != name]
        assert record["model_info"]["recipe"]["similarity"] is None
        assert {source["weight"] for source in record["model_info"]["sources"]} == {0.5}
    assert document(line, capsys)["results"] == found["results"], "from before"
    summary = document("aggregate --output-dir report", capsys)
    rows = {row["locale"]: row for row in summary["locales"]}
    assert list(rows) == list(NAMES)
    assert [rows[name]["family"] for name in NAMES] == ["Atlantic-Congo", "other", "other"]
    assert rows["yo"]["zero_shot_sources"] == 2
    assert summary["counts"] == {"expected": 6, "done": 6, "failed": 0, "missing": 0}
    capsys.readouterr()
    assert run(["aggregate", "--output-dir", "report"]) == 0
    assert "other" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_plan_counts_them(capsys: Capture) -> None:
    assert document(f"plan {INPUTS} --variants baseline average-all --locales yo wol", capsys)["cells"] == 4


@pytest.mark.usefixtures("here")
def test_all_sources_may_include_the_own_one_or_be_named(capsys: Capture) -> None:
    document(f"experiment {INPUTS} --variants average-all --locales yo --sources YO wol --include-target", capsys)
    record = json.loads(Path("results/average-all_yo/results.json").read_text(encoding="utf-8"))
    assert [source["locale"] for source in record["model_info"]["sources"]] == ["wol", "yo"]
    assert "target-train" in record["evaluation_info"]["uses"]
    sentence = complaint(f"experiment {INPUTS} --variants average-all --locales yo --sources yo --output-dir b", capsys)
    assert "No source is left for yo without its own" in sentence


@pytest.mark.usefixtures("here")
def test_what_a_similarity_does_not_know_is_told(capsys: Capture) -> None:
    sentence = complaint(f"experiment {INPUTS} --locales yo", capsys)
    assert "yo, wol is none of them: pip install lang2vec" in sentence
    assert "--similarity file:" in sentence


@pytest.mark.usefixtures("here")
def test_a_slip_of_the_pen_still_gets_did_you_mean(capsys: Capture) -> None:
    for line in (
        f"experiment {INPUTS} --locales",
        f"transfer {INPUTS} --locales",
        "train --base base --out t --data table:news.csv --locales",
    ):
        assert "Unknown locale 'wolo': did you mean wol" in complaint(f"{line} wolo", capsys)


@pytest.mark.usefixtures("here")
def test_sources_are_trained_and_evaluated(capsys: Capture) -> None:
    cards = document("train --base base --out trained --data table:news.csv --locales yo WOL --epochs 1", capsys)
    assert [card["locale"] for card in cards] == ["yo", "wol"]
    folder = "trained/xlm-roberta-base_massive_k_yo/alpha_0.5_yo_epoch-9"
    record = document(f"evaluate --base-model {folder} --locale yo --data table:news.csv --prefix mine", capsys)
    assert record["evaluation_info"]["locale"] == "yo"
    assert record == json.loads(Path("results/mine_yo/results.json").read_text(encoding="utf-8"))


@pytest.mark.usefixtures("here")
def test_a_base_is_pretrained_where_ids_are_translations(capsys: Capture) -> None:
    tiny = "--vocabulary 400 --hidden 8 --layers 1 --heads 2 --intermediate 8 --mlm-steps 2 --ranking-steps 2 --ranking-batch 4"
    document(f"pretrain --out new-base --data table:news.csv {tiny}", capsys)
    text = Path("news.csv").read_text(encoding="utf-8").splitlines()
    Path("alone.csv").write_text("\n".join(line.partition(",")[2] for line in text) + "\n", encoding="utf-8")
    assert "needs translations" in complaint(f"pretrain --out other-base --data table:alone.csv {tiny}", capsys)


@pytest.mark.usefixtures("here")
def test_a_merge_knows_the_languages_of_the_data(capsys: Capture) -> None:
    line = f"merge {INPUTS} --mode manual --target-lang yo --sources wol sw-KE --weights 1 3"
    assert [(s["locale"], s["weight"]) for s in document(line, capsys)["sources"]] == [("wol", 0.25), ("sw-KE", 0.75)]
    assert "yo, wol is none of them" in complaint(
        f"merge {INPUTS} --mode average --target-lang yo --sources wol", capsys
    )
    assert "Unknown locale 'wolo': did you mean wol" in complaint(line.replace("wol ", "wolo "), capsys)


@pytest.mark.usefixtures("here")
def test_transfer_is_measured(capsys: Capture) -> None:
    found = document(f"transfer {INPUTS} --jobs 1", capsys)
    assert [row["source"] for row in found["sources"]] == list(NAMES)
    assert all(set(row["cells"]) == set(NAMES) for row in found["sources"])
    assert found["follows_similarity"] is None


@pytest.mark.usefixtures("here")
def test_the_sources_are_those_that_a_file_names(capsys: Capture) -> None:
    Path("zoo.csv").write_text("locale,model\nwol,models/wol\nyo,models/yo\n", encoding="utf-8")
    found = document("transfer --models zoo.csv --data table:news.csv --jobs 1", capsys)
    assert [row["source"] for row in found["sources"]] == ["wol", "yo"]
    line = "experiment --models zoo.csv --data table:news.csv --variants average-all --locales sw-KE"
    document(line, capsys)
    record = json.loads(Path("results/average-all_sw-KE/results.json").read_text(encoding="utf-8"))
    assert [source["locale"] for source in record["model_info"]["sources"]] == ["wol", "yo"]
    assert "Unknown locale 'wol'" in complaint("transfer --models zoo.csv --data cldr:12", capsys)


@pytest.mark.usefixtures("here")
def test_some_of_its_sources_may_be_missing(capsys: Capture) -> None:
    Path("models/wol").rename("elsewhere")
    line = f"experiment {INPUTS} --variants baseline average-all --locales sw-KE wol --allow-missing"
    assert document(line, capsys)["results"].keys() == {"sw-KE", "wol"}
    for target, sources in {"sw-KE": ["yo"], "wol": ["sw-KE", "yo"]}.items():
        record = json.loads(Path(f"results/average-all_{target}/results.json").read_text(encoding="utf-8"))
        assert [source["locale"] for source in record["model_info"]["sources"]] == sources
