"""Batches, sorting and padding are for speed: what comes out is what one text at a time would give, in order."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from pico import FILLERS, INTENTS, MAX_TOKENS, Pico, TinyData, poison

from sprachbund import inference
from sprachbund.checkpoints import Checkpoint
from sprachbund.errors import CheckpointError

LOT = random.Random(0)
TEXTS = [" ".join(LOT.choices(FILLERS, k=LOT.randrange(1, 7))) for _ in range(40)]


@pytest.fixture(scope="module")
def model(sources: list[Checkpoint]) -> torch.nn.Module:
    return inference.load_classifier(sources[0].folder)


@pytest.fixture(scope="module")
def encoded(sources: list[Checkpoint]) -> inference.Encoded:
    return inference.tokenise(inference.load_tokenizer(sources[0].folder), TEXTS)


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
    batches = list(inference._batches(encoded, 100))
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
