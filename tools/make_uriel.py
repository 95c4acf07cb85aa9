"""Make the tables in ``src/sprachbund/similarity/uriel_data/`` from lang2vec's feature tables.

    python -m pip download --no-deps --dest build lang2vec==1.1.2
    python tools/make_uriel.py build/lang2vec-1.1.2-py3-none-any.whl

The argument is the wheel or an unpacked (installed) ``lang2vec`` folder. How it is read, and what stands for what nobody
knows, is in ``sprachbund/similarity/lang2vec.py``.

A table that is already there and agrees to 1e-12 is left alone: another machine's matrix product may round the last
bits differently, and they decide a tie in the original experiment's selection (see
``sprachbund/similarity/uriel.py``).
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path

import numpy as np

from sprachbund import locales
from sprachbund.errors import SprachbundError
from sprachbund.similarity.lang2vec import FEATURE_SETS, cosines, read_vectors
from sprachbund.similarity.matrix import FloatArray, read_csv

OUTPUT = Path(__file__).parents[1] / "src/sprachbund/similarity/uriel_data"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description="Make URIEL's similarities from lang2vec 1.1.2.")
    parser.add_argument("lang2vec", type=Path, help="the wheel, or the folder of the installed package")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder; default: the package's own tables")
    options = parser.parse_args(arguments)
    names = locales.names()
    try:
        for features in FEATURE_SETS.values():
            values = cosines(read_vectors(options.lang2vec, features, names), names, features.name)
            print(write(to_csv(names, values), options.output / f"{features.name}.csv"))
    except SprachbundError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


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
    a, b = (read_csv(text, name="uriel", provenance="", uses=frozenset({"nothing"})) for text in (one, other))
    return a.locales == b.locales and bool(np.allclose(a.values, b.values, rtol=0, atol=1e-12))


if __name__ == "__main__":
    sys.exit(main())
