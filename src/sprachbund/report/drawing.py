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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BAND",
    "BLUE",
    "GREEN",
    "INK",
    "ORANGE",
    "PAPER",
    "PINK",
    "QUIET",
    "ROW",
    "RULE",
    "SUFFIXES",
    "WIDTH",
    "check_format",
    "draw",
    "drawn",
    "entitle",
    "without_frame",
]

SUFFIXES = (".svg", ".png")
PAPER, INK, QUIET, RULE, BAND = "#ffffff", "#1a1a1a", "#5f6368", "#bfc3c9", "#f1f2f4"
BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
"""Of Okabe and Ito's colours, which colour-blind people can tell apart."""
WIDTH = 9.0
"""Inches of a picture with a row a locale: 900 pixels at 100 dots per inch, about what a README shows."""
ROW = 0.205
"""Inches of such a row."""
LEFT = 0.18
"""Inches before a title."""

_STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "text.color": INK,
    "svg.hashsalt": "sprachbund",
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud, and takes a third of the bytes
    "text.parse_math": False,  # a variant may have a dollar in its name
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
    check_format(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, drawn(figure, path.suffix.lower()[1:]))
    return path


def drawn(figure: Callable[[], Figure], kind: str) -> bytes:
    """Return what ``figure`` makes as ``svg`` or ``png``."""
    import matplotlib

    stream = io.BytesIO()
    undated = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure().savefig(stream, format=kind, dpi=200, metadata=undated)
    return stream.getvalue()


def entitle(figure: Figure, title: str, subtitle: str = "") -> None:
    """Say above a picture what is shown and, in smaller letters, on which data."""
    width, height = figure.get_size_inches()
    figure.text(LEFT / width, 1 - 0.30 / height, title, fontsize=13, fontweight="bold")
    if subtitle:
        figure.text(LEFT / width, 1 - 0.53 / height, subtitle, fontsize=9.5, color=QUIET)


def without_frame(axes: Axes) -> None:
    """Leave out the lines around what is drawn."""
    for spine in axes.spines.values():
        spine.set_visible(False)
