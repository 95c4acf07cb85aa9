"""The type that all similarities share, and their form on disk.

The convention, in the whole project: **rows are targets, columns are sources**. ``values[i, j]`` says how good the
source j is for target i, and higher is better. A cosine is symmetric and could not care less; a measured
transfer matrix could: read the wrong way round it ranks the locales where the *target's* model does well, which is
another question.

A target need not have a source: then it has a row and no column, and nobody makes up a number for what is not there.

On disk a matrix is a CSV table that says itself what it is:

    # provenance: zero-shot accuracy on dev, measured by me
    # uses: target-dev
    ,de-DE,nl-NL
    de-DE,0.9,0.7
    sq-AL,0.3,0.2
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sprachbund.errors import DataError, UnknownName
from sprachbund.uses import check_uses

__all__ = ["FloatArray", "SimilarityMatrix", "mean_of", "parse", "read_csv", "write_csv"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by; a matrix is known by its name
class SimilarityMatrix:
    """How good each source (column) is for each target (row)."""

    locales: tuple[str, ...]
    """The sources, names of the columns, [n]; of the rows too, where ``targets`` names no others."""
    values: FloatArray
    """[m, n], rows = targets, columns = sources, higher = better; a read-only copy of what was given."""
    name: str
    """As users type it: ``uriel:syntax_knn``."""
    provenance: str
    """One line: where the numbers come from, and under which licence."""
    uses: frozenset[str]
    """What the numbers have seen of the target: ``{"nothing"}``, ``{"unlabelled"}``, …"""
    targets: tuple[str, ...] = ()
    """Names of the rows, [m]; by default those of the columns."""

    def __post_init__(self) -> None:
        """Copy and freeze the values; refuse what is not a matrix of finite numbers."""
        values = np.array(self.values, dtype=np.float64)
        values.setflags(write=False)
        object.__setattr__(self, "locales", tuple(self.locales))
        object.__setattr__(self, "targets", tuple(self.targets) or self.locales)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "uses", frozenset(check_uses(self.uses, f"the similarity {self.name}")))
        _check(self)

    def score(self, target: str, source: str) -> float:
        """Return how good ``source`` is for ``target``."""
        return float(self.values[self._index(target, self.targets), self._index(source, self.locales)])

    def row(self, target: str) -> dict[str, float]:
        """Return how good every source is for ``target``, its own included where there is one, in matrix order."""
        return dict(zip(self.locales, self.values[self._index(target, self.targets)].tolist(), strict=True))

    def part(self, targets: Sequence[str], sources: Sequence[str]) -> FloatArray:
        """Return the values of these rows and columns, [len(targets), len(sources)]."""
        rows = [self._index(target, self.targets) for target in targets]
        return self.values[np.ix_(rows, [self._index(source, self.locales) for source in sources])]

    def _index(self, locale: str, known: tuple[str, ...]) -> int:
        if locale not in known:
            raise UnknownName("locale", locale, known, f"These are the locales of the similarity {self.name}.")
        return known.index(locale)


def mean_of(matrices: Sequence[SimilarityMatrix]) -> SimilarityMatrix:
    """Return the mean of several similarities, each on its own scale; it has seen what all of them have seen.

    The rows and columns are those that all of them have, in the order of the first. Nothing is standardised: cosines lie
    close together in one set and far apart in another, and the one that spreads more decides more.
    """
    if len(matrices) == 1:
        return matrices[0]
    name = "+".join(matrix.name for matrix in matrices)
    sources = _common([matrix.locales for matrix in matrices], "column", name)
    targets = _common([matrix.targets for matrix in matrices], "row", name)
    return SimilarityMatrix(
        sources,
        np.mean([matrix.part(targets, sources) for matrix in matrices], axis=0),
        name,
        "mean of " + "; ".join(f"{matrix.name}: {matrix.provenance}" for matrix in matrices),
        frozenset().union(*(matrix.uses for matrix in matrices)),
        targets,
    )


def _common(names: Sequence[tuple[str, ...]], what: str, similarity: str) -> tuple[str, ...]:
    common = tuple(name for name in names[0] if all(name in others for others in names))
    if not common:
        raise DataError(
            f"Similarity {similarity}: its parts have no {what} in common: add up tables of the same locales."
        )
    return common


def read_csv(text: str, *, name: str, provenance: str, uses: frozenset[str]) -> SimilarityMatrix:
    """Parse a table whose first row names the sources and whose first column names the targets."""
    try:
        header, *body = [row for row in csv.reader(io.StringIO(text, newline="")) if row] or [[]]
    except csv.Error as error:
        raise DataError(f"Similarity {name} is no table ({error}): save it as CSV.") from error
    sources = tuple(cell.strip() for cell in header[1:])
    if not sources or not body:
        raise DataError(
            f"Similarity {name} holds no table: its first row should name the sources, its first column the targets."
        )
    values = [_numbers(row, sources, name) for row in body]
    targets = tuple(row[0].strip() for row in body)
    return SimilarityMatrix(sources, np.array(values, dtype=np.float64), name, provenance, uses, targets)


def parse(text: str, name: str) -> SimilarityMatrix:
    """Parse a table that says itself where it comes from and what it has seen, in lines that begin with ``#``.

    Raises:
        DataError: it does not say what it has seen, or is no table of numbers.
    """
    lines = text.splitlines(keepends=True)
    said = _said("".join(line for line in lines if line.startswith("#")))
    if not said.get("uses"):
        raise DataError(
            f"Similarity {name} does not say what it has seen of the targets: write a line `# uses: nothing` at its top "
            "(or unlabelled, target-dev, …), since whatever is chosen by it has seen the same."
        )
    words = said["uses"].replace(",", " ").split()
    table = "".join(line for line in lines if not line.startswith("#"))
    return read_csv(
        table,
        name=name,
        provenance=said.get("provenance") or f"{name}, which does not say where it comes from",
        uses=frozenset(check_uses(words, f"the similarity {name}")),
    )


def _said(comments: str) -> dict[str, str]:
    """Return what the comment lines say, by key in lower case: ``# uses: target-dev``."""
    pairs = (line.lstrip("# ").partition(":") for line in comments.splitlines())
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def write_csv(matrix: SimilarityMatrix) -> str:
    """Return a matrix as the text that :func:`parse` reads, each number with as many digits as bring back its bits."""
    stream = io.StringIO()
    stream.write(
        f"# similarity: {matrix.name}\n# provenance: {matrix.provenance}\n# uses: {' '.join(sorted(matrix.uses))}\n"
    )
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["", *matrix.locales])
    writer.writerows([t, *map(repr, row)] for t, row in zip(matrix.targets, matrix.values.tolist(), strict=True))
    return stream.getvalue()


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
    expected, shape = (len(matrix.targets), len(matrix.locales)), matrix.values.shape
    if shape != expected or 0 in expected:
        raise DataError(
            f"Similarity {matrix.name}: {expected[0]} targets and {expected[1]} sources need values of shape {expected}, "
            f"at least (1, 1); got {shape}."
        )
    for names, what in ((matrix.targets, "row"), (matrix.locales, "column")):
        twice = [locale for locale, count in Counter(names).items() if count > 1]
        if twice:
            raise DataError(
                f"Similarity {matrix.name}: a locale may have one {what} only; {', '.join(twice)} has several."
            )
    holes = np.argwhere(~np.isfinite(matrix.values))
    if len(holes):
        i, j = holes[0]
        raise DataError(
            f"Similarity {matrix.name}: row {matrix.targets[i]} (target), column {matrix.locales[j]} (source) holds "
            f"{matrix.values[i, j]}; every value must be a finite number ({len(holes)} are not)."
        )
