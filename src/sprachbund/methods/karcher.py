"""The Karcher mean: of all points on the sphere the one with the least sum of squared arcs to the sources (Karcher 1977).

With uᵢ = θᵢ/‖θᵢ‖, the mean m is where the tangents towards the sources balance, Σ wᵢ log_m(uᵢ) = 0, log_m(u) = φ/sin φ · (u −
cos φ · m), φ the angle between u and m. From m ∝ Σ wᵢuᵢ, each round walks along the sum of tangents T: m ← cos‖T‖ m + sin‖T‖
T/‖T‖ (Buss & Fillmore 2001, "Spherical averages"), until ‖T‖ < ``tol`` or ``max_iter`` rounds are over. The result gets the
mean length, (Σ wᵢ‖θᵢ‖) m.

mergekit counts all sources the same; with equal weights the result is its. It leaves out tensors shorter than ``tol``, and
takes the first source's direction to start from where they cancel out; here only those of length zero have no direction, and
sources that cancel out, which have no mean, are summed linearly: the order of sources must not matter.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from sprachbund.methods.registry import Array, coefficient_method
from sprachbund.methods.sphere import length, lengths_and_cosines, of_vectors, on_sphere

__all__ = ["karcher"]

MaxIter = Annotated[int, Field(ge=1, description="The most rounds that the search for the mean may take.")]
Tol = Annotated[float, Field(gt=0, description="The mean is found when a round would turn it by less (radians).")]
CANCELLED = 1e-8
"""Directions whose mean is shorter than this have none."""
OPPOSITE = -1 + 1e-12
"""The cosine below which there is no telling along which arc."""


@coefficient_method(
    "karcher",
    of="thetas",
    formula="θ = (Σ wᵢ‖θᵢ‖) m,  m = argmin Σ wᵢ arc(m, θᵢ)²",
    paper="doi:10.1002/cpa.3160300502",
    reference="mergekit 0.1.5",
)
def karcher(weights: Array, products: Array, *, max_iter: MaxIter = 10, tol: Tol = 1e-5) -> Array:
    """Return the coefficients of the thetas."""
    lengths, cosines = lengths_and_cosines(products)
    takes_part = np.where(lengths > 0, weights, 0.0)
    mean = on_sphere(takes_part, cosines, CANCELLED)
    if mean is None:
        return weights
    shares = (
        takes_part / np.abs(takes_part).sum()
    )  # of a step, not of the result: any other sum makes it too short or long
    for _ in range(max_iter):
        towards = tangent(mean, shares, cosines)
        turn = length(towards, cosines)
        if turn < tol:
            break
        mean = np.cos(turn) * mean + np.sinc(turn / np.pi) * towards
    return of_vectors((weights @ lengths) * mean, lengths)


def tangent(mean: Array, shares: Array, cosines: Array) -> Array:
    """Return the coefficients [n] of T = Σ wᵢ log_m(uᵢ); a source opposite of m is in no direction of it."""
    cosine = np.clip(cosines @ mean, -1.0, 1.0)
    stretch = np.where(cosine > OPPOSITE, shares / np.sinc(np.arccos(cosine) / np.pi), 0.0)
    return np.asarray(stretch - (stretch @ cosine) * mean)
