"""The type that all similarities share, the registry of their names, and their form on disk.

The convention, in the whole project: **rows are targets, columns are sources**. ``values[i, j]`` says how good the
source of locale j is for target i, and higher is better. A cosine is symmetric and could not care less; a measured
transfer matrix could: read the wrong way round it ranks the locales where the *target's* model does well, which is
another question.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sprachbund.errors import DataError, UnknownName
from sprachbund.registry import Registry

__all__ = ["SIMILARITIES", "FloatArray", "SimilarityMatrix", "load", "read_csv"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by; a matrix is known by its name
class SimilarityMatrix:
    """How good each source (column) is for each target (row)."""

    locales: tuple[str, ...]
    """Names of the rows and, in the same order, of the columns; [n]."""
    values: FloatArray
    """[n, n], rows = targets, columns = sources, higher = better; a read-only copy of what was given."""
    name: str
    """As users type it: ``uriel:syntax_knn``."""
    provenance: str
    """One line: where the numbers come from, and under which licence."""
    uses: frozenset[str]
    """What the numbers have seen of the data: ``{"nothing"}``, ``{"unlabelled"}``, …"""

    def __post_init__(self) -> None:
        """Copy and freeze the values; refuse what is not a matrix of finite numbers."""
        values = np.array(self.values, dtype=np.float64)
        values.setflags(write=False)
        object.__setattr__(self, "locales", tuple(self.locales))
        object.__setattr__(self, "values", values)
        _check(self)

    def score(self, target: str, source: str) -> float:
        """Return how good ``source`` is for ``target``."""
        return float(self.values[self._index(target), self._index(source)])

    def row(self, target: str) -> dict[str, float]:
        """Return how good every source is for ``target``, its own included, in matrix order."""
        return dict(zip(self.locales, self.values[self._index(target)].tolist(), strict=True))

    def _index(self, locale: str) -> int:
        if locale not in self.locales:
            raise UnknownName("locale", locale, self.locales, f"(The locales are those of the similarity {self.name}.)")
        return self.locales.index(locale)


SIMILARITIES: Registry[Callable[[], SimilarityMatrix]] = Registry("similarity")
"""Names to functions that load or compute the matrix; looking at the names costs nothing."""


def load(name: str) -> SimilarityMatrix:
    """Return the similarity registered under ``name``."""
    return SIMILARITIES[name]()


def read_csv(text: str, *, name: str, provenance: str, uses: frozenset[str]) -> SimilarityMatrix:
    """Parse a table whose first row names the sources and whose first column names the targets, in one order."""
    header, *body = [row for row in csv.reader(io.StringIO(text)) if row] or [[]]
    locales = tuple(header[1:])
    if tuple(row[0] for row in body) != locales:
        raise DataError(
            f"Similarity {name}: the first column (targets) must name the same locales as the first row (sources), "
            f"in the same order; the table has {len(body)} rows and {len(locales)} columns."
        )
    values = [_numbers(row, locales, name) for row in body]
    return SimilarityMatrix(locales, np.array(values, dtype=np.float64), name, provenance, uses)


def _numbers(row: list[str], sources: tuple[str, ...], name: str) -> list[float]:
    target, *cells = row
    if len(cells) != len(sources):
        raise DataError(f"Similarity {name}: row {target} has {len(cells)} values for {len(sources)} columns.")
    for source, cell in zip(sources, cells, strict=True):
        if not _is_number(cell):
            raise DataError(f"Similarity {name}: row {target}, column {source} holds {cell!r}, which is not a number.")
    return [float(cell) for cell in cells]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _check(matrix: SimilarityMatrix) -> None:
    n, shape = len(matrix.locales), matrix.values.shape
    if shape != (n, n) or n == 0:
        raise DataError(
            f"Similarity {matrix.name}: {n} locales need values of shape {(n, n)}, at least (1, 1); got {shape}."
        )
    twice = [locale for locale, count in Counter(matrix.locales).items() if count > 1]
    if twice:
        raise DataError(f"Similarity {matrix.name}: a locale may have one row only; {', '.join(twice)} has several.")
    holes = np.argwhere(~np.isfinite(matrix.values))
    if len(holes):
        i, j = holes[0]
        raise DataError(
            f"Similarity {matrix.name}: row {matrix.locales[i]} (target), column {matrix.locales[j]} (source) holds "
            f"{matrix.values[i, j]}; every value must be a finite number ({len(holes)} are not)."
        )
