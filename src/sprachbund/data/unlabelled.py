"""Texts without labels, in an order that depends on the texts alone.

Adaptation sees nothing but such a tuple of strings. Where they came from, in which order and beside what, cannot be told from
it: whoever brings the same texts in another order gets the same model, bit for bit.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from sprachbund.errors import DataError

__all__ = ["read_texts", "shuffled"]


def shuffled(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the texts that are not blank, shuffled from the order of the alphabet; what occurs twice stays there twice."""
    order = sorted(stripped for text in texts if (stripped := text.strip()))
    random.Random(0).shuffle(order)
    return tuple(order)


def read_texts(path: Path) -> tuple[str, ...]:
    """Return the lines of a UTF-8 file as texts.

    Raises:
        DataError: there is no such file, it is not UTF-8, or holds no text.
    """
    try:
        texts = shuffled(path.read_text(encoding="utf-8-sig").splitlines())
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}: name a text file with one text a line.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder: name a text file with one text a line.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: save it as that.") from error
    if not texts:
        raise DataError(f"{path} holds no text: it should have one text a line.")
    return texts
