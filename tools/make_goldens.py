"""Freeze what mergekit 0.1.5 and FusionBench 0.2.33 make of small checkpoints, into ``tests/reference/golden/``.

    python -m venv oracle
    oracle/bin/pip install torch==2.13.0 mergekit==0.1.5
    oracle/bin/pip install --no-deps fusion-bench==0.2.33
    oracle/bin/pip install omegaconf bidict hydra-core lightning lightning_utilities joblib   # what its imports ask for
    PYTHONPATH=$PWD/tests oracle/bin/python tools/make_goldens.py

In a venv of its own: neither tool is needed here otherwise. The checkpoints are those of ``tests/reference/checkpoints.py``;
mergekit runs each recipe in ``tests/reference/recipes``, FusionBench's lowest functions run on each case of
``tests/reference/fusionbench.py``. Where mergekit draws a random mask, ``torch.bernoulli(p)`` is replaced by u < p, with u from
``checkpoints.lots``: so that the tests can hand the same u to us, and probabilities are compared together with masks. mergekit
works in float32, as its recipes say; FusionBench, which takes singular values and inverts, is given float64. All of it on the
CPU, and kept as float32. A golden file that is there and agrees to 1e-7 of the largest number stays as it is.
"""

from __future__ import annotations

import contextlib
import json
import platform
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml
from fusion_bench.method.fisher_merging.fisher_merging import merging_with_fisher_weights
from fusion_bench.method.isotropic_merging.iso_utils import iso_c, iso_cts
from fusion_bench.method.regmean.regmean import merging_with_regmean_weights
from fusion_bench.method.task_singular_vector.utils.TSVM_utils import compute_and_sum_svd_mem_reduction
from fusion_bench.method.wudi.wudi import wudi_merging
from mergekit.config import MergeConfiguration
from mergekit.merge import MergeOptions, run_merge
from mergekit.merge_methods import generalized_task_arithmetic as family
from reference import checkpoints
from reference.fusionbench import CASES, Case, linear_layers, matrices
from safetensors.numpy import load_file, save_file

REFERENCE = Path(checkpoints.__file__).parent
GOLDEN = REFERENCE / "golden"
TOOLS = ("mergekit", "fusion-bench", "torch", "numpy", "transformers")
AGREE = 1e-7

Tensors = Mapping[str, np.ndarray]
Params = dict[str, torch.Tensor]


def main() -> None:
    """Make all golden files, and say which tools made them."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="goldens.") as folder, contextlib.chdir(folder):
        checkpoints.write(Path())
        for recipe in sorted((REFERENCE / "recipes").glob("*.yml")):
            keep(GOLDEN / "mergekit" / f"{recipe.stem}.safetensors", of_mergekit(recipe))
    for name, case in CASES.items():
        keep(GOLDEN / "fusionbench" / f"{name}.safetensors", of_fusionbench(case))
    made_by = {"python": platform.python_version(), **{tool: version(tool) for tool in TOOLS}}
    (GOLDEN / "made_by.json").write_text(json.dumps(made_by, indent=1) + "\n", encoding="utf-8")


def of_mergekit(recipe: Path) -> Tensors:
    """Run a recipe in the current folder, where its models lie; return the merged tensors."""
    out = Path("out") / recipe.stem
    configuration = MergeConfiguration.model_validate(yaml.safe_load(recipe.read_text(encoding="utf-8")))
    options = MergeOptions(quiet=True, copy_tokenizer=False, write_model_card=False)
    with given_lots():
        run_merge(configuration, str(out), options)
    return {name: tensor for file in out.glob("*.safetensors") for name, tensor in load_file(file).items()}


@contextlib.contextmanager
def given_lots() -> Iterator[None]:
    """Let random masks come from ``checkpoints.lots``, each from those of its tensor and source."""
    at: dict[str, Any] = {}
    merge_group, sparsify = family.GeneralizedTaskArithmeticMerge.merge_group, family.sparsify

    def noted_group(self: Any, group: Any, /, **parameters: Any) -> torch.Tensor:
        at.update(tensor=group.metadata.name, sources=iter(entry.id.model.path for entry in group.non_base))
        return merge_group(self, group, **parameters)

    def noted_source(delta: torch.Tensor, **parameters: Any) -> torch.Tensor:
        at.update(source=next(at["sources"]))
        return sparsify(delta, **parameters)

    def bernoulli(probabilities: torch.Tensor) -> torch.Tensor:
        lots = checkpoints.lots(at["source"], at["tensor"], tuple(probabilities.shape))
        return (torch.from_numpy(lots) < probabilities).to(probabilities.dtype)

    with (
        mock.patch.object(family.GeneralizedTaskArithmeticMerge, "merge_group", noted_group),
        mock.patch.object(family, "sparsify", noted_source),
        mock.patch.object(torch, "bernoulli", bernoulli),
    ):
        yield


def of_fusionbench(case: Case) -> Tensors:
    """Return what FusionBench makes of the sources: task vectors, or thetas for fisher and regmean."""
    if case.method == "fisher":
        merged = merging_with_fisher_weights(
            listed(case), fishers(case), torch.tensor(case.weights, dtype=torch.float64), **case.options
        )
    elif case.method == "regmean":
        merged = merging_with_regmean_weights(listed(case), grams(case), **case.options)
    else:
        merged = of_task_vectors(case)
    return {name: tensor.detach().float().contiguous().numpy() for name, tensor in merged.items()}


def of_task_vectors(case: Case) -> Params:
    """Return the merged task vector of the matrices; vectors are no business of these methods."""
    taus = [
        {name: wide(tau) * weight for name, tau in checkpoints.taus(source).items() if name in matrices()}
        for source, weight in zip(case.sources, case.weights, strict=True)
    ]
    functions = {
        "tsv_m": compute_and_sum_svd_mem_reduction,
        "iso_c": iso_c,
        "iso_cts": iso_cts,
        "wudi": wudi_merging,
    }
    return functions[case.method](taus, accelerator="cpu", **case.options)


def listed(case: Case) -> dict[str, list[torch.Tensor]]:
    """Return each tensor of all sources; for regmean those that have a Gram matrix."""
    names = linear_layers() if case.method == "regmean" else tuple(checkpoints.shapes())
    thetas = [checkpoints.thetas(source) for source in case.sources]
    return {name: [wide(each[name]) for each in thetas] for name in names}


def fishers(case: Case) -> list[Params]:
    """Return the made-up Fisher diagonals of each source."""
    return [
        {name: wide(checkpoints.fisher(source, name, shape)) for name, shape in checkpoints.shapes().items()}
        for source in case.sources
    ]


def grams(case: Case) -> list[Params]:
    """Return the made-up Gram matrices of each source, by the name of the layer."""
    return [
        {
            name.removesuffix(".weight"): wide(checkpoints.gram(source, name, matrices()[name][1]))
            for name in linear_layers()
        }
        for source in case.sources
    ]


def wide(array: np.ndarray) -> torch.Tensor:
    """Return a tensor in float64."""
    return torch.from_numpy(array).double()


def keep(path: Path, tensors: Tensors) -> None:
    """Write a golden file, unless it is there and holds the same numbers but for their last bits."""
    if path.exists() and agree(load_file(path), tensors):
        print(f"{path.name}: as it was")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), path)
    print(f"{path.name}: written")


def agree(old: Tensors, new: Tensors) -> bool:
    """Return whether both hold the same tensors and numbers."""
    return old.keys() == new.keys() and all(
        np.abs(old[name] - new[name]).max() <= AGREE * np.abs(old[name]).max() for name in old
    )


if __name__ == "__main__":
    main()
