"""Our methods against FusionBench 0.2.33: each case of ``fusionbench.py``, with what ``tools/make_goldens.py`` froze.

Matrices are compared, embeddings too, which FusionBench takes for matrices like any other; here the engine sums them linearly,
as it does vectors, and methods do not see them. Both work in float64, and may differ by TOLERANCE of a tensor's largest number:
the golden files hold float32. FusionBench has no PCB merging, so that there is nothing to compare pcb with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from methods.whole import apply
from reference import checkpoints
from reference.frozen import agree, cases, of_fusionbench
from reference.fusionbench import CASES, Case, linear_layers, matrices

from sprachbund.methods import METHODS

TOLERANCE = 3e-7
OURS: Mapping[str, str] = {"reduce_non_diagonal_ratio": "alpha", "iter_num": "iterations"}
"""Options that have another name here."""
MINIMAL_FISHER = 1e-6
"""What FusionBench adds to Fisher information."""


@pytest.mark.parametrize("case", CASES)
def test_fusionbench_comes_to_the_same(case: str) -> None:
    asked = CASES[case]
    compared = set(comparable(asked))
    for name, expected in of_fusionbench(case).items():
        if name in compared:
            agree(merged_tensor(asked, name), expected, name, TOLERANCE)
            compared.remove(name)
    assert not compared


def comparable(case: Case) -> tuple[str, ...]:
    """All tensors of a case but those that we merge otherwise on purpose."""
    if case.method == "fisher":
        return tuple(checkpoints.shapes())
    if case.method == "regmean":
        return linear_layers()
    if case.method == "tsv_m":
        # FusionBench makes 0 of a matrix whose rank is less than the number of tasks; we keep a singular triple of each.
        return tuple(name for name, shape in matrices().items() if min(shape) >= len(case.sources))
    return tuple(matrices())


def merged_tensor(case: Case, name: str) -> np.ndarray:
    options = {OURS.get(option, option): value for option, value in case.options.items()}
    if case.method == "fisher":
        return fisher_merged(case, name, normalized=bool(options["normalize_fisher_weight"]))
    if case.method == "regmean":
        thetas = stacked(checkpoints.thetas, case, name)
        gram = np.stack([checkpoints.gram(source, name, thetas.shape[2]) for source in case.sources])
        return apply("regmean", thetas, case.weights, handed={"gram": gram}, **options)
    taus = stacked(checkpoints.taus, case, name)
    scaled = taus * np.reshape(
        case.weights, (-1, 1, 1)
    )  # as FusionBench does; these methods count all sources the same
    return apply(case.method, scaled, [1 / len(taus)] * len(taus), **options)


def stacked(of: Callable[[str], Mapping[str, np.ndarray]], case: Case, name: str) -> np.ndarray:
    return np.stack([of(source)[name] for source in case.sources]).astype(np.float64)


def fisher_merged(case: Case, name: str, *, normalized: bool) -> np.ndarray:
    """Fisher merging, where weights do what FusionBench does by an option: bring the norms of Fisher diagonals to one."""
    thetas = stacked(checkpoints.thetas, case, name)
    fisher = np.stack([checkpoints.fisher(source, name, thetas.shape[1:]) for source in case.sources])
    weights = np.array(case.weights)
    if normalized:
        weights = weights / [fisher_norm(source) + MINIMAL_FISHER for source in case.sources]
    handed = {"fisher": fisher.reshape(len(fisher), -1)}
    assert METHODS["fisher"].granularity == "element"
    return apply("fisher", thetas, tuple(weights / weights.sum()), handed=handed, floor=MINIMAL_FISHER)


def fisher_norm(source: str) -> float:
    """The L2 norm over all parameters of a model."""
    diagonals = [checkpoints.fisher(source, name, shape).ravel() for name, shape in checkpoints.shapes().items()]
    return float(np.linalg.norm(np.concatenate(diagonals)))


def test_cases_and_golden_files_are_the_same() -> None:
    assert CASES.keys() == cases("fusionbench")
