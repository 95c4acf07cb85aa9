"""WUDI merging (Cheng et al. 2025, arXiv:2503.08099): the task vector that disturbs no task in the space of its own inputs.

The rows of a task vector lie about where the inputs of its layer do, so that (τ − τᵢ) τᵢᵀ stands for what the merged layer
does wrong on task i. From the sum of task vectors, τ = Σ τᵢ + δ, δ goes to where that is least:

    Σᵢ ‖(τ − τᵢ) τᵢᵀ‖² / ‖τᵢ‖²,   gradient 2 (δ A + E),   A = Σ Aᵢ,  E = Σᵢ (Σ_{j≠i} τⱼ) Aᵢ,  Aᵢ = τᵢᵀ τᵢ / ‖τᵢ‖²

- ``adam``, the paper's: 300 steps of Adam at a rate of 10⁻⁵. An entry moves by 3·10⁻³ at most, about, so that this does not
  get to the minimum.
- ``exact``: the minimum itself, δ = −E A⁺; of all that there are, τ is then the one with the smallest norm. It is a mean of
  tasks, each counting in a direction as much as it is about it, where ``adam`` stays closer to their sum.

A and E are summed once, so that a step is one product [out, in] × [in, in] for any number of sources. A task vector of length
zero says nothing, and is left out.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from sprachbund.methods.registry import Array, Scale, tensor_method
from sprachbund.methods.spectral import spectrum

__all__ = ["wudi"]

Solver = Annotated[
    Literal["adam", "exact"], Field(description="adam: steps from the sum of task vectors; exact: the minimum.")
]
Iterations = Annotated[int, Field(ge=0, description="Steps of adam.")]
LearningRate = Annotated[float, Field(gt=0, description="How far a step of adam goes in each entry, at first.")]
BETAS, EPS = (0.9, 0.999), 1e-8


@tensor_method(
    "wudi",
    granularity="tensor",
    formula="θ = θ₀ + λ τ,  τ → min Σ ‖(τ − τᵢ) τᵢᵀ‖² / ‖τᵢ‖²",
    paper="arXiv:2503.08099",
    reference="fusion-bench 0.2.33",
    uses_weights=False,
    matrices_only=True,
)
def wudi(
    taus: Array,
    weights: Array,
    *,
    solver: Solver = "adam",
    iterations: Iterations = 300,
    learning_rate: LearningRate = 1e-5,
    scale: Scale = 1.0,
) -> Array:
    """Return λ τ of task vectors [n, out, in]; the steps are taken in the dtype of the task vectors, the minimum in float64."""
    if solver == "exact":
        taus = taus.astype(np.float64)
    total = taus.sum(axis=0)
    a, e = interference(taus, total)
    delta = minimum(a, e) if solver == "exact" else adam(a, e, iterations, learning_rate)
    return np.asarray(scale * (total + delta))


def interference(taus: Array, total: Array) -> tuple[Array, Array]:
    """Return A [in, in] and E [out, in]."""
    a = np.zeros((taus.shape[2], taus.shape[2]), dtype=taus.dtype)
    e = np.zeros(taus.shape[1:], dtype=taus.dtype)
    for tau in taus:
        size = np.linalg.norm(tau)
        if size > 0:
            unit = tau / size
            a += unit.T @ unit
            e += ((total - tau) @ unit.T) @ unit
    return a, e


def minimum(a: Array, e: Array) -> Array:
    """Return δ = −E A⁺ [out, in]."""
    s, v = spectrum(a)
    return np.asarray(((e @ v) / -(s**2)) @ v.T)


def adam(a: Array, e: Array, iterations: int, learning_rate: float) -> Array:
    """Return where the steps lead from δ = 0 (Kingma & Ba 2015, arXiv:1412.6980); none of them allocates."""
    delta, first, second = np.zeros_like(e), np.zeros_like(e), np.zeros_like(e)
    a, e = 2 * a, 2 * e
    work = np.empty_like(e)  # holds the gradient of a step, and then the step itself
    for step in range(1, iterations + 1):
        np.matmul(delta, a, out=work)
        work += e
        first *= BETAS[0]
        second *= BETAS[1]
        work *= 1 - BETAS[0]
        first += work
        np.square(work, out=work)
        work *= (1 - BETAS[1]) / (1 - BETAS[0]) ** 2
        second += work
        np.sqrt(second, out=work)
        work /= math.sqrt(1 - BETAS[1] ** step)
        work += EPS
        np.divide(first, work, out=work)
        work *= learning_rate / (1 - BETAS[0] ** step)
        delta -= work
    return delta
