"""Learned coefficients: the gradient reaches them, and what is learned is what the merge engine then makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pico import Pico

from sprachbund import inference, merging
from sprachbund.adaptation import CoefficientSettings, Groups
from sprachbund.checkpoints import Checkpoint
from sprachbund.coefficients import OBJECTIVES, group_of, learn_coefficients
from sprachbund.ensembles import softmax

TEXTS = ("aska bala", "counte dono furi", "greeto keme", "leava lisu mano", "aske pito", "counto runa") * 6


def answers(checkpoint: Checkpoint | Path) -> np.ndarray:
    folder = checkpoint if isinstance(checkpoint, Path) else checkpoint.folder
    tokenizer = inference.load_tokenizer(folder)
    return inference.logits(inference.load_classifier(folder), inference.tokenise(tokenizer, TEXTS))


def test_the_source_that_the_teacher_is_gets_the_weight(pico: Pico) -> None:
    """The teacher is the second of three strangers: the gradient has to find that, through the merged model."""
    strangers = [pico.source(name, change=1.0) for name in ("one", "two", "three")]
    settings = CoefficientSettings(groups="model", objective="teacher", steps=100, batch=12, learning_rate=0.2)
    found = learn_coefficients(strangers, [0.2, 0.6, 0.2], TEXTS, settings, softmax(answers(strangers[1])))
    rows = np.array(list(found.by_group.values()))
    assert rows.sum(axis=1) == pytest.approx(np.ones(len(rows)))
    assert rows.mean(axis=0)[1] > 0.75


@pytest.mark.parametrize("groups", ["model", "layer", "tensor"])
def test_what_is_learned_lowers_the_loss_of_the_model_that_the_engine_makes(
    sources: list[Checkpoint], tmp_path: Path, groups: Groups
) -> None:
    teacher = softmax(4 * answers(sources[1]))
    settings = CoefficientSettings(groups=groups, objective="teacher", steps=60, batch=36, learning_rate=0.2)
    found = learn_coefficients(sources, [1 / 3] * 3, TEXTS, settings, teacher)
    losses = []
    for name, weights in (("average", [1 / 3] * 3), ("learned", lambda tensor: found.of(tensor).tolist())):
        (tmp_path / name).mkdir()
        merging.merge(sources, weights, tmp_path / name)
        losses.append(float(-(teacher * np.log(softmax(answers(tmp_path / name)))).sum(axis=1).mean()))
    assert losses[1] < losses[0] - 0.03


def test_the_loss_on_the_way_is_that_of_the_engine_s_model(sources: list[Checkpoint], tmp_path: Path) -> None:
    """One step over all texts reports the loss of the start: the model inside the graph is the merged one."""
    weights = [0.5, 0.3, 0.2]
    merging.merge(sources, weights, tmp_path)
    probabilities = softmax(answers(tmp_path))
    expected = float(-(probabilities * np.log(probabilities)).sum(axis=1).mean())
    losses: list[float] = []
    settings = CoefficientSettings(objective="entropy", steps=1, batch=len(TEXTS))
    learn_coefficients(sources, weights, TEXTS, settings, progress=lambda stage, step, steps, loss: losses.append(loss))
    assert losses == pytest.approx([expected], rel=1e-4)


def test_entropy_falls_and_infomax_does_not_collapse() -> None:
    sure = torch.tensor([[9.0, 0, 0], [9.0, 0, 0]])
    varied = torch.tensor([[9.0, 0, 0], [0, 9.0, 0]])
    unsure = torch.zeros(2, 3)
    entropy, infomax = OBJECTIVES["entropy"], OBJECTIVES["infomax"]
    assert entropy(sure, None) == pytest.approx(float(entropy(varied, None)), abs=1e-5)
    assert entropy(sure, None) < entropy(unsure, None)
    assert infomax(varied, None) < infomax(sure, None) - 0.5


def test_half_precision_sources_are_learned_from_as_they_are(pico: Pico) -> None:
    halves = [pico.source(name, dtype=torch.bfloat16) for name in ("one", "two")]
    settings = CoefficientSettings(objective="infomax", steps=3)
    found = learn_coefficients(halves, [0.5, 0.5], TEXTS, settings)
    assert all(np.isfinite(row).all() for row in found.by_group.values())


def test_tensors_fall_into_groups() -> None:
    names = {
        "roberta.embeddings.word_embeddings.weight": "embeddings",
        "roberta.encoder.layer.11.output.dense.weight": "layer 11",
        "model.layers.3.attn.Wo.weight": "layer 3",
        "classifier.out_proj.bias": "head",
    }
    assert {name: group_of(name, "layer") for name in names} == names
    assert {group_of(name, "model") for name in names} == {"model"}
    assert [group_of(name, "tensor") for name in names] == list(names)
