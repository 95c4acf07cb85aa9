"""Interpolation of any number of sources on the sphere (Goddard 2025, goddard.blog/posts/multislerp-wow-what-a-cool-idea).

The directions uᵢ = vᵢ/‖vᵢ‖ are averaged and put back on the unit sphere, m = Σ wᵢuᵢ / ‖Σ wᵢuᵢ‖, and the result gets the mean
length, (Σ wᵢ‖vᵢ‖) m. mergekit's code goes on to project the uᵢ on the tangent space at m, to average them there and to walk
from m along that average; but Σ wᵢ(uᵢ − (uᵢ·m) m) is zero whatever the weights are, so that nothing remains of these steps but
rounding.

Where the directions cancel out (‖Σ wᵢuᵢ‖ < ``eps``), as in a tensor that no source has changed, the result is the linear sum.
mergekit does so for two sources, and gives up at more. A zero vector takes no part in the direction.

``multislerp`` turns the tensors about the origin, ``multislerp_taus`` the task vectors: about θ₀, as mergekit does when a
recipe has a ``base_model``.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from sprachbund.methods.registry import Array, Scale, coefficient_method
from sprachbund.methods.sphere import lengths_and_cosines, of_vectors, on_sphere

__all__ = ["multislerp", "multislerp_taus"]

SOURCE = "goddard.blog/posts/multislerp-wow-what-a-cool-idea"
Eps = Annotated[float, Field(gt=0, description="The mean of directions is none if it is shorter than this.")]


@coefficient_method(
    "multislerp",
    of="thetas",
    formula="θ = (Σ wᵢ‖θᵢ‖) m,  m ∝ Σ wᵢ θᵢ/‖θᵢ‖,  ‖m‖ = 1",
    paper=SOURCE,
    reference="mergekit 0.1.5",
)
def multislerp(weights: Array, products: Array, *, eps: Eps = 1e-8) -> Array:
    """Return the coefficients of the thetas."""
    lengths, cosines = lengths_and_cosines(products)
    mean = on_sphere(weights, cosines, eps)
    if mean is None:
        return weights
    return of_vectors((weights @ lengths) * mean, lengths)


@coefficient_method(
    "multislerp_taus",
    of="taus",
    formula="θ = θ₀ + λ (Σ wᵢ‖τᵢ‖) m,  m ∝ Σ wᵢ τᵢ/‖τᵢ‖,  ‖m‖ = 1",
    paper=SOURCE,
    reference="mergekit 0.1.5",
)
def multislerp_taus(weights: Array, products: Array, *, scale: Scale = 1.0, eps: Eps = 1e-8) -> Array:
    """Return the coefficients of the taus."""
    return np.asarray(scale * multislerp(weights, products, eps=eps))
