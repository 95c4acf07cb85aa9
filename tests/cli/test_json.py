"""``--json``: one document on standard output and nothing else, which says what people see and what is written."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pico import Pico, poison
from workshop import INPUTS, ROWS, content, make_workshop

from sprachbund import locales
from sprachbund.cli import run
from sprachbund.cli.app import app
from sprachbund.cli.console import console
from sprachbund.data.massive import INTENTS
from sprachbund.experiment import FINAL
from sprachbund.methods import METHODS
from sprachbund.training import jobs
from sprachbund.training.jobs import TrainingCard

Capture = pytest.CaptureFixture[str]

NAMES = ("el-GR", "ro-RO", "sq-AL")
POOL = f"{shlex.join(INPUTS)} --sources {' '.join(NAMES)}"
EXPERIMENT = f"experiment {POOL} --num-languages 2"
TINY = "--vocabulary 400 --hidden 8 --layers 1 --heads 2 --intermediate 8 --mlm-steps 2 --ranking-steps 2 --ranking-batch 4"
LINES = {
    "adapt": "adapt --target sq-AL --models models/{locale} --sources el-GR ro-RO --data split:massive:data --out adapted "
    "--method pick-confidence --jobs 1",
    "aggregate": "aggregate",
    "card": "card --model merged_models/average_merge_sq-AL",
    "check": "check --models models/{locale} --base base --sources el-GR ro-RO sq-AL",
    "compare": "compare results results --variants similarity:average",
    "data": "data --data massive:data",
    "evaluate": "evaluate --base-model models/sq-AL --locale sq-AL --data massive:data",
    "experiment": f"{EXPERIMENT} --locales sq-AL --skip-baseline",
    "export": "export --mergekit --model merged_models/average_merge_sq-AL",
    "merge": f"merge {POOL} --mode average --target-lang sqi --num-languages 2 --output-dir merged",
    "methods": "methods",
    "plan": f"plan {POOL} --num-languages 2 --output-dir elsewhere",
    "plot": "plot --out picture.svg",
    "predict": "predict 'bala dono' --model models/sq-AL",
    "pretrain": f"pretrain --out new-base --data massive:data {TINY}",
    "push": "push --model merged_models/average_merge_sq-AL --repo org/albanian --dry-run",
    "report": "report --out page.html",
    "similarity": "similarity sqi --sources el-GR ro-RO --num-languages 2",
    "train": "train --base base --out trained --data massive:data --locales sq-AL --epochs 1",
    "transfer": f"transfer {POOL} --jobs 1 --results-dir elsewhere",
    "variants": "variants",
    "watch": "watch",
}
"""A line of every command."""
ELSEWHERE = {"demo"}
"""Commands that take minutes the first time; tests/e2e has them."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources, a base, data, and the results of all variants with zero-shot; to be copied."""
    folder = make_workshop(tmp_path_factory.mktemp("finished"), NAMES, NAMES)
    Pico(folder).base()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run([*shlex.split(EXPERIMENT), "--zero-shot", "--jobs", "1", "--quiet"]) == 0
    return folder


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished folder, in which commands are typed."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def fresh(here: Path) -> Path:
    """The same without any results."""
    for path in here.iterdir():
        if path.name not in {"models", "data", "base"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return here


def typed(line: str, capsys: Capture, status: int = 0) -> tuple[str, str]:
    """What a line prints: standard output and standard error."""
    capsys.readouterr()
    assert run(shlex.split(line)) == status, capsys.readouterr().err
    return capsys.readouterr()


def document(line: str, capsys: Capture, status: int = 0) -> Any:
    return json.loads(typed(f"{line} --json", capsys, status)[0])


def read(path: str | Path) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def squeezed(text: str) -> str:
    """The words of a text, however its lines were broken."""
    return " ".join(text.split())


def without(mapping: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The mapping without these keys, all of which are in it."""
    assert mapping.keys() >= set(keys)
    return {key: value for key, value in mapping.items() if key not in keys}


# --- every command -----------------------------------------------------------------------------------------------------


def test_every_command_has_a_line_here() -> None:
    assert {name for name in app if not name.startswith("-")} == LINES.keys() | ELSEWHERE | {"cluster"}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", LINES)
def test_programs_get_one_document_and_nothing_else(command: str, capsys: Capture) -> None:
    out, err = typed(f"{LINES[command]} --json", capsys)
    assert json.loads(out)
    assert "{" not in err, "what people are told is text"


@pytest.mark.usefixtures("fresh")
def test_quiet_ones_get_no_word_beside_it(capsys: Capture) -> None:
    out, err = typed(f"--json {LINES['experiment']} --quiet", capsys)
    assert json.loads(out)["successful_experiments"] == 2
    assert err == ""


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    "line", ["aggregate", "merge --mode best --target-lang sqi", "experiment --locales xx", "experimnt"]
)
def test_what_is_wrong_is_said_on_standard_error(line: str, capsys: Capture) -> None:
    out, err = typed(f"{line} --json", capsys, status=2)
    assert out == ""
    assert err.startswith("error: ")


# --- experiments -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fresh")
def test_an_experiment_gives_its_final_file(capsys: Capture) -> None:
    found = document(EXPERIMENT, capsys)
    assert found == without(read(FINAL), "started", "finished")
    assert (found["total_experiments"], found["successful_experiments"], found["failed_experiments"]) == (9, 9, 0)
    for locale in NAMES:
        for variant, result in found["results"][locale].items():
            record = read(f"results/{variant}_{locale}/results.json")
            assert result["accuracy"] == record["performance"]["accuracy"]
    again, _ = typed(EXPERIMENT, capsys)
    assert "9 of 9 results (9 of them from before)" in again
    row = next(line for line in again.splitlines() if "sq-AL" in line.split()[:2])
    for result in found["results"]["sq-AL"].values():
        assert f"{result['accuracy']:.3f}" in row


@pytest.mark.usefixtures("fresh")
def test_an_experiment_gives_what_failed_too(capsys: Capture) -> None:
    poison(Path("models/ro-RO"))
    line = f"{EXPERIMENT} --locales sq-AL ro-RO"
    out, err = typed(f"{line} --json", capsys, status=1)
    found = json.loads(out)
    assert found == without(read(FINAL), "started", "finished")
    assert (found["successful_experiments"], found["failed_experiments"]) == (3, 3)
    failed = {
        f"{locale} {variant}": result["error"]
        for locale, results in found["results"].items()
        for variant, result in results.items()
        if "error" in result
    }
    assert failed.keys() == {"ro-RO baseline", "sq-AL similarity", "sq-AL average"}
    for cell, reason in failed.items():
        assert cell in err
        assert "NaN" in reason
    assert "error: 3 of 6" in err
    shown, _ = typed(line, capsys, status=1)
    assert "3 of 6 results (3 of them from before)" in shown


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("line", [f"plan {POOL} --num-languages 2", f"{EXPERIMENT} --dry-run"])
def test_a_plan_gives_what_is_left_to_do(line: str, capsys: Capture, fresh: Path) -> None:
    before = content(fresh)
    found = document(line, capsys)
    assert (found["cells"], found["finished"], found["zero_shot"]) == (9, 0, 0)
    assert found["by_variant"] == {"baseline": 3, "similarity": 3, "average": 3}
    size = found["source_bytes"] / 3
    assert (found["bytes_read"], found["bytes_written"]) == ((3 + 3 + 3 + 6) * size, 6 * size), "one pass, six merges"
    assert found["passes"] == 1
    assert found["total_seconds"] == pytest.approx(sum(found["seconds"].values()))
    assert found["rates"].keys() == {"load", "texts", "merge"}
    shown, _ = typed(line, capsys)
    assert "9 of 9 to do (baseline 3, similarity 3, average 3)" in shown
    assert f"3, {3 * size / 1000:.1f} kB" in shown
    assert f"{6 * size / 1000:.1f} kB of merged models" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert content(fresh) == before, "nothing is written"


@pytest.mark.usefixtures("fresh")
def test_a_plan_is_simulated_with_sizes_and_rates_of_its_own(capsys: Capture, fresh: Path) -> None:
    before = content(fresh)
    line = f"plan {POOL} --num-languages 2 --simulate --workers 1 2 --keep-models none"
    found = document(line, capsys)
    assert (found["cells"], found["targets"], found["sources"]) == (9, 3, 3)
    assert {name: figure["how"] for name, figure in found["figures"].items()} == dict.fromkeys(
        ("merge", "build", "texts", "start"), "measured"
    )
    one, two = found["rows"]
    assert (one["speed_up"], one["found"]["stages"]["start"]) == (1, 0), "it is the command itself"
    assert two["found"]["stages"]["start"] == pytest.approx(2 * found["figures"]["start"]["value"])
    assert two["found"]["seconds"] > found["figures"]["start"]["value"] > 0.5, "torch and transformers are imported"
    assert one["found"]["bytes_read"] == found["source_bytes"]
    assert content(fresh) == before, "nothing is written"
    fresh.joinpath("costs.yaml").write_text(
        "start: {value: 1e-3, how: assumed, why: a forge of workers}", encoding="utf-8"
    )
    before = content(fresh)
    quick = document(f"{line} --costs costs.yaml", capsys)
    assert 1 < quick["rows"][1]["speed_up"] <= 2
    assert quick["rows"][0]["found"]["stages"]["start"] == 1e-3
    assert "binds" in typed(f"{line} --costs costs.yaml", capsys)[0]
    assert content(fresh) == before, "nothing is written"
    refusal = typed(f"plan {POOL} --num-languages 2 --workers 1 2", capsys, status=2)[1]
    assert "--workers has no effect without --simulate" in refusal


@pytest.mark.usefixtures("here")
def test_a_plan_of_what_is_finished_says_so(capsys: Capture) -> None:
    line = f"plan {POOL} --num-languages 2 --zero-shot"
    found = document(line, capsys)
    assert (found["finished"], found["zero_shot"], found["rates"], found["total_seconds"]) == (9, 0, None, 0)
    assert "nothing is left to do" in typed(line, capsys)[0]


def test_the_locales_are_those_of_the_table(capsys: Capture) -> None:
    assert document("experiment --list-locales", capsys) == [asdict(place) for place in locales.LOCALES]


@pytest.mark.usefixtures("here")
def test_plan_without_embedded_models_says_that_they_are_not_made(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    assert document("plan --demo", capsys) == {"embedded_models": "not made yet"}
    assert "sprachbund demo" in typed("plan --demo", capsys)[0]
    assert not (tmp_path / "cache").exists()


# --- one model ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("mode", ["similarity", "manual"])
def test_a_merge_gives_its_details(mode: str, capsys: Capture) -> None:
    how = "--num-languages 2" if mode == "similarity" else "--weights 3 1"
    line = f"merge --models models/{{locale}} --mode {mode} --target-lang sqi --sources ro-RO el-GR {how}"
    found = document(line, capsys)
    folder = f"merged_models/{mode}_merge_sq-AL"
    assert found == {**read(f"{folder}/merge_details.json"), "folder": folder}
    assert sum(source["weight"] for source in found["sources"]) == pytest.approx(1)
    shown, _ = typed(f"{line} --overwrite", capsys)
    for source in found["sources"]:
        assert [source["locale"], f"{source['weight']:.4f}"] in [text.split()[:2] for text in shown.splitlines()]
    assert f"Merged model: {folder}" in shown


@pytest.mark.usefixtures("fresh")
def test_an_evaluation_gives_its_record(capsys: Capture) -> None:
    line = "evaluate --base-model models/sq-AL --locale sq-AL --data massive:data --prefix mine"
    found = document(line, capsys)
    assert found == read("results/mine_sq-AL/results.json")
    assert document(line, capsys) == found, "from the record, the second time"
    scores = found["performance"]
    shown, _ = typed(line, capsys)
    assert f"accuracy {scores['accuracy']:.4f} ({scores['correct']} of {ROWS['test']})" in shown


@pytest.mark.usefixtures("fresh")
def test_the_models_in_a_folder_are_listed(capsys: Capture) -> None:
    assert document("evaluate --base-model models --list-models", capsys) == list(NAMES)
    assert typed("evaluate --base-model models --list-models", capsys)[0].split() == list(NAMES)
    assert document("evaluate --base-model models/sq-AL --list-models", capsys) == []
    out, err = typed("evaluate --base-model models/sq-AL --list-models", capsys)
    assert (out, "is itself a model" in err) == ("", True)


# --- results of a folder -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_an_aggregate_gives_its_summary_and_where_the_files_are(capsys: Capture) -> None:
    found = document("aggregate --output-dir report", capsys)
    (summary,) = Path("report").glob("results_summary_*.json")
    assert without(found, "files") == read(summary)
    assert {Path(name) for name in found["files"]} == set(Path("report").iterdir())
    assert found["counts"] == {"expected": 156, "done": 9, "failed": 0, "missing": 147}
    shown, _ = typed("aggregate --output-dir report", capsys)
    assert squeezed(found["headline"]) in squeezed(shown)
    assert "9 of 156 results are there, 147 missing." in shown


@pytest.mark.usefixtures("here")
def test_only_the_formats_that_were_asked_for_are_among_the_files(capsys: Capture) -> None:
    found = document("aggregate --output-dir report --format markdown", capsys)
    (name,) = found["files"]
    assert list(Path("report").iterdir()) == [Path(name)]


@pytest.mark.usefixtures("here")
def test_a_plot_gives_its_file(capsys: Capture) -> None:
    assert document("plot --out pictures/mine.png", capsys) == {"file": "pictures/mine.png"}
    assert Path("pictures/mine.png").read_bytes().startswith(b"\x89PNG")
    assert typed("plot --out pictures/mine.png", capsys)[0] == "pictures/mine.png\n"


@pytest.mark.usefixtures("here")
def test_a_report_gives_its_file_and_its_size(capsys: Capture) -> None:
    found = document("report --out pages/mine.html", capsys)
    assert found == {"file": "pages/mine.html", "bytes": Path("pages/mine.html").stat().st_size}
    assert typed("report --out pages/mine.html", capsys)[0].startswith("pages/mine.html (")


@pytest.mark.usefixtures("fresh")
def test_transfer_gives_the_rows_that_it_keeps(capsys: Capture) -> None:
    line = f"transfer {POOL} --jobs 1"
    found = document(line, capsys)
    assert found["sources"] == [read(f"results/transfer/test/{name}.json") for name in ("el-GR", "ro-RO", "sq-AL")]
    accuracies = [
        cell["correct"] / cell["total"]
        for row in found["sources"]
        for target, cell in row["cells"].items()
        if target != row["source"]
    ]
    assert len(accuracies) == 6
    assert found["mean"] == pytest.approx(sum(accuracies) / 6)
    assert found["follows_similarity"]["pairs"] == 6
    assert found["failed_sources"] == {}
    shown, _ = typed(line, capsys)
    assert f"3 sources × 3 locales on test; mean zero-shot accuracy {found['mean']:.4f} (massive)" in shown
    assert f"rank correlation {found['follows_similarity']['rho']:.2f}" in shown


@pytest.mark.usefixtures("fresh")
def test_transfer_gives_what_failed_too(capsys: Capture) -> None:
    poison(Path("models/ro-RO"))
    out, err = typed(f"transfer {POOL} --jobs 1 --json", capsys, status=1)
    found = json.loads(out)
    assert [row["source"] for row in found["sources"]] == ["el-GR", "sq-AL"]
    ((source, reason),) = found["failed_sources"].items()
    assert source == "ro-RO"
    assert f"ro-RO: {reason}" in err
    for name in NAMES:
        poison(Path("models") / name)
    found = document(f"transfer {POOL} --jobs 1 --results-dir none", capsys, status=1)
    assert (found["sources"], found["mean"], found["failed_sources"].keys()) == ([], None, set(NAMES))
    assert typed(f"transfer {POOL} --jobs 1 --results-dir none", capsys, status=1)[0] == ""


# --- what there is -----------------------------------------------------------------------------------------------------


def test_a_similarity_gives_who_would_be_merged(capsys: Capture) -> None:
    line = "similarity sqi --num-languages 3"
    found = document(line, capsys)
    assert found["target"] == found["recipe"]["target"] == "sq-AL"
    assert sum(row["weight"] for row in found["sources"]) == pytest.approx(1)
    assert found["effective_sources"] == pytest.approx(1 / sum(row["weight"] ** 2 for row in found["sources"]))
    shown, _ = typed(line, capsys)
    rows = [text.split() for text in shown.splitlines() if text[2:3] == "-"]
    assert rows == [
        [row["source"], *row["language"].split(), f"{row['score']:.4f}", f"{row['weight']:.4f}"]
        for row in found["sources"]
    ]
    assert f"{found['effective_sources']:.2f} of 3" in shown
    assert squeezed(shown).endswith(squeezed(found["provenance"]))


@pytest.mark.usefixtures("fresh")
def test_a_data_set_gives_its_rows_by_locale(capsys: Capture) -> None:
    found = document("data --data massive:data", capsys)
    assert (found["name"], found["intents"], found["demonstration"]) == ("massive", list(INTENTS), False)
    assert [row["locale"] for row in found["locales"]] == list(NAMES)
    for row in found["locales"]:
        assert {name: row[name] for name in ROWS} == ROWS
        assert (row["intents"], row["largest_intent"]) == (60, pytest.approx(2 / 72))
    shown, _ = typed("data --data massive:data", capsys)
    for row in found["locales"]:
        assert row["dropped"] == {}
        assert (row["repeated"], row["test_in_train"]) == (dict.fromkeys(ROWS, 0), 0)
        said = [row["locale"], "60", "6", "6", "60", "2.8%", "0", "0", "0.0%", "0", row["digest"][:8]]
        assert said in [text.split() for text in shown.splitlines()]
    assert found["ids"] == [
        {"split": name, "ids": count, "everywhere": count, "several_labels": 0} for name, count in ROWS.items()
    ]
    assert f"test: {ROWS['test']} of {ROWS['test']} ids stand in every locale" in shown


def test_what_was_dropped_from_a_data_set_is_counted_by_reason(capsys: Capture) -> None:
    found = {row["locale"]: row["dropped"] for row in document("data --data cldr:10", capsys)["locales"]}
    assert any(found.values())
    shown = typed("data --data cldr:10", capsys)[0]
    for locale, dropped in found.items():
        (line,) = [line for line in shown.splitlines() if line.startswith(locale)]
        assert line.split()[-2] == str(sum(dropped.values()))
    for reason in {reason for dropped in found.values() for reason in dropped}:
        assert f"{sum(dropped.get(reason, 0) for dropped in found.values())} {reason}" in shown


def test_the_methods_are_those_of_the_registry(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 80)
    found = document("methods", capsys)
    assert [row["method"] for row in found] == list(METHODS)
    text = typed("methods", capsys)[0]
    assert max(map(len, text.splitlines())) <= 80
    shown = squeezed(text)
    for row in found:
        method = METHODS[row["method"]]
        assert (row["formula"], row["kind"], row["granularity"]) == (method.formula, method.kind, method.granularity)
        assert ("base" in row["needs"]) == method.needs_base
        assert ("equal weights" in row["needs"]) == (not method.uses_weights)
        assert (f"at most {method.most_sources} sources" in row["needs"]) == (method.most_sources is not None)
        assert [option["name"] for option in row["options"]] == list(method.options)
        for option in row["options"]:
            assert option["default"] == method.options[option["name"]].default
            assert f"{option['name']}=" in shown
        assert f"{row['method']} {row['kind']} method, cut by {row['granularity']}, needs" in shown
        assert row["paper"] in shown
    bounds = {option["name"]: option for row in found if row["method"] == "ties" for option in row["options"]}
    assert bounds["density"] == {
        "name": "density",
        "default": 0.2,
        "description": METHODS["ties"].options["density"].description,
        "one_per_source": True,
        "exclusiveMinimum": 0,
        "maximum": 1,
        "type": "number",
    }


@pytest.mark.usefixtures("fresh")
def test_training_gives_the_cards_of_what_it_trained(capsys: Capture) -> None:
    line = "train --base base --out trained --data massive:data --locales sq-AL ro-RO --epochs 1"
    found = document(line, capsys)
    assert [card["locale"] for card in found] == ["sq-AL", "ro-RO"]
    for card in found:
        locale = card["locale"]
        folder = f"trained/xlm-roberta-base_massive_k_{locale}/alpha_0.5_{locale}_epoch-9"
        assert card == read(f"{folder}/training.json")
    shown, _ = typed(line, capsys)
    for card in found:
        assert [card["locale"], f"{card['dev_accuracy']:.4f}", "1", "1", f"{card['seconds']:.1f}"] in [
            text.split() for text in shown.splitlines()
        ]


@pytest.mark.usefixtures("fresh")
def test_training_gives_the_cards_of_those_that_went_well(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    write = jobs._write_card

    def fail(folder: Path, card: TrainingCard) -> TrainingCard:
        if card.locale == "sq-AL":
            raise RuntimeError("the lights went out")
        return write(folder, card)

    monkeypatch.setattr(jobs, "_write_card", fail)
    line = "train --base base --out trained --data massive:data --locales sq-AL ro-RO --epochs 1"
    assert [card["locale"] for card in document(line, capsys, status=1)] == ["ro-RO"]
    shown, complaint = typed(line, capsys, status=1)
    assert any(text.startswith("ro-RO") for text in shown.splitlines())
    assert "1 of 2 sources failed" in complaint


@pytest.mark.usefixtures("fresh")
def test_pretraining_gives_the_card_of_the_base(capsys: Capture) -> None:
    assert document(LINES["pretrain"], capsys) == read("new-base/training.json")
