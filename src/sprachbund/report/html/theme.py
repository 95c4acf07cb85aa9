"""Colours of the page, light and dark, under one name each; pictures have the light ones and are given the names.

Text of every ink on every paper has a contrast of 4.5 at least, marks of 3 (WCAG 2.2, 1.4.3 and 1.4.11).
"""

from __future__ import annotations

from sprachbund.report import drawing

__all__ = ["DARK", "LIGHT", "variables"]

LIGHT = {
    "paper": drawing.PAPER,
    "ink": drawing.INK,
    "quiet": drawing.QUIET,
    "rule": drawing.RULE,
    "band": drawing.BAND,
    "blue": drawing.BLUE,
    "orange": drawing.ORANGE,
    "green": drawing.GREEN,
    "pink": drawing.PINK,
    "link": "#005a9c",
    "notice": "#fff4d6",
}
DARK = {
    "paper": "#15181c",
    "ink": "#e9ebee",
    "quiet": "#a9afb7",
    "rule": "#4b525b",
    "band": "#20252b",
    "blue": "#56b4e9",
    "orange": "#f08a4b",
    "green": "#35c9a0",
    "pink": "#e0a8c8",
    "link": "#8cc8f5",
    "notice": "#3d3314",
}


def variables(theme: dict[str, str]) -> str:
    """Write a theme as CSS."""
    return "".join(f"--{name}:{colour};" for name, colour in theme.items())
