"""Fine-tuning learns, repeats itself to the bit, and starts all locales from one head."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pico import INTENTS, TinyData, state, tokenizer
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ModernBertConfig,
    PretrainedConfig,
)

from sprachbund import inference
from sprachbund.checkpoints import Checkpoint, check_base, open_checkpoint
from sprachbund.errors import CheckpointError, UserError
from sprachbund.training import batches
from sprachbund.training import finetune as module
from sprachbund.training.finetune import Course, classifier, finetune
from sprachbund.training.settings import FinetuneSettings

STILL = FinetuneSettings(epochs=1, batch=20, learning_rate=1e-12)
"""Steps too small to see: what comes out is what it started from."""
QUICK = FinetuneSettings(epochs=2, batch=8, learning_rate=1e-2)
HEAD = ("classifier.dense.weight", "classifier.out_proj.weight")


def train(
    base: Checkpoint, tiny: TinyData, out: Path, settings: FinetuneSettings, locale: str = "de-DE"
) -> dict[str, torch.Tensor]:
    finetune(base.folder, tiny.partition(locale, "train"), tiny.partition(locale, "dev"), INTENTS, out, settings)
    return state(out)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_what_can_be_learnt(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    partition = tiny.partition("de-DE", "train")
    losses: list[float] = []
    finetune(
        base.folder,
        partition,
        tiny.partition("de-DE", "dev"),
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
    partition, dev = tiny.partition("de-DE", "train"), tiny.partition("de-DE", "dev")
    for locale in ("de-DE", "fr-FR"):
        finetune(base.folder, replace(partition, locale=locale), dev, INTENTS, tmp_path / locale, QUICK)
    assert not same(state(tmp_path / "de-DE"), state(tmp_path / "fr-FR"))


def test_what_is_saved_is_an_ordinary_checkpoint_with_names(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    train, dev = tiny.partition("de-DE", "train"), tiny.partition("de-DE", "dev")
    finetune(base.folder, train, dev, INTENTS[::-1], tmp_path, STILL)
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


@pytest.mark.parametrize(
    ("width", "rate"), [(16, 1.5e-3), (96, 1.5e-3), (256, 1.5e-3), (384, 4e-5), (768, 2e-5), (1024, 1.5e-5)]
)
def test_wide_bases_learn_in_small_steps_unless_others_are_asked_for(width: int, rate: float) -> None:
    assert FinetuneSettings().at_width(width).learning_rate == pytest.approx(rate)
    assert FinetuneSettings(learning_rate=1e-4).at_width(width).learning_rate == 1e-4


# --- batches that add up -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "accumulate"), [(8, 2), (4, 4), (12, 2), (6, 3)])
def test_small_batches_add_up_to_a_large_one(
    batch: int, accumulate: int, base: Checkpoint, tiny: TinyData, tmp_path: Path
) -> None:
    """Of 40 texts the last step of an epoch has fewer, and its last batch fewer still: 24 is 12 + 12, 16 is 12 + 4."""
    found: dict[str, list[float]] = {}
    for name, settings in {
        "whole": QUICK.model_copy(update={"batch": batch * accumulate}),
        "parts": QUICK.model_copy(update={"batch": batch, "accumulate": accumulate}),
    }.items():
        losses = found[name] = []
        finetune(
            base.folder,
            tiny.partition("de-DE", "train"),
            tiny.partition("de-DE", "dev"),
            INTENTS,
            tmp_path / name,
            settings,
            lambda stage, step, steps, loss, losses=losses: losses.append(loss),
        )
    assert len(found["parts"]) == len(found["whole"]) == 2 * -(-40 // (batch * accumulate))
    np.testing.assert_allclose(found["parts"], found["whole"], rtol=1e-4)
    parts, whole = state(tmp_path / "parts"), state(tmp_path / "whole")
    for name, tensor in whole.items():
        if not name.endswith(
            "key.bias"
        ):  # it has no effect, so its gradient is nothing but rounding, which AdamW scales up
            np.testing.assert_allclose(parts[name], tensor, rtol=0, atol=2e-4, err_msg=name)


# --- precision ---------------------------------------------------------------------------------------------------------


def test_bf16_computes_in_sixteen_bits_and_keeps_thirty_two(
    base: Checkpoint, tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    products: set[tuple[bool, torch.dtype]] = set()
    linear = torch.nn.Linear.forward

    def forward(self: torch.nn.Linear, given: torch.Tensor) -> torch.Tensor:
        product = linear(self, given)
        products.add((self.training, product.dtype))
        return product

    monkeypatch.setattr(torch.nn.Linear, "forward", forward)
    half = train(base, tiny, tmp_path / "bf16", QUICK.model_copy(update={"precision": "bf16"}))
    # In training, and where the dev accuracy is measured.
    assert products == {(True, torch.bfloat16), (False, torch.float32)}
    full = train(base, tiny, tmp_path / "fp32", QUICK)
    assert {tensor.dtype for tensor in half.values()} == {torch.float32}
    name = "roberta.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(half[name], half[name].bfloat16().float()), "the weights are not rounded"
    assert not torch.equal(half[name], full[name])
    np.testing.assert_allclose(half[name], full[name], rtol=0, atol=0.1)


# --- early stopping ----------------------------------------------------------------------------------------------------

LONG = FinetuneSettings(epochs=7, batch=8, learning_rate=1e-2, dropout=0.1)
STEPS = 5
"""Of an epoch."""


@dataclass
class Scripted:
    """Says the dev accuracies instead of measuring them, and keeps what the model was like after each epoch."""

    accuracies: Sequence[float]
    seen: list[dict[str, torch.Tensor]] = field(default_factory=list)

    def hits(self, model: torch.nn.Module, *_: object) -> Callable[[], float]:
        def measure() -> float:
            assert not model.training
            self.seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
            return self.accuracies[len(self.seen) - 1]

        return measure


def run(
    scripted: Scripted, settings: FinetuneSettings, base: Checkpoint, tiny: TinyData, out: Path
) -> tuple[Course, int]:
    """Return the course and how many steps were made."""
    steps: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_hits", scripted.hits)
        course = finetune(
            base.folder,
            tiny.partition("de-DE", "train"),
            tiny.partition("de-DE", "dev"),
            INTENTS,
            out,
            settings,
            lambda stage, step, of, loss: steps.append(step),
        )
    return course, len(steps)


@pytest.mark.parametrize(
    ("accuracies", "patience", "epochs", "saved"),
    [
        ((0.3, 0.5, 0.4, 0.5, 0.9), 2, 4, 2),  # as good is no better
        ((0.3, 0.2, 0.9), 1, 2, 1),
        ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), 1, 7, 7),
        ((0.1, 0.9, 0.3, 0.4, 0.5, 0.6, 0.7), 6, 7, 2),  # never out of patience, and yet the best one
    ],
)
def test_with_patience_it_stops_and_saves_the_best_epoch(
    accuracies: Sequence[float],
    patience: int,
    epochs: int,
    saved: int,
    base: Checkpoint,
    tiny: TinyData,
    tmp_path: Path,
) -> None:
    scripted = Scripted(accuracies)
    course, steps = run(scripted, LONG.model_copy(update={"patience": patience}), base, tiny, tmp_path)
    assert course == Course(tuple(accuracies[:epochs]), saved)
    assert course.dev_accuracy == max(accuracies[:epochs])
    assert steps == epochs * STEPS
    assert same(state(tmp_path), scripted.seen[saved - 1])
    assert not same(scripted.seen[0], scripted.seen[1])


def test_the_way_to_an_epoch_is_the_same_with_and_without_patience(
    base: Checkpoint, tiny: TinyData, tmp_path: Path
) -> None:
    """Also the learning rate: it falls as if all epochs were run."""
    accuracies = (0.3, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4)
    patient, dogged = Scripted(accuracies), Scripted(accuracies)
    run(patient, LONG.model_copy(update={"patience": 2}), base, tiny, tmp_path / "patient")
    course, steps = run(dogged, LONG, base, tiny, tmp_path / "dogged")
    assert (course, steps) == (Course(accuracies, 7), 7 * STEPS)
    assert same(state(tmp_path / "dogged"), dogged.seen[-1])
    assert len(patient.seen) == 4
    assert all(same(*pair) for pair in zip(patient.seen, dogged.seen[:4], strict=True))


def test_the_dev_accuracy_is_that_of_the_saved_model(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    dev = tiny.partition("de-DE", "dev")
    settings = LONG.model_copy(update={"patience": 3, "learning_rate": 3e-2})
    course = finetune(base.folder, tiny.partition("de-DE", "train"), dev, INTENTS, tmp_path, settings)
    assert len(set(course.dev_accuracies)) > 1
    scores = inference.logits(
        inference.load_classifier(tmp_path), inference.tokenise(inference.load_tokenizer(tmp_path), dev.texts)
    )
    hits = [INTENTS[winner] == gold for winner, gold in zip(scores.argmax(1), dev.intents, strict=True)]
    assert course.dev_accuracy == max(course.dev_accuracies) == np.mean(hits)


# --- other encoders ----------------------------------------------------------------------------------------------------

SHAPE: dict[str, Any] = {
    "vocab_size": 310,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
    "initializer_range": 0.5,
}
ENCODERS: dict[str, PretrainedConfig] = {
    "BERT": BertConfig(**SHAPE),
    "DeBERTa-v2": DebertaV2Config(**SHAPE, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "ModernBERT": ModernBertConfig(**SHAPE, bos_token_id=0, cls_token_id=0, eos_token_id=2, sep_token_id=2),
    "DistilBERT": DistilBertConfig(
        vocab_size=310,
        dim=16,
        n_layers=1,
        n_heads=2,
        hidden_dim=16,
        max_position_embeddings=40,
        pad_token_id=1,
        initializer_range=0.5,
    ),
}
DROPOUTS = {
    "BERT": {"hidden_dropout_prob", "attention_probs_dropout_prob"},
    "DeBERTa-v2": {"hidden_dropout_prob", "attention_probs_dropout_prob", "pooler_dropout"},
    "ModernBERT": {"attention_dropout", "embedding_dropout", "mlp_dropout", "classifier_dropout"},
    "DistilBERT": {"dropout", "attention_dropout", "seq_classif_dropout", "qa_dropout"},
}
"""What an architecture calls them."""


def encoder(config: PretrainedConfig, folder: Path) -> Path:
    torch.manual_seed(0)
    AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ENCODERS)
def test_any_encoder_can_be_fine_tuned(name: str, tiny: TinyData, tmp_path: Path) -> None:
    base, partition = encoder(ENCODERS[name], tmp_path / "base"), tiny.partition("de-DE", "train")
    settings = FinetuneSettings(epochs=25, batch=8, learning_rate=1e-2, dropout=0.05)
    course = finetune(base, partition, partition, INTENTS, tmp_path / "out", settings)
    assert course.dev_accuracy >= 0.45 > 0.25 == partition.majority_rate(), course
    config = open_checkpoint(tmp_path / "out").config
    assert {key: config.get(key) for key in DROPOUTS[name]} == dict.fromkeys(DROPOUTS[name], 0.05)
    assert len(np.load(tmp_path / "out/token_counts.npy")) == 310, "more rows than the tokenizer knows tokens"
    # And it is a classifier for everybody else.
    inference.load_classifier(tmp_path / "out")


def test_padding_that_the_config_does_not_name_is_the_tokenizer_s(
    tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = encoder(BertConfig(**{**SHAPE, "pad_token_id": None}), tmp_path / "base")
    train, dev = tiny.partition("de-DE", "train"), tiny.partition("de-DE", "dev")
    finetune(base, train, dev, INTENTS, tmp_path / "out", QUICK)
    assert open_checkpoint(tmp_path / "out").config["pad_token_id"] == tokenizer().pad_token_id == 1
    load = inference.load_tokenizer

    def without_padding(folder: Path) -> Any:
        found = load(folder)
        found.pad_token = None
        return found

    monkeypatch.setattr(module, "load_tokenizer", without_padding)
    with pytest.raises(CheckpointError, match="names a token for padding: give the config a pad_token_id"):
        finetune(base, train, dev, INTENTS, tmp_path / "none", QUICK)


def test_a_dropout_that_an_architecture_does_not_have_is_refused(
    base: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DROPOUT", re.compile("no such name"))
    with pytest.raises(UserError, match="has no rate of dropout to set: leave it out"):
        classifier(base.folder, INTENTS, FinetuneSettings(dropout=0.1))
