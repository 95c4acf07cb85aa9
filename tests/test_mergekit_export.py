"""Recipes for mergekit: our own reader gives the same blend back, and mergekit itself the same tensors."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from pico import Pico, state
from safetensors.numpy import load_file

from sprachbund.blends import Blend, Ingredients, Where, make, value_at
from sprachbund.checkpoints import Checkpoint, open_checkpoint
from sprachbund.cli import run
from sprachbund.errors import MixError
from sprachbund.mergekit import FOREIGN, read_recipe, write_recipe
from sprachbund.methods import METHODS

Capture = pytest.CaptureFixture[str]
ORACLE = Path(__file__).parents[1] / ".venv-oracle"
TOLERANCE = 1e-6
"""Of a tensor's largest number; both work in float32."""
ANGLES = 1e-5
"""Of model_stock, whose cosines mergekit takes in float32 and we in float64."""
ABC, AB = ("a", "b", "c"), ("a", "b")
WEIGHTS = (0.5, 0.3, 0.4)
BY_LAYER = ((0.2, 0.8), (Where(filter="attention", value=0.9), Where(filter="", value=(0.5, 0.1))), 0.4)


def blend(method: str, sources: Sequence[str] = ABC, **more: object) -> Blend:
    settings = {"method": method, "sources": tuple(sources), "weights": WEIGHTS[: len(sources)], **more}
    return Blend.model_validate(settings | ({"base": "base"} if METHODS[method].needs_base else {}))


PARTS = {"embeddings": (1.0, 0.0, 0.0), "0": (1.0, 3.0, 4.0), "rest": (0.2, 0.2, 0.6)}
EQUAL = {"weights": (1 / 3, 1 / 3, 1 / 3)}
BLENDS = {
    "linear": blend("linear"),
    "linear, as typed": blend("linear", normalize=False),
    "linear, by layer": blend("linear", weights=BY_LAYER),
    "linear, written as bfloat16": blend("linear", dtype="bfloat16"),
    "task_arithmetic": blend("task_arithmetic", options={"scale": 0.7}),
    "task_arithmetic, as typed": blend("task_arithmetic", normalize=False),
    "ties": blend("ties", options={"density": 0.4, "scale": 1.3}),
    "ties, a density each": blend("ties", options={"density": [0.2, 0.5, 1.0]}, normalize=False),
    "breadcrumbs": blend("breadcrumbs", options={"density": 0.6, "gamma": 0.1}, normalize=False),
    "breadcrumbs with signs": blend("breadcrumbs", options={"density": 0.6, "gamma": 0.1, "elect_sign": True}),
    "sce": blend("sce", options={"select_topk": 0.5}, **EQUAL),
    "model_stock": blend("model_stock", **EQUAL),
    "model_stock_filter_wise": blend("model_stock_filter_wise", **EQUAL),
    "karcher": blend("karcher", options={"max_iter": 5}, **EQUAL),
    "slerp": blend("slerp", AB),
    "slerp, by layer": blend("slerp", AB, weights=((1.0, 0.4), (0.0, 0.6)), normalize=False),
    "multislerp": blend("multislerp"),
    "multislerp_taus": blend("multislerp_taus"),
    "linear, by parts": blend("linear", layers=PARTS),
    "ties, by parts": blend("ties", layers=PARTS, options={"density": 0.4}),
    "slerp, by parts": blend("slerp", AB, layers={"embeddings": (1, 0), "1": (1, 3), "rest": (1, 1)}),
    "task_arithmetic, by depth": blend("task_arithmetic", lines=(0.5, 1.0), options={"scale": 0.7}),
    "ties, by depth": blend("ties", lines=(0.5, 1.0), layers=PARTS, options={"density": 0.4, "scale": 1.3}),
    "task_arithmetic, by a row of scales": blend("task_arithmetic", scales=(0.5, 1.5), options={"scale": 0.7}),
    "dare that drops nothing": blend("dare", options={"density": 1.0}, normalize=False),
    "dare that elects and drops nothing": blend("dare", options={"density": 1.0, "elect_sign": True}),
    "della that drops nothing": blend("della", options={"density": 1.0}),
    "della that neither elects nor drops": blend("della", options={"density": [1, 1, 1], "elect_sign": False}),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """Three sources and a base that has a head, too."""
    factory = Pico(tmp_path_factory.mktemp("models"))
    found = {name: factory.source(name, layers=2, change=0.2) for name in ABC}
    return found | {"base": factory.source("base", layers=2, change=0.0)}


def made(wanted: Blend, models: dict[str, Checkpoint], out: Path) -> dict[str, np.ndarray]:
    sources = tuple(models[name] for name in wanted.sources)
    make(wanted, Ingredients(sources=sources, base=models[wanted.base] if wanted.base else None), out)
    return dict(load_file(out / "model.safetensors"))


def written(wanted: Blend, models: dict[str, Checkpoint], path: Path) -> Path:
    path.write_text(write_recipe(wanted, models), encoding="utf-8")
    return path


def by_place(models: dict[str, Checkpoint]) -> dict[str, Checkpoint]:
    return {str(model.folder): model for model in models.values()}


def worst(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The largest difference of two numbers, as a share of the largest number of their tensor."""
    assert one.keys() == other.keys()
    return max(float(np.abs(one[n].astype("f8") - other[n]).max() / np.abs(other[n]).astype("f8").max()) for n in one)


@pytest.mark.parametrize("name", BLENDS)
def test_what_is_written_is_read_back_as_the_same_blend(
    name: str, models: dict[str, Checkpoint], tmp_path: Path
) -> None:
    wanted = BLENDS[name]
    found = read_recipe(written(wanted, models, tmp_path / "recipe.yml"))
    assert found.method == wanted.method
    assert [Path(source).name for source in found.sources] == list(wanted.sources)
    count, inside = len(wanted.sources), {"scale": 1.0} if wanted.lines or wanted.scales else {}
    settled = wanted.how.settle_plainly(wanted.options, count) | inside
    assert found.how.settle_plainly(found.options, count) == settled
    ours = made(wanted, models, tmp_path / "ours")
    assert worst(made(found, by_place(models), tmp_path / "read"), ours) < TOLERANCE


def test_every_method_that_both_have_is_among_these() -> None:
    used = {yaml.safe_load(write_name)["merge_method"] for write_name in map(_recipe_of, BLENDS.values())}
    assert used == set(FOREIGN)


def test_names_that_begin_alike_are_written_as_a_whole() -> None:
    """``layer.1.`` stands in ``other.layer.1.``, and ``head`` alone in nothing that ends with a dot."""
    from sprachbund.mergekit.writing import _conditions

    values = {"layer.1.a": 1.0, "layer.1.b": 1.0, "other.layer.1.a": 2.0, "head": 3.0}
    found = _conditions(values)
    assert {name: value_at(found, name, 0) for name in values} == values
    by_begin = {"x.layer.0.a": 1.0, "x.layer.0.b": 1.0, "x.layer.1.a": 2.0, "y.a": 3.0}
    assert [where.filter for where in _conditions(by_begin)] == ["x.layer.0.", "x.layer.1.", "y."]


def _recipe_of(wanted: Blend) -> str:
    from sprachbund.mergekit.writing import _foreign

    return f"merge_method: {_foreign(wanted)[0]}"


RUN = """
import sys, yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
for recipe in sys.argv[1:]:
    with open(recipe, encoding="utf-8") as stream:
        content = MergeConfiguration.model_validate(yaml.safe_load(stream))
    run_merge(content, recipe + ".made", MergeOptions(quiet=True, write_model_card=False))
"""


@pytest.fixture(scope="module")
def theirs(models: dict[str, Checkpoint], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What mergekit makes of the recipes, all in one process: it takes long to start."""
    if not (ORACLE / "bin" / "python").exists():
        pytest.skip("mergekit is not here: make oracle puts it into .venv-oracle")
    folder = tmp_path_factory.mktemp("recipes")
    recipes = {
        name: written(wanted, models, folder / f"{number}.yml") for number, (name, wanted) in enumerate(BLENDS.items())
    }
    line = [str(ORACLE / "bin" / "python"), "-c", RUN, *map(str, recipes.values())]
    done = subprocess.run(line, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: Path(f"{recipe}.made") for name, recipe in recipes.items()}


@pytest.mark.parametrize("name", BLENDS)
def test_mergekit_makes_the_same_tensors(
    name: str, models: dict[str, Checkpoint], theirs: dict[str, Path], tmp_path: Path
) -> None:
    found = {key: tensor.float().numpy() for key, tensor in state(theirs[name]).items()}
    ours = made(BLENDS[name], models, tmp_path / "out")
    difference = worst(found, {key: value.astype("f4") for key, value in ours.items()})
    print(f"{name}: {difference:.1e}")
    by_name = {"linear, written as bfloat16": 2**-8, "model_stock": ANGLES, "model_stock_filter_wise": ANGLES}
    assert difference < by_name.get(name, TOLERANCE)


# --- what cannot be said there -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (blend("dare"), "drops numbers at random"),
        (blend("della"), "drops numbers at random"),
        (blend("iso_c", **EQUAL), "mergekit has no method iso_c"),
        (blend("dare", options={"density": [1, 1, 0.9]}), "or with density 1"),
        (blend("karcher", layers=PARTS), "counts all sources the same"),
        (blend("karcher"), "counts all sources the same"),
        (blend("model_stock", options={"scale": 0.5}, **EQUAL), "has no scale, which is 0.5 here"),
        (blend("ties", options={"scope": "model"}), "has no scope"),
        (blend("slerp", AB, normalize=False), "whose weights sum to 1"),
    ],
)
def test_what_mergekit_has_not_is_refused(wanted: Blend, words: str, models: dict[str, Checkpoint]) -> None:
    with pytest.raises(MixError, match=words):
        write_recipe(wanted, models)


# --- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    factory = Pico(Path("models"))
    factory.source("base", change=0.0)
    for locale in ("ro-RO", "el-GR"):
        factory.source(locale)
    return tmp_path


def typed(line: str, capsys: Capture) -> str:
    capsys.readouterr()
    assert run(shlex.split(line)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


MERGE = "merge --mode similarity --target-lang sq-AL --models models/{locale} --sources ro-RO el-GR --num-languages 2"


@pytest.mark.parametrize("more", ["", "--method ties --base models/base --set density=0.3"])
def test_a_merge_for_a_target_and_its_recipe_are_one_model(more: str, here: Path, capsys: Capture) -> None:
    typed(f"{MERGE} {more}", capsys)
    folder = "merged_models/similarity_merge_sq-AL"
    typed(f"export --mergekit --model {folder} --out recipe.yml", capsys)
    assert str(here / "models/ro-RO") in Path("recipe.yml").read_text(encoding="utf-8")
    typed("merge recipe.yml --out again", capsys)
    again, before = load_file("again/model.safetensors"), load_file(f"{folder}/model.safetensors")
    assert worst(again, before) < TOLERANCE


def test_without_a_file_the_recipe_is_printed(here: Path, capsys: Capture) -> None:
    typed("merge --source models/ro-RO models/el-GR --weights 3 1 --out blended", capsys)
    recipe = typed("export --mergekit --model blended", capsys)
    assert [model["parameters"]["weight"] for model in yaml.safe_load(recipe)["models"]] == [3.0, 1.0]
    found = json.loads(typed("export --mergekit --model blended --json", capsys))
    assert found == {"recipe": recipe, "file": None}


def test_what_is_no_recipe_gets_one_sentence(here: Path, capsys: Capture) -> None:
    typed(f"{MERGE} --head-policy wide", capsys)
    typed("merge --source models/ro-RO models/el-GR --out blended", capsys)
    Pico(here / "models").source("ro-RO", head_seed=3)  # another model since
    for line, words in {
        "export --model blended": "Say for what to export: --mergekit or --onnx.",
        "export --mergekit --model models/ro-RO": "nothing says how it was made",
        "export --mergekit --model merged_models/similarity_merge_sq-AL": "has the head policy wide",
        "export --mergekit --model blended": "models/ro-RO is not the model that was merged",
    }.items():
        assert run(shlex.split(line)) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("error: ")) == ("", 1)
        assert words in err


def test_a_base_without_a_head_is_refused(models: dict[str, Checkpoint], pico: Pico) -> None:
    """mergekit writes the tensors of the base alone, so that the classifier would be gone."""
    with pytest.raises(MixError, match=r"has no classifier\..*no classifier; merge by a method without a base"):
        write_recipe(BLENDS["ties"], models | {"base": pico.base(layers=2)})


def test_the_numbers_of_the_sources_are_written(tmp_path: Path) -> None:
    import torch

    factory = Pico(tmp_path)
    halves = {name: factory.source(name, dtype=torch.float16) for name in AB}
    content = yaml.safe_load(write_recipe(blend("linear", AB), halves))
    assert (content["dtype"], content["out_dtype"]) == ("float32", "float16")
    open_checkpoint(halves["a"].folder)
