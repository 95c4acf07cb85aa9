"""mergekit's recipes: what each key means here, and that the files which mergekit was run with come to its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pico import Pico, state
from reference import checkpoints
from safetensors.numpy import load_file

from sprachbund.blends import Blend, Ingredients, Weight, Where, check, make
from sprachbund.checkpoints import open_checkpoint
from sprachbund.errors import UserError
from sprachbund.mergekit import FOREIGN, read_recipe
from sprachbund.merging import by_method
from sprachbund.methods import METHODS

REFERENCE = Path(__file__).parent / "reference"
PAPERS = {"dare_linear", "dare_ties", "della", "della_linear"}
"""Recipes that rescale: we as the papers do, mergekit by the L1 norm."""
AS_MERGEKIT = sorted(path.stem for path in REFERENCE.glob("recipes/*.yml") if path.stem not in PAPERS)
TOLERANCE = 1e-6
"""Of a tensor's largest number; both work in float32."""


def reading(tmp_path: Path, text: str) -> Blend:
    path = tmp_path / "recipe.yml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


def made(blend: Blend, out: Path) -> Mapping[str, np.ndarray]:
    """Merge models that lie in the current folder."""
    check(blend, texts=0)
    sources = tuple(open_checkpoint(Path(name)) for name in blend.sources)
    base = open_checkpoint(Path(blend.base)) if blend.base else None
    make(blend, Ingredients(sources=sources, base=base), out)
    return load_file(out / "model.safetensors")


class Given:
    """A generator that gives out the uniform numbers of which mergekit's masks were made."""

    def __init__(self, source: str, tensor: str, start: int) -> None:
        self.numbers = checkpoints.lots(source, tensor, checkpoints.shapes()[tensor]).reshape(-1)[start:]

    def random(self, size: Sequence[int], dtype: type = np.float64) -> np.ndarray:
        return self.numbers[: int(np.prod(size))].reshape(size).astype(dtype)


# --- against mergekit --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    checkpoints.write(folder)
    return folder


@pytest.mark.parametrize("case", AS_MERGEKIT)
def test_one_file_gives_the_model_that_mergekit_makes_of_it(
    case: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models)
    monkeypatch.setattr(
        by_method,
        "_generators",
        lambda job, tensor, start: [Given(name, tensor, start) for name in checkpoints.SOURCES[: len(job.sources)]],
    )
    merged = made(read_recipe(REFERENCE / "recipes" / f"{case}.yml"), tmp_path / "out")
    golden = load_file(REFERENCE / "golden" / "mergekit" / f"{case}.safetensors")
    assert merged.keys() == golden.keys()
    for name, expected in golden.items():
        np.testing.assert_allclose(
            merged[name], expected, rtol=0, atol=TOLERANCE * np.abs(expected).max(), err_msg=name
        )


def test_every_method_of_mergekit_that_we_read_is_among_these_files() -> None:
    used = {yaml.safe_load(path.read_text())["merge_method"] for path in REFERENCE.glob("recipes/*.yml")}
    assert used == set(FOREIGN)


# --- what is read ------------------------------------------------------------------------------------------------------


def recipe(method: str, *lines: str, weights: Sequence[float] = (0.6, 0.2)) -> str:
    models = [
        f"- {{model: {name}, parameters: {{weight: {weight}}}}}" for name, weight in zip("ab", weights, strict=False)
    ]
    return "\n".join([f"merge_method: {method}", "models:", *(models or ["- model: a", "- model: b"]), *lines])


BASE = "base_model: base"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (recipe("linear"), {"method": "linear", "weights": (0.6, 0.2), "normalize": True, "base": None}),
        (recipe("linear", "parameters: {normalize: false}"), {"normalize": False}),
        (recipe("task_arithmetic", BASE), {"normalize": False, "options": {"scale": 1.0}, "base": "base"}),
        (recipe("task_arithmetic", BASE, "parameters: {lambda: 0.3}"), {"options": {"scale": 0.3}}),
        (recipe("ties", BASE), {"options": {"density": 1.0, "scale": 1.0}, "normalize": False}),
        (
            recipe("dare_ties", BASE, "parameters: {normalize: true}"),
            {"method": "dare", "options": {"elect_sign": True, "density": 1.0, "rescale": True, "scale": 1.0}},
        ),
        (recipe("dare_linear", BASE, "parameters: {normalize: true}"), {"method": "dare", "normalize": True}),
        (
            recipe("della", BASE),
            {"options": {"elect_sign": True, "density": 1.0, "rescale": True, "scale": 1.0, "epsilon": 0.15}},
        ),
        (recipe("breadcrumbs", BASE), {"options": {"elect_sign": False, "density": 1.0, "scale": 1.0, "gamma": 0.01}}),
        (recipe("model_stock", BASE, weights=()), {"method": "model_stock", "options": {}, "weights": (0.5, 0.5)}),
        (
            recipe("model_stock", BASE, "parameters: {filter_wise: true}", weights=()),
            {"method": "model_stock_filter_wise", "options": {}},
        ),
        (recipe("multislerp"), {"method": "multislerp", "normalize": True, "base": None}),
        (recipe("multislerp", BASE), {"method": "multislerp_taus", "base": "base"}),
        (recipe("multislerp", "parameters: {normalize_weights: false}"), {"normalize": False}),
        (recipe("karcher", weights=()), {"options": {"max_iter": 10, "tol": 1e-5}}),
        (recipe("sce", BASE, weights=()), {"options": {"select_topk": 1.0}, "weights": (0.5, 0.5)}),
        (recipe("linear", "dtype: float16"), {"dtype": "float16"}),
        (recipe("linear", "dtype: float32", "out_dtype: bfloat16"), {"dtype": "bfloat16"}),
        (recipe("linear", "tokenizer_source: b"), {"tokenizer": "b"}),
        (recipe("linear", "tokenizer_source: union"), {"tokenizer": "union"}),
        (recipe("linear", "tokenizer: {source: b}"), {"tokenizer": "b"}),
        (recipe("ties", BASE, "tokenizer_source: base"), {"tokenizer": "base"}),
    ],
)
def test_defaults_and_names_are_those_of_mergekit(tmp_path: Path, text: str, expected: dict[str, Any]) -> None:
    found = reading(tmp_path, text)
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.sources == ("a", "b")


def test_a_base_is_a_source_of_what_is_no_sum_of_task_vectors(tmp_path: Path) -> None:
    shared = "parameters: {weight: 0.5}"
    assert reading(tmp_path, recipe("linear", BASE, shared)).sources == ("a", "b", "base")
    assert reading(tmp_path, recipe("linear", BASE, shared)).weights == (0.6, 0.2, 0.5)
    assert reading(tmp_path, recipe("karcher", "base_model: a", weights=())).sources == ("a", "b")
    with pytest.raises(UserError, match=r"base has no weight"):
        reading(tmp_path, recipe("linear", BASE))


def test_a_base_among_the_models_of_task_vectors_has_none(tmp_path: Path) -> None:
    found = reading(tmp_path, recipe("ties", "- model: base", BASE))
    assert (found.sources, found.weights, found.base) == (("a", "b"), (0.6, 0.2), "base")


def test_slerp_goes_from_the_base_to_the_other_model_wherever_they_stand(tmp_path: Path) -> None:
    text = recipe(
        "slerp", "base_model: b", "parameters: {t: [{filter: attention, value: [0, 1]}, {value: 0.25}]}", weights=()
    )
    found = reading(tmp_path, text)
    assert found.sources == ("b", "a")
    assert found.weights == (
        (Where(filter="attention", value=(1.0, 0.0)), Where(filter="", value=0.75)),
        (Where(filter="attention", value=(0.0, 1.0)), Where(filter="", value=0.25)),
    )


def test_a_parameter_of_a_model_goes_before_that_of_all_and_that_before_the_default(tmp_path: Path) -> None:
    models = "- {model: a, parameters: {density: 0.3}}\n- model: b\n"
    text = f"merge_method: ties\n{BASE}\nmodels:\n{models}parameters: {{weight: 1, density: 0.7}}"
    found = reading(tmp_path, text)
    assert found.options["density"] == [0.3, 0.7]
    assert found.weights == (1.0, 1.0)
    assert reading(tmp_path, text.replace(", density: 0.7", "")).options["density"] == [0.3, 1.0]


def test_a_weight_by_names_falls_back_on_that_of_all(tmp_path: Path) -> None:
    text = (
        "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: [{filter: dense, value: 2}]}}\n- model: b\n"
    )
    found = reading(tmp_path, f"{text}parameters: {{weight: 1e-1}}")
    assert found.weights == ((Where(filter="dense", value=2.0), Where(filter="", value=0.1)), 0.1)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["models: {a: b}"], "models must list"),
        (["- 7"], "an entry of models must have lines"),
        (["- {parameters: {}}"], "has no model"),
        (["- {model: 7}"], "must be the name of a model, not 7"),
        (["- {model: a, weight: 1}"], "weight is not honoured here as one of the models of linear"),
        (["parameters: 7"], "parameters must have lines"),
        (["parameters: {normalize: 7}"], "normalize is true or false, not 7"),
        (["tokenizer: {source: a}", "tokenizer_source: a"], "say the same: leave one out"),
        (["tokenizer: {source: a, tokens: {}}"], "Unknown key of tokenizer in"),
        (["- {model: c, parameters: {weight: [{filter: a}]}}"], "an entry of weight has no value"),
        (["- {model: c, parameters: {weight: true}}"], "weight must be a finite number"),
        (["- {model: c, parameters: {weight: []}}"], "weight must be a finite number"),
        (["- {model: c, parameters: {weight: .nan}}"], "weight must be a finite number"),
        (["- {model: c, parameters: {weight: -inf}}"], "weight must be a finite number"),
        (["- {model: c, parameters: {weight: [1, .inf]}}"], "weight must be a finite number"),
        (["- {model: c, parameters: {weight: [{value: [1, nan]}]}}"], "weight must be a finite number"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        reading(tmp_path, recipe("linear", *lines))


@pytest.mark.parametrize(
    "weight", [np.nan, (0.0, np.inf), (Where(filter="", value=-np.inf),), (Where(filter="", value=(1.0, np.nan)),)]
)
def test_no_weight_of_any_form_is_other_than_finite(weight: Weight) -> None:
    blend = Blend(method="linear", sources=("a", "b"), weights=(1.0, weight))
    with pytest.raises(UserError, match=r"must be finite numbers; got .* in place 2 of 2"):
        check(blend, texts=0)


@pytest.mark.parametrize("weight", [-1.0, (0.5, -0.5), (Where(filter="", value=(1.0, -1.0)),)])
def test_what_was_measured_has_no_negative_weight_of_any_form(weight: Weight) -> None:
    blend = Blend(method="regmean", sources=("a", "b"), weights=(3.0, weight))
    with pytest.raises(UserError, match=r"regmean takes no negative weights; got .* in place 2 of 2"):
        check(blend, texts=2)
    check(blend.model_copy(update={"method": "linear"}), texts=0)


def test_a_flag_of_a_method_is_true_or_false(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rescale is true or false, not 7"):
        reading(tmp_path, recipe("dare_linear", BASE, "parameters: {rescale: 7}"))
    with pytest.raises(UserError, match="models names none besides the base"):
        reading(tmp_path, f"merge_method: ties\n{BASE}\nmodels:\n- model: base")
    with pytest.raises(UserError, match="slerp has no t"):
        reading(tmp_path, recipe("slerp", "base_model: a", weights=()))


# --- what varies -------------------------------------------------------------------------------------------------------


def test_weights_by_layer_and_by_name_are_those_of_each_tensor(
    tmp_path: Path, pico: Pico, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        pico.source(name, layers=3)
    monkeypatch.chdir(pico.root)
    text = "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: WEIGHT}}\n- {model: b, parameters: {weight: 1}}"
    weight = "[{filter: query, value: [0, 4]}, {filter: LayerNorm, value: 9}, {value: [1, 2, 5]}]"
    merged = made(reading(tmp_path, text.replace("WEIGHT", weight)), tmp_path / "out")
    a, b = state(pico.root / "a"), state(pico.root / "b")
    layer = "roberta.encoder.layer."
    for name, expected in {
        f"{layer}0.attention.self.query.weight": 0,
        f"{layer}1.attention.self.query.bias": 2,
        f"{layer}2.attention.self.query.weight": 4,
        f"{layer}1.attention.output.LayerNorm.weight": 9,
        f"{layer}0.attention.self.key.weight": 1,
        f"{layer}1.attention.self.key.weight": 2,
        f"{layer}2.output.dense.weight": 5,
        "roberta.embeddings.word_embeddings.weight": 1,
        "classifier.dense.weight": 1,
    }.items():
        wanted = (expected * a[name].double() + b[name].double()) / (expected + 1)
        np.testing.assert_allclose(merged[name], wanted.numpy(), rtol=1e-5, atol=1e-6)


def test_a_tensor_that_no_weight_is_for_is_named(tmp_path: Path, pico: Pico, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        pico.source(name)
    monkeypatch.chdir(pico.root)
    text = "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: [{filter: dense, value: 2}]}}\n- model: b"
    blend = reading(tmp_path, text.replace("- model: b", "- {model: b, parameters: {weight: 1}}"))
    with pytest.raises(UserError, match=r"no weight of a for tensor .*out_proj"):
        made(blend, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mergekit_s_names_lead_to_methods_and_options_that_there_are() -> None:
    for foreign in FOREIGN.values():
        ours = {"lambda": "scale"}
        own = METHODS[foreign.method].options
        assert {ours.get(name, name) for name in foreign.options} - own.keys() <= {"t", "filter_wise"}
        assert foreign.ours.keys() <= own.keys()
