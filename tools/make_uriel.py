"""Make ``src/sprachbund/similarity/uriel_data/syntax_knn.csv`` from lang2vec's feature table.

    python -m pip download --no-deps --dest build lang2vec==1.1.2
    python tools/make_uriel.py build/lang2vec-1.1.2-py3-none-any.whl

The argument is the wheel or an unpacked (installed) ``lang2vec`` folder. The package is never imported: that would need
``pkg_resources``, which current setuptools no longer has, and all that is wanted is one ``.npz`` file in it.

``feature_predictions.npz`` holds ``data [7970 languages, 289 features, 1 source]`` of zeros and ones, with ``langs``
and ``feats`` naming the axes; the syntax features are those that begin with ``S_``.

A table that is already there and agrees to 1e-12 is left alone: another machine's matrix product may round the last
bits differently, and they decide a tie in the original experiment's selection (see
``sprachbund/similarity/uriel.py``).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

from sprachbund import locales
from sprachbund.errors import DataError, SprachbundError
from sprachbund.similarity.matrix import FloatArray, read_csv

TABLE = "data/feature_predictions.npz"
TABLE_SHA256 = "0e8af1bdb29e1bd71343d495d4fd4e1cd523e934e6d5fa42b72262ca8d8151b8"
"""Of lang2vec 1.1.2: another release would give another similarity under the same name."""

OUTPUT = Path(__file__).parents[1] / "src/sprachbund/similarity/uriel_data/syntax_knn.csv"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description="Make URIEL's syntax_knn similarity from lang2vec 1.1.2.")
    parser.add_argument("lang2vec", type=Path, help="the wheel, or the folder of the installed package")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: the package's own table")
    options = parser.parse_args(arguments)
    try:
        text = to_csv(locales.names(), cosines(syntax_vectors(read_table(options.lang2vec))))
        print(write(text, options.output))
    except SprachbundError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


def read_table(lang2vec: Path) -> bytes:
    """Return the bytes of the feature table, from a wheel or a folder."""
    if lang2vec.is_dir():
        table = (lang2vec / TABLE).read_bytes()
    else:
        with zipfile.ZipFile(lang2vec) as wheel:
            table = wheel.read(f"lang2vec/{TABLE}")
    digest = hashlib.sha256(table).hexdigest()
    if digest != TABLE_SHA256:
        raise DataError(f"{lang2vec}: {TABLE} has SHA-256 {digest}, not that of lang2vec 1.1.2, {TABLE_SHA256}.")
    return table


def syntax_vectors(table: bytes) -> FloatArray:
    """Return the syntax features of every locale's language, [52, 103] of zeros and ones."""
    with np.load(io.BytesIO(table), allow_pickle=False) as arrays:
        row_of = {str(code): row for row, code in enumerate(arrays["langs"])}
        is_syntax = np.char.startswith(arrays["feats"], "S_")
        rows = [row_of[locale.lang2vec_code] for locale in locales.LOCALES]
        vectors: FloatArray = arrays["data"][rows][:, is_syntax, 0].astype(np.float64)
    if not np.isin(vectors, (0.0, 1.0)).all():
        raise DataError("Predicted features must be 0 or 1; the table holds other values.")
    return vectors


def cosines(vectors: FloatArray) -> FloatArray:
    """Return the cosine of every pair, [n, n]; the vectors are scaled first, as the original did."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    values: FloatArray = np.minimum(unit @ unit.T, 1.0)
    np.fill_diagonal(values, 1.0)
    return values


def to_csv(names: tuple[str, ...], values: FloatArray) -> str:
    """Return the table as text, each number with as many digits as bring back its bits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["", *names])
    writer.writerows([name, *map(repr, row)] for name, row in zip(names, values.tolist(), strict=True))
    return stream.getvalue()


def write(text: str, output: Path) -> str:
    """Write the table unless it is there already; return what was done, for people."""
    if output.exists() and agree(text, output.read_text(encoding="utf-8")):
        return f"{output} already holds these numbers (to 1e-12); left as it is."
    output.write_text(text, encoding="utf-8")
    return f"Wrote {output}."


def agree(one: str, other: str) -> bool:
    """Return whether two tables hold the same locales and, to 1e-12, the same numbers."""
    a, b = (read_csv(text, name="uriel:syntax_knn", provenance="", uses=frozenset()) for text in (one, other))
    return a.locales == b.locales and bool(np.allclose(a.values, b.values, rtol=0, atol=1e-12))


if __name__ == "__main__":
    sys.exit(main())
