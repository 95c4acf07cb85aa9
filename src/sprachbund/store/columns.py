"""What one model answers to many locales: predictions by columns, in one Parquet file.

    {results}/transfer/{split}/{source}.parquet
    locale, id, gold, predicted       text, each distinct one written once
    confidence, gold_probability      float32, the bytes of a number apart (their first ones are much alike), all under zstd

The file's metadata holds a digest of each locale's rows. The source's zero-shot row, the JSON beside it, says what is done and
names the same digests; rows that it does not name are not there. So the file can be written first: whoever is killed between
the two leaves a row that finds in the file all that it found before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sprachbund import files
from sprachbund.errors import StoreError
from sprachbund.untrusted import parse_json

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]

__all__ = ["Columns", "Hits", "digests_in", "hits", "read", "write"]

Floats = npt.NDArray[np.float32 | np.float64]

TEXTS, NUMBERS = ("locale", "id", "gold", "predicted"), ("confidence", "gold_probability")
METADATA = b"sprachbund"


@dataclass(frozen=True, eq=False)
class Columns:
    """The predictions of one model for one locale, in the order of the data set."""

    ids: Sequence[str]
    gold: Sequence[str]
    predicted: Sequence[str]
    confidence: Floats
    """Probability of the predicted intent, to six decimals."""
    gold_probability: Floats
    """Probability of the gold intent, to six significant digits; 0 where the model lacks it."""

    def digest(self) -> str:
        """Return the SHA-256 of all values, in their order."""
        texts = json.dumps([[*self.ids], [*self.gold], [*self.predicted]], ensure_ascii=False)
        numbers = (np.asarray(column, "<f4").tobytes() for column in (self.confidence, self.gold_probability))
        return hashlib.sha256(b"".join([texts.encode(), *numbers])).hexdigest()


@dataclass(frozen=True, eq=False)
class Hits:
    """Where one model is right for one locale, in the order of the data set."""

    ids: pyarrow.Array
    right: npt.NDArray[np.bool_]
    """[ids]"""


def write(path: Path, answers: Mapping[str, Columns]) -> None:
    """Write the predictions for some locales, atomically."""
    import pyarrow
    from pyarrow import parquet

    names = {"id": "ids"} | {name: name for name in (*TEXTS[2:], *NUMBERS)}
    parts = [
        pyarrow.table(
            {"locale": [locale] * len(rows.ids)} | {name: getattr(rows, field) for name, field in names.items()},
            schema=_schema(),
        )
        for locale, rows in answers.items()
    ]
    digests = {locale: rows.digest() for locale, rows in answers.items()}
    table = pyarrow.concat_tables(parts).replace_schema_metadata({METADATA: json.dumps(digests)})
    buffer = pyarrow.BufferOutputStream()
    parquet.write_table(
        table,
        buffer,
        compression="zstd",
        use_dictionary=[*TEXTS],
        use_byte_stream_split=[*NUMBERS],
        row_group_size=len(table),
    )
    files.write_bytes(path, memoryview(buffer.getvalue()))


def digests_in(path: Path) -> dict[str, str]:
    """Return the digest of each locale's rows; a file that is not there has none.

    Raises:
        StoreError: it is damaged.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        found = parse_json(parquet.read_metadata(path).metadata[METADATA])
        return {str(locale): str(digest) for locale, digest in found.items()}
    except FileNotFoundError:
        return {}
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path) from error


def read(path: Path, wanted: Mapping[str, str]) -> dict[str, Columns]:
    """Return the predictions for those locales whose digest is the one that is wanted; others are not there.

    Raises:
        StoreError: the file is damaged.
    """
    import pyarrow
    from pyarrow import parquet

    there = _there(path, wanted)
    if not there:
        return {}
    try:
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            table = file.read(use_threads=False)
            found = {locale: _columns(table, locale) for locale in there}
        if any(rows.digest() != there[locale] for locale, rows in found.items()):
            raise _damaged(path)
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path) from error
    return found


def hits(path: Path, wanted: Mapping[str, str]) -> dict[str, Hits]:
    """Return where the model is right for those locales whose digest the file names as the one that is wanted.

    What :func:`read` recomputes, the digest of the rows, is taken from the file: for all answers of many models that would take
    a minute. Whoever asks knows how many are right, and looks whether they are.

    Raises:
        StoreError: the file is damaged.
    """
    import pyarrow
    from pyarrow import parquet

    there = _there(path, wanted)
    if not there:
        return {}
    try:
        with parquet.ParquetFile(path, pre_buffer=False, read_dictionary=[*TEXTS[:1], *TEXTS[2:]]) as file:
            table = file.read(columns=[*TEXTS], use_threads=False).unify_dictionaries().combine_chunks()
        columns = {name: table.column(name).combine_chunks() for name in TEXTS}
        (names, places), gold, predicted = (_coded(columns[name]) for name in ("locale", *TEXTS[2:]))
        numbers = {name: number for number, name in enumerate(gold[0])}
        right = np.array([numbers.get(name, -1) for name in predicted[0]], dtype=np.int64)[predicted[1]] == gold[1]
        rows = {locale: np.flatnonzero(places == names.index(locale)) for locale in there}
        return {locale: Hits(columns["id"].take(pyarrow.array(its)), right[its]) for locale, its in rows.items()}
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise _damaged(path) from error


def _there(path: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return those of the wanted digests, by locale, that the file names, too."""
    named = digests_in(path)
    return {locale: digest for locale, digest in wanted.items() if digest and named.get(locale) == digest}


def _coded(column: pyarrow.DictionaryArray) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Return the distinct texts of a column, and the place of each row's among them."""
    return column.dictionary.to_pylist(), column.indices.to_numpy()


def _schema() -> pyarrow.Schema:
    import pyarrow

    texts = [(name, pyarrow.string()) for name in TEXTS]
    return pyarrow.schema([*texts, *((name, pyarrow.float32()) for name in NUMBERS)])


def _columns(table: pyarrow.Table, locale: str) -> Columns:
    from pyarrow import compute

    rows = table.filter(compute.equal(table.column("locale"), locale))
    ids, gold, predicted = (rows.column(name).to_pylist() for name in TEXTS[1:])
    confidence, gold_probability = (rows.column(name).to_numpy() for name in NUMBERS)
    return Columns(ids, gold, predicted, confidence, gold_probability)


def _damaged(path: Path) -> StoreError:
    return StoreError(f"{path} is damaged: delete it, and start the run again, which evaluates the source anew.")
