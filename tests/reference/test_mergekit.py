"""Our methods against mergekit 0.1.5: each recipe of ``recipes/``, tensor by tensor, with what ``tools/make_goldens.py`` froze.

Both work in float32: they may differ by FLOAT32 of a tensor's largest number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from methods.whole import apply
from reference import checkpoints
from reference.frozen import FLOAT32, RECIPES, agree, cases, of_mergekit

from sprachbund.methods import METHODS

OURS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "dare_linear": ("dare", {"elect_sign": False}),
    "dare_ties": ("dare", {"elect_sign": True}),
    "della_linear": ("della", {"elect_sign": False}),
    "della": ("della", {"elect_sign": True}),
    "breadcrumbs": ("breadcrumbs", {"elect_sign": False}),
    "breadcrumbs_ties": ("breadcrumbs", {"elect_sign": True}),
    "sce": ("sce", {"select_topk": 1.0}),
}
"""What has another name here, or another default; other methods have the same."""
SUMS = {"linear", "task_arithmetic", "dare_linear", "della_linear", "breadcrumbs", "multislerp"}
"""Methods whose ``normalize`` is a matter of weightings here; those that elect signs divide by the weights that agree."""
DIFFERENT = {
    "dare_linear": "mergekit rescales a task vector to the L1 norm that it had; we divide by the density, as the paper does.",
    "dare_ties": "As dare_linear.",
    "della": "mergekit rescales a task vector to the L1 norm that it had; we divide by each probability, as the paper does.",
    "della_linear": "As della.",
}
"""Recipes that we read otherwise on purpose."""


@dataclass(frozen=True)
class Ours:
    """A recipe in our words."""

    method: str
    sources: tuple[str, ...]
    weights: tuple[float, ...]
    options: Mapping[str, object]
    base: str | None


def translated(recipe: Mapping[str, Any]) -> Ours:
    """Return what a recipe means here."""
    theirs, base = recipe["merge_method"], recipe.get("base_model")
    method, own = OURS.get(theirs, (theirs, {}))
    shared = dict(recipe.get("parameters", {}))
    each = {model["model"]: model.get("parameters", {}) for model in recipe["models"]}
    weights = np.array([parameters.get("weight", 1 / len(each)) for parameters in each.values()])
    normalized = shared.pop(
        "normalize_weights" if theirs == "multislerp" else "normalize", theirs in {"linear", "multislerp"}
    )
    if theirs in SUMS and normalized:
        weights = weights / weights.sum()
    if theirs == "slerp":
        t = shared.pop("t")
        weights, base = np.array([1 - t, t]), None
    if theirs == "multislerp" and base:
        method = "multislerp_taus"
    if shared.pop("filter_wise", False):
        method = "model_stock_filter_wise"
    if "lambda" in shared:
        shared["scale"] = shared.pop("lambda")
    names = {name for parameters in each.values() for name in parameters} - {"weight"}
    listed = {name: [parameters[name] for parameters in each.values()] for name in names}
    return Ours(method, tuple(each), tuple(weights.tolist()), {**own, **shared, **listed}, base)


class Given:
    """A generator that has been drawn from already: it gives out those uniform numbers that mergekit's mask was made of."""

    def __init__(self, source: str, tensor: str) -> None:
        self.source, self.tensor = source, tensor

    def random(self, size: Sequence[int], dtype: type = np.float64) -> np.ndarray:
        shape = checkpoints.shapes()[self.tensor]
        return checkpoints.lots(self.source, self.tensor, shape).reshape(size).astype(dtype)


@pytest.mark.parametrize("case", [name for name in RECIPES if name not in DIFFERENT])
def test_mergekit_comes_to_the_same(case: str) -> None:
    ours = translated(RECIPES[case])
    for name, expected in of_mergekit(case).items():
        agree(merged_tensor(ours, name), expected, name, FLOAT32)


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_we_read_otherwise_is_different(case: str) -> None:
    ours = translated(RECIPES[case])
    assert any(
        np.abs(merged_tensor(ours, name) - expected).max() > 0.01 for name, expected in of_mergekit(case).items()
    )


def merged_tensor(ours: Ours, name: str) -> np.ndarray:
    method = METHODS[ours.method]
    thetas = np.stack([checkpoints.thetas(source)[name] for source in ours.sources])
    handed = {"generators": [Given(source, name) for source in ours.sources]} if "generators" in method.needs else {}
    if not method.needs_base:
        return apply(ours.method, thetas, ours.weights, handed=handed, **ours.options)
    assert ours.base == checkpoints.BASE
    base = checkpoints.thetas(ours.base)[name]
    return base + apply(ours.method, thetas - base, ours.weights, handed=handed, **ours.options)


def test_recipes_and_golden_files_are_the_same_cases() -> None:
    assert RECIPES.keys() == cases("mergekit")
    assert DIFFERENT.keys() <= RECIPES.keys()
