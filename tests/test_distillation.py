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
from sprachbund.distillation import _sharpened, _steps, _thinned, distil, learning_rate_of, precision_of

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


def test_rows_of_the_embedding_that_no_text_uses_stay_what_they_are(
    sources: list[Checkpoint], tiny: TinyData, tmp_path: Path
) -> None:
    texts, teacher = gold(tiny)
    student = taught(sources[0], texts, teacher, tmp_path / "student", DistillationSettings(epochs=1))
    name = "roberta.embeddings.word_embeddings.weight"
    before, after = state(sources[0])[name], state(student)[name]
    used = {token for text in inference.encode(sources[0].folder, texts) for token in text}
    changed = {row for row in range(len(before)) if not torch.equal(before[row], after[row])}
    assert before.shape == after.shape
    assert len(used) > 20
    assert changed == used


@pytest.mark.parametrize("freeze", [True, False])
def test_a_step_is_that_of_the_whole_model(
    sources: list[Checkpoint], tiny: TinyData, tmp_path: Path, freeze: bool
) -> None:
    """Written down plainly, with all rows of the embedding: one step of AdamW along the mean cross entropy."""
    texts, teacher = gold(tiny)
    once = DistillationSettings(
        epochs=2, batch=len(texts), token_dropout=0.0, precision="fp32", learning_rate=0.01, freeze_embeddings=freeze
    )
    student = state(taught(sources[0], texts, teacher, tmp_path / "student", once))
    model = inference.load_classifier(sources[0].folder)
    words = model.get_input_embeddings().weight.requires_grad_(not freeze)  # type: ignore[operator]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.01)
    ids, mask = inference.pad(inference.encode(sources[0].folder, texts), 1)
    kept = words.detach().clone()
    unused = torch.ones(len(words), dtype=torch.bool)
    unused[ids.unique()] = False
    for rate in (0.01, 0.005):  # it falls to zero over two steps
        loss = torch.nn.functional.cross_entropy(
            model(input_ids=ids, attention_mask=mask).logits, torch.from_numpy(teacher).float()
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    words.data[unused] = kept[unused]  # which a plain AdamW would have decayed
    for name, expected in model.state_dict().items():
        if name.endswith("key.bias"):  # has no gradient but rounding, which AdamW makes as large as any
            continue
        torch.testing.assert_close(student[name], expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_of_products_is_that_of_the_settings_while_it_learns_and_no_longer(
    sources: list[Checkpoint], tiny: TinyData, tmp_path: Path, precision: str
) -> None:
    texts, teacher = gold(tiny)
    seen = []
    (tmp_path / "student").mkdir()
    distil(
        inference.load_classifier(sources[0].folder),
        inference.load_tokenizer(sources[0].folder),
        texts,
        teacher,
        tmp_path / "student",
        DistillationSettings(epochs=1, precision=precision),
        progress=lambda *told: seen.append(torch.get_float32_matmul_precision()),
    )
    assert set(seen) == {"highest" if precision == "fp32" else "medium"}
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_step_has_texts_of_which_as_much_is_seen() -> None:
    encoded = [[0, *range(5, 5 + length), 2] for length in range(64)] * 2
    steps = list(_steps(encoded, DistillationSettings(epochs=2, batch=8)))
    assert [sorted(index for batch, _ in steps[half : half + 16] for index in batch) for half in (0, 16)] == [
        list(range(128))
    ] * 2
    assert all(
        set(seen) <= set(encoded[index]) for batch, texts in steps for index, seen in zip(batch, texts, strict=True)
    )
    waste = [max(map(len, texts)) * len(texts) / sum(map(len, texts)) for _, texts in steps]
    assert np.mean(waste) < 1.1


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


def test_wider_encoders_learn_more_slowly_and_in_fewer_bits() -> None:
    assert learning_rate_of(128) == pytest.approx(1e-3)
    assert learning_rate_of(768) == pytest.approx(2.8e-5, rel=0.01)
    assert (precision_of(128), precision_of(768)) == ("fp32", "bf16")


def test_dropped_tokens_make_no_student_of_another_kind(pico: Pico, tiny: TinyData, tmp_path: Path) -> None:
    texts, teacher = gold(tiny)
    student = taught(pico.source("start"), texts, teacher, tmp_path / "student", DistillationSettings(epochs=1))
    assert inference.load_classifier(student).config.id2label == dict(enumerate(INTENTS))  # type: ignore[union-attr]
