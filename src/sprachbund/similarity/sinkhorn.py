"""The original experiment's normalisation: cut each row to its nearest, then balance rows and columns in turns.

    S = (cosine + 1) / 2, with diagonal 0
    keep, in every row, the entries ≥ the row's k-th largest (ties stay); the rest is 0
    20 times: divide each row by (its sum + 1e-9), then each column by (its sum + 1e-9)

Alternating row and column scaling makes a positive matrix doubly stochastic (Sinkhorn & Knopp 1967, "Concerning
nonnegative matrices and doubly stochastic matrices"); machine learning knows it from entropic optimal transport
(Cuturi 2013, "Sinkhorn distances", arXiv:1306.0895), where both margins *mean* something.

Here the column margin means nothing, and that misleads. A column that sums to 1 hands every source the same total
influence over all targets, so a language that few others count among their nearest gets a large share of those few.
What is rewarded is being chosen rarely, not being similar: Afrikaans ← Armenian, Hungarian, Georgian, Latvian, Dutch.
The module is here to reproduce the original's figures exactly; to select well, rank the raw similarities.
"""

from __future__ import annotations

import numpy as np

from sprachbund.errors import DataError, MixError
from sprachbund.similarity.matrix import FloatArray, SimilarityMatrix

__all__ = ["sinkhorn_normalised"]

_EPSILON = 1e-9  # the original's guard against empty rows; part of the numbers, so part of the definition


def sinkhorn_normalised(matrix: SimilarityMatrix, *, k: int = 20, iterations: int = 20) -> SimilarityMatrix:
    """Return ``matrix`` (cosines) cut to each row's ``k`` nearest and balanced ``iterations`` times."""
    if matrix.targets != matrix.locales:
        raise DataError(
            f"Sinkhorn normalisation balances rows and columns of the same locales; {matrix.name} has "
            f"{len(matrix.targets)} targets and {len(matrix.locales)} sources. Use --selection topk."
        )
    if k < 1 or iterations < 1:
        raise MixError(f"Sinkhorn needs k ≥ 1 and iterations ≥ 1; got k = {k}, iterations = {iterations}.")
    balanced = _keep_nearest(_from_cosines(matrix), k)
    for _ in range(iterations):
        balanced = _balance(balanced)
    return SimilarityMatrix(
        matrix.locales,
        balanced,
        f"sinkhorn({matrix.name})",
        f"{matrix.provenance}; {k} nearest per row, {iterations} Sinkhorn iterations",
        matrix.uses,
    )


def _from_cosines(matrix: SimilarityMatrix) -> FloatArray:
    """Map [-1, 1] to [0, 1], the diagonal to 0."""
    if np.any(np.abs(matrix.values) > 1 + 1e-9):  # a rounded cosine may exceed 1 a little
        raise DataError(
            f"Sinkhorn normalisation is defined for cosines, in [-1, 1]; {matrix.name} has values from "
            f"{matrix.values.min():.4g} to {matrix.values.max():.4g}. Select by the raw similarity instead."
        )
    S = (matrix.values + 1) / 2
    np.fill_diagonal(S, 0.0)
    return S


def _keep_nearest(S: FloatArray, k: int) -> FloatArray:
    """Zero what is below the k-th largest of its row; a row with fewer than k entries keeps all."""
    k = min(k, len(S))
    kth_largest = np.sort(S, axis=1)[:, -k, np.newaxis]
    return np.where(kth_largest <= S, S, 0.0)


def _balance(S: FloatArray) -> FloatArray:
    rows = S / (S.sum(axis=1, keepdims=True) + _EPSILON)
    columns: FloatArray = rows / (rows.sum(axis=0, keepdims=True) + _EPSILON)
    return columns
