"""LoRA adapters as checkpoints: base plus delta, against the sum written down once more in float64."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoHaConfig, LoraConfig, PeftModel, get_peft_model
from pico import INTENTS, Pico, rewrite, state
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from sprachbund import inference
from sprachbund.checkpoints import (
    Checkpoint,
    check_mergeable,
    open_checkpoint,
    read_token_counts,
    sub_checkpoints,
    write_token_counts,
    zoo_name,
)
from sprachbund.errors import CheckpointError
from sprachbund.merging import merged_tensors

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
"""Of transformers 5.24, about how peft asks it; the package itself keeps that quiet."""

ALPHA, RANK = 6, 2
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ENCODED = [[0, 5, 6, 2], [0, 9, 2], [0, 7, 8, 9, 2]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def adapter(
    base: Checkpoint, folder: Path, *, labels: int = 4, seed: int = 0, kind: Any = LoraConfig, **more: Any
) -> Path:
    """A LoRA classifier on a base, with every number of it drawn from a seed."""
    model = AutoModelForSequenceClassification.from_pretrained(base.folder, num_labels=labels, dtype=torch.float32)
    usual = {"task_type": "SEQ_CLS", "r": RANK, "target_modules": ["query", "value"]}
    scale = {"lora_alpha": ALPHA} if kind is LoraConfig else {}
    adapted = get_peft_model(model, kind(**{**usual, **scale, **more}))
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in adapted.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                tensor.copy_(0.3 * torch.randn(tensor.shape, generator=drawn))
    adapted.save_pretrained(folder)
    return folder


def by_hand(base: Checkpoint, folder: Path, scale: float) -> dict[str, np.ndarray]:
    """W + scale · B · A in float64, and the head as the adapter has it."""
    saved = {name.removeprefix("base_model.model."): tensor for name, tensor in load_file(folder / WEIGHTS).items()}
    total = {name: tensor.double().numpy() for name, tensor in state(base).items()}
    for name, tensor in saved.items():
        if name.endswith("lora_A.weight"):
            module = name.removesuffix("lora_A.weight")
            delta = saved[f"{module}lora_B.weight"].double() @ tensor.double()
            total[f"{module}weight"] = total[f"{module}weight"] + scale * delta.numpy()
        elif "lora_" not in name:
            total[name] = tensor.double().numpy()
    return total


@pytest.mark.parametrize(
    ("more", "scale"),
    [
        ({}, ALPHA / RANK),
        ({"use_rslora": True}, ALPHA / math.sqrt(RANK)),
        ({"target_modules": ["query", "key", "value", "output.dense"]}, ALPHA / RANK),
    ],
    ids=["lora", "rslora", "more modules"],
)
def test_it_is_the_base_plus_the_scaled_product(
    more: dict[str, Any], scale: float, base: Checkpoint, pico: Pico
) -> None:
    folder = adapter(base, pico.root / "adapter", **more)
    found = open_checkpoint(folder)
    expected = by_hand(base, folder, scale)
    for name in found.tensors:
        assert found.tensors[name].dtype == "F32"
        np.testing.assert_allclose(found.file.read(name), expected[name], rtol=0, atol=2e-6, err_msg=name)
    moved = [
        name
        for name in found.tensors
        if name in base.tensors and np.abs(expected[name] - base.file.read(name)).max() > 0.1
    ]
    assert (
        len(moved) == len(load_file(folder / WEIGHTS).keys() - {f"base_model.model.classifier.{n}" for n in _HEAD}) / 2
    )


_HEAD = ("dense.weight", "dense.bias", "out_proj.weight", "out_proj.bias")


@pytest.mark.parametrize(
    "more", [{}, {"use_rslora": True}, {"use_dora": True}, {"bias": "all"}, {"rank_pattern": {"query": 4}}]
)
def test_it_answers_like_the_model_of_peft(more: dict[str, Any], base: Checkpoint, pico: Pico) -> None:
    folder = adapter(base, pico.root / "adapter", **more)
    found = open_checkpoint(folder)
    alone = AutoModelForSequenceClassification.from_pretrained(base.folder, num_labels=4)
    theirs = inference.logits(PeftModel.from_pretrained(alone, str(folder)).eval(), ENCODED)
    ours = inference.logits(inference.load_classifier(found.folder), ENCODED)
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_sixteen_bit_bases_are_added_to_in_fp32(base: Checkpoint, pico: Pico) -> None:
    half = pico.root / "half"
    shutil.copytree(base.folder, half)
    rewrite(half, lambda tensors: tensors.update({name: tensor.bfloat16() for name, tensor in tensors.items()}))
    folder = adapter(open_checkpoint(half), pico.root / "adapter")
    found = open_checkpoint(folder)
    name = "roberta.encoder.layer.0.attention.self.query.weight"
    expected = by_hand(open_checkpoint(half), folder, ALPHA / RANK)[name]
    np.testing.assert_allclose(found.file.read(name), expected, rtol=0, atol=2e-6)


def test_it_is_said_and_keeps_its_name(base: Checkpoint, pico: Pico, own_cache: Path) -> None:
    folder = adapter(base, pico.root / "zoo/de-DE")
    found = open_checkpoint(folder, "mine")
    assert (found.name, found.origin) == ("mine", folder)
    assert found.note == f"is an adapter of {base.folder}: their sum is kept in {own_cache}/converted."
    assert zoo_name(found, "de-DE") == f"{pico.root.resolve()}/zoo/{{locale}}"
    assert sub_checkpoints(pico.root / "zoo") == [folder]


def test_it_merges_with_whole_models_and_other_adapters(base: Checkpoint, pico: Pico) -> None:
    folders = [adapter(base, pico.root / f"adapter-{seed}", seed=seed) for seed in (1, 2)]
    for folder in folders:
        as_classifier(folder)
    found = [open_checkpoint(folder) for folder in folders] + [pico.source("whole")]
    check_mergeable(found)
    merged = merged_tensors(found, (0.5, 0.3, 0.2))
    parts = [*(by_hand(base, folder, ALPHA / RANK) for folder in folders), state(found[2])]
    for name in merged:
        expected = sum(
            w * np.asarray(part[name], dtype=np.float64) for w, part in zip((0.5, 0.3, 0.2), parts, strict=True)
        )
        np.testing.assert_allclose(merged[name], expected, rtol=0, atol=3e-6)


def as_classifier(folder: Path) -> None:
    """Put a config with label names beside an adapter."""
    (folder / "config.json").write_text(json.dumps({"id2label": {str(n): name for n, name in enumerate(INTENTS)}}))


def test_labels_are_counted_by_the_head_and_named_by_the_config(base: Checkpoint, pico: Pico) -> None:
    folder = adapter(base, pico.root / "adapter")
    unnamed = open_checkpoint(folder)
    assert unnamed.labels == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")
    as_classifier(folder)
    named = open_checkpoint(folder)
    assert named.labels == INTENTS
    assert named.folder != unnamed.folder
    two = open_checkpoint(adapter(base, pico.root / "two", labels=2))
    assert two.labels == ("LABEL_0", "LABEL_1")


def test_an_adapter_of_a_classifier_has_its_labels(pico: Pico) -> None:
    whole = pico.source("whole")
    folder = adapter(whole, pico.root / "adapter")
    assert open_checkpoint(folder).labels == INTENTS
    without_head = adapter(whole, pico.root / "bare", task_type="FEATURE_EXTRACTION")
    found = open_checkpoint(without_head)
    assert found.labels == INTENTS
    np.testing.assert_array_equal(found.file.read("classifier.dense.bias"), whole.file.read("classifier.dense.bias"))


@pytest.mark.parametrize("named", ["base", "../base", "models/base"])
def test_a_base_may_stand_beside_it(named: str, pico: Pico, monkeypatch: pytest.MonkeyPatch) -> None:
    base = pico.base()
    folder = adapter(base, pico.root / "adapter")
    changed(base_model_name_or_path=named)(folder)
    monkeypatch.chdir(pico.root.parent)
    assert open_checkpoint(folder).labels[0] == "LABEL_0"


def test_its_own_tokenizer_wins(base: Checkpoint, pico: Pico) -> None:
    folder = adapter(base, pico.root / "adapter")
    assert open_checkpoint(folder).tokenizer_digest == base.tokenizer_digest
    saved = json.loads((base.folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(saved, indent=3))
    found = open_checkpoint(folder)
    assert found.tokenizer_digest != base.tokenizer_digest
    assert found.vocabulary_digest == base.vocabulary_digest


def test_it_has_the_token_counts_of_its_own_training(pico: Pico) -> None:
    whole = pico.source("whole")
    write_token_counts(whole.folder, [[5, 6]], 300)
    folder = adapter(whole, pico.root / "adapter")
    assert read_token_counts(open_checkpoint(folder)) is None, "those of the base are of another training"
    write_token_counts(folder, [[7]], 300)
    counts = read_token_counts(open_checkpoint(folder))
    assert counts is not None
    assert counts.nonzero()[0].tolist() == [7]


def test_it_is_added_once_and_again_where_adapter_or_base_change(pico: Pico, monkeypatch: pytest.MonkeyPatch) -> None:
    base = pico.base()
    folder = adapter(base, pico.root / "adapter")
    first = open_checkpoint(folder)
    rewrite(base.folder, lambda tensors: tensors["roberta.embeddings.LayerNorm.bias"].add_(1))
    second = open_checkpoint(folder)
    saved = load_file(folder / WEIGHTS)
    save_file({name: 2 * tensor for name, tensor in saved.items()}, folder / WEIGHTS)
    third = open_checkpoint(folder)
    assert len({first.folder, second.folder, third.folder}) == 3
    assert len({first.digest, second.digest, third.digest}) == 3
    monkeypatch.setitem(sys.modules, "peft", None)
    assert open_checkpoint(folder).folder == third.folder, "what is there takes no library"


def test_a_pickled_adapter_is_read_without_running_it(base: Checkpoint, pico: Pico) -> None:
    folder = adapter(base, pico.root / "adapter")
    safe = open_checkpoint(folder)
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    torch.save(tensors, folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"adapter has its weights only as a pickle \(adapter_model.bin\)"):
        open_checkpoint(folder)
    found = open_checkpoint(folder, allow_pickle=True)
    assert "pickled, read without running any code (weights_only)," in found.note
    assert found.digest == safe.digest
    torch.save({"x": print}, folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"adapter_model.bin is a pickle that does more than hold tensors"):
        open_checkpoint(folder, allow_pickle=True)


def test_what_is_said_of_the_base_is_said_of_the_adapter(pico: Pico) -> None:
    base = pico.base()
    folder = adapter(base, pico.root / "adapter")
    torch.save(state(base), base.folder / "pytorch_model.bin")
    (base.folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"base of the adapter .* as a pickle \(pytorch_model.bin\).* names it"):
        open_checkpoint(folder)
    assert f"{base.folder} has pickled weights" in open_checkpoint(folder, allow_pickle=True).note


# --- what is refused ---------------------------------------------------------------------------------------------------


def changed(**changes: Any) -> Callable[[Path], None]:
    """Change the config of the adapter."""

    def spoil(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({**config, **changes}))

    return spoil


def tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    """Change the tensors of the adapter."""

    def spoil(folder: Path) -> None:
        saved = load_file(folder / WEIGHTS)
        change(saved)
        save_file(saved, folder / WEIGHTS)

    return spoil


def named(saved: dict[str, torch.Tensor], part: str) -> str:
    return next(name for name in saved if part in name)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / CONFIG).write_text("{"), "does not say what it adapts"),
        (lambda folder: (folder / CONFIG).write_text("[]"), "does not say what it adapts"),
        (changed(base_model_name_or_path=None), "names no base"),
        (changed(base_model_name_or_path="nowhere"), r"base of the adapter .* cannot be used \(.*nowhere"),
        (changed(base_model_name_or_path="../adapter"), "names the adapter itself as its base"),
        (lambda folder: (folder / WEIGHTS).unlink(), "is an adapter without its weights"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"short"), f"{WEIGHTS} is truncated or corrupt"),
        (tensors(lambda saved: saved.pop(named(saved, "query.lora_B"))), "lacks its tensor .*query.lora_B.weight"),
        (
            tensors(lambda saved: saved.update({"base_model.model.x.lora_A.weight": torch.zeros(2)})),
            "no place for x.lora_A",
        ),
        (
            tensors(lambda saved: saved.update({named(saved, "query.lora_A"): torch.zeros(3, 3)})),
            "does not fit its base",
        ),
        (
            tensors(lambda saved: saved.pop(named(saved, "classifier.dense.bias"))),
            "Neither .* has tensor classifier.dense.bias",
        ),
        (
            tensors(lambda saved: [saved.pop(name) for name in list(saved) if "classifier" in name]),
            "holds no classifier, but XLMRobertaForMaskedLM",
        ),
    ],
)
def test_what_does_not_fit_is_refused(spoil: Callable[[Path], None], reason: str, pico: Pico, own_cache: Path) -> None:
    folder = adapter(pico.base(), pico.root / "adapter")
    spoil(folder)
    with pytest.raises(CheckpointError, match=reason):
        open_checkpoint(folder)
    assert not [path for path in own_cache.glob("converted/*") if path.suffix != ".lock"]


def test_other_adapters_are_refused(base: Checkpoint, pico: Pico) -> None:
    folder = adapter(base, pico.root / "adapter", kind=LoHaConfig)
    with pytest.raises(CheckpointError, match="is a LOHA adapter, only LORA ones are read"):
        open_checkpoint(folder)


def test_a_base_of_another_size_is_refused(pico: Pico) -> None:
    folder = adapter(pico.base(), pico.root / "adapter")
    changed(base_model_name_or_path=str(pico.base("narrow", hidden=8).folder))(folder)
    with pytest.raises(CheckpointError, match="does not fit its base"):
        open_checkpoint(folder)


def test_without_peft_it_is_said_how_to_get_it(base: Checkpoint, pico: Pico, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = adapter(base, pico.root / "adapter")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CheckpointError, match=r'is an adapter, which takes peft: pip install "sprachbund\[peft\]"\.'):
        open_checkpoint(folder)
