"""Isotropic merging (Marczak et al. 2025, arXiv:2502.04959): all directions of the merged task matrix count the same.

``iso_c``, in the common subspace: the singular values of the sum Σ τᵢ = U S Vᵀ are replaced by their mean s̄, τ = s̄ U Vᵀ, so
that a few directions which all tasks share don't drown the others.

``iso_cts``, in common and task-specific subspaces: of rank r = min(out, in), the first k directions are those of the sum, U_k.
The rest is shared out: each task adds the (r − k)/n largest triples of τᵢ − U_k U_kᵀ τᵢ, what it has outside of the common
space. The columns of both are made orthonormal (the nearest such matrix), and all get the mean of their singular values.
``common_space_fraction`` says how large k/r is to be; it becomes such that the rest can be divided by n.

Both are sums of tasks, not means. Directions with singular value zero are left out, and the mean is over those that remain: of
full rank, as fine-tuned matrices are, the result is the paper's.
"""

from __future__ import annotations

import numpy as np

from sprachbund.methods.registry import Array, Fraction, Scale, tensor_method
from sprachbund.methods.spectral import first_triples, polar

__all__ = ["iso_c", "iso_cts"]


@tensor_method(
    "iso_c",
    granularity="tensor",
    formula="θ = θ₀ + λ s̄ U Vᵀ,  Σ τᵢ = U S Vᵀ",
    paper="arXiv:2502.04959",
    reference="fusion-bench 0.2.33",
    uses_weights=False,
    matrices_only=True,
)
def iso_c(taus: Array, weights: Array, *, scale: Scale = 1.0) -> Array:
    """Return λ s̄ U Vᵀ of task vectors [n, out, in]."""
    directions, s = polar(taus.sum(axis=0, dtype=np.float64))
    return scale * mean(s) * directions


@tensor_method(
    "iso_cts",
    granularity="tensor",
    formula="θ = θ₀ + λ s̄ U⊥ V⊥ᵀ,  U = [U₁ … Uₙ U_k]: of each task what the common space lacks",
    paper="arXiv:2502.04959",
    reference="fusion-bench 0.2.33",
    uses_weights=False,
    matrices_only=True,
)
def iso_cts(taus: Array, weights: Array, *, common_space_fraction: Fraction = 0.8, scale: Scale = 1.0) -> Array:
    """Return λ s̄ U⊥ V⊥ᵀ of task vectors [n, out, in]."""
    common, specific = ranks(min(taus.shape[1:]), len(taus), common_space_fraction)
    shared = first_triples(taus.sum(axis=0, dtype=np.float64), common)
    own = (
        first_triples(tau - shared[0] @ (shared[0].T @ tau), specific, of=float(np.linalg.norm(tau))) for tau in taus
    )
    us, ss, vts = zip(*own, shared, strict=True)
    u, _ = polar(np.hstack(us))
    vt, _ = polar(np.vstack(vts))
    return np.asarray(scale * mean(np.concatenate(ss)) * (u @ vt))


def ranks(rank: int, tasks: int, common_space_fraction: float) -> tuple[int, int]:
    """Return how many directions are common, and how many each task adds; all together are ``rank``."""
    wanted = int(rank * common_space_fraction)
    specific = min(round((rank - wanted) / tasks), rank // tasks)
    return rank - specific * tasks, specific


def mean(singular_values: Array) -> float:
    """Return s̄; 0 of none, which is what a zero matrix has."""
    return float(singular_values.mean()) if len(singular_values) else 0.0
