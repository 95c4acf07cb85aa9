"""Pre-training: a loadable masked language model, the same each time, that has read train texts and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pico import Pico, TinyData, rows_of, state, tiny_data, tokenizer
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from sprachbund.checkpoints import Checkpoint
from sprachbund.data import Row
from sprachbund.errors import CheckpointError, UserError
from sprachbund.training import pretrain as module
from sprachbund.training.jobs import train_base
from sprachbund.training.pretrain import IGNORED, pretrain
from sprachbund.training.settings import PretrainSettings

LOCALES = ("de-DE", "fr-FR", "ja-JP")
SETTINGS = PretrainSettings(
    vocabulary=300,
    hidden=16,
    layers=1,
    heads=2,
    intermediate=16,
    max_tokens=32,
    mlm_steps=30,
    mlm_batch=16,
    ranking_steps=10,
    ranking_batch=8,
    learning_rate=1e-2,
)
SHORT = SETTINGS.model_copy(update={"mlm_steps": 2, "ranking_steps": 2})


def run(out: Path, settings: PretrainSettings = SHORT) -> list[tuple[str, float]]:
    """Return stage and loss of each step."""
    steps: list[tuple[str, float]] = []
    train = [tiny_data().partition(locale, "train") for locale in LOCALES]
    pretrain(train, out, settings, lambda stage, step, count, loss: steps.append((stage, loss)))
    return steps


def test_it_saves_a_masked_language_model_with_its_tokenizer(tmp_path: Path) -> None:
    run(tmp_path)
    model, words = AutoModelForMaskedLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert model.config.vocab_size == len(words) == model.get_input_embeddings().num_embeddings
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (16, 1)
    assert words.model_max_length == 32
    assert model.config.max_position_embeddings == 34
    longest = words("bala " * 100, truncation=True, return_tensors="pt")
    assert longest["input_ids"].shape == (1, 32)
    assert model(**longest).logits.shape == (1, 32, len(words))
    assert words.tokenize("aska") != [words.unk_token]
    AutoModelForSequenceClassification.from_pretrained(tmp_path)  # a base to fine-tune


def test_both_stages_learn(tmp_path: Path) -> None:
    steps = run(tmp_path, SETTINGS.model_copy(update={"mlm_steps": 80, "ranking_steps": 40}))
    assert [stage for stage, _ in steps] == ["language modelling"] * 80 + ["translation ranking"] * 40
    losses = [loss for _, loss in steps]
    assert np.mean(losses[70:80]) < 0.9 * np.mean(losses[:10])
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[80:90])


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name, settings in (("first", SHORT), ("second", SHORT), ("other", SHORT.model_copy(update={"seed": 1}))):
        torch.manual_seed(sum(map(ord, name)))
        run(tmp_path / name, settings)
    for file in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    first, other = state(tmp_path / "first"), state(tmp_path / "other")
    assert not torch.equal(first["lm_head.dense.weight"], other["lm_head.dense.weight"])


def test_batches_larger_than_the_data_are_all_of_it(tmp_path: Path) -> None:
    steps = run(tmp_path, SHORT.model_copy(update={"mlm_batch": 1000, "ranking_batch": 1000}))
    assert len(steps) == 4


def test_a_batch_without_a_masked_token_teaches_nothing_rather_than_nan(tmp_path: Path) -> None:
    run(tmp_path, SHORT.model_copy(update={"mlm_steps": 40, "mlm_batch": 1}))
    assert all(torch.isfinite(tensor).all() for tensor in state(tmp_path).values())


def test_no_translations_no_pre_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Pre-training needs translations, texts with the same id in at least two"):
        pretrain([tiny_data().partition("de-DE", "train")], tmp_path, SHORT)


def test_a_vocabulary_smaller_than_the_alphabet_is_refused(tmp_path: Path) -> None:
    def many_letters(locale: str) -> Iterable[Row]:
        return (replace(row, utt=chr(0x4E00 + 7 * number) * 2) for number, row in enumerate(_many(locale)))

    train = [tiny_data(source=many_letters).partition(locale, "train") for locale in LOCALES]
    with pytest.raises(UserError, match="--vocabulary 300: the texts have 400 different characters"):
        pretrain(train, tmp_path, SHORT)


def _many(locale: str) -> Iterable[Row]:
    first = next(iter(rows_of(locale)))
    return (replace(first, id=str(number)) for number in range(400))


# --- the parts ---------------------------------------------------------------------------------------------------------


def test_masking_hides_15_percent_and_80_10_10_of_them() -> None:
    torch.manual_seed(0)
    words = tokenizer()
    ids = torch.randint(5, len(words), (200, 200))
    ids[:, 0], ids[:, -1], ids[:, 150:160] = words.bos_token_id, words.eos_token_id, words.pad_token_id
    hidden, labels = module._mask_tokens(ids, words)
    special = torch.isin(ids, torch.tensor(words.all_special_ids))
    chosen = labels != IGNORED
    assert not (chosen & special).any()
    assert torch.equal(hidden[~chosen], ids[~chosen])
    assert torch.equal(labels[chosen], ids[chosen])
    assert chosen[~special].float().mean() == pytest.approx(0.15, abs=0.01)
    masked = hidden[chosen] == words.mask_token_id
    kept = hidden[chosen] == ids[chosen]
    assert masked.float().mean() == pytest.approx(0.8, abs=0.02)
    assert kept.float().mean() == pytest.approx(0.1 + 0.1 / len(words), abs=0.02)  # or drawn again by chance


def test_side_by_side_is_how_xlm_r_joins_two_texts() -> None:
    words = tokenizer()
    first, second = words("aska bala")["input_ids"], words("greeta")["input_ids"]
    assert module._side_by_side(first, second, 99) == words("aska bala", "greeta")["input_ids"]
    assert module._side_by_side(first, second, 6) == words("aska bala", "greeta")["input_ids"][:6]


def test_mean_states_are_unit_vectors_in_the_order_of_the_texts(
    base: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TEXTS_PER_PASS", 3)
    model, words = AutoModelForMaskedLM.from_pretrained(base.folder).eval(), tokenizer()
    encoded = [
        words(text)["input_ids"] for text in ("aska bala dono", "greeta", "leavea runa", "pito", "aske lisu mano sele")
    ]
    with torch.no_grad():
        found = module._mean_states(model, encoded, words.pad_token_id)
        for vector, tokens in zip(found, encoded, strict=True):
            mean = model.roberta(input_ids=torch.tensor([tokens])).last_hidden_state[0].mean(0)
            np.testing.assert_allclose(vector, mean / mean.norm(), atol=1e-5)


def test_the_order_of_pieces_does_not_hang_on_the_luck_of_a_training_run() -> None:
    """Ties in another order, wavering digits, and the scores of uncounted characters dealt to others."""
    counted = [("▁the", -2.5), ("▁a", -3.25), ("▁b", -3.25), ("cd", -9.0)]
    lucky = [*counted, ("ж", -9.0), ("я", -8.9999), ("语", -8.9998)]
    other = [
        ("语", -9.0 + 1e-11),
        ("▁b", -3.25 - 1e-12),
        ("▁a", -3.25),
        ("ж", -8.9998),
        ("▁the", -2.5),
        ("я", -8.9999),
        ("cd", -9.0),
    ]
    expected = [*counted[:3], ("语", -8.9998), ("я", -8.9999), ("cd", -9.0), ("ж", -9.0)]
    assert module._in_fixed_order(lucky) == module._in_fixed_order(other) == expected


def test_a_tokenizer_may_be_trained_on_a_part_of_the_texts(tmp_path: Path) -> None:
    for name, texts in (("few", 20), ("many", 10_000)):
        run(tmp_path / name, SHORT.model_copy(update={"tokenizer_texts": texts}))
    run(tmp_path / "all")
    few, many, everything = ((tmp_path / name / "tokenizer.json").read_bytes() for name in ("few", "many", "all"))
    assert few != many == everything


def test_pairs_are_one_concept_in_two_locales() -> None:
    phrases = [[[concept, locale] for locale in range(4)] for concept in range(10)]
    pairs = module._ParallelText(phrases).pairs(random.Random(0), 10)
    assert sorted(first[0] for first, _ in pairs) == list(range(10))
    for first, second in pairs:
        assert first[0] == second[0]
        assert first[1] != second[1]


# --- as a job ----------------------------------------------------------------------------------------------------------


def test_a_base_is_made_from_train_texts_alone(tmp_path: Path) -> None:
    def train_only(locale: str) -> Iterable[Row]:
        """Rows of dev and test carry a letter that no tokenizer may know."""
        return (row if row.partition == "train" else replace(row, utt=f"ж{row.utt}") for row in rows_of(locale))

    card = train_base(tiny_data(source=train_only), LOCALES, tmp_path / "base", SHORT)
    assert (card.locale, card.dev_accuracy) == (None, None)
    assert "ж" not in (tmp_path / "base/tokenizer.json").read_text(encoding="utf-8")
    assert "a" in (tmp_path / "base/tokenizer.json").read_text(encoding="utf-8")


def test_a_base_is_found_again_and_never_replaced_unasked(tiny: TinyData, tmp_path: Path) -> None:
    out = tmp_path / "base"
    card = train_base(tiny, LOCALES, out, SHORT)
    before = (out / "model.safetensors").stat().st_mtime_ns
    assert train_base(tiny, LOCALES, out, SHORT) == card
    assert (out / "model.safetensors").stat().st_mtime_ns == before
    longer = SHORT.model_copy(update={"mlm_steps": 3})
    for locales, settings in ((LOCALES, longer), (LOCALES[:2], SHORT)):
        with pytest.raises(CheckpointError, match=r"base holds another model .*--overwrite"):
            train_base(tiny, locales, out, settings)
    assert train_base(tiny, LOCALES, out, longer, overwrite=True).digest != card.digest


def test_a_folder_that_is_no_training_s_is_left_alone(pico: Pico, tiny: TinyData) -> None:
    somebody_s = pico.base()
    with pytest.raises(CheckpointError, match="holds another model"):
        train_base(tiny, LOCALES, somebody_s.folder, SHORT)
