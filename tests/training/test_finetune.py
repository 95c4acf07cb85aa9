"""Fine-tuning learns, repeats itself to the bit, and starts all locales from one head."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pico import INTENTS, TinyData, state
from transformers import AutoModelForSequenceClassification

from sprachbund import inference
from sprachbund.checkpoints import Checkpoint, check_base, open_checkpoint
from sprachbund.training import batches
from sprachbund.training.finetune import finetune
from sprachbund.training.settings import FinetuneSettings

STILL = FinetuneSettings(epochs=1, batch=20, learning_rate=1e-12)
"""Steps too small to see: what comes out is what it started from."""
QUICK = FinetuneSettings(epochs=2, batch=8, learning_rate=1e-2)
HEAD = ("classifier.dense.weight", "classifier.out_proj.weight")


def train(
    base: Checkpoint, tiny: TinyData, out: Path, settings: FinetuneSettings, locale: str = "de-DE"
) -> dict[str, torch.Tensor]:
    finetune(base.folder, tiny.partition(locale, "train"), INTENTS, out, settings)
    return state(out)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_what_can_be_learnt(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    partition = tiny.partition("de-DE", "train")
    losses: list[float] = []
    finetune(
        base.folder,
        partition,
        INTENTS,
        tmp_path,
        FinetuneSettings(epochs=30, batch=8, learning_rate=1e-2),
        lambda stage, step, steps, loss: losses.append(loss),
    )
    scores = inference.logits(
        inference.load_classifier(tmp_path), inference.tokenise(inference.load_tokenizer(tmp_path), partition.texts)
    )
    hits = [INTENTS[winner] == gold for winner, gold in zip(scores.argmax(1), partition.intents, strict=True)]
    assert np.mean(hits) >= 0.9 > 0.25 == partition.majority_rate()
    assert len(losses) == 30 * 5
    assert np.mean(losses[-5:]) < 0.2 * np.mean(losses[:5])


def test_the_same_seeds_give_the_same_tensors(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    settings = QUICK.model_copy(update={"dropout": 0.1})
    first = train(base, tiny, tmp_path / "first", settings)
    torch.manual_seed(123)  # whatever happened before in the process
    random.seed(123)
    assert same(first, train(base, tiny, tmp_path / "second", settings))


@pytest.mark.parametrize("change", [{"seed": 1}, {"head_seed": 1}, {"epochs": 3}, {"dropout": 0.2}])
def test_each_setting_counts(change: dict[str, float], base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    first = train(base, tiny, tmp_path / "first", QUICK)
    assert not same(first, train(base, tiny, tmp_path / "second", QUICK.model_copy(update=change)))


def test_all_locales_start_from_one_head_on_the_base(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    german, japanese = (train(base, tiny, tmp_path / locale, STILL, locale) for locale in ("de-DE", "ja-JP"))
    other = train(base, tiny, tmp_path / "other", STILL.model_copy(update={"head_seed": 1}))
    for name in HEAD:
        np.testing.assert_allclose(german[name], japanese[name], rtol=0, atol=1e-9)
        assert german[name].std() > 0.1
        assert torch.cosine_similarity(german[name].flatten(), other[name].flatten(), dim=0).abs() < 0.3
    for name, tensor in state(base).items():
        if name.startswith("roberta."):
            np.testing.assert_allclose(german[name], tensor, rtol=0, atol=1e-9)


def test_each_locale_has_an_order_of_its_own(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    """The same texts under two names: only order tells them apart."""
    partition = tiny.partition("de-DE", "train")
    for locale in ("de-DE", "fr-FR"):
        finetune(base.folder, replace(partition, locale=locale), INTENTS, tmp_path / locale, QUICK)
    assert not same(state(tmp_path / "de-DE"), state(tmp_path / "fr-FR"))


def test_what_is_saved_is_an_ordinary_checkpoint_with_names(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    finetune(base.folder, tiny.partition("de-DE", "train"), INTENTS[::-1], tmp_path, STILL)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert model.config.id2label == {0: "leave", 1: "greet", 2: "count", 3: "ask"}
    assert model.config.label2id == {"leave": 0, "greet": 1, "count": 2, "ask": 3}
    assert model.dtype == torch.float32
    source = open_checkpoint(tmp_path)
    assert source.architecture == "XLMRobertaForSequenceClassification"
    assert source.vocabulary_digest == base.vocabulary_digest
    check_base(base, source)


def test_dropout_is_the_base_s_unless_another_is_asked_for(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    rates = {}
    for asked in (None, 0.25):
        train(base, tiny, tmp_path / str(asked), STILL.model_copy(update={"dropout": asked}))
        config = open_checkpoint(tmp_path / str(asked)).config
        rates[asked] = (config["hidden_dropout_prob"], config["attention_probs_dropout_prob"])
    assert rates == {None: (0.0, 0.0), 0.25: (0.25, 0.25)}


def encoded_of(lengths: Sequence[int]) -> list[list[int]]:
    return [[5] * length for length in lengths]


def test_an_epoch_has_each_text_once_in_batches_of_like_length() -> None:
    lot = random.Random(0)
    lengths = [lot.randrange(3, 40) for _ in range(500)]
    order = batches.epoch(encoded_of(lengths), 16, random.Random(1))
    assert sorted(index for batch in order for index in batch) == list(range(500))
    assert max(map(len, order)) == 16
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in order)
    assert padded < 1.15 * sum(lengths)
    assert order != batches.epoch(encoded_of(lengths), 16, random.Random(2))
    means = [np.mean([lengths[index] for index in batch]) for batch in order]
    assert means != sorted(means)
