"""``sprachbund merge`` of any checkpoints: by flags and by a recipe, checked in float64; and by a method for a target."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pico import Pico, rewrite, state
from safetensors.numpy import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from workshop import INPUTS, make_workshop, refused, typed

from sprachbund.checkpoints import Checkpoint, TensorFile, open_checkpoint
from sprachbund.cli import run
from sprachbund.merging import merged_tensors
from sprachbund.methods import METHODS
from sprachbund.methods.registry import tensor_method
from sprachbund.parallel import Report
from sprachbund.statistics import for_sources

Capture = pytest.CaptureFixture[str]
NAMES = ("de-DE", "el-GR", "sq-AL")
ALL = "merge --source models/de-DE models/el-GR models/sq-AL --out merged"
TWO = "merge --source models/de-DE models/el-GR --out merged"
DENSE = "classifier.dense.weight"


@pytest.fixture
def made(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three sources and their base."""
    monkeypatch.setenv("SPRACHBUND_CACHE", str(here.parent / "cache"))
    Pico(here).base()
    return make_workshop(here, NAMES, ())


def tensors(name: str) -> dict[str, np.ndarray]:
    """The tensors of a model in float64."""
    return {key: tensor.double().numpy() for key, tensor in state(Path(name)).items()}


def check_sum(coefficients: Sequence[float], *, base: float = 0.0, tolerance: float = 1e-6) -> None:
    """The merge is the sum of the sources and θ₀ under these coefficients; where there is no θ₀, their mean."""
    sources = [tensors(f"models/{name}") for name in NAMES[: len(coefficients)]]
    start = tensors("base")
    for name, merged in tensors("merged").items():
        own = np.asarray(coefficients, dtype=np.float64)
        if base and name not in start:
            own = own / own.sum()
        expected = sum(weight * source[name] for weight, source in zip(own, sources, strict=True))
        if base and name in start:
            expected = expected + base * start[name]
        np.testing.assert_allclose(merged, expected, atol=tolerance * np.abs(expected).max(), err_msg=name)


# --- weights, methods, options -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("flags", "coefficients"),
    [
        ("", (1 / 3, 1 / 3, 1 / 3)),
        ("--weights 2 1 1", (0.5, 0.25, 0.25)),
        ("--weights 2 1 1 --no-normalize", (2, 1, 1)),
        ("--weights 2 1 -1", (1, 0.5, -0.5)),
        ("--weights 1 0 -1 --no-normalize", (1, 0, -1)),
    ],
)
def test_weights_are_normalised_unless_somebody_says_no(
    flags: str, coefficients: Sequence[float], capsys: Capture
) -> None:
    found, _ = typed(f"{ALL} {flags}", capsys)
    check_sum(coefficients)
    assert [source["weight"] for source in found["sources"]] == pytest.approx(coefficients)


@pytest.mark.usefixtures("made")
def test_task_vectors_are_added_to_the_base_and_a_new_head_is_a_mean(capsys: Capture) -> None:
    found, said = typed(f"{ALL} --method task_arithmetic --base base --set scale=0.3 --weights 2 1 1", capsys)
    check_sum((0.15, 0.075, 0.075), base=0.7)
    (note,) = found["warnings"]
    assert note.startswith("base has no classifier.")
    assert note in " ".join(said.split())
    assert "and 3 more: without a task vector, they are the weighted mean of the sources'." in note
    assert found["options"] == {"scale": 0.3}
    assert found["base"]["model"].endswith("base")


@pytest.mark.usefixtures("made")
def test_an_option_can_be_one_number_for_all_or_one_for_each(capsys: Capture) -> None:
    line = f"{TWO} --method ties --base base"
    typed(f"{line} --set density=[0.3,0.3]", capsys)
    each = tensors("merged")
    found, _ = typed(f"{line} --set density=0.3 --overwrite", capsys)
    assert found["options"]["density"] == [0.3, 0.3]
    assert all((each[name] == tensor).all() for name, tensor in tensors("merged").items())
    typed(f"{line} --set density=[0.3,0.9] scale=0.5 --overwrite", capsys)
    assert any((each[name] != tensor).any() for name, tensor in tensors("merged").items())


@pytest.mark.usefixtures("made")
def test_a_seed_says_what_is_dropped_at_random(capsys: Capture) -> None:
    line = f"{TWO} --method dare --base base --set density=0.5"
    assert typed(line, capsys)[0]["seed"] == 0
    first = tensors("merged")
    assert "this merge already" in typed(f"{line} --seed 0", capsys)[1]
    assert "--overwrite" in refused(f"{line} --seed 1", capsys)
    assert typed(f"{line} --seed 1 --overwrite", capsys)[0]["seed"] == 1
    assert any((first[name] != tensor).any() for name, tensor in tensors("merged").items())


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(("dtype", "digits"), [("float32", 24), ("float16", 11), ("bfloat16", 8)])
def test_what_is_written_is_rounded_once(dtype: str, digits: int, capsys: Capture) -> None:
    typed(f"{TWO} --weights 3 1 --dtype {dtype}", capsys)
    check_sum((0.75, 0.25), tolerance=2.0**-digits)
    assert {tensor.dtype for tensor in state(Path("merged")).values()} == {getattr(torch, dtype)}
    assert json.loads(Path("merged/config.json").read_text())["dtype"] == dtype


# --- by where a tensor stands ------------------------------------------------------------------------------------------

EMBEDDINGS, LAYER, HEAD = (0.5, 0.5), (0.0, 1.0), (0.25, 0.75)
BY_PART = '--layers "embeddings=1,1" 0=0,4 "rest=1,3"'


@pytest.mark.usefixtures("made")
def test_each_part_of_the_model_has_weights_of_its_own(capsys: Capture) -> None:
    found, _ = typed(f"{TWO} {BY_PART}", capsys)
    first, second = tensors("models/de-DE"), tensors("models/el-GR")
    for name, merged in tensors("merged").items():
        part = EMBEDDINGS if "embeddings" in name else LAYER if ".layer.0." in name else HEAD
        np.testing.assert_allclose(merged, part[0] * first[name] + part[1] * second[name], atol=1e-6, err_msg=name)
    assert [source["weight"] for source in found["sources"]] == [None, None]
    assert found["asked"]["layers"] == {"embeddings": [0.5, 0.5], "0": [0, 1], "rest": [0.25, 0.75]}


@pytest.mark.usefixtures("made")
def test_parts_are_known_by_what_they_come_to(capsys: Capture) -> None:
    typed(f"{TWO} {BY_PART}", capsys)
    same = f"{TWO} --layers embeddings=2,2 head=1,3 0-0=0,1"
    assert "this merge already" in typed(same, capsys)[1]
    for other in (TWO, same.replace("head=1,3", "head=1,2"), f"{TWO} --weights 1 3"):
        assert "merged holds another model" in refused(other, capsys)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("method", ["task_arithmetic", "ties"])
def test_what_is_added_to_the_base_rises_with_depth(method: str, capsys: Capture) -> None:
    line = f"{TWO} --method {method} --base base --weights 3 1 --set scale=0.5"
    typed(line, capsys)
    plain, start = tensors("merged"), tensors("base")
    assert "merged holds another model" in refused(f"{line} --lines 0.2 1.1", capsys)
    found, _ = typed(f"{line} --lines 0.2 1.1 --overwrite", capsys)
    for name, merged in tensors("merged").items():
        scale = 0.2 if name in start else 1  # a head that the base lacks is no task vector, the only layer is the first
        expected = scale * plain[name] + (1 - scale) * start.get(name, 0.0)
        np.testing.assert_allclose(merged, expected, atol=1e-6, err_msg=name)
    assert found["asked"]["lines"] == [0.2, 1.1]
    assert found["options"]["scale"] == 0.5
    assert "merged holds another model" in refused(f"{line} --lines 0.2 1.2", capsys)
    assert "this merge already" in typed(f"{line} --lines 0.2 1.1", capsys)[1]


@pytest.mark.usefixtures("made")
def test_people_read_where_a_tensor_gets_its_numbers_from(capsys: Capture) -> None:
    capsys.readouterr()
    line = f"{TWO} --method task_arithmetic --base base --lines 0 1 --layers 0=1,0 rest=1,3"
    assert run(shlex.split(line)) == 0
    out, _ = capsys.readouterr()
    assert [said.split() for said in out.splitlines()] == [
        ["task_arithmetic,", "scale", "1.0"],
        ["weight", "source"],
        ["-", "models/de-DE"],
        ["-", "models/el-GR"],
        ["layer", "0:", "1.0000", "0.0000"],
        ["rest:", "0.2500", "0.7500"],
        ["scale", "by", "depth:", "0", "+", "1", "·", "depth"],
        ["base:", "base"],
        ["Merged", "model:", "merged"],
    ]


# --- models and files --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("made")
def test_the_folder_is_a_model_with_a_file_that_says_of_what(capsys: Capture) -> None:
    found, _ = typed(TWO, capsys)
    model = AutoModelForSequenceClassification.from_pretrained("merged")
    assert model.config.id2label == AutoModelForSequenceClassification.from_pretrained("models/de-DE").config.id2label
    assert AutoTokenizer.from_pretrained("merged")("aska")["input_ids"][0] == 0
    assert {path.name for path in Path("merged").iterdir()} == {
        *("README.md", "blend.json", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    }
    kept = json.loads(Path("merged/blend.json").read_text())
    assert found == kept | {"folder": "merged"}
    assert kept["asked"]["sources"] == ["models/de-DE", "models/el-GR"]
    assert not list(Path().glob(".*.partial"))


@pytest.mark.usefixtures("made")
def test_the_same_merge_is_left_as_it_is_and_another_one_takes_overwrite(capsys: Capture) -> None:
    Path("merged").mkdir()  # an empty folder is in nobody's way
    typed(TWO, capsys)
    before = Path("merged/model.safetensors").stat()
    assert "merged is this merge already." in typed(f"{TWO} --weights 2 2", capsys)[1]
    assert Path("merged/model.safetensors").stat() == before
    for other in (
        f"{TWO} --weights 1 2",
        f"{TWO} --dtype float16",
        f"{TWO} --method karcher",
        ALL,
        f"{TWO} --method task_arithmetic --base base",
    ):
        assert "merged holds another model" in refused(other, capsys)
    typed(f"{ALL} --overwrite", capsys)
    check_sum((1 / 3, 1 / 3, 1 / 3))
    rewrite(Path("merged"), lambda tensors: tensors[DENSE].zero_())  # somebody's, and no merge any more
    assert "merged holds another model" in refused(ALL, capsys)


@pytest.mark.usefixtures("made")
def test_models_are_named_as_everywhere(capsys: Capture) -> None:
    found, _ = typed("merge --source models:de-DE models/el-GR --out merged", capsys)
    check_sum((0.5, 0.5))
    assert [source["model"] for source in found["sources"]] == ["models:de-DE", "models/el-GR"]


@pytest.mark.usefixtures("made")
def test_it_can_be_evaluated_like_any_model(capsys: Capture) -> None:
    make_workshop(Path(), (), ["sq-AL"])
    typed(TWO, capsys)
    typed("evaluate --base-model merged --locale sq-AL --data massive:data --prefix blend", capsys)
    record = json.loads(Path("results/blend_sq-AL/results.json").read_text())
    assert record["model_info"]["recipe"] is None


@pytest.mark.usefixtures("made")
def test_a_failure_leaves_nothing_behind(capsys: Capture) -> None:
    weights = Path("models/el-GR/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-8])
    assert "truncated" in refused(TWO, capsys)


# --- recipes -----------------------------------------------------------------------------------------------------------


RECIPE = """
merge_method: task_arithmetic
base_model: base
models:
- {model: models/de-DE, parameters: {weight: 0.5}}
- {model: models/el-GR, parameters: {weight: 0.25}}
- model: base
parameters: {lambda: 0.8}
dtype: float32
tokenizer_source: base
"""


@pytest.mark.usefixtures("made")
def test_a_recipe_is_the_same_as_its_flags(capsys: Capture) -> None:
    Path("recipe.yml").write_text(RECIPE, encoding="utf-8")
    Path("base/special_tokens_map.json").write_text("{}", encoding="utf-8")
    typed("merge recipe.yml --out merged", capsys)
    check_sum((0.4, 0.2), base=0.4)
    assert Path("merged/special_tokens_map.json").exists()  # the tokenizer is the base's
    by_recipe = tensors("merged")
    line = "--method task_arithmetic --base base --weights 0.5 0.25 --no-normalize --set scale=0.8 --dtype float32"
    typed(f"{TWO} {line} --overwrite", capsys)
    assert all((by_recipe[name] == tensor).all() for name, tensor in tensors("merged").items())
    assert not Path("merged/special_tokens_map.json").exists()


@pytest.mark.usefixtures("made")
def test_a_union_of_tokenizers_is_that_of_all_where_they_have_one(capsys: Capture) -> None:
    Path("recipe.yml").write_text(RECIPE.replace("tokenizer_source: base", "tokenizer_source: union"))
    typed("merge recipe.yml --out merged", capsys)
    assert Path("merged/tokenizer.json").read_bytes() == Path("models/de-DE/tokenizer.json").read_bytes()


@pytest.mark.usefixtures("made")
def test_people_read_what_was_merged(capsys: Capture) -> None:
    Path("recipe.yml").write_text(RECIPE.replace("weight: 0.5", "weight: [0.5, 1]"), encoding="utf-8")
    capsys.readouterr()
    assert run(shlex.split("merge recipe.yml --out merged")) == 0
    out, _ = capsys.readouterr()
    assert [line.split() for line in out.splitlines()] == [
        ["task_arithmetic,", "scale", "0.8"],
        ["weight", "source"],
        ["-", "models/de-DE"],
        ["-", "models/el-GR"],
        ["base:", "base"],
        ["Merged", "model:", "merged"],
    ]


# --- statistics --------------------------------------------------------------------------------------------------------


@pytest.fixture
def weighed(made: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A method that weighs numbers by a statistic, which is the number of texts; what was asked of the statistics."""
    asked: list[Any] = []

    def for_sources(
        kind: str, sources: Mapping[str, Checkpoint], texts: Mapping[str, Sequence[str]], jobs: int, report: Report
    ) -> Mapping[str, Sequence[TensorFile]]:
        asked.append((kind, list(sources), {name: sorted(each) for name, each in texts.items()}))
        found = []
        for name, source in sources.items():
            path = made / f"{Path(name).name}.safetensors"
            counts = {
                tensor: np.full(info.shape, len(texts[name]), np.float32) for tensor, info in source.tensors.items()
            }
            save_file(counts, path)
            found.append(TensorFile(path))
        return {kind: found}

    monkeypatch.setitem(sys.modules, "sprachbund.statistics", SimpleNamespace(for_sources=for_sources))
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))

    @tensor_method("by_texts", granularity="element", formula="Σ Fᵢ θᵢ / Σ Fᵢ", paper="-", reference="-")
    def by_texts(thetas: np.ndarray, weights: np.ndarray, fisher: np.ndarray) -> np.ndarray:
        return np.asarray((fisher * thetas).sum(axis=0) / fisher.sum(axis=0))

    return asked


def test_statistics_are_measured_on_the_texts_of_each_source(weighed: list[Any], capsys: Capture) -> None:
    Path("de.txt").write_text("bala\nfuri\nkeme\n", encoding="utf-8")
    Path("el.txt").write_text("lisu\n", encoding="utf-8")
    line = f"{TWO} --method by_texts"
    typed(f"{line} --text de.txt el.txt", capsys)
    check_sum((0.75, 0.25))
    names = ["models/de-DE", "models/el-GR"]
    assert weighed == [("fisher", names, {names[0]: ["bala", "furi", "keme"], names[1]: ["lisu"]})]
    Path("el.txt").write_text("mano\npito\n", encoding="utf-8")
    assert "--overwrite" in refused(f"{line} --text de.txt el.txt", capsys)  # other texts, another merge
    assert "got 1 for 2 sources" in refused(f"{line} --text de.txt", capsys)


@pytest.mark.usefixtures("made", "one_core")
@pytest.mark.parametrize("method", ["fisher", "regmean"])
def test_methods_that_measure_merge_by_what_they_found(method: str, capsys: Capture) -> None:
    Path("de.txt").write_text("bala furi\nkeme aska\n", encoding="utf-8")
    Path("el.txt").write_text("lisu greeta\nmano\n", encoding="utf-8")
    typed(f"{TWO} --method {method} --text de.txt el.txt", capsys)
    merged, first, second = (tensors(name)[DENSE] for name in ("merged", "models/de-DE", "models/el-GR"))
    low, high = np.minimum(first, second), np.maximum(first, second)
    assert np.abs(merged - (first + second) / 2).max() > 1e-3  # it is no plain mean
    if method == "fisher":  # but a mean of each number
        assert (merged > low - 1e-6).all()
        assert (merged < high + 1e-6).all()


@pytest.mark.usefixtures("made", "one_core")
def test_layer_by_layer_is_another_merge(capsys: Capture) -> None:
    Path("de.txt").write_text("bala furi\nkeme aska\n", encoding="utf-8")
    Path("el.txt").write_text("lisu greeta\nmano\n", encoding="utf-8")
    line = f"{TWO} --method regmean --weights 3 1 --text de.txt el.txt"
    typed(line, capsys)
    plain = tensors("merged")
    typed(f"{line} --layerwise --overwrite", capsys)
    walked = tensors("merged")
    first = "roberta.encoder.layer.0.attention.self.query.weight"  # nothing is merged below it but the embeddings
    assert np.abs(walked[DENSE] - plain[DENSE]).max() > 1e-4
    assert walked.keys() == plain.keys()
    assert np.isfinite(walked[first]).all()
    opened = [open_checkpoint(Path(f"models/{name}"), name) for name in ("de-DE", "el-GR")]
    texts = {"a": ["bala furi", "keme aska"], "b": ["lisu greeta", "mano"]}
    files = for_sources("gram++", dict(zip("ab", opened, strict=True)), texts, weights=(0.75, 0.25))
    expected = merged_tensors(opened, (0.75, 0.25), method="regmean", statistics=files)
    assert all(np.array_equal(walked[name], array) for name, array in expected.items())


# --- for a target ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("made")
def test_a_merge_for_a_target_takes_a_method_too(capsys: Capture) -> None:
    models = shlex.join(INPUTS[:2])
    line = f"merge {models} --mode manual --target-lang sqi --sources de-DE el-GR --weights 3 1"
    by_method = f"{line} --method task_arithmetic --set scale=0.5 --base base --output-dir other"
    found, _ = typed(by_method, capsys)
    assert (found["recipe"]["method"], found["recipe"]["options"]) == ("task_arithmetic", {"scale": 0.5})
    Path("merged").symlink_to("other/merged_models/manual_merge_sq-AL")
    check_sum((0.375, 0.125), base=0.5)
    plain, _ = typed(line, capsys)
    assert plain["recipe"]["method"] == "linear"
    assert plain["candidate"] != found["candidate"]
    assert "no option density" in refused(by_method.replace("scale=0.5", "density=1"), capsys)
