"""One YAML file runs in both tools: each recipe through ``sprachbund merge RECIPE --out OUT``, against mergekit's checkpoint.

Methods themselves are compared in ``test_mergekit.py``, random masks too; here it is the reading of recipes, and the engine.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from reference import checkpoints
from reference.frozen import FLOAT32, RECIPES, agree, of_mergekit, recipe_file
from safetensors.numpy import load_file

from sprachbund.cli import run

RANDOM = {"dare_linear", "dare_ties", "della_linear", "della"}
"""Methods of mergekit whose masks are drawn by another generator there."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    checkpoints.write(folder)
    return folder


@pytest.mark.parametrize("case", [name for name in RECIPES if RECIPES[name]["merge_method"] not in RANDOM])
def test_a_recipe_makes_the_same_checkpoint(
    case: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models)
    assert run(["merge", str(recipe_file(case)), "--out", str(tmp_path / "out")]) == 0
    merged = load_file(tmp_path / "out" / "model.safetensors")
    expected = of_mergekit(case)
    assert merged.keys() == expected.keys()
    for name, theta in expected.items():
        agree(merged[name], theta, name, FLOAT32)
