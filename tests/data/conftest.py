"""What is kept of archives goes into a folder of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprachbund import cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "the cache"
    monkeypatch.setenv(cache.VARIABLE, str(folder))
    return folder
