"""Zoos that a file names, and ``--allow-missing``: what takes part, what does not, and that it is said."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pico import Pico, tokenizer
from safetensors.torch import load_file
from workshop import INPUTS, Capture, content, make_workshop, merged_of, refused, typed

from sprachbund.cli.console import MODE
from sprachbund.data.massive import INTENTS

SOURCES = ("da-DK", "el-GR", "ro-RO", "sq-AL", "tr-TR")
DATA = ("da-DK", "sq-AL")
GIVEN, MODELS = shlex.join(INPUTS), shlex.join(INPUTS[:2])
FILE = "--models zoo.csv --data massive:data"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources and data; to be copied."""
    return make_workshop(tmp_path_factory.mktemp("allow"), SOURCES, DATA)


@pytest.fixture(autouse=True)
def here(workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own with the workshop in it, in which commands are typed."""
    shutil.copytree(workshop / "models", tmp_path / "models")
    (tmp_path / "data").symlink_to(workshop / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    for setting in ("quiet", "verbose", "json"):
        monkeypatch.setattr(MODE, setting, False)
    return tmp_path


def file_zoo(*rows: str) -> None:
    Path("zoo.csv").write_text("\n".join(["locale,model", *rows]) + "\n")


def zoo_of(*locales: str) -> None:
    file_zoo(*(f"{locale},models/{locale}" for locale in locales))


# --- a file with a row per locale --------------------------------------------------------------------------------------


def test_the_pool_of_a_file_is_what_it_names(capsys: Capture) -> None:
    zoo_of("el-GR", "ro-RO", "sq-AL", "da-DK")
    found, _ = typed(f"experiment {FILE} --num-languages 2 --zero-shot --jobs 1", capsys)
    assert list(found["results"]) == list(DATA)
    assert merged_of("sq-AL") == {"el-GR", "ro-RO"}
    assert {path.stem for path in Path("results/transfer/test").glob("*.json")} == {"el-GR", "ro-RO", "sq-AL", "da-DK"}
    record = json.loads(Path("results/similarity_sq-AL/results.json").read_text())
    assert record["model_info"]["zoo"] == "zoo.csv"
    again, said = typed(f"experiment {FILE} --num-languages 2 --zero-shot --jobs 1", capsys)
    assert again["results"] == found["results"]
    assert "cells: 6/6" in said


def test_all_is_all_that_a_file_names(capsys: Capture) -> None:
    zoo_of("el-GR", "tr-TR", "sq-AL")
    typed(f"experiment {FILE} --variants average-all --locales sq-AL", capsys)
    assert merged_of("sq-AL", "average-all") == {"el-GR", "tr-TR"}


@pytest.mark.parametrize("ending", ["tsv", "jsonl", "json", "yaml"])
def test_other_formats_are_the_same_zoo(ending: str, capsys: Capture) -> None:
    rows = {locale: f"models/{locale}" for locale in ("el-GR", "sq-AL")}
    written = {
        "tsv": "locale\tmodel\n" + "".join(f"{locale}\t{model}\n" for locale, model in rows.items()),
        "jsonl": "".join(json.dumps({"locale": locale, "model": model}) + "\n" for locale, model in rows.items()),
        "json": json.dumps(rows),
        "yaml": "".join(f"{locale}: {model}\n" for locale, model in rows.items()),
    }
    Path(f"zoo.{ending}").write_text(written[ending])
    found, _ = typed(f"transfer --models zoo.{ending} --data massive:data --jobs 1", capsys)
    assert [row["source"] for row in found["sources"]] == ["el-GR", "sq-AL"]


@pytest.mark.usefixtures("one_core")
def test_plan_merge_and_adapt_take_the_file_s_pool(capsys: Capture) -> None:
    zoo_of("el-GR", "ro-RO", "sq-AL")
    found, _ = typed(f"plan {FILE} --locales sq-AL --num-languages 2 --zero-shot --jobs 1", capsys)
    assert (found["cells"], found["sources"], found["zero_shot"]) == (3, 3, 3)
    found, _ = typed("merge --models zoo.csv --mode average --target-lang sqi --num-languages 2", capsys)
    assert {source["locale"] for source in found["sources"]} == {"el-GR", "ro-RO"}
    assert "pool has 2" in refused("merge --models zoo.csv --mode average --target-lang sqi", capsys)
    Path("texts.txt").write_text("bala dono\nfuri keme\n", encoding="utf-8")
    found, _ = typed(
        "adapt --models zoo.csv --target sq-AL --unlabelled texts.txt --out adapted --method pick-confidence", capsys
    )
    assert {source["locale"] for source in found["sources"]} <= {"el-GR", "ro-RO"}


def test_sources_choose_from_the_file(capsys: Capture) -> None:
    zoo_of("el-GR", "ro-RO", "sq-AL")
    typed(f"experiment {FILE} --sources el-GR sq-AL --num-languages 1 --locales sq-AL", capsys)
    assert merged_of("sq-AL") == {"el-GR"}
    assert "zoo.csv has no row for tr-TR: add one" in refused(f"transfer {FILE} --sources el-GR tr-TR", capsys)


def test_a_locale_that_nobody_knows_is_named(capsys: Capture) -> None:
    zoo_of("el-GR", "sq-AL")
    file_zoo("el-GR,models/el-GR", "sq-LA,models/sq-AL")
    sentence = refused(f"experiment {FILE} --variants baseline --locales sq-AL", capsys)
    assert sentence == "Unknown locale 'sq-LA': did you mean sq-AL? It stands in zoo.csv."


# --- --allow-missing ---------------------------------------------------------------------------------------------------

RUN = f"experiment {GIVEN} --num-languages 2"


def test_an_experiment_goes_on_without_what_is_missing(capsys: Capture) -> None:
    shutil.rmtree("models/da-DK")
    assert "--allow-missing" in refused(f"{RUN} --sources {' '.join(SOURCES)}", capsys)
    found, said = typed(f"{RUN} --sources {' '.join(SOURCES)} --allow-missing", capsys)
    assert found["results"]["da-DK"].keys() == {"similarity", "average"}
    assert found["results"]["sq-AL"].keys() == {"baseline", "similarity", "average"}
    assert said.count("Left out: the source of da-DK (models/da-DK is not ") == 1
    assert said.count("There is no baseline of da-DK: its own source is left out.") == 1
    assert said.count("Left out: ") == 1


def test_of_all_52_those_that_are_there_take_part(capsys: Capture) -> None:
    found, said = typed(f"{RUN} --allow-missing --zero-shot --jobs 1", capsys)
    rows = {path.stem for path in Path("results/transfer/test").glob("*.json")}
    assert rows == set(SOURCES)
    assert said.count("Left out: ") == 52 - len(SOURCES)
    assert found["failed_sources"] == {}


def test_it_is_the_choice_among_those_that_are_there(capsys: Capture) -> None:
    typed(f"{RUN} --sources {' '.join(SOURCES)} --skip-baseline --output-dir named", capsys)
    typed(f"{RUN} --skip-baseline --allow-missing --output-dir allowed", capsys)
    for target in DATA:
        for variant in ("similarity", "average"):
            records = [
                json.loads(Path(f"{folder}/results/{variant}_{target}/results.json").read_text())
                for folder in ("named", "allowed")
            ]
            assert records[0]["identity"] == records[1]["identity"]


def test_the_plan_is_that_of_the_experiment_and_a_second_run_does_nothing(capsys: Capture) -> None:
    shutil.rmtree("models/da-DK")
    line = f"{GIVEN} --num-languages 2 --allow-missing"
    before, said = typed(f"plan {line}", capsys)
    assert "There is no baseline of da-DK" in said
    found, _ = typed(f"experiment {line}", capsys)
    assert before["cells"] == found["total_experiments"] == 5
    after, _ = typed(f"plan {line}", capsys)
    assert (after["cells"], after["finished"]) == (5, 5)
    kept = content(Path("results"))
    typed("experiment --config experiment_config.yaml", capsys)
    assert content(Path("results")) == kept


def test_a_source_that_comes_back_does_not_change_results_unasked(capsys: Capture) -> None:
    Path("models/el-GR").rename("el-GR")
    line = f"{RUN} --locales sq-AL --skip-baseline --allow-missing"
    typed(line, capsys)
    assert "el-GR" not in merged_of("sq-AL")
    Path("el-GR").rename("models/el-GR")
    assert "--overwrite" in refused(line, capsys)
    typed("experiment --config experiment_config.yaml", capsys)
    assert "el-GR" not in merged_of("sq-AL"), "the file remembers who took part"


def other_vocabulary(folder: Path) -> None:
    tokenizer("x").save_pretrained(folder)


def other_labels(folder: Path) -> None:
    Pico(folder.parent).source(folder.name, labels=[*INTENTS[:-1], "other"])


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize("first", ["da-DK", "el-GR"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (other_vocabulary, "have different vocabularies"),
        (other_labels, "have other label sets"),
        (cut_off, "truncated or corrupt"),
        (no_tokenizer, "has no tokenizer"),
    ],
)
def test_what_does_not_fit_the_others_is_left_out(
    first: str, spoil: Callable[[Path], None], reason: str, capsys: Capture
) -> None:
    spoil(Path("models") / first)
    line = f"transfer {GIVEN} --sources da-DK el-GR ro-RO --jobs 1"
    assert reason in refused(line, capsys)
    found, said = typed(f"{line} --allow-missing", capsys)
    assert [row["source"] for row in found["sources"]] == sorted({"da-DK", "el-GR", "ro-RO"} - {first})
    (left_out,) = [sentence for sentence in said.splitlines() if sentence.startswith("Left out: ")]
    assert left_out.startswith(f"Left out: the source of {first} (")
    assert reason in left_out


def test_a_merge_takes_the_next_best(capsys: Capture) -> None:
    shutil.rmtree("models/el-GR")
    line = f"merge {MODELS} --mode similarity --target-lang sqi --num-languages 2 --sources {' '.join(SOURCES)}"
    refused(line, capsys)
    found, said = typed(f"{line} --allow-missing", capsys)
    assert len(found["sources"]) == 2
    assert "el-GR" not in {source["locale"] for source in found["sources"]}
    assert said.count("Left out: the source of el-GR") == 1


def test_a_merge_by_hand_keeps_the_weights_of_the_others(capsys: Capture) -> None:
    shutil.rmtree("models/el-GR")
    line = f"merge {MODELS} --mode manual --target-lang sqi --allow-missing --sources ro-RO el-GR da-DK"
    found, _ = typed(f"{line} --weights 3 5 1", capsys)
    assert {source["locale"]: source["weight"] for source in found["sources"]} == {"ro-RO": 0.75, "da-DK": 0.25}
    found, _ = typed(f"{line} --output-dir equal", capsys)
    assert {source["weight"] for source in found["sources"]} == {0.5}
    assert "--weights has 2 numbers for 3 --sources" in refused(f"{line} --weights 1 2", capsys)


@pytest.mark.usefixtures("one_core")
def test_adapt_goes_on_without(capsys: Capture) -> None:
    Path("texts.txt").write_text("bala dono\nfuri keme\n", encoding="utf-8")
    line = f"adapt {MODELS} --target sq-AL --unlabelled texts.txt --method pick-confidence --out adapted"
    shutil.rmtree("models/el-GR")
    assert "--allow-missing" in refused(f"{line} --sources el-GR ro-RO da-DK", capsys)
    found, said = typed(f"{line} --sources el-GR ro-RO da-DK --allow-missing", capsys)
    assert len(found["candidate"]["sources"]) == 2
    assert {source["locale"] for source in found["sources"]} < {"da-DK", "ro-RO"}
    assert said.count("Left out: the source of el-GR") == 1


def test_too_few_sources_are_still_too_few(capsys: Capture) -> None:
    shutil.rmtree("models/el-GR")
    sentence = refused(f"{RUN} --locales sq-AL --sources el-GR ro-RO sq-AL --allow-missing", capsys)
    assert sentence.startswith(
        "2 sources are asked for sq-AL, but the pool has 1 (its own left out): ask for at most 1"
    )
    assert "el-GR is left out (models/el-GR is not " in sentence


def test_where_none_is_left_it_cannot_start(capsys: Capture) -> None:
    for line in (
        f"transfer {GIVEN} --sources fr-FR ja-JP --allow-missing",
        f"merge {MODELS} --mode manual --target-lang sqi --sources fr-FR ja-JP --allow-missing",
        f"experiment {GIVEN} --variants baseline --sources fr-FR --locales sq-AL --models nowhere/{{locale}} --allow-missing",
    ):
        sentence = refused(line.replace(f"{MODELS} ", "", 1) if "nowhere" in line else line, capsys)
        assert "models/fr-FR" in sentence or "nowhere/sq-AL" in sentence


def test_the_demonstration_lacks_nothing(capsys: Capture) -> None:
    assert "leave out --allow-missing, or --demo" in refused("experiment --demo --allow-missing", capsys)


# --- other formats in the commands -------------------------------------------------------------------------------------


def test_pickles_are_read_after_saying_so(capsys: Capture, here: Path) -> None:
    expected, _ = typed(f"{RUN} --locales sq-AL --sources el-GR ro-RO sq-AL --output-dir safe", capsys)
    for locale in ("el-GR", "ro-RO", "sq-AL"):
        torch.save(load_file(f"models/{locale}/model.safetensors"), f"models/{locale}/pytorch_model.bin")
        Path(f"models/{locale}/model.safetensors").unlink()
    assert "3 of 3 sources are missing (models/el-GR has its weights only as a pickle" in refused(
        f"{RUN} --locales sq-AL --sources el-GR ro-RO sq-AL", capsys
    )
    found, said = typed(f"{RUN} --locales sq-AL --sources el-GR ro-RO sq-AL --allow-pickle", capsys)
    assert found["results"] == expected["results"]
    note = "has pickled weights: they were read without running any code (weights_only) and are kept as safetensors in"
    assert said.count(note) == 1
    assert said.count("pickled weights: they are read without running any code") == 3, "each before it is read"
    assert said.index("they are read") < said.index("they were read")
    assert f"{here}/cache/converted. The same goes for 2 others." in said
    record = json.loads(Path("results/baseline_sq-AL/results.json").read_text())
    assert record["model_info"]["model"] == "models/sq-AL"
    assert "converted" not in json.dumps(record)
    evaluate = "evaluate --base-model models/sq-AL --locale sq-AL --data massive:data --prefix alone --allow-pickle"
    assert f"models/sq-AL {note}" in typed(evaluate, capsys)[1]


def test_fp32_fp16_and_bf16_in_one_merge(capsys: Capture) -> None:
    dtypes = {"el-GR": torch.float32, "ro-RO": torch.float16, "da-DK": torch.bfloat16}
    for locale, dtype in dtypes.items():
        Pico(Path("models")).source(locale, labels=INTENTS, dtype=dtype)
    weights = (0.5, 0.3, 0.2)
    typed(f"merge {MODELS} --mode manual --target-lang sqi --sources {' '.join(dtypes)} --weights 0.5 0.3 0.2", capsys)
    merged = load_file("merged_models/manual_merge_sq-AL/model.safetensors")
    states = [load_file(f"models/{locale}/model.safetensors") for locale in dtypes]
    assert {tensor.dtype for state in states for tensor in state.values()} == set(dtypes.values())
    for name, tensor in merged.items():
        assert tensor.dtype == torch.float32
        expected = sum(weight * state[name].double() for weight, state in zip(weights, states, strict=True))
        torch.testing.assert_close(tensor.double(), expected, rtol=1e-6, atol=1e-6)
    assert json.loads(Path("merged_models/manual_merge_sq-AL/config.json").read_text())["dtype"] == "float32"


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_adapters_are_sources(capsys: Capture) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    base = Pico(Path()).base()
    names = dict(enumerate(INTENTS))
    for locale in ("el-GR", "ro-RO"):
        shutil.rmtree(f"models/{locale}")
        model = AutoModelForSequenceClassification.from_pretrained(base.folder, num_labels=len(INTENTS))
        lora = get_peft_model(
            model, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"], init_lora_weights=False)
        )
        lora.save_pretrained(f"models/{locale}")
        Path(f"models/{locale}/config.json").write_text(json.dumps({"id2label": names}))
    line = f"{RUN} --locales sq-AL --sources el-GR ro-RO sq-AL"
    found, said = typed(line, capsys)
    assert found["successful_experiments"] == 3
    assert "models/el-GR is an adapter of base: their sum is kept in" in said
    assert merged_of("sq-AL") == {"el-GR", "ro-RO"}
    kept = content(Path("results"))
    typed(line, capsys)
    assert content(Path("results")) == kept


def test_a_model_in_shards_is_a_source(capsys: Capture) -> None:
    from transformers import AutoModelForSequenceClassification

    line = f"merge {MODELS} --mode manual --target-lang sqi --sources el-GR ro-RO"
    typed(f"{line} --output-dir whole", capsys)
    model = AutoModelForSequenceClassification.from_pretrained("models/el-GR")
    Path("models/el-GR/model.safetensors").unlink()
    model.save_pretrained("models/el-GR", max_shard_size="8KB")
    typed(f"{line} --output-dir shards", capsys)
    merged = [
        load_file(f"{folder}/merged_models/manual_merge_sq-AL/model.safetensors") for folder in ("whole", "shards")
    ]
    assert merged[0].keys() == merged[1].keys()
    assert all(torch.equal(merged[0][name], merged[1][name]) for name in merged[0])
