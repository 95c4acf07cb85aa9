"""A zoo as a file: a row per locale, for sources that no template names.

locale,model                                  CSV, TSV with tabs; JSON Lines with the same two keys
sq-AL,my-org/xlmr-albanian@v2:best
el-GR,greek                                   a folder, from where the file is

{"sq-AL": "my-org/xlmr-albanian@v2:best"}     JSON, or the same in YAML
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sprachbund.errors import UnknownName, UserError
from sprachbund.untrusted import Unreadable, compose_yaml, parse_json, read_text

__all__ = ["ENDINGS", "read_zoo_file"]

COLUMNS = ("locale", "model")
Rows = Iterator[tuple[str, Any, Any]]
"""(where it stands, locale, model); nothing is checked yet."""


def read_zoo_file(path: Path) -> dict[str, str]:
    """Return the model of each locale, as the file has them.

    Raises:
        UserError: there is no such file, or something in it is amiss; says what and where.
    """
    try:
        rows = list(_READERS[path.suffix.lower()](path, read_text(path, "utf-8-sig")))
    except FileNotFoundError:
        raise UserError(f"--models: there is no file {path}: check the name.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: save it as UTF-8.") from error
    except Unreadable as error:
        raise UserError(f"{path} cannot be read ({error}): name a file with a row for each source.") from error
    models: dict[str, str] = {}
    for where, locale, model in rows:
        for value, what in ((locale, "locale"), (model, "model")):
            if not isinstance(value, str) or not value.strip():
                raise UserError(f"{path}, {where}: there is no {what}: give each row a locale and a model.")
        if locale.strip() in models:
            raise UserError(f"{path}, {where}: {locale.strip()} stands there twice: leave one of the rows out.")
        models[locale.strip()] = model.strip()
    if not models:
        raise UserError(f"{path} names no source: write a row for each, with its locale and its model.")
    return models


def _table(delimiter: str) -> Callable[[Path, str], Rows]:
    def read(path: Path, text: str) -> Rows:
        lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="", strict=True)
        try:
            if lines.fieldnames:
                _check_columns(path, [name.strip() for name in lines.fieldnames])
                lines.fieldnames = [name.strip() for name in lines.fieldnames]
            for row in lines:
                if "" in row:
                    raise UserError(
                        f"{path}, line {lines.line_num}: there are more than two cells: quote what has a comma."
                    )
                yield f"line {lines.line_num}", row["locale"], row["model"]
        except csv.Error as error:
            raise UserError(f"{path}, line {lines.line_num}: this is no row of a table ({error}): mend it.") from error

    return read


def _lines(path: Path, text: str) -> Rows:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            row = _json(path, line, f", line {number}")
            if not isinstance(row, tuple):
                raise UserError(f"{path}, line {number}: this is no JSON object: give it a locale and a model.")
            _check_columns(path, [name for name, _ in row])
            yield f"line {number}", dict(row)["locale"], dict(row)["model"]


def _object(path: Path, text: str) -> Rows:
    found = _json(path, text) if text.strip() else ()
    if not isinstance(found, tuple):
        raise UserError(f"{path} is no JSON object: write {{locale: model}}.")
    for locale, model in found:
        yield f"entry {locale}", locale, model


def _json(path: Path, text: str, where: str = "") -> Any:
    """Return what JSON says, with objects as tuples of pairs: a dict would swallow what stands there twice."""
    try:
        return parse_json(text, pairs=tuple)
    except Unreadable as error:
        raise UserError(f"{path}{where} is not JSON ({error}): mend it.") from error


def _yaml(path: Path, text: str) -> Rows:
    # Nodes, not values: what stands there twice is seen, and the Norwegian locale "no" is no boolean.
    try:
        found = compose_yaml(text)
    except Unreadable as error:
        raise UserError(f"{path}{f', line {error.line}' if error.line else ''} is not YAML: mend it.") from error
    if found is None:
        return
    if not isinstance(found, yaml.MappingNode):
        raise UserError(f"{path} is no mapping: write a line 'locale: model' for each source.")
    for locale, model in found.value:
        yield f"line {locale.start_mark.line + 1}", locale.value, model.value


_READERS: Mapping[str, Callable[[Path, str], Rows]] = {
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".jsonl": _lines,
    ".json": _object,
    ".yaml": _yaml,
    ".yml": _yaml,
}
ENDINGS = tuple(_READERS)


def _check_columns(path: Path, names: Iterable[str]) -> None:
    names = list(names)
    for name in names:
        if name not in COLUMNS:
            raise UnknownName("column", name, COLUMNS, f"Each row of {path} has a locale and a model.")
    for column in COLUMNS:
        if names.count(column) != 1:
            raise UserError(f"{path} needs the column {column!r} once: its first line is 'locale' and 'model'.")
