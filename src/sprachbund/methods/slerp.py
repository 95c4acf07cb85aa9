"""Spherical linear interpolation between two sources (Shoemake 1985, "Animating Rotation with Quaternion Curves").

θ = sin(w₁φ)/sin φ · θ₁ + sin(w₂φ)/sin φ · θ₂, with φ the angle between the two tensors: the path from one to the other that
keeps to the arc, where a straight line would cut through it and lose length. The weights say how far: with sum 1, w₂ is the
``t`` of a mergekit recipe, whose ``base_model`` (t = 0) is θ₁ here.

Two vectors that are nearly parallel are interpolated linearly, as mergekit does at a cosine above 0.9995. Fine-tuned
checkpoints of one base nearly always are; the exact formula, which ``linear_above: 1`` asks for, has no trouble with small
angles, since sin(wφ)/sin φ = w · sinc(wφ)/sinc(φ). Nearly opposite ones have no arc between them, and those of length zero no
angle: they are interpolated linearly too (mergekit takes a zero tensor to be at a right angle to the other).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from sprachbund.methods.registry import Array, Fraction, coefficient_method
from sprachbund.methods.sphere import lengths_and_cosines

__all__ = ["slerp"]

LinearAbove = Annotated[
    Fraction, Field(description="The cosine above which two tensors are interpolated linearly; 1: never.")
]
OPPOSITE = -0.9995
"""The cosine below which there is no telling along which arc."""


@coefficient_method(
    "slerp",
    of="thetas",
    formula="θ = sin(w₁φ)/sin φ · θ₁ + sin(w₂φ)/sin φ · θ₂",
    paper="doi:10.1145/325334.325242",
    reference="mergekit 0.1.5",
    most_sources=2,
)
def slerp(weights: Array, products: Array, *, linear_above: LinearAbove = 0.9995) -> Array:
    """Return the two coefficients; one source alone keeps its weight."""
    lengths, cosines = lengths_and_cosines(products)
    cosine = cosines[0, -1]
    if len(weights) == 1 or not lengths.all() or not OPPOSITE <= cosine <= linear_above:
        return weights
    turns = np.arccos(cosine) / np.pi  # numpy's sinc takes half turns
    return np.asarray(weights * np.sinc(weights * turns) / np.sinc(turns))
