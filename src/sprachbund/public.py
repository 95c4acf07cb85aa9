"""What may leave this machine: names and texts without its paths, and nothing in them that Markdown would take for its own.

A local path says more about a machine and its user than about a model. Names on the hub are known by the commit that records
write behind them; everything else keeps its last part.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "PLACE",
    "ZOO_FILES",
    "code",
    "is_local",
    "is_published",
    "one_line",
    "plain",
    "public_name",
    "public_place",
    "public_similarity",
    "public_text",
    "public_zoo",
    "row",
]

PLACE = "path/to/"
"""Stands before what readers have somewhere of their own."""
ZOO_FILES = (".csv", ".tsv", ".jsonl", ".json", ".yaml", ".yml")
"""Endings of files that name a zoo: those that checkpoints read."""
_PUBLISHED = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)?@[0-9a-f]{40}(?::.+)?")
_PATH = re.compile(r"(?<![\w.~}:/-])(?:~[\w.-]*|\.{1,2})?(?:/[^\s/,;:()'\"`]+)+/?")
_TABLE = re.compile(r"\bfile:([^\s,;()'\"`+]*/[^\s,;()'\"`+]*)")
"""A similarity that is a table of one's own."""
_BAR = re.compile(r"(?<!\\)\|")
_SPECIAL = re.compile(r"([\\`*_\[\]<>|])")


def is_published(model: str) -> bool:
    """Tell a hub repository, whose name in a record has the commit, from a folder on some machine."""
    return _PUBLISHED.fullmatch(model) is not None


def public_name(model: str) -> str:
    """Return a name that can be shown to others."""
    return model if is_published(model) else Path(model).name


def is_local(zoo: str) -> bool:
    """Return whether the name of a zoo says where its folders, or the file that names them, lie on some machine."""
    return os.path.isabs(zoo) or zoo.startswith(("~", ".")) or zoo.lower().endswith(ZOO_FILES)


def public_zoo(zoo: str) -> str:
    """Return the name of a zoo without where it is: from the first folder on that has a locale in its name."""
    if not is_local(zoo):
        return zoo
    parts = Path(zoo).parts
    first = next((place for place, part in enumerate(parts) if "{locale}" in part), len(parts) - 1)
    return PLACE + "/".join(parts[first:])


def public_place(typed: str) -> str:
    """Return what users typed for a file, a folder or a data set without where it lies.

    ``massive:/me/data`` is ``massive:path/to/data``; a bare name stays.
    """
    kind, colon, path = typed.rpartition(":")
    name = Path(path).name
    return f"{kind}{colon}{path if path in ('', '.', name) else PLACE + name}"


def public_similarity(name: str) -> str:
    """Return the name of a similarity, perhaps a sum, without where its tables lie."""
    return "+".join(map(public_place, name.split("+")))


def public_text(text: str, known: Iterable[str] = ()) -> str:
    """Return a text without paths: those that are ``known``, and whatever looks like one, are cut to their last part."""
    for name in sorted(set(known), key=len, reverse=True):
        if not is_published(name) and os.sep in name:
            text = text.replace(name, public_zoo(name) if "{locale}" in name else Path(name).name)
    text = _TABLE.sub(lambda found: f"file:{Path(found[1]).name}", text)
    return _PATH.sub(lambda found: Path(found[0]).name or "/", text)


def one_line(text: str) -> str:
    """Return a text without line breaks."""
    return " ".join(text.split())


def plain(text: str) -> str:
    """Return a text as Markdown that shows it as it is."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def code(text: str) -> str:
    """Return a text as a piece of code in Markdown, whatever backticks are in it."""
    text = one_line(text)
    longest = max(map(len, re.findall("`+", text)), default=0)
    space = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{'`' * (longest + 1)}{space}{text}{space}{'`' * (longest + 1)}"


def row(*cells: str) -> str:
    """Return a row of a table in Markdown; its cells are Markdown already."""
    escaped = [_BAR.sub(lambda bar: f"\\{bar[0]}", cell) for cell in cells]
    return f"| {' | '.join(escaped)} |"
