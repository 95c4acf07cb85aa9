"""Where what can be made or fetched again is kept: one folder for the machine's user, outside of any results."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["VARIABLE", "folder"]

VARIABLE = "SPRACHBUND_CACHE"


def folder() -> Path:
    """Return the folder that SPRACHBUND_CACHE names, else ``sprachbund`` in the user's cache folder; it need not exist."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sprachbund"
