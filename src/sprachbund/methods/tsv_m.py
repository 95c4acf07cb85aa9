"""Task Singular Vectors (Gargiulo et al. 2025, arXiv:2412.00081): tasks of an n-th of the rank each, made orthogonal.

For a matrix of rank r = min(out, in), each task vector keeps its r/n largest singular triples (rounded down, but at least
one). Side by side, U = [U₁ … Uₙ] and V = [V₁ … Vₙ], singular vectors of different tasks overlap, which is how tasks interfere.
Both are replaced by the nearest matrices with orthonormal columns, U⊥ and V⊥, and τ = U⊥ S V⊥ᵀ: a sum of tasks, not a mean.

Triples with singular value zero are left out, as is what different tasks have in common to the last digit: equal sources give
one of them at rank r/n. An SVD of all columns, which the paper's code takes, would fill such places with directions that mean
nothing.
"""

from __future__ import annotations

import numpy as np

from sprachbund.methods.registry import Array, Scale, tensor_method
from sprachbund.methods.spectral import first_triples, polar

__all__ = ["tsv_m"]


@tensor_method(
    "tsv_m",
    granularity="tensor",
    formula="θ = θ₀ + λ U⊥ S V⊥ᵀ,  U = [U₁ … Uₙ], V = [V₁ … Vₙ] of rank r/n each, orthogonalised",
    paper="arXiv:2412.00081",
    reference="fusion-bench 0.2.33",
    uses_weights=False,
    matrices_only=True,
)
def tsv_m(taus: Array, weights: Array, *, scale: Scale = 1.0) -> Array:
    """Return λ U⊥ S V⊥ᵀ of task vectors [n, out, in]."""
    n, rank = len(taus), min(taus.shape[1:])
    us, ss, vts = zip(*(first_triples(tau, max(1, rank // n)) for tau in taus), strict=True)
    u, _ = polar(np.hstack(us))
    vt, _ = polar(np.vstack(vts))
    return np.asarray(scale * (u * np.concatenate(ss)) @ vt)
