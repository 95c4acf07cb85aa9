"""Configs: frozen, closed, and each field explains itself, since the command line is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from sprachbund import config
from sprachbund.config import ExperimentConfig
from sprachbund.training.settings import FinetuneSettings, PretrainSettings

CONFIGS: list[type[BaseModel]] = [
    *(getattr(config, name) for name in config.__all__ if name.endswith("Config")),
    FinetuneSettings,
    PretrainSettings,
]
every_config = pytest.mark.parametrize("kind", CONFIGS, ids=lambda kind: kind.__name__)


@every_config
def test_unknown_settings_are_errors(kind: type[BaseModel]) -> None:
    assert kind.model_config.get("extra") == "forbid"
    assert kind.model_config.get("frozen")


@every_config
def test_every_setting_has_one_help_text(kind: type[BaseModel]) -> None:
    for name, field in kind.model_fields.items():
        assert field.description, f"{kind.__name__}.{name} has no description"
        assert field.description.endswith("."), f"{kind.__name__}.{name}"


def test_the_defaults_are_the_main_job() -> None:
    default = ExperimentConfig()
    assert default.variants == ("baseline", "similarity", "average")
    assert (default.selection, default.num_languages, default.include_target) == ("topk", 5, False)
    assert (default.split, default.keep_models, default.output_dir) == ("test", "all", Path())
    assert default.locales == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_languages": 0},
        {"sharpness": -1},
        {"start_from": -1},
        {"max_locales": 0},
        {"keep_models": "some"},
        {"split": "validation"},
        {"selection": "best"},
        {"sharpnes": 3},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        ExperimentConfig(**wrong)
