"""Lengths and angles of the sources' vectors, from their inner products alone.

Whatever a method makes of vectors by turning and stretching them in the space that they span is Σ cᵢ vᵢ again, so that it can
be worked out on n numbers instead of n tensors. All of it is float64: fine-tuned checkpoints of one base have cosines of
0.9999, and a float32 arccos there is good for three digits.
"""

from __future__ import annotations

import numpy as np

from sprachbund.methods.registry import Array

__all__ = ["length", "lengths_and_cosines", "of_vectors", "on_sphere"]


def lengths_and_cosines(products: Array) -> tuple[Array, Array]:
    """Return the lengths [n] of vectors and the cosines [n, n] between them; a zero vector has cosine 0, with itself too.

    The products may be stacked, [*, n, n].
    """
    lengths = np.sqrt(np.diagonal(products, axis1=-2, axis2=-1))
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    cosines = products * inverse[..., :, None] * inverse[..., None, :]
    return lengths, np.clip(cosines, -1.0, 1.0)


def length(coefficients: Array, cosines: Array) -> float:
    """Return ‖Σ cᵢ uᵢ‖ of coefficients [n] of unit vectors."""
    return float(np.sqrt(max(float(coefficients @ cosines @ coefficients), 0.0)))


def on_sphere(coefficients: Array, cosines: Array, eps: float) -> Array | None:
    """Return the coefficients [n] of Σ cᵢ uᵢ at length 1; None if it is shorter than ``eps``, so that it has no direction."""
    size = length(coefficients, cosines)
    return None if size < eps else coefficients / size


def of_vectors(coefficients: Array, lengths: Array) -> Array:
    """Return the coefficients [n] of vectors that those of their directions amount to; a zero vector has none, and gets 0."""
    return np.asarray(np.divide(coefficients, lengths, out=np.zeros_like(lengths), where=lengths > 0))
