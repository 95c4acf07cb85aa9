"""MASSIVE 1.1 (FitzGerald et al. 2023, arXiv:2204.08582) from anywhere: the same rows, whatever layout they lie in.

``massive:PATH`` takes

- a folder of ``{locale}.jsonl``, the official layout (or one that holds it as ``1.1/data`` or ``data``);
- a folder of ``{locale}/{train,validation,test}/0000.parquet``, the layout of the hub's parquet branch;
- the official tarball, however it is compressed: it is read through once, and kept as Parquet in the cache.

``massive`` alone takes what is in the cache, else the hub, else the official address, in this order; one that is no use says
why. Whoever reads them, the rows come out as the same :class:`Row` objects, with the same names of labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from sprachbund import locales
from sprachbund.data import layouts, massive_archive, massive_hub
from sprachbund.data.layouts import Reader
from sprachbund.data.schema import DataSet, Row
from sprachbund.errors import DataError

__all__ = ["INTENTS", "MassiveData", "load"]

INTENTS: tuple[str, ...] = tuple(files("sprachbund.data").joinpath("massive_intents.txt").read_text("utf-8").split())
"""In the order of the hub's ClassLabel, which is not alphabetical: position = label number."""


def load(argument: str = "") -> MassiveData:
    """Return MASSIVE from a folder or tarball or, where none is named, from wherever it can be had.

    Raises:
        DataError: there is nothing of MASSIVE at the path, or it cannot be had; each way that was tried is named.
    """
    reader, origin = _at(argument) if argument else _anywhere()
    return MassiveData(
        name="massive",
        revision="1.1",
        licence="CC-BY-4.0",
        notice=f"MASSIVE 1.1, © Amazon.com Inc. or its affiliates, CC BY 4.0, derived from SLURP (CC BY 4.0); from {origin}.",
        demonstration=False,
        intents=INTENTS,
        locales=tuple(name for name in locales.names() if name in reader.locales),
        translations=True,
        reader=reader,
    )


@dataclass
class MassiveData(DataSet):
    """MASSIVE, read locale by locale and, in the hub's layout, split by split."""

    reader: Reader = field(kw_only=True, repr=False)

    def rows(self, locale: str) -> Iterable[Row]:
        """Yield all rows of a locale."""
        return self.reader.rows(locale)

    @property
    def apart(self) -> bool:
        """Whether the layout lets one split be read without the others."""
        return self.reader.apart

    def split_rows(self, locale: str, split: str) -> Iterable[Row]:
        """Yield the rows of one split where the layout lets it be read alone, else those of all."""
        return self.reader.rows(locale, split)


def _at(argument: str) -> tuple[Reader, str]:
    """Return what reads a path that users name, and what lies there."""
    path = Path(argument).expanduser()
    if not path.exists():
        raise DataError(f"--data massive:{argument}: there is no {path}, check the path.")
    reader: Reader
    if not path.is_dir():
        reader, origin = massive_archive.open_archive(path), f"a copy of the archive ({massive_archive.known_as(path)})"
    elif (hub := layouts.HubFolder(path)).locales:
        reader, origin = hub, "files in the hub's layout"
    else:
        reader, origin = layouts.JsonlFolder(path), "files in the official layout"
    if not reader.locales & set(locales.names()):
        raise DataError(
            f"--data massive:{argument}: there is no file such as sq-AL.jsonl in it: name the folder or tarball that has them."
        )
    return reader, origin


def _anywhere() -> tuple[Reader, str]:
    """Return what reads MASSIVE from the first place that has it."""
    ways: tuple[Callable[[], tuple[Reader, str]], ...] = (
        massive_archive.from_cache,
        massive_hub.open_hub,
        massive_archive.from_the_net,
    )
    tried = []
    for way in ways:
        try:
            return way()
        except DataError as error:
            tried.append(str(error).rstrip("."))
    raise DataError(
        f"MASSIVE is not on this machine and cannot be fetched: {'; '.join(tried)}; name a copy, --data massive:PATH."
    )
