"""``table:PATH``: any labelled texts in several languages, from CSV, TSV, JSON Lines or Parquet.

A file whose columns have usual names is all it takes::

    locale,split,text,label
    sw-KE,train,Amani leo jioni,politics
    yo,test,Ìròyìn tuntun,sports

What is named otherwise is described in a YAML file, ``table:news.yaml``, whose keys are the fields of :class:`Description`::

    files: ["{locale}/{split}.tsv"]          # beside the YAML file; *, ? and [] stand for any, {locale} and {split} for both
    columns: {text: headline, label: desk}   # our names: theirs
    locales: {swh_Latn: sw-KE}               # theirs: ours; languages that are not among MASSIVE's 52 keep their names
    splits: {validation: dev}                # theirs: ours
    labels: [politics, sports, travel]       # their order; without, the order of the alphabet
    name: news
    licence: CC-BY-4.0
    notice: Headlines of our own papers.

Ids that several locales share mean translations. Without a column of ids each row gets one of its own, and nothing is matched.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sprachbund import digests, locales
from sprachbund.data.layouts import ENCODING, class_names, read_table
from sprachbund.data.schema import PARTITIONS, DataSet, Row, check_name
from sprachbund.errors import DataError, UnknownName, nearest
from sprachbund.untrusted import Unreadable, lines_of, parse_json, read_yaml

__all__ = ["Description", "TableData", "load", "read_texts"]

USUAL = {
    "locale": ("locale", "lang", "language"),
    "text": ("text", "utt", "utterance", "sentence"),
    "label": ("label", "intent", "category", "topic"),
    "split": ("split", "partition"),
    "id": ("id",),
    "scenario": ("scenario",),
}
"""Our names of columns, and what they are usually called; the first that a file has counts."""
OPTIONAL = frozenset({"id", "scenario"})
SPLITS = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev", "test": "test"}
READ = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".parquet": ""}
"""The endings that are read, with what separates the columns of a line."""
DESCRIBED = {".yaml", ".yml"}

Record = Mapping[str, Any]
Placed = tuple[Path, Mapping[str, str]]
"""A file, and what its name says of locale and split."""


class Description(BaseModel):
    """How a table is to be read; closed: a key that is none of these is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: str | tuple[str, ...]
    """One or several, beside the description; patterns, with ``{locale}`` and ``{split}`` where names say these."""
    columns: dict[str, str | None] = {}
    """Our names of columns to theirs; ``id: null`` where a column of that name holds no ids."""
    locales: dict[str, str] = {}
    """Their names of locales to ours; those that are not listed keep their own."""
    splits: dict[str, str] = {}
    """Their names of splits to ours, besides the usual ones."""
    labels: tuple[str, ...] = ()
    """All labels in their order; by default those that occur, in the order of the alphabet."""
    name: str | None = None
    licence: str = "unknown"
    notice: str | None = None
    revision: str | None = None


@dataclass
class TableData(DataSet):
    """Rows that were all read when the table was opened: only all of them tell which labels there are."""

    held: Mapping[str, tuple[Row, ...]] = field(kw_only=True, repr=False)

    def rows(self, locale: str) -> Iterable[Row]:
        """Return the rows of a locale, in the order of the files."""
        return self.held[locale]


def load(argument: str) -> TableData:
    """Return a table from a file, or from the YAML file that describes one.

    Raises:
        DataError: there is none, it cannot be read, or a row lacks something; names file and row.
        UnknownName: a key, column, split or label that is not among the known ones.
    """
    if not argument:
        raise DataError(
            "--data table needs a file: --data table:PATH (CSV, TSV, JSON Lines, Parquet, or YAML that describes it)."
        )
    path = Path(argument).expanduser()
    if not path.is_file():
        raise DataError(f"--data table:{argument}: there is no file {path}, check the path.")
    described = path.suffix in DESCRIBED
    description = _described(path) if described else Description(files=())
    placed = _placed(description, path) if described else [(path, {})]
    reader = _Reader(description)
    rows = [row for file, said in placed for row in reader.rows(file, said)]
    _check_mapped(path, description.locales, reader.seen)
    labels = description.labels or tuple(sorted({row.intent for row in rows}))
    return TableData(
        name=description.name or f"table:{path.stem}",
        revision=description.revision
        or f"sha256 {digests.of_value([digests.of_file(file) for file, _ in placed])[:12]}",
        licence=description.licence,
        notice=_notice(description, path, matched=reader.matched),
        demonstration=False,
        intents=labels,
        locales=tuple(dict.fromkeys(row.locale for row in sorted(rows, key=lambda row: locales.position(row.locale)))),
        held=_by_locale(rows),
    )


def read_texts(path: Path, column: str | None = None) -> tuple[str, ...]:
    """Return the texts of one table, row by row, from the column of that name, by default a usual one.

    Raises:
        DataError: there is no such table, it cannot be read, has no such column, or a row has no text; names file and row.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise DataError(
            f"{path} {what}: name a table of texts ({', '.join(READ)}), or a text file with one text a line."
        )
    names = (column,) if column else USUAL["text"]
    texts = []
    for where, record in _records(path):
        theirs = next((name for name in names if name in record), None)
        if theirs is None:
            meant = nearest(names[0], [str(name) for name in record]).rstrip(".")
            looked = " or ".join(map(repr, names))
            raise DataError(f"{where} has no column {looked} for the texts ({meant}): name it with --column.")
        value = record[theirs]
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{where} has no text in its column {theirs!r}: fill it in, or remove the row.")
        texts.append(value.strip())
    return tuple(texts)


def _check_mapped(path: Path, mapped: Iterable[str], seen: Iterable[str]) -> None:
    """Complain of a locale that the description maps and no row has: it is a slip of the pen."""
    for locale in mapped:
        if locale not in seen:
            raise UnknownName(f"locale in {path}", locale, seen, "That is what its rows have.")


def _by_locale(rows: Iterable[Row]) -> dict[str, tuple[Row, ...]]:
    held: dict[str, list[Row]] = {}
    for row in rows:
        held.setdefault(row.locale, []).append(row)
    return {locale: tuple(own) for locale, own in held.items()}


def _notice(description: Description, path: Path, *, matched: bool) -> str:
    said = description.notice or f"Data of {path.name}, licence {description.licence}."
    return said if matched else f"{said} It has no ids: rows of different locales are not matched."


# --- the description ---------------------------------------------------------------------------------------------------


def _described(path: Path) -> Description:
    try:
        content = read_yaml(path, ENCODING)
    except ValueError as error:
        raise DataError(f"{path} is not YAML ({error}): mend it.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold lines `key: value`, files: among them.")
    for key in content:
        if key not in Description.model_fields:
            raise UnknownName(f"key in {path}", str(key), Description.model_fields)
    try:
        description = Description.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: {where}: {first['msg'][:1].lower()}{first['msg'][1:]}: mend it.") from error
    for kind, known, names in (
        ("column", USUAL, description.columns),
        ("split", PARTITIONS, description.splits.values()),
    ):
        for name in names:
            if name not in known:
                raise UnknownName(f"{kind} in {path}", name, known, "That is what we call them.")
    return description


def _placed(description: Description, path: Path) -> list[Placed]:
    """Return the files of a description, each pattern's in the order of the alphabet.

    Raises:
        DataError: a pattern fits no file.
    """
    patterns = (description.files,) if isinstance(description.files, str) else description.files
    placed: dict[Path, Mapping[str, str]] = {}
    for pattern in patterns:
        try:
            found = _matching(path.parent, pattern)
        except (ValueError, NotImplementedError, re.error) as error:
            raise DataError(f"{path}: files: {pattern!r} is no pattern of names: mend it.") from error
        if not found:
            raise DataError(f"{path}: files: there is no {path.parent / pattern}, check the name.")
        placed |= found
    if not placed:
        raise DataError(f"{path}: files: names none, name at least one.")
    return list(placed.items())


def _matching(folder: Path, pattern: str) -> dict[Path, Mapping[str, str]]:
    """Return the files that a pattern fits, with what stands in the places of ``{locale}`` and ``{split}``."""
    if Path(pattern).is_absolute():
        folder, pattern = Path(Path(pattern).anchor), str(Path(pattern).relative_to(Path(pattern).anchor))
    wild = re.sub(r"\{(locale|split)\}", "*", pattern)
    form = re.compile(_expression(pattern))
    found: dict[Path, Mapping[str, str]] = {}
    for path in sorted(folder.glob(wild)):
        match = form.fullmatch(path.relative_to(folder).as_posix())
        if match and path.is_file():
            found[path] = {name: value for name, value in match.groupdict().items() if value}
    return found


def _expression(pattern: str) -> str:
    """Return the regular expression of a pattern; the second place of one name must hold what the first does."""
    parts, seen = [], set()
    for part in re.split(r"(\{locale\}|\{split\}|\*\*/|\*|\?|\[[^]]+\])", Path(pattern).as_posix()):
        name = part[1:-1]
        if part in ("{locale}", "{split}"):
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)")
            seen.add(name)
        else:
            wild = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
            parts.append(wild.get(part) or (part.replace("[!", "[^") if part.startswith("[") else re.escape(part)))
    return "".join(parts)


# --- the files ---------------------------------------------------------------------------------------------------------


class _Reader:
    """Turns records of any file into rows."""

    def __init__(self, description: Description) -> None:
        self.description = description
        self.splits = SPLITS | description.splits
        self.matched = True
        """Whether every file had ids."""
        self.seen: dict[str, None] = {}
        """Their names of locales, in the order in which they came."""
        self._rows: dict[str, int] = {}
        """How many rows of each locale came so far, where ids are made."""

    def rows(self, path: Path, said: Mapping[str, str]) -> Iterator[Row]:
        """Yield the rows of a file; what its name says needs no column.

        Raises:
            DataError: a column is missing, or empty in a row.
        """
        columns: dict[str, str] | None = None
        for number, (where, record) in enumerate(_records(path)):
            if number == 0 or path.suffix == ".jsonl":
                columns = self._columns(path, where, record, said)
            assert columns is not None, "the first record settled it"
            yield self._row(where, {ours: record.get(theirs) for ours, theirs in columns.items()} | dict(said))
        if columns is None:
            raise DataError(f"{path} holds no rows: take another file, or leave it out.")

    def _columns(self, path: Path, where: str, record: Record, said: Mapping[str, str]) -> dict[str, str]:
        """Return our names of the columns that there are, with theirs."""
        columns = {}
        for ours, usual in USUAL.items():
            if ours in said:
                continue
            named = self.description.columns.get(ours)
            if ours in OPTIONAL & self.description.columns.keys() and named is None:
                continue
            theirs = next((name for name in ((named,) if named else usual) if name in record), None)
            if theirs is not None:
                columns[ours] = theirs
            elif named or ours not in OPTIONAL:
                there = nearest(named or ours, [str(name) for name in record])
                looked = repr(named) if named else " or ".join(map(repr, usual))
                raise DataError(
                    f"{where} has no column {looked} for the {ours} ({there.rstrip('.')}): "
                    "rename it, or describe the table in a YAML file (columns:)."
                )
        self.matched &= "id" in columns
        return columns

    def _row(self, where: str, values: Mapping[str, Any]) -> Row:
        texts = {}
        for ours, value in values.items():
            # Labels and ids are often numbers; what is empty, or a list, is nothing to be guessed at.
            if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
                raise DataError(f"{where} has nothing in it for the {ours}: fill it in, or remove the row.")
            texts[ours] = str(value)
        split = self.splits.get(texts["split"])
        if split is None:
            meant = nearest(texts["split"], list(self.splits)).rstrip(".")
            raise DataError(
                f"{where}: split {texts['split']!r} is unknown ({meant}): mend it, or describe it (splits:)."
            )
        self.seen[texts["locale"]] = None
        locale = self.description.locales.get(texts["locale"], texts["locale"])
        check_name(locale, where)
        number = self._rows[locale] = self._rows.get(locale, -1) + 1
        return Row(
            id=texts.get("id", f"{locale}-{number}"),
            locale=locale,
            partition=split,
            scenario=texts.get("scenario", ""),
            intent=texts["label"],
            utt=texts["text"],
        )


def _records(path: Path) -> Iterator[tuple[str, Record]]:
    """Yield the records of a file, each with its place in it."""
    if path.suffix not in READ:
        raise DataError(
            f"{path} ends in {path.suffix or 'nothing'!r}, but {', '.join(READ)} are read: convert or rename it."
        )
    if path.suffix == ".parquet":
        return _of_parquet(path)
    return _of_text(path)


def _of_parquet(path: Path) -> Iterator[tuple[str, Record]]:
    table = read_table(path)
    names = class_names(table, path)
    try:
        records = table.to_pylist()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} holds bytes that are no UTF-8: make it again.") from error
    for number, record in enumerate(records, start=1):
        named = {
            column: names[column][value]
            for column, value in record.items()
            if column in names and isinstance(value, int) and 0 <= value < len(names[column])
        }
        yield f"{path}, row {number}", record | named


def _of_text(path: Path) -> Iterator[tuple[str, Record]]:
    try:
        with path.open("rb") as stream:
            texts = _decoded(stream)
            yield from _of_lines(texts, path) if path.suffix == ".jsonl" else _of_csv(texts, path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: save it as that.") from error
    except Unreadable as error:
        raise DataError(f"{path}, line {error.line} cannot be read ({error}): mend or remove it.") from error


def _decoded(stream: IO[bytes]) -> Iterator[str]:
    return (line.decode(ENCODING if number == 0 else "utf-8") for number, line in enumerate(lines_of(stream)))


def _of_lines(stream: Iterable[str], path: Path) -> Iterator[tuple[str, Record]]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except Unreadable as error:
            raise DataError(f"{path}, line {number} is not JSON, perhaps cut off: mend it.") from error
        if not isinstance(record, dict):
            raise DataError(f"{path}, line {number} is not an object of columns: mend it.")
        yield f"{path}, line {number}", record


def _of_csv(stream: Iterable[str], path: Path) -> Iterator[tuple[str, Record]]:
    reader = csv.DictReader(stream, delimiter=READ[path.suffix], strict=True)
    try:
        for record in reader:
            where = f"{path}, line {reader.line_num}"
            if None in record or None in record.values():
                raise DataError(
                    f"{where} has more or fewer columns than the first line: mend it (are quotes missing?)."
                )
            yield where, record
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.reader.line_num} is not CSV ({error}): mend it.") from error
