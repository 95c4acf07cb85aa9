"""MASSIVE 1.1 (FitzGerald et al. 2023, arXiv:2204.08582) from files in the official layout.

``massive:PATH`` takes a folder of ``{locale}.jsonl`` (or one that holds it as ``1.1/data`` or ``data``) or the official
tarball.
"""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import IO

from sprachbund import locales
from sprachbund.data.schema import DataSet, Row
from sprachbund.errors import DataError

__all__ = ["INTENTS", "MassiveData", "load"]

INTENTS: tuple[str, ...] = tuple(files("sprachbund.data").joinpath("massive_intents.txt").read_text("utf-8").split())
"""In the order of the hub's ClassLabel, which is not alphabetical: position = label number."""
_PLACES = ("", "data", "1.1/data")
_COLUMNS = ("id", "locale", "partition", "scenario", "intent", "utt")
_ENCODING = "utf-8-sig"
"""UTF-8; the mark that some editors put before it is no part of the first row."""


def load(argument: str) -> MassiveData:
    """Return MASSIVE from a folder or tarball.

    Raises:
        DataError: no path was given, or there is nothing of MASSIVE at it.
    """
    if not argument:
        raise DataError(
            "MASSIVE is not on this machine and cannot be fetched yet: name a folder or tarball, --data massive:PATH."
        )
    path = Path(argument).expanduser()
    if not path.exists():
        raise DataError(f"--data massive:{argument}: there is no {path}, check the path.")
    reader = _Folder(path) if path.is_dir() else _Tarball(path)
    found = tuple(name for name in locales.names() if name in reader.locales)
    if not found:
        raise DataError(
            f"--data massive:{argument}: there is no file such as sq-AL.jsonl in it: name the folder or tarball that has them."
        )
    return MassiveData(
        name="massive",
        revision="1.1",
        licence="CC-BY-4.0",
        notice="MASSIVE 1.1, © Amazon.com Inc. or its affiliates, CC BY 4.0, derived from SLURP (CC BY 4.0).",
        demonstration=False,
        intents=INTENTS,
        locales=found,
        reader=reader,
    )


class _Folder:
    """``{locale}.jsonl`` in a folder."""

    def __init__(self, root: Path) -> None:
        candidates = (root / place for place in _PLACES)
        self.root = next((folder for folder in candidates if any(folder.glob("*-*.jsonl"))), root)

    @cached_property
    def locales(self) -> frozenset[str]:
        return frozenset(path.stem for path in self.root.glob("*.jsonl"))

    def file(self, locale: str) -> str:
        """Name the file of a locale, for messages."""
        return str(self.root / f"{locale}.jsonl")

    def lines(self, locale: str) -> Iterator[str]:
        with (self.root / f"{locale}.jsonl").open(encoding=_ENCODING) as stream:
            yield from stream


class _Tarball:
    """The official archive; it is read through once and kept as bytes, since a compressed tar cannot be entered midway."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _members(self) -> dict[str, bytes]:
        try:
            with tarfile.open(self.path) as archive:
                members = {
                    Path(member.name).stem: _content(archive.extractfile(member))
                    for member in archive
                    if member.isfile() and member.name.endswith(".jsonl") and not Path(member.name).name.startswith(".")
                }
                while archive.fileobj.read(1 << 20):  # tarfile stops before the end, where gzip keeps its checksum
                    pass
                return members
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
            raise DataError(
                f"{self.path} cannot be read as a tar archive ({reason}): download it again, or name the unpacked folder."
            ) from error

    @property
    def locales(self) -> frozenset[str]:
        return frozenset(self._members)

    def file(self, locale: str) -> str:
        """Name the file of a locale, for messages."""
        return f"{locale}.jsonl in {self.path}"

    def lines(self, locale: str) -> Iterator[str]:
        yield from io.TextIOWrapper(io.BytesIO(self._members[locale]), encoding=_ENCODING)


def _content(stream: IO[bytes] | None) -> bytes:
    return stream.read() if stream else b""


@dataclass
class MassiveData(DataSet):
    """MASSIVE, read locale by locale."""

    reader: _Folder | _Tarball = field(kw_only=True, repr=False)

    def rows(self, locale: str) -> Iterable[Row]:
        """Yield the rows of a locale's file; empty lines between or after them say nothing."""
        file, number = self.reader.file(locale), 0
        try:
            for number, line in enumerate(self.reader.lines(locale), start=1):
                if line.strip():
                    yield _row(line, f"{file}, line {number}")
        except UnicodeDecodeError as error:
            raise DataError(f"{file} is not UTF-8: save it as that, or download or unpack it again.") from error
        if not number:
            raise DataError(f"{file} is empty: download or unpack it again.")


def _row(line: str, where: str) -> Row:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not JSON, perhaps cut off: download or unpack the file again.") from error
    values = {column: entry.get(column) if isinstance(entry, dict) else None for column in _COLUMNS}
    texts = {column: value for column, value in values.items() if isinstance(value, str)}
    for column in _COLUMNS:
        if column not in texts:
            raise DataError(f"{where} is not a row of MASSIVE, it has no text under {column!r}: mend or remove it.")
    return Row(**texts)
