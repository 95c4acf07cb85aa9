"""The same jobs as subcommands, and what they do beyond the seed."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from sprachbund.cli import run


def ok(done) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(done) -> str:
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_without_models_and_data_it_stops_before_any_work_and_names_three_ways_on(type_in, tmp_path) -> None:
    message = refused(type_in("python run_large_scale_experiment.py"))
    for word in ("MASSIVE", "52 of 52 sources are missing", "--models", "--data", "--demo"):
        assert word in message
    assert list(tmp_path.iterdir()) == []


def test_outside_the_environment_a_script_says_what_to_do() -> None:
    for script in (
        "run_large_scale_experiment",
        "run_merging_pipeline",
        "evaluate_specific_model",
        "aggregate_results",
    ):
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(Path(__file__).parents[2] / f"{script}.py")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert done.stderr.startswith("sprachbund is not installed here: run `make install`")


def test_own_models_by_template_are_another_zoo_and_never_mixed(type_in, tiny, tmp_path) -> None:
    for name in ("mine", "theirs"):
        (tmp_path / name).symlink_to(tiny.root)
    template = '"mine/xlm-roberta-base_massive_k_{locale}:alpha_0.5_{locale}_epoch-9"'
    line = f"python run_large_scale_experiment.py --locales sq-AL --models {template} --data {tiny.data}"
    ok(type_in(line))
    ok(type_in(f"{line} --num-languages 3 --output-dir other"))
    message = refused(type_in(f"{line} --num-languages 3"))
    assert "--overwrite" in message
    ok(type_in(f"{line} --num-languages 3 --overwrite"))
    record = json.loads((tmp_path / "results/average_sq-AL/results.json").read_text())
    assert len(record["model_info"]["sources"]) == 3


def test_keep_models_none_gives_the_same_records_and_keeps_nothing(type_in, tmp_path) -> None:
    line = "sprachbund experiment --demo --locales sq-AL --skip-zero-shot"
    ok(type_in(f"{line} --output-dir kept"))
    ok(type_in(f"{line} --output-dir gone --keep-models none"))
    assert not (tmp_path / "gone" / "merged_models").exists()
    for variant in ("baseline", "similarity", "average"):
        kept, gone = (
            json.loads((tmp_path / folder / f"results/{variant}_sq-AL/results.json").read_text())
            for folder in ("kept", "gone")
        )
        assert kept["identity"] == gone["identity"]
        assert kept["performance"] == gone["performance"]
        assert kept["predictions_digest"] == gone["predictions_digest"]


def test_merge_by_hand_normalises_the_weights_it_was_given(type_in, tmp_path) -> None:
    line = "python run_merging_pipeline.py --mode manual --target-lang sqi --sources it-IT ro-RO --weights 3 1 --demo"
    out = ok(type_in(line))
    assert "merged_models/manual_merge_sq-AL" in out
    details = json.loads((tmp_path / "merged_models/manual_merge_sq-AL/merge_details.json").read_text())
    assert [(s["locale"], s["weight"]) for s in details["sources"]] == [("it-IT", 0.75), ("ro-RO", 0.25)]
    assert all(s["distance_from_base"] > 0 for s in details["sources"])


def test_evaluate_without_a_prefix_names_the_folder_after_the_model(type_in, tmp_path) -> None:
    model = "haryoaw/xlm-roberta-base_massive_k_sq-AL"
    assert "alpha_0.5_sq-AL_epoch-9" in ok(type_in(f"sprachbund evaluate --base-model {model} --list-models --demo"))
    ok(type_in(f"sprachbund evaluate --base-model {model} --model-dir alpha_0.5_sq-AL_epoch-9 --locale sq-AL --demo"))
    folder = tmp_path / "results" / "xlm-roberta-base_massive_k_sq-AL_alpha_0.5_sq-AL_epoch-9_sq-AL"
    record = json.loads((folder / "results.json").read_text())
    assert {"evaluation_info", "model_info", "dataset_info", "performance", "examples"} <= record.keys()
    header, *rows = (folder / "predictions.csv").read_text().splitlines()
    assert header == "id,gold,predicted,confidence,gold_probability"
    assert len(rows) == record["performance"]["total"]
    assert "error: " in refused(type_in(f"sprachbund evaluate --base-model {model} --locale sq-AL --demo"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sprachbund experiment --demo --locales sq-Al xx-YY", ["Unknown locale 'xx-YY'", "--list-locales"]),
        (
            "sprachbund experiment --demo --variants simlarity",
            ["Unknown variant 'simlarity'", "did you mean similarity"],
        ),
        ("sprachbund experiment --demo --start-from 52", ["--start-from 52", "0 to 51"]),
        ("sprachbund experiment --demo --data cldr", ["leave out --data"]),
        ("sprachbund experiment --demo --skip-baseline --skip-similarity --skip-average", ["Every variant is skipped"]),
        ("sprachbund merge --demo --mode similarity", ["--target-lang is needed"]),
        ("sprachbund merge --demo --mode best --target-lang sq-AL", ["--mode"]),
        ("sprachbund merge --demo --mode manual --target-lang sq-AL", ["needs --sources"]),
        ("sprachbund merge --demo --mode similarity --target-lang zh", ["zh-CN or zh-TW"]),
        (
            "sprachbund merge --demo --mode similarity --target-lang sq-AL --num-languages 60",
            ["60 sources", "at most 51"],
        ),
        ("sprachbund merge --demo --mode average --target-lang sq-AL --weights 1 2", ["--mode manual"]),
        ("sprachbund evaluate --base-model nowhere --locale sq-AL --data cldr", ["nowhere is not a folder here"]),
        ("sprachbund aggregate", ["results", "run_large_scale_experiment.py"]),
        ("sprachbund similarity sq-AL --similarity uriel:syntx_knn", ["did you mean uriel:syntax_knn"]),
        ("sprachbund experimnt", ["did you mean experiment"]),
    ],
)
def test_a_wrong_command_gets_one_sentence(tiny, tmp_path, monkeypatch, capsys, line, words) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(shlex.split(line)[1:]) == 2
    message = capsys.readouterr().err
    assert message.count("error:") == 1
    for word in words:
        assert word in message
    assert list(tmp_path.iterdir()) == []


def test_pretrain_and_train_make_a_zoo_that_merges(type_in, tmp_path) -> None:
    data = "--data cldr:10 --locales de-DE nl-NL"
    shape = "--vocabulary 400 --hidden 8 --layers 1 --heads 2 --intermediate 8 --mlm-steps 3 --ranking-steps 3"
    ok(type_in(f"sprachbund pretrain {data} --out zoo/base {shape} --ranking-batch 8"))
    line = f"sprachbund train {data} --base zoo/base --out zoo --epochs 1"
    first = ok(type_in(line))
    assert "de-DE" in first
    assert "nl-NL" in first
    trained = {path: path.stat().st_mtime_ns for path in (tmp_path / "zoo").rglob("model.safetensors")}
    assert len(trained) == 3
    ok(type_in(line))
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    assert "--overwrite" in refused(type_in(f"{line} --head-seed 7"))
    template = '"zoo/xlm-roberta-base_massive_k_{locale}:alpha_0.5_{locale}_epoch-9"'
    merge = f"sprachbund merge --models {template} --data cldr:10 --base zoo/base --mode manual --target-lang af"
    out = ok(type_in(f"{merge} --sources de-DE nl-NL"))
    assert "effective sources  2.00 of 2" in out


@pytest.mark.parametrize(
    "more", ["merge-reliable --num-languages 2", "distilled-merge-uniform --epochs 2 --seed 3 --freeze-embeddings"]
)
def test_the_card_of_an_adaptation_of_embedded_models_says_how_to_make_it_again(more, type_in, tmp_path) -> None:
    ok(type_in(f"sprachbund adapt --demo --target sq-AL --sources ro-RO el-GR it-IT --method {more} --out first"))
    ok(type_in(command_on(tmp_path / "first/README.md")))
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", f"{more.split()[0]}-sq-AL"))
    assert first.keys() == second.keys()
    assert all(np.allclose(second[name], first[name], atol=0 if "merge-rel" in more else 1e-6) for name in first)


def test_the_card_of_what_an_experiment_adapted_says_how_to_make_it_again(type_in, tmp_path) -> None:
    line = "--variants merge-reliable --locales sq-AL --sources ro-RO el-GR it-IT --skip-zero-shot --keep-models all"
    ok(type_in(f"sprachbund experiment --demo {line}"))
    (card,) = tmp_path.glob("**/README.md")
    ok(type_in(command_on(card)))
    again = tmp_path / "merge-reliable-sq-AL/model.safetensors"
    assert again.read_bytes() == (card.parent / "model.safetensors").read_bytes()


def command_on(card: Path) -> str:
    """The command of a model card, without the size of the demonstration, which is set."""
    block = card.read_text(encoding="utf-8").partition("```bash\n")[2].partition("\n```")[0]
    return block.removeprefix("SPRACHBUND_DEMO_SIZE=tiny ")
