"""RegMean: each linear layer of the merge answers to the inputs of each source's layer as nearly as possible like that layer.

Jin et al. 2023, "Dataless Knowledge Fusion by Merging Weights of Language Models", arXiv:2212.09849: of all W, the one that
minimises Σ wᵢ ‖W Xᵢ − Wᵢ Xᵢ‖², with Xᵢ [in, tokens] what comes into the layer of source i. Written for W [out, in] as PyTorch
keeps it, with the Gram matrices Gᵢ = Xᵢ Xᵢᵀ,

    W = (Σ wᵢ Wᵢ Ĝᵢ) (Σ wᵢ Ĝᵢ)⁻¹,

where Ĝᵢ is Gᵢ with all but its diagonal multiplied by ``alpha``. In the paper alpha is 0.9 for most models, 0.1 for T5 and
DeBERTa; at 1 it is the plain regression, at 0 each column is a mean of its own, weighted by the size of its input.

What no input tells about is left to the weighted mean W̄: a ridge, RIDGE times the diagonal of Σ wᵢ Ĝᵢ and the mean of that
diagonal, pulls W towards it. So there is one answer also where there are fewer tokens than inputs, or an input is always 0;
and no column grows without bound because its input is next to nothing in these texts (under a thousandth of the others), as
that may be otherwise in other texts. Of all else the ridge changes a millionth.

RegMean++ (arXiv:2508.03121) is this method with other Gram matrices, see :mod:`sprachbund.statistics.regmean_pp`.

The engine asks for the weights of linear layers alone, and of those for which each source has a Gram matrix. All other
tensors, biases among them, are summed linearly, as in the paper.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from sprachbund.methods.means import weighted_mean
from sprachbund.methods.registry import Array, tensor_method

__all__ = ["regmean"]

RIDGE = 1e-6
"""Gram matrices come as float32, whose rounding lies a tenth under this."""

Alpha = Annotated[
    float, Field(ge=0, le=1, description="By what Gram matrices are multiplied beside their diagonal, in [0, 1].")
]


@tensor_method(
    "regmean",
    granularity="tensor",
    formula="θ = (Σ wᵢ θᵢ Ĝᵢ) (Σ wᵢ Ĝᵢ)⁻¹",
    paper="arXiv:2212.09849",
    reference="fusion-bench 0.2.33",
    matrices_only=True,
)
def regmean(thetas: Array, weights: Array, gram: Array, *, alpha: Alpha = 0.9) -> Array:
    """Return [out, in] from thetas [n, out, in], weights [n] and Gram matrices [n, in, in] of their inputs."""
    mean = weighted_mean("regmean", thetas, weights)
    total = np.zeros(gram[0].shape)
    moved = np.zeros(mean.shape)
    for theta, weight, each in zip(thetas, weights, gram, strict=True):
        reduced = weight * reduce_off_diagonal(each, alpha)
        total += reduced
        moved += (theta - mean) @ reduced
    return mean + _solve(total, moved)


def reduce_off_diagonal(gram: Array, alpha: float) -> Array:
    """Return a matrix [in, in] in float64, all but its diagonal multiplied by alpha."""
    reduced = alpha * gram.astype(np.float64)
    np.fill_diagonal(reduced, gram.diagonal())
    return reduced


def _solve(total: Array, moved: Array) -> Array:
    """Return moved [out, in] times the inverse of the symmetric total [in, in] with its ridge.

    Inputs can differ in size by many orders: they are brought to one first, so that nothing is lost in solving.
    """
    diagonal = total.diagonal() * (1 + RIDGE) + RIDGE * total.diagonal().mean()
    sizes = np.sqrt(diagonal)
    sizes[sizes == 0] = 1.0
    scaled = total / np.outer(sizes, sizes)
    np.fill_diagonal(scaled, 1.0)
    solution: Array = np.linalg.solve(scaled, (moved / sizes).T).T / sizes
    return solution
