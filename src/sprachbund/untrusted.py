"""Text, JSON and YAML that somebody else wrote, read within limits: whatever stands in a file, it is a value or one reason.

Python's readers have other ways out than their own errors: nesting without end, numbers of a million digits, halves of
characters that cannot be written again, YAML whose aliases repeat each other until memory is full. Here all of these are
:class:`Unreadable`, a ValueError that says why in a few words; whoever asked knows which file it was and what to do next.
How many values a text can hold is bounded before it is parsed, by its brackets and commas, so that memory is, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import IO, Any

import yaml

__all__ = [
    "LARGEST",
    "LARGEST_YAML",
    "LONGEST_LINE",
    "MOST_DEEP",
    "MOST_VALUES",
    "Unreadable",
    "check_version",
    "compose_yaml",
    "is_newer",
    "lines_of",
    "parse_json",
    "parse_yaml",
    "read_json",
    "read_text",
    "read_yaml",
]

LARGEST = 200_000_000
"""Bytes of a text file; the largest tokenizers have a fifth of that."""
LARGEST_YAML = 1_000_000
"""Bytes; settings and recipes are written by hand, and YAML is read slowly."""
LONGEST_LINE = 10_000_000
"""Bytes of a line, where files are read line by line."""
MOST_DEEP = 100
"""Brackets within brackets."""
MOST_VALUES = 20_000_000
"""Values in one JSON text, at most: a vocabulary of a million tokens with scores and merges has a quarter of that."""
MOST_YAML_VALUES = 100_000
"""Values in one YAML text, once all of its aliases are written out."""
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""How JSON writes halves of characters."""


class Unreadable(ValueError):
    """A text that is none of the kind it should be; the message is a few words, without a full stop."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line
        """From 1; None where no line is to blame."""


# --- text --------------------------------------------------------------------------------------------------------------


def read_text(path: Path, encoding: str = "utf-8", most: int = LARGEST) -> str:
    """Return what a file holds.

    Raises:
        UnicodeDecodeError: it is in no UTF-8.
        Unreadable: it is larger than ``most`` bytes.
    """
    with path.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise Unreadable(f"it has more than {most:,} bytes")
    return content.decode(encoding)


def lines_of(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream of bytes, none of which takes more memory than the longest that is allowed.

    Raises:
        Unreadable: a line is longer; says which.
    """
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise Unreadable(f"it has more than {LONGEST_LINE:,} bytes", number)
        yield line


# --- JSON --------------------------------------------------------------------------------------------------------------


def read_json(path: Path, most: int = LARGEST) -> Any:
    """Return what a JSON file says.

    Raises:
        UnicodeDecodeError: it is in no UTF-8.
        Unreadable: it is not JSON, or beyond the limits.
    """
    return parse_json(read_text(path, most=most))


def parse_json(text: str | bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Return what JSON says; objects are what ``pairs`` makes of them (default: dicts).

    Raises:
        UnicodeDecodeError: bytes that are no UTF-8.
        Unreadable: it is not JSON, or beyond the limits.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    if text.count(",") + text.count("[") + text.count("{") > MOST_VALUES:
        raise Unreadable(f"it holds more than {MOST_VALUES:,} values")
    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise Unreadable(error.msg, error.lineno) from error
    except RecursionError as error:
        raise Unreadable(_TOO_DEEP) from error
    except ValueError as error:  # Python reads no number of so many digits
        raise Unreadable("it holds a number without end") from error
    _check_depth(value)
    if _HALF.search(text):
        _check_characters(value)
    return value


_TOO_DEEP = f"it is nested more than {MOST_DEEP} deep"


def _check_depth(value: Any) -> None:
    """Refuse what is nested too deep: whoever walks through it next would run out of stack."""
    level = [value]
    for _ in range(MOST_DEEP):
        level = [inner for each in level for inner in _inside(each) if isinstance(inner, dict | list | tuple)]
        if not level:
            return
    raise Unreadable(_TOO_DEEP)


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()


def _check_characters(value: Any) -> None:
    """Refuse half a character, which Python takes for a text and can write nowhere."""
    try:
        (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode("utf-8")
    except UnicodeEncodeError as error:
        raise Unreadable("it holds half a character") from error


# --- YAML --------------------------------------------------------------------------------------------------------------


def parse_yaml(text: str) -> Any:
    """Return what YAML says, of plain values alone.

    Raises:
        Unreadable: it is not YAML, or beyond the limits.
    """
    node = compose_yaml(text)
    if node is None:
        return None
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise _not_yaml(error) from error
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:  # 2026-13-45 is no day
        raise Unreadable("it holds a value that is none") from error
    finally:
        loader.dispose()


def read_yaml(path: Path, encoding: str = "utf-8") -> Any:
    """Return what a YAML file says.

    Raises:
        UnicodeDecodeError: it is in no UTF-8.
        Unreadable: it is not YAML, or beyond the limits.
    """
    return parse_yaml(read_text(path, encoding, LARGEST_YAML))


def compose_yaml(text: str) -> yaml.Node | None:
    """Return YAML as nodes with their places, None where nothing is written.

    Raises:
        Unreadable: it is not YAML, or beyond the limits.
    """
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST_YAML:
        raise Unreadable(f"it has more than {LARGEST_YAML:,} bytes")
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        _measure(node, {})
    except yaml.YAMLError as error:
        raise _not_yaml(error) from error
    except RecursionError as error:
        raise Unreadable(_TOO_DEEP) from error
    return node


def _measure(node: yaml.Node | None, known: dict[int, tuple[int, int]], depth: int = 0) -> tuple[int, int]:
    """Return how many values a node stands for, each alias counted as what it repeats, and how deep they are nested."""
    if depth > MOST_DEEP:  # an alias of what it stands in ends here, too
        raise Unreadable(_TOO_DEEP)
    if isinstance(node, yaml.ScalarNode):
        _check_characters(node.value)
    if not isinstance(node, yaml.CollectionNode):
        return 1, 0
    if id(node) not in known:
        inside = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
        total, deepest = 1, 0
        for each in inside:
            values, levels = _measure(each, known, depth + 1)
            total, deepest = total + values, max(deepest, levels + 1)
            if total > MOST_YAML_VALUES:
                raise Unreadable(f"it holds more than {MOST_YAML_VALUES:,} values")
            if deepest > MOST_DEEP:
                raise Unreadable(_TOO_DEEP)
        known[id(node)] = total, deepest
    return known[id(node)]


def _not_yaml(error: yaml.YAMLError) -> Unreadable:
    mark = getattr(error, "problem_mark", None)
    return Unreadable(" ".join(str(error).split()), mark.line + 1 if mark else None)


# --- versions ----------------------------------------------------------------------------------------------------------


def is_newer(value: Any, known: int) -> bool:
    """Return whether a file says of itself that it has a form which came after the one that is known here."""
    version = value.get("schema_version") if isinstance(value, Mapping) else None
    return isinstance(version, int | float) and version > known


def check_version(value: Any, known: int, path: Path, error: type[Exception]) -> None:
    """Refuse what a newer sprachbund wrote: it may mean what nobody here knows.

    Raises:
        error: says which version it is, and to update.
    """
    if is_newer(value, known):
        raise error(
            f"{path} was written by a newer sprachbund (schema {value['schema_version']}, this one knows {known}): "
            "update sprachbund."
        )
