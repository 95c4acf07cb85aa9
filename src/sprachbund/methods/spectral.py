"""Singular values and polar factors of task matrices, from the eigenvectors of the smaller Gram matrix.

A Gram matrix squares singular values. In float64 those of float32 data survive that: down to 10⁻⁶ of the largest they are more
accurate than from a float32 SVD, in a sixth of its time. What is smaller has no direction that the data would determine, and
is left out: an SVD fills up with any orthonormal vectors there, and what is made of those would hang on the library at work.
"""

from __future__ import annotations

import numpy as np

from sprachbund.methods.registry import Array

__all__ = ["first_triples", "polar", "spectrum"]

SMALLEST = 1e-6
"""Singular values below this fraction of the largest count as zero."""


def spectrum(gram: Array, of: float = 0.0) -> tuple[Array, Array]:
    """Return what is not zero of a Gram matrix [d, d]: singular values [k], descending, and vectors [d, k].

    ``of`` is the size of what the matrix is a remainder of, if it is: what is small beside that is rounding.
    """
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = values.max(initial=0.0)
    k = np.count_nonzero(values > SMALLEST**2 * max(largest, of**2))
    return np.sqrt(values[:k]), vectors[:, :k]


def first_triples(matrix: Array, most: int, of: float = 0.0) -> tuple[Array, Array, Array]:
    """Return the largest singular triples of a matrix [out, in], at most so many: U [out, k], s [k], Vᵀ [k, in].

    ``of`` is as in :func:`spectrum`.
    """
    if matrix.shape[0] > matrix.shape[1]:
        v, s, ut = first_triples(matrix.T, most, of)
        return ut.T, s, v.T
    wide = matrix.astype(np.float64)
    s, u = spectrum(wide @ wide.T, of)
    s, u = s[:most], u[:, :most]
    return u, s, (u.T @ wide) / s[:, None]


def polar(matrix: Array) -> tuple[Array, Array]:
    """Return U Vᵀ [out, in] of a matrix U S Vᵀ, over its non-zero singular values, and those [k].

    It is the matrix nearest to the given one of all whose singular values are 1: the solution of Procrustes' problem.
    """
    if matrix.shape[0] > matrix.shape[1]:
        transposed, s = polar(matrix.T)
        return transposed.T, s
    wide = matrix.astype(np.float64)
    s, u = spectrum(wide @ wide.T)
    return ((u / s) @ u.T) @ wide, s
