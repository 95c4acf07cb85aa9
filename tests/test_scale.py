"""A shape against the model that transformers makes of it; costs from files; a sweep of shapes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, XLMRobertaConfig

from sprachbund.config import ExperimentConfig, SimulationConfig
from sprachbund.errors import SprachbundError
from sprachbund.scale import SHAPES, of_shape, read_costs

H200 = Path(__file__).parents[1] / "docs" / "scale-h200.yaml"


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_as_big_as_the_model(name: str) -> None:
    shape = SHAPES[name]
    config = XLMRobertaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.hidden // 64,
        intermediate_size=4 * shape.hidden,
        max_position_embeddings=514,
        type_vocab_size=1,
        num_labels=60,
    )
    with torch.device("meta"):
        parameters = list(AutoModelForSequenceClassification.from_config(config).parameters())
    assert shape.nbytes == 4 * sum(each.numel() for each in parameters)
    assert shape.tensors == len(parameters)


def test_a_sweep_of_a_shape_on_one_and_many_workers() -> None:
    config = ExperimentConfig(keep_models="none", variants=("baseline", "similarity", "average", "average-all"))
    found = of_shape(config, SimulationConfig(shape="xlm-r-large", workers=(1, 64), times=5, costs=H200))
    assert (found.cells, found.targets, found.sources) == (52 * 20, 52, 52)
    assert found.are_held
    one, many = found.rows
    assert (one.speed_up, one.found.stages["idle"]) == (pytest.approx(1), pytest.approx(0, abs=1e-6))
    assert 1 < many.speed_up < 52, "no more work at once than there are targets"
    assert many.found.bytes_read <= (1 + 8) * found.source_bytes, "to know them, and once for each node"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("strat: {value: 1, how: assumed, why: x}", "did you mean start?"),
        ("start: {value: 0, how: assumed, why: x}", "above 0"),
        ("start: 3", "how: measured"),
        ("[1", "is not YAML"),
        ("[" * 2000, "is not YAML"),
        ("a: 2026-13-45", "is not YAML"),
        ("build: {value: .inf, how: assumed, why: x}", "finite number"),
        ("workers_per_node: {value: 0.5, how: assumed, why: x}", "1 or more"),
        ("1", "must hold lines"),
    ],
)
def test_costs_that_are_none_are_told(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "costs.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SprachbundError, match="costs.yaml") as error:
        read_costs(path)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("settings", "asked", "said"),
    [
        ({}, {"shape": "xlm-r-lage", "costs": H200}, "did you mean xlm-r-large"),
        ({}, {"shape": "xlm-r-base"}, "--costs"),
        ({"variants": ("auto",)}, {"shape": "xlm-r-base", "costs": H200}, "auto"),
        ({"demo": True}, {"shape": "xlm-r-base", "costs": H200}, "--demo"),
        ({"zero_shot": True}, {"shape": "xlm-r-base", "costs": H200}, "leave out --zero-shot"),
        ({"split": "dev"}, {"shape": "xlm-r-base", "costs": H200}, "--split has no effect with --shape"),
        ({"precision": "bf16"}, {"shape": "xlm-r-base", "costs": H200}, "--precision has no effect"),
        ({"head_policy": "wide"}, {"shape": "xlm-r-base", "costs": H200}, "--head-policy has no effect"),
    ],
)
def test_what_cannot_be_simulated_is_told(settings: dict, asked: dict, said: str) -> None:
    with pytest.raises(SprachbundError) as error:
        of_shape(ExperimentConfig(**settings), SimulationConfig(**asked))
    assert said in str(error.value)
