"""Texts without labels, in an order that depends on the texts alone.

Adaptation sees nothing but such a tuple of strings. Where they came from, in which order and beside what, cannot be told from
it: whoever brings the same texts in another order gets the same model, bit for bit.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from sprachbund.errors import DataError
from sprachbund.untrusted import Unreadable, read_text

__all__ = ["read_file", "read_texts", "shuffled"]


def shuffled(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the texts that are not blank, shuffled from the order of the alphabet; what occurs twice stays there twice."""
    order = sorted(stripped for text in texts if (stripped := text.strip()))
    random.Random(0).shuffle(order)
    return tuple(order)


def read_file(path: Path, wanted: str) -> str:
    """Return what a UTF-8 file holds; ``wanted`` says to users what file should have been named.

    Raises:
        DataError: there is no such file, or it is not UTF-8.
    """
    try:
        return read_text(path, "utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}: name {wanted}.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder: name {wanted}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: save it as that.") from error
    except Unreadable as error:
        raise DataError(f"{path} cannot be read ({error}): name {wanted}.") from error


def read_texts(path: Path) -> tuple[str, ...]:
    """Return the lines of a UTF-8 file as texts.

    Raises:
        DataError: there is no such file, it is not UTF-8, or holds no text.
    """
    texts = shuffled(read_file(path, "a text file with one text a line").splitlines())
    if not texts:
        raise DataError(f"{path} holds no text: it should have one text a line.")
    return texts
