"""What tests of the command line share: a folder of their own to type in, and settings that outlive no test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sprachbund.cli.app import app
from sprachbund.cli.console import MODE
from sprachbund.cli.settings import PREFIX


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without flags from the environment of whoever runs the tests; afterwards all is as it was."""
    for variable in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(variable)
    for setting in ("quiet", "verbose", "json"):
        monkeypatch.setattr(MODE, setting, False)
    monkeypatch.setattr(app, "config", ())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which commands are typed."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
