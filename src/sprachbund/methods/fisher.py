"""Fisher merging: each number is a mean of the sources', weighted by how much each source's answers depend on it.

Matena & Raffel 2022, "Merging Models with Fisher-Weighted Averaging", arXiv:2111.09832:

    θ = Σ wᵢ Fᵢ θᵢ / Σ wᵢ Fᵢ,   element by element,

with Fᵢ the diagonal of the Fisher information of source i. It is what maximises the joint likelihood under a Gaussian with
precision Fᵢ around each θᵢ.

No Fᵢ is taken for less than ``floor``, which is added to it: where no source depends on a number at all, as on the embedding
of a token that no text has, the merge is the weighted mean. The default lies far under all that matters. The 1e-6 of other
implementations does not: the Fisher information of a well-trained classifier is mostly smaller, and under such a floor its
merge is a linear one.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from sprachbund.methods.means import weighted_mean
from sprachbund.methods.registry import Array, tensor_method

__all__ = ["fisher_merge"]

Floor = Annotated[float, Field(gt=0, description="What is added to the Fisher information of every number.")]


@tensor_method(
    "fisher",
    granularity="element",
    formula="θ = Σ wᵢ Fᵢ θᵢ / Σ wᵢ Fᵢ",
    paper="arXiv:2111.09832",
    reference="fusion-bench 0.2.33",
)
def fisher_merge(thetas: Array, weights: Array, fisher: Array, *, floor: Floor = 1e-30) -> Array:
    """Return the mean [*cut] of thetas [n, *cut] under ``weights`` [n] × ``fisher`` [n, *cut].

    It is written as the weighted mean and what the Fisher information moves it by, so that nothing is lost where sources agree.
    """
    mean = weighted_mean("fisher", thetas, weights)
    precision = weights.reshape(-1, *[1] * (thetas.ndim - 1)) * (fisher.astype(np.float64) + floor)
    moved: Array = (precision * (thetas - mean)).sum(axis=0) / precision.sum(axis=0)
    return mean + moved
