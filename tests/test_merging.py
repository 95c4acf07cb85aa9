"""The merge engine against sums that torch makes in float64, bit by bit where it promises bits."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pico import Pico, TinyData, bits, poison, rewrite, state
from transformers import AutoModelForSequenceClassification

from sprachbund import inference, merging
from sprachbund.checkpoints import Checkpoint, open_checkpoint
from sprachbund.errors import IncompatibleError, MixError
from sprachbund.merging import merge, merged_tensors

WEIGHTS = (0.5, 0.3, 0.2)
EPSILON = 2.0**-23
BIAS = "classifier.out_proj.bias"


def in_float64(sources: Sequence[Checkpoint], weights: Sequence[float]) -> dict[str, torch.Tensor]:
    """Σ wᵢ θᵢ, written down once more: another library reads the files, another precision adds up."""
    states = [state(source) for source in sources]
    return {
        name: torch.stack(
            [weight * tensors[name].double() for weight, tensors in zip(weights, states, strict=True)]
        ).sum(0)
        for name in states[0]
    }


def magnitudes(sources: Sequence[Checkpoint], weights: Sequence[float]) -> dict[str, np.ndarray]:
    """Σ |wᵢ θᵢ|: what the rounding errors of the sum are measured by."""
    return {
        name: np.sum(
            [abs(w) * np.abs(s.file.read(name).astype(np.float64)) for s, w in zip(sources, weights, strict=True)],
            axis=0,
        )
        for name in sources[0].tensors
    }


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_the_file_holds_the_float64_sum_to_fp32_precision(sources: list[Checkpoint], tmp_path: Path) -> None:
    merge(sources, WEIGHTS, tmp_path)
    written, expected, scale = state(tmp_path), in_float64(sources, WEIGHTS), magnitudes(sources, WEIGHTS)
    assert written.keys() == expected.keys()
    for name, tensor in written.items():
        assert tensor.dtype == torch.float32
        error = (tensor.double() - expected[name]).abs().numpy()
        # One rounding per weight, product and sum, each of at most half an epsilon.
        assert (error <= 3 * EPSILON * scale[name]).all(), name


def test_in_memory_is_what_is_written(sources: list[Checkpoint], tmp_path: Path) -> None:
    merge(sources, WEIGHTS, tmp_path)
    written = open_checkpoint(tmp_path)
    for name, array in merged_tensors(sources, WEIGHTS).items():
        assert bits(array) == bits(written.file.read(name))
        assert array.shape == written.tensors[name].shape


def test_every_one_of_the_sources_counts(pico: Pico) -> None:
    sources = [pico.source(f"s{number}") for number in range(5)]
    stranger = pico.source("stranger", change=0.5)
    weights = (0.3, 0.25, 0.2, 0.15, 0.1)
    merged = merged_tensors(sources, weights)
    for place, weight in enumerate(weights):
        others = [*sources[:place], stranger, *sources[place + 1 :]]
        changed = merged_tensors(others, weights)
        for name in merged:
            moved = stranger.file.read(name) - sources[place].file.read(name)
            np.testing.assert_allclose(changed[name] - merged[name], weight * moved, atol=1e-5)
            assert np.abs(moved).max() > 0.1, name


def test_identical_sources_merge_into_themselves(sources: list[Checkpoint]) -> None:
    for name, array in merged_tensors([sources[0]] * 4, [0.25] * 4).items():
        assert bits(array) == bits(sources[0].file.read(name))


def test_weights_one_and_zero_give_the_first(sources: list[Checkpoint]) -> None:
    for name, array in merged_tensors(sources[:2], (1.0, 0.0)).items():
        assert (array == sources[0].file.read(name)).all()


def test_one_source_alone_is_itself(sources: list[Checkpoint]) -> None:
    for name, array in merged_tensors(sources[1:2], (1.0,)).items():
        assert (array == sources[1].file.read(name)).all()


def test_two_sources_may_change_places(sources: list[Checkpoint]) -> None:
    there, back = merged_tensors(sources[:2], (0.7, 0.3)), merged_tensors(sources[1::-1], (0.3, 0.7))
    for name in there:
        assert bits(there[name]) == bits(back[name])


def test_any_order_is_the_same_to_one_rounding_per_addition(sources: list[Checkpoint]) -> None:
    merged, scale = merged_tensors(sources, WEIGHTS), magnitudes(sources, WEIGHTS)
    for order in itertools.permutations(range(3)):
        again = merged_tensors([sources[i] for i in order], [WEIGHTS[i] for i in order])
        for name in merged:
            # Two additions each way, each off by at most half an epsilon.
            assert (np.abs(again[name] - merged[name]) <= 2 * EPSILON * scale[name]).all()


@pytest.mark.parametrize("elements", [1, 7, 63, 4800])
def test_how_chunks_are_cut_changes_no_bit(
    elements: int, sources: list[Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge(sources, WEIGHTS, folder(tmp_path / "whole"))
    monkeypatch.setattr(merging, "ELEMENTS_PER_CHUNK", elements)
    merge(sources, WEIGHTS, folder(tmp_path / "cut"))
    whole, cut = (tmp_path / name / "model.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def test_weights_are_taken_as_they_are(sources: list[Checkpoint]) -> None:
    """Normalising is the business of weightings: a method that did it again would hide a wrong mix."""
    once, twice = merged_tensors(sources, WEIGHTS), merged_tensors(sources, [2 * weight for weight in WEIGHTS])
    for name in once:
        assert bits(2 * once[name]) == bits(twice[name])


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9])
def test_a_bias_moves_along_a_straight_line(share: float, sources: list[Checkpoint]) -> None:
    a, b = (source.file.read(BIAS) for source in sources[:2])
    merged = merged_tensors(sources[:2], (1 - share, share))[BIAS]
    np.testing.assert_allclose(merged, a + share * (b - a), rtol=0, atol=1e-6)


# --- sixteen bits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_sixteen_bit_sources_are_summed_in_fp32_and_rounded_once(
    dtype: torch.dtype, pico: Pico, tmp_path: Path
) -> None:
    sources = [pico.source(name, dtype=dtype) for name in ("a", "b", "c")]
    merge(sources, WEIGHTS, tmp_path)
    states = [state(source) for source in sources]
    for name, tensor in state(tmp_path).items():
        assert tensor.dtype == dtype
        total = torch.zeros(tensor.shape)
        for weight, tensors in zip(WEIGHTS, states, strict=True):
            total += np.float32(weight).item() * tensors[name].float()
        assert torch.equal(tensor, total.to(dtype)), name


@pytest.mark.parametrize(
    ("dtype", "small"), [(torch.float16, 2.0**-11), (torch.bfloat16, 2.0**-8)], ids=["fp16", "bf16"]
)
def test_what_sixteen_bit_sums_would_lose_is_kept(dtype: torch.dtype, small: float, pico: Pico) -> None:
    """1 + s + s, where s is half of what the dtype can tell from 1: added one by one, both would be rounded away."""
    sources = [pico.source(name, dtype=dtype) for name in ("a", "b", "c")]
    for source, value in zip(sources, (1.0, small * 2, small * 2), strict=True):
        rewrite(source.folder, lambda tensors, value=value: tensors[BIAS].fill_(value))
    opened = [open_checkpoint(source.folder) for source in sources]
    merged = merged_tensors(opened, (1.0, 0.5, 0.5))[BIAS].astype(np.float64)

    naive = torch.ones((), dtype=dtype)
    for _ in range(2):
        naive = naive + torch.tensor(small, dtype=dtype)
    assert naive.item() == 1.0
    assert merged.tolist() == [1.0 + 2 * small] * 4


def test_a_mix_of_dtypes_becomes_the_widest(pico: Pico, sources: list[Checkpoint], tmp_path: Path) -> None:
    half, brain = pico.source("half", dtype=torch.float16), pico.source("brain", dtype=torch.bfloat16)
    assert merged_tensors([half, sources[0]], (0.5, 0.5))[BIAS].dtype == np.float32
    assert merged_tensors([half, brain], (0.5, 0.5))[BIAS].dtype == np.float32
    assert merged_tensors([half, half], (0.5, 0.5))[BIAS].dtype == np.float16
    merge([half, brain], (0.5, 0.5), tmp_path)
    expected = 0.5 * state(half)[BIAS].float() + 0.5 * state(brain)[BIAS].float()
    assert torch.equal(state(tmp_path)[BIAS], expected)


def test_float64_is_summed_in_float64(pico: Pico) -> None:
    sources = [pico.source(name, dtype=torch.float64) for name in ("a", "b")]
    merged, expected = merged_tensors(sources, (0.7, 0.3)), in_float64(sources, (0.7, 0.3))
    for name in merged:
        np.testing.assert_allclose(merged[name], expected[name].numpy(), rtol=1e-15, atol=1e-15)


# --- the checkpoint ----------------------------------------------------------------------------------------------------


def test_transformers_loads_it_and_it_answers_like_a_model_merged_by_torch(
    sources: list[Checkpoint], tiny: TinyData, tmp_path: Path
) -> None:
    merge(sources, WEIGHTS, tmp_path)
    by_hand = AutoModelForSequenceClassification.from_pretrained(sources[0].folder)
    with torch.no_grad():
        for name, parameter in by_hand.named_parameters():
            parameter.copy_(in_float64(sources, WEIGHTS)[name])
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert merged.config.id2label == by_hand.config.id2label == {0: "ask", 1: "count", 2: "greet", 3: "leave"}

    encoded = inference.tokenise(inference.load_tokenizer(tmp_path), tiny.partition("de-DE", "test").texts)
    scores = inference.logits(merged.eval(), encoded)
    np.testing.assert_allclose(scores, inference.logits(by_hand.eval(), encoded), atol=2e-5)
    for source in sources:  # and not like any of the sources
        assert np.abs(scores - inference.logits(inference.load_classifier(source.folder), encoded)).max() > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_config_says_the_dtype_of_the_tensors(dtype: torch.dtype, pico: Pico, tmp_path: Path) -> None:
    merge([pico.source("a", dtype=dtype), pico.source("b", dtype=dtype)], (0.5, 0.5), tmp_path)
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path).dtype == dtype


def test_a_mix_of_dtypes_is_not_loaded_in_the_first_source_s(pico: Pico, tmp_path: Path) -> None:
    merge([pico.source("a", dtype=torch.float16), pico.source("b", dtype=torch.bfloat16)], (0.5, 0.5), tmp_path)
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path).dtype == torch.float32


def test_only_what_makes_a_checkpoint_is_copied(pico: Pico, sources: list[Checkpoint], tmp_path: Path) -> None:
    first = pico.source("first")
    for name in ("training.json", "README.md", "optimizer.pt"):
        (first.folder / name).write_text("about the source")
    out = folder(tmp_path / "out")
    merge([first, *sources], [0.25] * 4, out)
    assert {path.name for path in out.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert open_checkpoint(out).tokenizer_digest == first.tokenizer_digest


# --- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_source_that_is_not_finite_is_named_with_the_tensor(
    place: int, value: float, pico: Pico, tmp_path: Path
) -> None:
    names = ["s0", "s1", "s2"]
    for name in names:
        pico.source(name)
    rewrite(pico.root / names[place], lambda tensors: tensors["classifier.dense.weight"][3].fill_(value))
    sources = [open_checkpoint(pico.root / name, name) for name in names]
    with pytest.raises(MixError, match=rf"^Tensor classifier\.dense\.weight of s{place} holds NaN or infinite numbers"):
        merge(sources, WEIGHTS, tmp_path)


def test_a_nan_counts_even_with_weight_zero(pico: Pico, sources: list[Checkpoint], tmp_path: Path) -> None:
    poison(pico.source("bad").folder)
    with pytest.raises(MixError, match="of bad holds NaN"):
        merge([sources[0], open_checkpoint(pico.root / "bad", "bad")], (1.0, 0.0), tmp_path)


def with_positions(pico: Pico, name: str, positions: torch.Tensor) -> Checkpoint:
    pico.source(name)
    rewrite(pico.root / name, lambda tensors: tensors.update({"roberta.embeddings.position_ids": positions}))
    return open_checkpoint(pico.root / name, name)


def test_integers_must_be_the_same_and_stay_so(pico: Pico, tmp_path: Path) -> None:
    sources = [with_positions(pico, name, torch.arange(34)) for name in ("a", "b")]
    merge(sources, (0.5, 0.5), folder(tmp_path / "out"))
    positions = state(tmp_path / "out")["roberta.embeddings.position_ids"]
    assert positions.dtype == torch.int64
    assert positions.tolist() == list(range(34))

    shifted = with_positions(pico, "shifted", torch.arange(34) + 1)
    with pytest.raises(IncompatibleError, match=r"position_ids holds integers that differ between a and shifted"):
        merge([*sources, shifted], WEIGHTS, tmp_path / "out")
    narrow = with_positions(pico, "narrow", torch.arange(34, dtype=torch.int32))
    with pytest.raises(IncompatibleError, match=r"position_ids is I32 and I64 in the sources: it cannot be merged"):
        merge([*sources, narrow], WEIGHTS, tmp_path / "out")


def test_sources_and_weights_come_in_pairs(sources: list[Checkpoint], tmp_path: Path) -> None:
    with pytest.raises(MixError, match=r"got 3 sources and 2 weights for "):
        merge(sources, (0.5, 0.5), tmp_path)
    with pytest.raises(MixError, match="at least one source; got none"):
        merge([], [], tmp_path)


def test_each_tensor_can_have_weights_of_its_own(sources: list[Checkpoint], tmp_path: Path) -> None:
    own = (0.1, 0.2, 0.7)
    merge(sources, lambda name: own if name == BIAS else WEIGHTS, tmp_path)
    written, common, single = state(tmp_path), in_float64(sources, WEIGHTS), in_float64(sources, own)
    for name, tensor in written.items():
        wanted = (single if name == BIAS else common)[name]
        assert torch.allclose(tensor.double(), wanted, rtol=0, atol=1e-6), name
    assert not torch.allclose(single[BIAS], common[BIAS], rtol=0, atol=1e-5)


def test_each_row_can_have_weights_of_its_own(
    sources: list[Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "ELEMENTS_PER_CHUNK", 50)  # which is no multiple of a row
    name = "roberta.embeddings.word_embeddings.weight"
    by_row = np.random.default_rng(0).dirichlet(np.ones(3), size=300).T
    merge(sources, lambda tensor: by_row if tensor == name else WEIGHTS, tmp_path)
    stacked = np.stack([source.file.read(name).astype(np.float64) for source in sources])
    expected = np.einsum("kv,kvh->vh", by_row, stacked)
    assert np.abs(open_checkpoint(tmp_path).file.read(name) - expected).max() < 1e-6


def test_sources_that_do_not_fit_are_refused_before_a_byte_is_written(
    pico: Pico, sources: list[Checkpoint], tmp_path: Path
) -> None:
    with pytest.raises(IncompatibleError):
        merge([sources[0], pico.source("deep", layers=2)], (0.5, 0.5), tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_sources_stay_as_they_are(pico: Pico, tmp_path: Path) -> None:
    sources = [pico.source(name) for name in ("a", "b")]
    shutil.copytree(pico.root, tmp_path / "before")
    merge(sources, (0.6, 0.4), folder(tmp_path / "out"))
    for name in ("a", "b"):
        for path in (pico.root / name).iterdir():
            assert path.read_bytes() == (tmp_path / "before" / name / path.name).read_bytes()
