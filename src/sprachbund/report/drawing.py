"""What all pictures share: colours, formats, and that the same content gives the same bytes.

No time stamps, fixed ids, matplotlib's own fonts and defaults. A picture is drawn as a whole before its file is touched.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprachbund import files
from sprachbund.errors import UnknownName

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BAND", "INK", "QUIET", "RULE", "SUFFIXES", "check_format", "draw"]

SUFFIXES = (".svg", ".png")
INK, QUIET, RULE, BAND = "#1a1a1a", "#5f6368", "#bfc3c9", "#f1f2f4"

_STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "text.color": INK,
    "svg.hashsalt": "sprachbund",
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud, and takes a third of the bytes
}


def check_format(path: Path) -> None:
    """Refuse what is no picture.

    Raises:
        UnknownName: another suffix.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UnknownName("picture format", path.suffix, SUFFIXES)


def draw(figure: Callable[[], Figure], path: Path) -> Path:
    """Write what ``figure`` makes as SVG or PNG, by the suffix of the path."""
    import matplotlib

    check_format(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    kind = path.suffix.lower()[1:]
    undated = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure().savefig(drawn, format=kind, dpi=200, metadata=undated)
    files.write_bytes(path, drawn.getvalue())
    return path
