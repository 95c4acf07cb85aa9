"""Fixtures that most tests share; torch is imported by those that need it, so that the others stay quick."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
"""Nobody asks the hub: its client reads this when it is imported. Tests that serve one themselves say so, see ``hub``."""

if TYPE_CHECKING:
    from pico import Pico, TinyData

    from sprachbund.checkpoints import Checkpoint


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests make lies in a cache of their own, not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPRACHBUND_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tool_named() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a program of tools/ as it is imported where it runs: with those beside it at hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "tools")
        yield import_module


@pytest.fixture
def pico(tmp_path: Path) -> Pico:
    """Makes pico checkpoints in a folder of the test's own."""
    from pico import Pico

    return Pico(tmp_path / "models")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """What all pico sources grew from; for reading only."""
    from pico import Pico

    return Pico(tmp_path_factory.mktemp("shared")).base()


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Checkpoint]:
    """Three sources of one base and one head seed; for reading only."""
    from pico import Pico

    factory = Pico(tmp_path_factory.mktemp("shared"))
    return [factory.source(name) for name in ("de-DE", "fr-FR", "ja-JP")]


@pytest.fixture(scope="session")
def tiny() -> TinyData:
    """80 rows of made-up words in each locale."""
    from pico import tiny_data

    return tiny_data()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real data; tests that ask for it are skipped where it is not at hand."""
    named = os.environ.get("SPRACHBUND_SHARED")
    if not named:
        pytest.skip("SPRACHBUND_SHARED is not set: the real data is not at hand")
    return Path(named).resolve()


@pytest.fixture
def quiet() -> Callable[[str, int, int], None]:
    """A progress report that nobody reads."""
    return lambda stage, done, total: None


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has one: who may take as many processes as there are cores stays alone, and no torch is imported anew."""
    monkeypatch.setattr("sprachbund.parallel.cores", lambda: 1)


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes are forked from one that has imported torch, which each imports anew else: that takes seconds."""
    from multiprocessing import get_context

    from sprachbund import parallel

    forks = get_context("forkserver")
    forks.set_forkserver_preload(["sprachbund.preparing", "transformers.models.xlm_roberta.modeling_xlm_roberta"])
    monkeypatch.setattr(parallel, "get_context", lambda method: forks if method == "spawn" else get_context(method))


@pytest.fixture
def counted_package(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A machine that counts what its processor draws, and stands still at that."""
    powercap = tmp_path_factory.mktemp("powercap")
    zone = powercap / "intel-rapl:0"
    zone.mkdir()
    for name, content in {"name": "package-0", "energy_uj": "7", "max_energy_range_uj": "100000"}.items():
        (zone / name).write_text(f"{content}\n")
    monkeypatch.setattr("sprachbund.energy.POWERCAP", powercap)
