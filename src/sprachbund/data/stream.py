"""Texts as they come, one a line, from a file or a pipe: handed on in handfuls, as soon as there are any.

What has been read so far is a handful. So a long file costs the memory of a piece of it, and who types line by line is answered
line by line. Blank lines hold no text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sprachbund.errors import DataError

__all__ = ["Bytes", "handfuls"]

BYTES = 1 << 16
"""Read at once, at most."""


class Bytes(Protocol):
    """A stream of bytes that gives what is there."""

    def read1(self, size: int, /) -> bytes:
        """Return at most so many bytes, as soon as there are any; none at the end."""


def handfuls(stream: Bytes, name: str) -> Iterator[list[str]]:
    """Yield the texts of a UTF-8 stream, so many together as have arrived; messages call it by its name.

    Raises:
        DataError: a line is not UTF-8, or no text at all.
    """
    rest, number = b"", 0
    while chunk := stream.read1(BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield [text for place, line in enumerate(lines, number + 1) if (text := _text(line, name, place))]
        number += len(lines)
    yield [text] if (text := _text(rest, name, number + 1)) else []


def _text(line: bytes, name: str, number: int) -> str:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}, line {number}, is not UTF-8 text: name a text file with one text a line.") from error
    if "\0" in text:
        raise DataError(f"{name}, line {number}, holds bytes that are no text: name a text file with one text a line.")
    return text.strip()
