"""Weights for each tensor, by where it stands: LiNeS and ranges of layers, on names and in a merge."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from pico import Pico

from sprachbund import merging
from sprachbund.checkpoints import Checkpoint, open_checkpoint, part_of
from sprachbund.errors import MixError
from sprachbund.methods import METHODS
from sprachbund.weighting import depth_scales, layer_ranges

EMBEDDINGS, HEAD, NORM = (
    "roberta.embeddings.word_embeddings.weight",
    "classifier.dense.weight",
    "model.final_norm.weight",
)
LAYERS = [f"roberta.encoder.layer.{layer}.output.dense.weight" for layer in range(12)]
TENSORS = [EMBEDDINGS, *LAYERS, NORM, HEAD]


# LiNeS


def test_scales_rise_in_a_line() -> None:
    scales = depth_scales(TENSORS, alpha=0.2, beta=1.1)
    assert [scales[name] for name in LAYERS] == pytest.approx([0.2 + 1.1 * layer / 11 for layer in range(12)])
    assert scales[EMBEDDINGS] == 0.2
    assert scales[HEAD] == scales[NORM] == pytest.approx(1.3)
    assert list(scales) == TENSORS


def test_depth_hangs_on_the_layers_that_there_are_and_not_on_the_order_of_names() -> None:
    assert depth_scales(TENSORS[::-1], alpha=0, beta=1) == depth_scales(TENSORS, alpha=0, beta=1)
    assert depth_scales([*LAYERS[:3], HEAD], alpha=0, beta=1)[LAYERS[1]] == 0.5


def test_a_model_of_one_layer() -> None:
    assert depth_scales([EMBEDDINGS, LAYERS[0], HEAD], alpha=0.3, beta=1) == {
        EMBEDDINGS: 0.3,
        LAYERS[0]: 0.3,
        HEAD: 1.3,
    }


def test_no_slope_is_one_scale_for_all() -> None:
    assert set(depth_scales(TENSORS, alpha=0.7, beta=0).values()) == {0.7}


@pytest.mark.parametrize(("alpha", "beta"), [(math.nan, 1.0), (0.0, math.inf)])
def test_a_scale_is_a_finite_number(alpha: float, beta: float) -> None:
    with pytest.raises(MixError, match=f"finite numbers; got alpha {alpha} and beta {beta}"):
        depth_scales(TENSORS, alpha=alpha, beta=beta)


def test_a_model_without_layers_has_no_depth() -> None:
    with pytest.raises(MixError, match="needs layers; no tensor of this model"):
        depth_scales([EMBEDDINGS, HEAD], alpha=0, beta=1)


# Ranges of layers


def test_lower_layers_from_one_and_upper_ones_from_another() -> None:
    weights_of = layer_ranges({"embeddings": [1, 0], "0-5": [1, 0], "6-11": [0, 1], "head": [2, 6]}, TENSORS)
    assert [weights_of(name).tolist() for name in LAYERS] == [[1, 0]] * 6 + [[0, 1]] * 6
    assert weights_of(EMBEDDINGS).tolist() == [1, 0]
    assert weights_of(HEAD).tolist() == weights_of(NORM).tolist() == [0.25, 0.75]


def test_the_rest_is_what_nobody_names() -> None:
    weights_of = layer_ranges({"rest": [1, 1], "3": [1, 0], "10-11": [0, 1]}, TENSORS)
    found = {part_of(name): weights_of(name).tolist() for name in TENSORS}
    assert found.pop("layer 3") == [1, 0]
    assert found.pop("layer 10") == found.pop("layer 11") == [0, 1]
    assert len(found) == 11
    assert all(each == [0.5, 0.5] for each in found.values())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("0-5", "middle"), "A part of a model is embeddings, head, rest, a layer .* got 'middle'"),
        (("5-3", "rest"), "got '5-3'"),
        (("-3", "rest"), "got '-3'"),
        (("0-20", "rest"), "no layer 12, which '0-20' names; it has: embeddings, head, layers 0 to 11"),
        (("0-5", "5-11", "rest"), "The layer 5 is in two parts, '0-5' and '5-11': name it once"),
        (
            ("head", "embeddings", "0-10"),
            "No part has weights for the layer 11: name it, or all that is left as 'rest'",
        ),
    ],
)
def test_parts_that_do_not_add_up_to_the_model(parts: tuple[str, ...], message: str) -> None:
    with pytest.raises(MixError, match=message):
        layer_ranges({part: [1, 1] for part in parts}, TENSORS)


def test_a_weight_for_each_source_in_each_part() -> None:
    with pytest.raises(MixError, match="one weight per source; got 2 for '0-5', 3 for 'rest'"):
        layer_ranges({"0-5": [1, 0], "rest": [1, 0, 0]}, TENSORS)
    with pytest.raises(MixError, match="must not be negative"):
        layer_ranges({"rest": [1, -1]}, TENSORS)


# In a merge


def task_vectors(base: Checkpoint, merged: Path) -> dict[str, np.ndarray]:
    """What a merge added to its base, in float64; tensors of a new head are not among them."""
    there = open_checkpoint(merged, "merged").file
    return {
        name: there.read(name).astype(np.float64) - base.file.read(name).astype(np.float64)
        for name in there.tensors
        if name in base.tensors
    }


@pytest.mark.parametrize("method", sorted(name for name, method in METHODS.items() if method.needs_base))
def test_every_method_on_task_vectors_is_scaled_by_depth(method: str, tmp_path: Path) -> None:
    pico = Pico(tmp_path)
    base = pico.base(num_hidden_layers=3)
    sources = [pico.source(name, num_hidden_layers=3) for name in ("one", "two")]
    names = list(sources[0].tensors)
    scales = depth_scales(names, alpha=0.25, beta=1)
    for out, given in (("plain", None), ("scaled", scales)):
        (tmp_path / out).mkdir()
        merging.merge(sources, [0.5, 0.5], tmp_path / out, method=method, base=base, scales=given)
    plain, scaled = task_vectors(base, tmp_path / "plain"), task_vectors(base, tmp_path / "scaled")
    by_hand = {"embeddings": 0.25, "layer 0": 0.25, "layer 1": 0.75, "layer 2": 1.25}
    assert {part_of(name) for name in plain} == by_hand.keys()
    for name, tau in plain.items():
        expected = by_hand[part_of(name)] * tau
        np.testing.assert_allclose(scaled[name], expected, atol=1e-6 * max(1.0, np.abs(tau).max()), err_msg=name)
    heads = [open_checkpoint(tmp_path / out, out).file.read(HEAD) for out in ("plain", "scaled")]
    np.testing.assert_array_equal(heads[0], heads[1])  # which the base has not: it is no task vector
    assert max(np.abs(tau).max() for tau in plain.values()) > 1e-3


def test_a_method_without_a_scale_has_none_by_depth(sources: list[Checkpoint], tmp_path: Path) -> None:
    scales = dict.fromkeys(sources[0].tensors, 2.0)
    with pytest.raises(MixError, match="linear has no scale that could differ"):
        merging.merge(sources, [1 / 3] * 3, tmp_path, scales=scales)


def test_the_engine_takes_ranges(sources: list[Checkpoint], tmp_path: Path) -> None:
    one, two, three = sources
    names = list(one.file.tensors)
    weights_of = layer_ranges({"rest": [1, 0, 0], "0": [0, 0, 1], "head": [0, 1, 1]}, names)
    merging.merge(sources, weights_of, tmp_path)
    merged = open_checkpoint(tmp_path, "merged").file
    assert {part_of(name) for name in names} == {"embeddings", "layer 0", "head"}
    for name in names:
        expected = {
            "embeddings": one.file.read(name),
            "layer 0": three.file.read(name),
            "head": (two.file.read(name) + three.file.read(name)) / 2,
        }
        np.testing.assert_allclose(merged.read(name), expected[part_of(name)], rtol=1e-6, atol=1e-7)
