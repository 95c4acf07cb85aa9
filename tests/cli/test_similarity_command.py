"""Similarities from the command line: listed, drawn, written, measured; and what they have seen, wherever that is shown."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from pico import Pico
from workshop import INPUTS, content, make_workshop

from sprachbund.cli import run
from sprachbund.similarity import MEASURED, PREFIXES, SIMILARITIES, load
from sprachbund.similarity.lang2vec import installed

Capture = pytest.CaptureFixture[str]

NAMES = ("el-GR", "ro-RO", "sq-AL")
POOL = f"{shlex.join(INPUTS)} --sources el-GR ro-RO"
EXPERIMENT = f"experiment {POOL} --num-languages 1 --locales sq-AL --skip-baseline --jobs 1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_workshop(tmp_path_factory.mktemp("made"), NAMES, NAMES)
    Pico(folder).base()
    (folder / "models" / "zoo.json").write_text('{"name": "mine", "uses": ["source-dev"]}')
    return folder


@pytest.fixture
def workplace(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with models, data and base in it, and a cache of its own."""
    folder = tmp_path / "workplace"
    folder.mkdir()
    for name in ("models", "data", "base"):
        (folder / name).symlink_to(made / name)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    return folder


def typed(line: str, capsys: Capture, status: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert run(shlex.split(line)) == status, capsys.readouterr().err
    return capsys.readouterr()


def document(line: str, capsys: Capture) -> Any:
    return json.loads(typed(f"{line} --json", capsys)[0])


def squeezed(text: str) -> str:
    return " ".join(text.split())


# --- what there is -----------------------------------------------------------------------------------------------------


def test_the_list_has_all_with_what_they_have_seen(capsys: Capture) -> None:
    found = {row["similarity"]: row for row in document("similarity --list", capsys)}
    assert list(found) == [*SIMILARITIES, *MEASURED, *(f"{prefix}:…" for prefix in PREFIXES)]
    for name, declared in {**SIMILARITIES, **MEASURED}.items():
        assert found[name]["has seen"] == ", ".join(declared.uses)
        assert found[name]["what it is"] == declared.description
    assert found["uriel:geo"]["provenance"].endswith("CC BY-SA 4.0")
    assert found["task-vector"]["needs"] == "sources, the target's own, base"
    shown = typed("similarity --list", capsys)[0]
    assert max(map(len, shown.splitlines())) <= 80
    for name in found:
        assert name in shown
    assert "CC BY-SA 4.0" in squeezed(shown)


def test_a_similarity_is_written_as_a_table_that_is_read_back(here: Path, capsys: Capture) -> None:
    found = document("similarity --similarity uriel:fam+uriel:geo --out table.csv", capsys)
    assert found["files"] == ["table.csv"]
    mine, theirs = load("file:table.csv"), load("uriel:fam+uriel:geo")
    assert mine.values.tobytes() == theirs.values.tobytes()
    assert (mine.uses, mine.provenance, mine.locales) == (theirs.uses, theirs.provenance, theirs.locales)
    by_name, by_file = (
        document(f"similarity sq-AL --similarity {name}", capsys) for name in ("uriel:fam+uriel:geo", "file:table.csv")
    )
    assert by_file["sources"] == by_name["sources"]
    assert by_file["recipe"]["similarity"] == "file:table.csv"


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_similarity_is_drawn(suffix: str, here: Path, capsys: Capture) -> None:
    shown, _ = typed(f"similarity sq-AL --plot map.{suffix}", capsys)
    assert shown.splitlines()[-1] == f"map.{suffix}"
    assert (here / f"map.{suffix}").stat().st_size > 10_000


def test_models_that_are_not_looked_at_are_told_of(capsys: Capture) -> None:
    _, err = typed("similarity sq-AL --data cldr", capsys)
    assert "uriel:syntax_knn is not measured: no model and no data is looked at" in squeezed(err)


def test_any_language_is_compared_where_lang2vec_is_installed(capsys: Capture) -> None:
    if installed() is None:
        pytest.skip("lang2vec is not installed")
    line = "similarity GLG --similarity uriel:fam+uriel:geo --num-languages 3"
    found = document(line, capsys)
    assert found["target"] == found["recipe"]["target"] == "glg"
    assert {row["source"] for row in found["sources"]} >= {"pt-PT", "es-ES"}
    assert typed(line, capsys)[0].startswith("For glg, selection topk")
    assert "'xxx'" in typed("similarity xxx", capsys, status=2)[1]
    assert "did you mean sq-AL" in typed("similarity sq-LA", capsys, status=2)[1], "a locale is not taken for a code"


# --- measured ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("name", [*MEASURED, "uriel:syntax_knn+transfer", "agreement:7"])
def test_every_measure_can_be_asked_for(name: str, capsys: Capture) -> None:
    line = f"similarity sq-AL --similarity {name} {POOL} --num-languages 2 --base base --jobs 1 --out table.csv"
    found = document(line, capsys)
    assert {row["source"] for row in found["sources"]} == {"el-GR", "ro-RO"}
    assert found["similarity"] == found["recipe"]["similarity"] == name
    declared = {
        use for part in name.split("+") if (kind := part.partition(":")[0]) in MEASURED for use in MEASURED[kind].uses
    }
    assert declared <= set(found["uses"])
    assert "nothing" not in found["uses"]
    table = load("file:table.csv")
    assert (table.targets, set(table.locales), table.uses) == (("sq-AL",), {"el-GR", "ro-RO"}, set(found["uses"]))
    assert [table.score("sq-AL", row["source"]) for row in found["sources"]] == [
        row["score"] for row in found["sources"]
    ]
    shown, _ = typed(line, capsys)
    assert f"{name} has seen of a target: {', '.join(found['uses'])}" in squeezed(shown)


@pytest.mark.usefixtures("workplace")
def test_without_a_target_the_whole_pool_is_measured(capsys: Capture) -> None:
    document(f"similarity --similarity overlap {POOL} --out table.csv", capsys)
    table = load("file:table.csv")
    assert table.targets == table.locales == ("el-GR", "ro-RO")
    assert table.score("el-GR", "el-GR") == 1


def test_what_transfer_measured_is_measured_once(
    workplace: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"similarity sq-AL --similarity transfer {POOL} --num-languages 2 --jobs 1"
    first = document(line, capsys)
    monkeypatch.setattr("sprachbund.zero_shot._evaluate", lambda task: pytest.fail("measured again"))
    assert document(line, capsys) == first
    rows = json.loads(next((workplace.parent / "cache/transfer").glob("*/transfer/dev/ro-RO.json")).read_text())
    score = {row["source"]: row["score"] for row in first["sources"]}["ro-RO"]
    assert rows["cells"]["sq-AL"]["correct"] / rows["cells"]["sq-AL"]["total"] == score


def test_transfer_in_a_results_folder_is_not_measured_again(
    workplace: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(f"transfer {POOL} --locales sq-AL --split dev --jobs 1", capsys)
    monkeypatch.setattr("sprachbund.zero_shot._evaluate", lambda task: pytest.fail("measured again"))
    merged = document(
        f"merge {POOL} --similarity transfer --mode similarity --target-lang sq-AL --num-languages 1", capsys
    )
    row = json.loads((workplace / f"results/transfer/dev/{merged['sources'][0]['locale']}.json").read_text())
    assert merged["sources"][0]["score"] == row["cells"]["sq-AL"]["correct"] / row["cells"]["sq-AL"]["total"]


def test_a_plan_measures_and_says_so_and_writes_nothing_here(workplace: Path, capsys: Capture) -> None:
    before = content(workplace)
    shown, err = typed(f"{EXPERIMENT} --similarity transfer --dry-run", capsys)
    assert "Who is merged depends on transfer, which is measured first, and kept." in squeezed(err)
    assert "similarity transfer: zero-shot accuracy" in squeezed(shown)
    assert "has seen: source-dev, target-dev" in squeezed(shown)
    assert content(workplace) == before
    found = document(f"{EXPERIMENT} --similarity transfer --dry-run", capsys)
    assert found["similarity_uses"] == ["source-dev", "target-dev"]


@pytest.mark.usefixtures("workplace")
def test_a_base_that_nobody_needs_is_refused(capsys: Capture) -> None:
    _, err = typed(f"{EXPERIMENT} --base base", capsys, status=2)
    assert "--base has no effect with --similarity uriel:syntax_knn" in err
    typed(f"{EXPERIMENT} --base base --similarity embedding", capsys)


# --- what was seen, everywhere -----------------------------------------------------------------------------------------

SEEN = ("source-dev", "target-dev")
"""The union of what the zoo says of its sources and of what transfer declares; nobody wrote it down as such."""


@pytest.fixture
def run_by_transfer(workplace: Path, capsys: Capture) -> str:
    """What a run by measured transfer prints at its end."""
    return typed(f"{EXPERIMENT} --similarity transfer", capsys)[0]


@pytest.mark.usefixtures("run_by_transfer")
def test_records_say_what_the_similarity_has_seen(workplace: Path) -> None:
    for variant in ("similarity", "average"):
        record = json.loads((workplace / f"results/{variant}_sq-AL/results.json").read_text())
        assert tuple(record["evaluation_info"]["uses"]) == SEEN
        assert record["model_info"]["recipe"]["similarity"] == "transfer"
    final = json.loads((workplace / "experiment_final_results.json").read_text())
    assert tuple(final["results"]["sq-AL"]["similarity"]["uses"]) == SEEN


@pytest.mark.usefixtures("run_by_transfer")
def test_cards_and_details_say_it(workplace: Path) -> None:
    folder = workplace / "merged_models/similarity_merge_sq-AL"
    assert tuple(json.loads((folder / "merge_details.json").read_text())["uses"]) == SEEN
    assert "has seen           source-dev, target-dev (of the target)" in (folder / "merge_details.txt").read_text()
    assert "Of the target it has seen: source-dev, target-dev." in (folder / "README.md").read_text()


def test_every_table_says_it(run_by_transfer: str, workplace: Path, capsys: Capture) -> None:
    for variant in ("similarity", "average"):
        assert re.search(rf"{variant} .*source-dev, target-dev", squeezed(run_by_transfer))
    typed("aggregate", capsys)
    raw = list(csv.DictReader(io.StringIO(next(workplace.glob("results_aggregated_*.csv")).read_text())))
    assert {row["uses"] for row in raw if row["variant"] in ("similarity", "average")} == {" ".join(SEEN)}
    side_by_side = next(workplace.glob("results_comparison_*.csv")).read_text()
    (row,) = [row for row in csv.DictReader(io.StringIO(side_by_side)) if row["locale"] == "sq-AL"]
    assert row["similarity_uses"] == row["average_uses"] == " ".join(SEEN)
    summary = json.loads(next(workplace.glob("results_summary_*.json")).read_text())
    assert tuple(summary["columns"]["similarity"]["uses"]) == SEEN
    markdown = next(workplace.glob("results_report_*.md")).read_text()
    assert re.search(r"^\| similarity \| source-dev, target-dev \|", markdown, flags=re.MULTILINE)


@pytest.mark.usefixtures("workplace")
def test_a_choice_by_labels_of_the_target_s_own_source_has_seen_them(workplace: Path, capsys: Capture) -> None:
    typed(f"{EXPERIMENT} --similarity task-vector --base base", capsys)
    record = json.loads((workplace / "results/similarity_sq-AL/results.json").read_text())
    assert [source["locale"] for source in record["model_info"]["sources"]] != ["sq-AL"]
    assert record["evaluation_info"]["uses"] == ["source-dev", "target-train"]


@pytest.mark.usefixtures("run_by_transfer")
def test_the_same_model_chosen_by_another_similarity_is_not_made_again_and_has_seen_other_things(
    workplace: Path, capsys: Capture
) -> None:
    record, details = Path("results/similarity_sq-AL/results.json"), Path("merged_models/similarity_merge_sq-AL")
    before = json.loads(record.read_text())
    chosen = before["model_info"]["sources"][0]["locale"]
    Path("mine.csv").write_text(f"# uses: nothing\n,el-GR,ro-RO\nsq-AL,{chosen == 'el-GR':d},{chosen == 'ro-RO':d}\n")
    tensors = (details / "model.safetensors").stat().st_mtime_ns
    shown, _ = typed(f"{EXPERIMENT} --similarity file:mine.csv", capsys)
    assert "2 of 2 results (2 of them from before)" in shown
    after = json.loads(record.read_text())
    assert after["identity"] == before["identity"]
    assert after["evaluation_info"]["uses"] == ["source-dev"]
    assert after["model_info"]["recipe"]["similarity"] == "file:mine.csv"
    merged = document(
        "merge --models models/{locale} --sources el-GR ro-RO --similarity file:mine.csv --mode similarity "
        "--target-lang sq-AL --num-languages 1",
        capsys,
    )
    assert (merged["uses"], merged["sources"][0]["score"]) == (["source-dev"], 1.0)
    assert "it has seen: source-dev." in (details / "README.md").read_text()
    assert (details / "model.safetensors").stat().st_mtime_ns == tensors
