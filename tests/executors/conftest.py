"""An experiment over three locales that any executor may run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pico import Pico, tiny_data

from sprachbund import locales
from sprachbund.config import ExperimentConfig
from sprachbund.experiment import Experiment
from sprachbund.inputs import Inputs
from sprachbund.preparing import needed_sources, prepare

TARGETS = ("de-DE", "ja-JP", "sq-AL", "sw-KE")


def config(folder: Path, **settings: Any) -> ExperimentConfig:
    return ExperimentConfig(**{"output_dir": folder, "locales": TARGETS, "num_languages": 2, **settings})


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """All sources that they need; for reading only."""
    zoo = Pico(tmp_path_factory.mktemp("executors")).zoo(needed_sources(config(Path()), locales.names()))
    return Inputs(zoo=zoo, base=None, data=tiny_data())


@pytest.fixture
def make(inputs: Inputs, tmp_path: Path) -> Callable[..., Experiment]:
    """Prepares it in a folder of ``tmp_path``."""

    def prepare_it(folder: str = "run", **settings: Any) -> Experiment:
        return prepare(config(tmp_path / folder, **settings), inputs)

    return prepare_it
