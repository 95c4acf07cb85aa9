"""Layouts that MASSIVE's rows lie in, each read into the same :class:`Row` objects.

JsonlFolder     {locale}.jsonl                                  the official layout; labels are names
HubFolder       {locale}/{train,validation,test}/0000.parquet   the hub's; labels are numbers, named in the schema
ParquetFolder   {locale}.parquet                                the cache's, made of an archive; the columns of a row
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from sprachbund.data.schema import PARTITIONS, Row
from sprachbund.errors import DataError
from sprachbund.untrusted import Unreadable, lines_of, parse_json

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]

__all__ = [
    "COLUMNS",
    "ENCODING",
    "HUB_SPLITS",
    "HubFolder",
    "JsonlFolder",
    "ParquetFolder",
    "Reader",
    "hub_rows",
    "parse_lines",
    "read_table",
    "strings",
    "write_rows",
]

COLUMNS = tuple(field.name for field in fields(Row))
ENCODING = "utf-8-sig"
"""UTF-8; the mark that some editors put before it is no part of the first row."""
HUB_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
"""The hub's names for the partitions."""
MOST_ROWS = 10_000_000
"""Of one Parquet file: its pages can be a thousand times smaller than what they hold."""
_PLACES = ("", "data", "1.1/data")


class Reader(Protocol):
    """Reads the rows of locales from one layout."""

    @property
    def apart(self) -> bool:
        """Whether a split can be read without the others."""

    @property
    def locales(self) -> frozenset[str]:
        """The locales that there are files of."""

    def rows(self, locale: str, split: str | None = None) -> Iterable[Row]:
        """Yield the rows of a locale: of one split if that is asked for and can be read alone, else of all."""


class JsonlFolder:
    """``{locale}.jsonl`` in a folder, or in a folder in it where the archive has them."""

    apart = False

    def __init__(self, root: Path) -> None:
        candidates = (root / place for place in _PLACES)
        self.root = next((folder for folder in candidates if any(folder.glob("*-*.jsonl"))), root)

    @cached_property
    def locales(self) -> frozenset[str]:
        """The names of the files."""
        return frozenset(path.stem for path in self.root.glob("*.jsonl"))

    def rows(self, locale: str, split: str | None = None) -> Iterator[Row]:
        """Yield all rows of a file."""
        path = self.root / f"{locale}.jsonl"
        with path.open("rb") as stream:
            yield from parse_lines(stream, str(path))


class HubFolder:
    """A copy of the hub's parquet branch."""

    apart = True

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def locales(self) -> frozenset[str]:
        """The folders with a file of some split in them."""
        found = (path for name in HUB_SPLITS.values() for path in self.root.glob(f"*/{name}/*.parquet"))
        return frozenset(path.parent.parent.name for path in found)

    def rows(self, locale: str, split: str | None = None) -> Iterator[Row]:
        """Yield the rows of one split, or of all; a split without a file has none."""
        for name in PARTITIONS if split is None else (split,):
            for path in sorted(self.root.glob(f"{locale}/{HUB_SPLITS[name]}/*.parquet")):
                yield from hub_rows(path, locale, name)


class ParquetFolder:
    """Files that :func:`write_rows` wrote."""

    apart = False

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def locales(self) -> frozenset[str]:
        """The names of the files."""
        return frozenset(path.stem for path in self.root.glob("*.parquet"))

    def rows(self, locale: str, split: str | None = None) -> Iterator[Row]:
        """Yield all rows of a file."""
        path = self.root / f"{locale}.parquet"
        table = read_table(path, COLUMNS)
        yield from map(Row, *(strings(table, column, str(path)) for column in COLUMNS))


def parse_lines(stream: IO[bytes], file: str) -> Iterator[Row]:
    """Yield the rows of a file of lines of JSON; empty lines between or after them say nothing.

    Raises:
        DataError: a line is no row, the file is not UTF-8 or empty; names file and line.
    """
    number = 0
    for number, line in enumerate(_bounded(stream, file), start=1):
        try:
            text = line.decode(ENCODING if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{file} is not UTF-8: save it as that, or download or unpack it again.") from error
        if text.strip():
            yield _row(text, f"{file}, line {number}")
    if not number:
        raise DataError(f"{file} is empty: download or unpack it again.")


def _bounded(stream: IO[bytes], file: str) -> Iterator[bytes]:
    try:
        yield from lines_of(stream)
    except Unreadable as error:
        raise DataError(f"{file}, line {error.line} is not a row of MASSIVE ({error}): mend or remove it.") from error


def _row(line: str, where: str) -> Row:
    try:
        entry = parse_json(line)
    except Unreadable as error:
        raise DataError(f"{where} is not JSON, perhaps cut off: download or unpack the file again.") from error
    values = {column: entry.get(column) if isinstance(entry, dict) else None for column in COLUMNS}
    texts = {column: value for column, value in values.items() if isinstance(value, str)}
    for column in COLUMNS:
        if column not in texts:
            raise DataError(f"{where} is not a row of MASSIVE, it has no text under {column!r}: mend or remove it.")
    return Row(**texts)


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write rows as :class:`ParquetFolder` reads them."""
    import pyarrow
    from pyarrow import parquet

    columns: list[list[str]] = [[] for _ in COLUMNS]
    for row in rows:
        for column, name in zip(columns, COLUMNS, strict=True):
            column.append(getattr(row, name))
    table = pyarrow.table(
        {name: pyarrow.array(column, "string") for name, column in zip(COLUMNS, columns, strict=True)}
    )
    parquet.write_table(table, path, compression="zstd")


def hub_rows(path: Path, locale: str, split: str) -> Iterator[Row]:
    """Yield the rows of one file of the hub's parquet branch; the file decides which split they are of.

    Raises:
        DataError: the file cannot be read, lacks a column, or numbers labels that it does not name.
    """
    # Files of the hub name the locale, but a copy may leave that to the folder.
    table = read_table(path, ("id", "scenario", "intent", "utt"), also=("locale",))
    names = class_names(table, path)
    columns = {
        column: strings(table, column, str(path), names.get(column, ()))
        for column in ("id", "scenario", "intent", "utt", "locale")
        if column in table.column_names
    }
    for number, id_ in enumerate(columns["id"]):
        yield Row(
            id=id_,
            locale=columns["locale"][number] if "locale" in columns else locale,
            partition=split,
            scenario=columns["scenario"][number],
            intent=columns["intent"][number],
            utt=columns["utt"][number],
        )


def read_table(path: Path, columns: Sequence[str] = (), also: Sequence[str] = ()) -> pyarrow.Table:
    """Return columns of a Parquet file, and those of ``also`` that it has; all of them where none are named.

    Raises:
        DataError: it is none, or lacks a column.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            if file.metadata.num_rows > MOST_ROWS:
                raise DataError(
                    f"{path} has {file.metadata.num_rows:,} rows, {MOST_ROWS:,} are read: take a part of it."
                )
            there = file.schema_arrow.names
            missing = [column for column in columns if column not in there]
            if missing:
                raise DataError(
                    f"{path} has no column {missing[0]!r}, only {', '.join(there)}: take the file of the right data set."
                )
            return file.read([*columns, *(column for column in also if column in there)] or None)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        raise DataError(f"{path} cannot be read as Parquet: download or make it again.") from error


def class_names(table: pyarrow.Table, path: Path) -> dict[str, Sequence[str]]:
    """Return the names of the labels that columns number, as ``datasets`` writes them into the schema.

    Raises:
        DataError: what is written there is something else.
    """
    metadata = (table.schema.metadata or {}).get(b"huggingface")
    try:
        features = parse_json(metadata)["info"]["features"] if metadata else {}
        named = {column: feature["names"] for column, feature in features.items() if "names" in feature}
        if not all(
            isinstance(names, list) and all(isinstance(name, str) for name in names) for names in named.values()
        ):
            raise TypeError("names are texts")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{path} does not name its labels as the hub's files do: download or make it again.") from error
    return named


def strings(table: pyarrow.Table, column: str, file: str, names: Sequence[str] = ()) -> list[str]:
    """Return a column as text; numbers are places in ``names`` where there are some.

    Raises:
        DataError: a row has no text there; names file, row (from 1) and column.
    """
    try:
        values: list[object] = table.column(column).to_pylist()
    except UnicodeDecodeError as error:
        raise DataError(f"{file} holds bytes under {column!r} that are no UTF-8: download or make it again.") from error
    found = values
    if names:
        found = [names[value] if isinstance(value, int) and 0 <= value < len(names) else value for value in values]
    texts = [value for value in found if isinstance(value, str)]
    if len(texts) < len(found):
        number = next(place for place, value in enumerate(found, start=1) if not isinstance(value, str))
        raise DataError(f"{file}, row {number} has no text under {column!r}: mend or remove it.")
    return texts
