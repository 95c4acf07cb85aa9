"""The reference tables of the original experiment, where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def golden() -> Path:
    """Return the folder of reference tables, which the environment names, or skip."""
    shared = os.environ.get("SPRACHBUND_SHARED")
    if not shared:
        pytest.skip("SPRACHBUND_SHARED is not set: the full reference tables are not at hand")
    return Path(shared) / "golden"
