"""Whether a model card is as it was written here: its last line is a comment with the digest of all above it.

Who writes on in a card changes what the line speaks for, wherever the card was copied to, and no other file has to be kept in
step. Line ends do not count, since tools that copy texts change them.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from sprachbund import files
from sprachbund.cards.details import CARD

__all__ = ["is_changed", "write_marked"]

_MARK = "<!-- as sprachbund wrote it: {} -->\n"
_LAST = re.compile(_MARK.format("([0-9a-f]{64})"))


def write_marked(folder: Path, text: str) -> str:
    """Write a card into a folder with the line at its end, and return it."""
    card = text + _MARK.format(_digest(text))
    files.write_text(folder / CARD, card)
    return card


def is_changed(folder: Path) -> bool:
    """Return whether a folder has a card that somebody has changed, or that nothing says of who wrote it."""
    card = folder / CARD
    if not card.exists():
        return False
    text = card.read_text(encoding="utf-8", errors="replace")
    above, mark = text[: text.rstrip("\n").rfind("\n") + 1], text[text.rstrip("\n").rfind("\n") + 1 :]
    found = _LAST.fullmatch(mark)
    return found is None or found[1] != _digest(above)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
