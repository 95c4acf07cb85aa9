"""Batches, sorting and padding are for speed: what comes out is what one text at a time would give, in order."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pico import FILLERS, INTENTS, MAX_TOKENS, Pico, TinyData, poison, rewrite

from sprachbund import inference
from sprachbund.checkpoints import Checkpoint
from sprachbund.errors import CheckpointError
from sprachbund.inference import answering, tokens

LOT = random.Random(0)
TEXTS = [" ".join(LOT.choices(FILLERS, k=LOT.randrange(1, 7))) for _ in range(40)]


@pytest.fixture(scope="module")
def model(sources: list[Checkpoint]) -> torch.nn.Module:
    return inference.load_classifier(sources[0].folder)


@pytest.fixture(scope="module")
def encoded(sources: list[Checkpoint]) -> inference.Encoded:
    return inference.tokenise(inference.load_tokenizer(sources[0].folder), TEXTS)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def one_by_one(model: torch.nn.Module, encoded: inference.Encoded) -> np.ndarray:
    """No batch, no padding, no mask."""
    with torch.no_grad():
        return torch.cat([model(torch.tensor([tokens])).logits for tokens in encoded]).numpy()


@pytest.mark.parametrize("tokens_per_batch", [1, 50, 333, 4096])
def test_batches_give_the_logits_of_one_text_at_a_time(
    tokens_per_batch: int, model: torch.nn.Module, encoded: inference.Encoded
) -> None:
    assert len({len(tokens) for tokens in encoded}) > 5
    found = inference.logits(model, encoded, tokens_per_batch)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, one_by_one(model, encoded), atol=1e-5)


def test_logits_come_in_the_order_of_the_texts(model: torch.nn.Module, encoded: inference.Encoded) -> None:
    forth, back = inference.logits(model, encoded, 100), inference.logits(model, encoded[::-1], 100)
    np.testing.assert_allclose(forth, back[::-1], atol=1e-5)
    assert np.abs(forth - back).max() > 0.1


def test_no_batch_has_more_tokens_than_asked_for(encoded: inference.Encoded) -> None:
    batches = list(answering.batches(encoded, 100))
    assert sorted(index for batch in batches for index in batch) == list(range(40))
    for batch in batches:
        assert len(batch) * max(len(encoded[index]) for index in batch) <= 100
    assert len(batches) < 20


def test_long_texts_are_cut_where_positions_end(sources: list[Checkpoint], model: torch.nn.Module) -> None:
    tokenizer = inference.load_tokenizer(sources[0].folder)
    (tokens,) = inference.tokenise(tokenizer, ["bala dono " * 100])
    assert len(tokens) == MAX_TOKENS
    assert tokens[-1] == tokenizer.eos_token_id
    assert inference.logits(model, [tokens]).shape == (1, 4)


@pytest.mark.parametrize("claimed", [10**30, 512, 33])
def test_a_tokenizer_that_allows_more_than_the_model_has_positions_for_is_not_believed(
    claimed: int, pico: Pico
) -> None:
    folder = pico.source("short").folder
    edit(folder / "tokenizer_config.json", model_max_length=claimed)
    tokenizer = inference.load_tokenizer(folder)
    (tokens,) = inference.tokenise(tokenizer, ["bala dono " * 500])
    assert len(tokens) == MAX_TOKENS  # of 34 positions, two come before those of texts
    assert tokens[-1] == tokenizer.eos_token_id
    assert inference.logits(inference.load_classifier(folder), [tokens]).shape == (1, 4)


def test_a_tokenizer_that_allows_less_is_believed(pico: Pico) -> None:
    folder = pico.source("shorter").folder
    edit(folder / "tokenizer_config.json", model_max_length=7)
    (tokens,) = inference.tokenise(inference.load_tokenizer(folder), ["bala dono " * 500])
    assert len(tokens) == 7


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "xlm-roberta", "max_position_embeddings": 34, "pad_token_id": 1}, 32),
        ({"model_type": "camembert", "max_position_embeddings": 34, "pad_token_id": 1}, 32),
        ({"model_type": "bert", "max_position_embeddings": 34, "pad_token_id": 0}, 34),
        ({"model_type": "deberta-v2", "max_position_embeddings": 512, "pad_token_id": 0}, 512),
        ({"model_type": "t5"}, tokens.MOST_TOKENS),
    ],
)
def test_positions_are_counted_as_the_model_counts_them(config: dict[str, Any], expected: int, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert tokens.positions(tmp_path) == expected


def test_without_a_tokenizer_nothing_is_read_as_unknown_words(pico: Pico) -> None:
    """transformers would make an empty tokenizer, and every text would look the same."""
    folder = pico.source("mute").folder
    (folder / "tokenizer.json").unlink()
    with pytest.raises(
        CheckpointError, match=r"models/mute has no tokenizer \(tokenizer\.json\): copy it from the base"
    ):
        inference.load_tokenizer(folder)


@pytest.mark.parametrize("content", ["{", "{}", '{"model": {"vocab": {"a": 0}}}'])
def test_a_tokenizer_that_cannot_be_read_is_named(content: str, pico: Pico) -> None:
    folder = pico.source("odd").folder
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"models/odd.* (save or )?download"):
        inference.load_tokenizer(folder)


def test_a_token_without_an_embedding_is_told_before_it_is_looked_up(model: torch.nn.Module) -> None:
    with pytest.raises(CheckpointError, match=r"has the embeddings of 300 tokens, but its tokenizer gave number 300"):
        inference.logits(model, [[0, 300, 2]])


def test_a_model_that_cannot_be_read_is_named_with_the_reason_in_one_line(pico: Pico) -> None:
    folder = pico.source("odd").folder
    edit(folder / "config.json", model_type="xlm-robert")
    with pytest.raises(CheckpointError) as caught:
        inference.load_classifier(folder)
    message = str(caught.value)
    assert message.startswith(f"The model in {folder} cannot be read by transformers (")
    assert "`xlm-robert`" in message
    assert "\n" not in message


def test_a_tensor_that_its_config_does_not_expect_is_named(pico: Pico) -> None:
    folder = pico.source("odd").folder
    edit(folder / "config.json", intermediate_size=8)
    with pytest.raises(
        CheckpointError, match=r"models/odd: tensor roberta\..* is 16, where its config\.json asks for 8: "
    ):
        inference.load_classifier(folder)


def test_layers_that_the_config_does_not_tell_of_are_not_left_out_in_silence(pico: Pico) -> None:
    folder = pico.source("deep", layers=2).folder
    edit(folder / "config.json", num_hidden_layers=1)
    with pytest.raises(CheckpointError, match=r"models/deep has tensors .*roberta\.encoder\.layer\.1\..* among them"):
        inference.load_classifier(folder)


def test_a_config_without_a_token_for_padding_is_named(pico: Pico, encoded: inference.Encoded) -> None:
    folder = pico.source("loose").folder
    edit(folder / "config.json", pad_token_id=None)
    with pytest.raises(CheckpointError, match="loose names no token for padding: give it a pad_token_id"):
        inference.logits(inference.load_classifier(folder), encoded)


def test_padding_is_masked() -> None:
    ids, mask = inference.pad([[5, 6, 7], [8]], pad_id=1)
    assert ids.tolist() == [[5, 6, 7], [8, 1, 1]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_no_texts_are_a_programming_error(model: torch.nn.Module) -> None:
    with pytest.raises(ValueError, match="no texts"):
        inference.logits(model, [])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bit_models_are_run_in_fp32(dtype: torch.dtype, pico: Pico) -> None:
    loaded = inference.load_classifier(pico.source("half", dtype=dtype).folder)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_dropout_is_off(pico: Pico, encoded: inference.Encoded) -> None:
    source = pico.source("dropping", hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    loaded = inference.load_classifier(source.folder)
    assert (inference.logits(loaded, encoded) == inference.logits(loaded, encoded)).all()


def test_a_model_that_answers_nan_is_refused_by_name(pico: Pico, encoded: inference.Encoded) -> None:
    """Else the largest of NaNs would be the first label, and count as an answer."""
    broken = pico.source("broken")
    poison(broken.folder)
    with pytest.raises(CheckpointError, match=r"models/broken answers with NaN or infinite numbers"):
        inference.logits(inference.load_classifier(broken.folder), encoded)


def test_labels_have_one_logit_each(model: torch.nn.Module, tiny: TinyData, sources: list[Checkpoint]) -> None:
    texts = tiny.partition("ja-JP", "dev").texts
    scores = inference.logits(model, inference.tokenise(inference.load_tokenizer(sources[0].folder), texts))
    assert scores.shape == (16, len(INTENTS))


# --- states ------------------------------------------------------------------------------------------------------------


def test_states_do_not_hang_on_what_stands_beside_a_text(base: Checkpoint) -> None:
    encoder, words = inference.load_encoder(base.folder), inference.load_tokenizer(base.folder)
    texts = [" ".join(FILLERS[: 1 + number % 7]) for number in range(20)]
    encoded = inference.tokenise(words, texts)
    together = inference.mean_states(encoder, encoded, budget=64)
    alone = np.concatenate([inference.mean_states(encoder, [tokens]) for tokens in encoded])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.shape == (20, 16)


def test_an_encoder_with_a_tensor_missing_is_refused(pico: Pico) -> None:
    folder = pico.base().folder

    def lose_one(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["roberta.encoder.layer.0.output.dense.weight"]

    rewrite(folder, lose_one)
    with pytest.raises(CheckpointError, match=r"lacks tensors of an encoder, .*layer\.0\.output\.dense\.weight"):
        inference.load_encoder(folder)


def test_a_poisoned_encoder_is_refused(pico: Pico) -> None:
    folder = pico.base().folder
    poison(folder, "roberta.embeddings.LayerNorm.bias")
    encoder, words = inference.load_encoder(folder), inference.load_tokenizer(folder)
    with pytest.raises(CheckpointError, match="NaN"):
        inference.mean_states(encoder, inference.tokenise(words, list(FILLERS)))
