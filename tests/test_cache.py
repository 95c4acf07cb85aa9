"""Where the cache is."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprachbund import cache


def test_the_cache_is_the_user_s_unless_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "sprachbund"
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "here"))
    assert cache.folder() == tmp_path / "here"
