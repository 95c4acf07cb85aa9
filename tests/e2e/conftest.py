"""The commands as users type them, on embedded models of the tiny size, made once per session in a cache of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typist import Typist

from sprachbund.training.embedded import Embedded, ensure

REPOSITORY = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    # All processes of a test run have one cache: whoever comes second waits for the first.
    root = tmp_path_factory.getbasetemp()
    cache = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPRACHBUND_CACHE", str(cache))
        patch.setenv("SPRACHBUND_DEMO_SIZE", "tiny")
        yield ensure()


@pytest.fixture(scope="session")
def typist() -> Iterator[Typist]:
    with Typist() as typist:
        yield typist


@pytest.fixture(scope="session")
def type_in_any(tiny: Embedded, typist: Typist) -> Run:
    """Type a command line of the README in a folder, as if the repository's scripts stood in it."""

    def run(line: str, *, folder: Path) -> subprocess.CompletedProcess[str]:
        words = shlex.split(line)
        environment = {**os.environ, "COLUMNS": "80", "HF_HUB_OFFLINE": "1", "VIRTUAL_ENV": sys.prefix}
        uv = shutil.which("uv") if words[:2] == ["uv", "run"] else None
        words = [str(REPOSITORY / word) if word.endswith(".py") else word for word in words]
        if uv:  # takes the environment that is there
            words = [uv, "run", "--project", str(REPOSITORY), "--active", *words[2:]]
            return subprocess.run(
                words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
            )
        words = words[2:] if words[:2] == ["uv", "run"] else words[words[0] == "python" :]
        return typist.type(words, folder, environment)

    return run


@pytest.fixture
def type_in(type_in_any: Run, tmp_path: Path) -> Run:
    """Type a command line of the README in an empty folder."""

    def run(line: str, *, folder: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return type_in_any(line, folder=folder)

    return run
