"""A Slurm for all tests here, or the reason why there is none."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from two_nodes import PACKAGES, Slurm, missing


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """Two nodes, idle."""
    pytest.importorskip("ray", reason="there is no Ray: pip install 'sprachbund[ray]'")
    if absent := missing():
        pytest.skip(f"there is no Slurm to start, {', '.join(absent)} is missing: {PACKAGES}")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    try:
        with Slurm(folder) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)
