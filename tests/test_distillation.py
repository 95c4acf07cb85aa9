"""A student learns what it is taught, from texts alone, and the same bits each time."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from pico import INTENTS, Pico, TinyData, state

from sprachbund import inference
from sprachbund.adaptation import DistillationSettings
from sprachbund.checkpoints import Checkpoint
from sprachbund.distillation import _sharpened, _thinned, distil, learning_rate_of

QUICK = DistillationSettings(epochs=30, learning_rate=0.02, token_dropout=0.0)
TARGET = "sq-AL"


def gold(tiny: TinyData) -> tuple[tuple[str, ...], np.ndarray]:
    partition = tiny.partition(TARGET, "train")
    return partition.texts, np.eye(4)[[INTENTS.index(intent) for intent in partition.intents]]


def taught(
    start: Checkpoint, texts: tuple[str, ...], teacher: np.ndarray, out: Path, settings: DistillationSettings = QUICK
) -> Path:
    out.mkdir(parents=True)
    distil(
        inference.load_classifier(start.folder), inference.load_tokenizer(start.folder), texts, teacher, out, settings
    )
    return out


def answers(folder: Path, texts: tuple[str, ...]) -> np.ndarray:
    tokenizer = inference.load_tokenizer(folder)
    return inference.logits(inference.load_classifier(folder), inference.tokenise(tokenizer, texts)).argmax(axis=1)


def test_the_student_answers_as_its_teacher(sources: list[Checkpoint], tiny: TinyData, tmp_path: Path) -> None:
    texts, teacher = gold(tiny)
    before = answers(sources[0].folder, texts)
    after = answers(taught(sources[0], texts, teacher, tmp_path / "student"), texts)
    assert (before == teacher.argmax(axis=1)).mean() < 0.6
    assert (after == teacher.argmax(axis=1)).mean() > 0.8


def test_it_follows_the_teacher_and_not_the_truth(sources: list[Checkpoint], tiny: TinyData, tmp_path: Path) -> None:
    texts, teacher = gold(tiny)
    wrong = np.roll(teacher, 1, axis=1)
    after = answers(taught(sources[0], texts, wrong, tmp_path / "student"), texts)
    assert (after == wrong.argmax(axis=1)).mean() > 0.8


def test_the_same_seed_gives_the_same_bits_and_another_one_others(
    sources: list[Checkpoint], tiny: TinyData, tmp_path: Path
) -> None:
    texts, teacher = gold(tiny)
    settings = DistillationSettings(epochs=2, learning_rate=0.01)
    once, twice, other = (
        state(taught(sources[0], texts, teacher, tmp_path / name, settings.model_copy(update={"seed": seed})))
        for name, seed in (("once", 0), ("twice", 0), ("other", 1))
    )
    assert all(torch.equal(once[name], twice[name]) for name in once)
    assert not all(torch.equal(once[name], other[name]) for name in once)


def test_frozen_embeddings_stay_what_they_are(sources: list[Checkpoint], tiny: TinyData, tmp_path: Path) -> None:
    texts, teacher = gold(tiny)
    name = "roberta.embeddings.word_embeddings.weight"
    for frozen in (True, False):
        settings = DistillationSettings(epochs=1, learning_rate=0.01, freeze_embeddings=frozen)
        after = state(taught(sources[0], texts, teacher, tmp_path / str(frozen), settings))
        assert torch.equal(after[name], state(sources[0])[name]) == frozen
        assert not torch.equal(after["classifier.out_proj.weight"], state(sources[0])["classifier.out_proj.weight"])


def test_a_refitted_head_leaves_the_encoder_alone(sources: list[Checkpoint], tiny: TinyData, tmp_path: Path) -> None:
    texts, teacher = gold(tiny)
    settings = DistillationSettings(epochs=1, learning_rate=0.01, head_only=True)
    before, after = state(sources[0]), state(taught(sources[0], texts, teacher, tmp_path / "student", settings))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith("classifier.")}


def test_a_thinned_text_keeps_its_ends_and_the_order_of_the_rest() -> None:
    lot = random.Random(0)
    tokens = list(range(1002))
    thinned = _thinned(tokens, 0.3, lot)
    assert (thinned[0], thinned[-1]) == (0, 1001)
    assert thinned == sorted(thinned)
    assert len(thinned) == pytest.approx(702, abs=45)
    assert _thinned(tokens, 0.0, lot) == tokens
    assert _thinned([0, 2], 0.9, lot) == [0, 2]


def test_sharpening_raises_and_sums_to_one() -> None:
    assert _sharpened(np.array([[0.8, 0.2]]), 2.0) == pytest.approx(np.array([[0.64 / 0.68, 0.04 / 0.68]]))
    assert _sharpened(np.array([[0.8, 0.2]]), 1.0) == pytest.approx(np.array([[0.8, 0.2]]))


def test_wider_encoders_learn_more_slowly() -> None:
    assert learning_rate_of(128) == pytest.approx(1e-3)
    assert learning_rate_of(768) == pytest.approx(2.8e-5, rel=0.01)


def test_dropped_tokens_make_no_student_of_another_kind(pico: Pico, tiny: TinyData, tmp_path: Path) -> None:
    texts, teacher = gold(tiny)
    student = taught(pico.source("start"), texts, teacher, tmp_path / "student", DistillationSettings(epochs=1))
    assert inference.load_classifier(student).config.id2label == dict(enumerate(INTENTS))  # type: ignore[union-attr]
