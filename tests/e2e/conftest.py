"""The commands as users type them, on embedded models of the tiny size, made once per session in a cache of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sprachbund.training.embedded import Embedded, ensure

REPOSITORY = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPRACHBUND_CACHE", str(cache))
        patch.setenv("SPRACHBUND_DEMO_SIZE", "tiny")
        yield ensure()


@pytest.fixture
def type_in(tiny: Embedded, tmp_path: Path) -> Run:
    """Type a command line of the README in an empty folder, as if the repository's scripts stood in it."""

    def run(line: str, *, folder: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        words = shlex.split(line)
        if words[:2] == [
            "uv",
            "run",
        ]:  # what uv does in this project: run the script with the environment that is there
            words = ["python", *words[2:]]
        if words[0] == "python":
            words = [sys.executable, str(REPOSITORY / words[1]), *words[2:]]
        else:
            words = [str(Path(sys.executable).parent / words[0]), *words[1:]]
        environment = {**os.environ, "COLUMNS": "80", "HF_HUB_OFFLINE": "1"}
        return subprocess.run(
            words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
        )

    return run
