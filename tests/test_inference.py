"""Batches, sorting and padding are for speed: what comes out is what one text at a time would give, in order."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from encoders import ENCODERS, Encoders
from encoders import ROWS as ENCODER_ROWS
from pico import FILLERS, INTENTS, MAX_TOKENS, Pico, TinyData, bits, poison, rewrite, state, tokenizer
from tokenizers import Tokenizer as Words
from tokenizers.models import WordLevel
from transformers import BartConfig, BartForSequenceClassification

from sprachbund import inference
from sprachbund.checkpoints import Checkpoint, open_checkpoint, vocabulary_tensors
from sprachbund.config import ExperimentConfig
from sprachbund.errors import CheckpointError
from sprachbund.inference import answering, loading, tokens
from sprachbund.inputs import Inputs
from sprachbund.preparing import prepare

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


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_nobody_is_asked_whether_code_of_a_folder_may_run(
    file: str, pico: Pico, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """transformers asks at the terminal unless it is told, and what is piped into predict would be the answer."""
    folder = pico.source("odd").folder
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n", encoding="utf-8")
    kinds = {
        "AutoConfig": "own.Own",
        "AutoModelForSequenceClassification": "own.Own",
        "AutoTokenizer": ["own.Own", "own.Own"],
    }
    unknown = {"model_type": "odd"} if file == "config.json" else {"tokenizer_class": "Own"}
    edit(folder / file, auto_map=kinds, **unknown)
    monkeypatch.setattr("builtins.input", lambda prompt="": "y")
    for load in (inference.load_classifier, inference.load_tokenizer, inference.load_encoder):
        with suppress(CheckpointError):
            load(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_hidden_layers": 10**9}, r"says num_hidden_layers: 1e\+09, more than the 10,000 that a model may have"),
        ({"num_labels": 1e300}, "says num_labels: 1e\\+300, more than the 1,000,000"),
        (
            {"vocab_size": 2**31},
            r"config.json asks for 34,\d+,\d+,\d+ numbers, where the tensors beside it have \d+,\d+:",
        ),
        ({"type_vocab_size": 10**8}, "config.json asks for 1,600,"),
    ],
)
def test_no_room_is_made_for_what_a_config_makes_up(changes: dict[str, Any], said: str, pico: Pico) -> None:
    source = pico.source("huge")
    edit(source.folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=said):
        inference.load_classifier(source.folder)
    with pytest.raises(CheckpointError, match=said):
        inference.live_classifier(source.folder, {name: tensor.numpy() for name, tensor in state(source).items()})


def test_a_config_is_measured_once(pico: Pico, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []
    measure = loading._size

    def watched(kind: Any, config: Any) -> tuple[type[torch.nn.Module], int]:
        measured.append(kind.__name__)
        return measure(kind, config)

    monkeypatch.setattr(loading, "_sizes", {})
    monkeypatch.setattr(loading, "_size", watched)
    for name in ("one", "two"):
        inference.load_classifier(pico.source(name).folder)
    inference.load_encoder(pico.source("one").folder)
    assert measured == ["AutoModelForSequenceClassification", "AutoModel"]


def test_a_tokenizer_that_can_be_read_but_not_used_is_named(pico: Pico) -> None:
    folder = pico.source("mute").folder
    Words(WordLevel({"bala": 0}, unk_token="<unk>")).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}', encoding="utf-8")
    loaded = inference.load_tokenizer(folder)
    assert inference.tokenise(loaded, ["bala"]) == [[0]]
    with pytest.raises(CheckpointError, match=rf"The tokenizer in {folder} cannot be read by transformers \(.*Missing"):
        inference.tokenise(loaded, ["dono"])


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


# --- token ids, once -----------------------------------------------------------------------------------------------------


@pytest.fixture
def tokenised(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by a number of texts whenever a tokenizer is called, in a process that knows no token ids yet."""
    numbers: list[int] = []
    true = tokens.tokenise

    def counted(tokenizer: inference.Tokenizer, texts: Sequence[str]) -> inference.Encoded:
        numbers.append(len(texts))
        return true(tokenizer, texts)

    monkeypatch.setattr(tokens, "tokenise", counted)
    monkeypatch.setattr(inference, "encode", tokens.TokenCache().encode)
    return numbers


def test_sources_of_one_tokenizer_share_token_ids(
    sources: list[Checkpoint], tokenised: list[int], encoded: inference.Encoded
) -> None:
    for source in sources:
        assert inference.encode(source.folder, TEXTS) == encoded
    assert tokenised == [40]
    assert inference.encode(sources[0].folder, TEXTS[:7]) == encoded[:7]
    assert tokenised == [40, 7]


def test_what_cuts_texts_otherwise_shares_nothing(pico: Pico, tokenised: list[int]) -> None:
    plain, short, odd = pico.source("plain"), pico.source("short"), pico.source("odd", words=tokenizer("x"))
    edit(short.folder / "tokenizer_config.json", model_max_length=4)
    fewer = pico.source("fewer", max_position_embeddings=7)  # of which two come before those of texts
    found = [inference.encode(each.folder, TEXTS) for each in (plain, short, odd, fewer)]
    assert tokenised == [40, 40, 40, 40]
    assert [max(map(len, each)) for each in (found[1], found[3])] == [4, 5]
    assert found[2] != found[0]


def test_the_cache_forgets_what_was_not_asked_for_longest(sources: list[Checkpoint], tokenised: list[int]) -> None:
    folder = sources[0].folder
    count = sum(map(len, inference.encode(folder, TEXTS)))
    cache = tokens.TokenCache(most=2 * count)
    lots = [TEXTS, TEXTS[::-1], [*TEXTS[1:], TEXTS[0]]]
    tokenised.clear()
    for lot in (lots[0], lots[1], lots[0], lots[2], lots[0], lots[1]):  # the third pushes out the second, not the first
        cache.encode(folder, lot)
    assert len(tokenised) == 4
    assert tokens.TokenCache(most=1).encode(folder, TEXTS) == cache.encode(folder, TEXTS), "one lot has room always"


def test_who_changes_token_ids_changes_no_others(sources: list[Checkpoint]) -> None:
    first = inference.encode(sources[0].folder, TEXTS)
    first[0].append(7)
    assert inference.encode(sources[0].folder, TEXTS) != first


def test_three_variants_of_a_locale_are_tokenised_once(
    pico: Pico, tiny: TinyData, tokenised: list[int], tmp_path: Path, quiet: Callable[[str, int, int], None]
) -> None:
    places = ("de-DE", "nl-NL", "da-DK")
    zoo = pico.zoo(places)
    config = ExperimentConfig(locales=("de-DE",), sources=places, num_languages=2, output_dir=tmp_path / "run")
    outcome = prepare(config, Inputs(zoo=zoo, base=None, data=tiny)).run(quiet)
    assert len(outcome.records) == 3
    assert tokenised == [24]


# --- models from memory --------------------------------------------------------------------------------------------------


def test_tokens_are_renumbered_and_the_first_stay() -> None:
    compact, rows = inference.compact([[0, 7, 2], [0, 9, 7, 2]], keep=2)
    assert rows.tolist() == [0, 1, 2, 7, 9]
    assert compact == [[0, 3, 2], [0, 4, 3, 2]]
    assert [[rows[token] for token in text] for text in compact] == [[0, 7, 2], [0, 9, 7, 2]]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [({"pad_token_id": 1, "eos_token_id": 2}, 3), ({"pad_token_id": 0, "eos_token_id": None}, 1),
     ({"pad_token_id": 5, "eos_token_id": [2, 9]}, 10)],
)  # fmt: skip
def test_tokens_that_models_know_by_number_stay(numbers: dict[str, Any], expected: int) -> None:
    assert inference.fixed_tokens(SimpleNamespace(**numbers)) == expected


def arrays(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in state(checkpoint).items()}


def rows_only(checkpoint: Checkpoint, rows: np.ndarray) -> dict[str, np.ndarray]:
    vocabulary = vocabulary_tensors(checkpoint)
    assert vocabulary
    return {name: array[rows] if name in vocabulary else array for name, array in arrays(checkpoint).items()}


def test_a_live_model_answers_as_the_loaded_one_to_the_last_bit(
    sources: list[Checkpoint], encoded: inference.Encoded
) -> None:
    expected = inference.logits(inference.load_classifier(sources[0].folder), encoded, 100)
    live = inference.live_classifier(sources[1].folder, arrays(sources[0]))
    assert not live.training
    assert bits(inference.logits(live, encoded, 100)) == bits(expected)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_rows_that_the_texts_use_are_enough_in_every_family(name: str, tmp_path: Path) -> None:
    """Position ids that count from padding, tied and absent tensors, other names: the answers are the same bits."""
    source = Encoders(tmp_path, ENCODERS[name]).source("de-DE")
    whole = inference.load_classifier(source.folder)
    encoded = inference.encode(source.folder, TEXTS[:9])
    compact, rows = inference.compact(encoded, inference.fixed_tokens(whole.config))
    assert len(rows) < ENCODER_ROWS
    live = inference.live_classifier(source.folder, rows_only(source, rows), vocabulary_rows=rows)
    expected = inference.logits(whole, encoded)
    assert np.abs(expected - expected[0]).max() > 0.01, "the words matter"
    assert bits(inference.logits(live, compact)) == bits(expected)


def test_a_family_with_tied_tensors_that_looks_for_the_end_of_a_text(tmp_path: Path) -> None:
    shape = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    more = {"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 34}
    torch.manual_seed(0)
    model = BartForSequenceClassification(BartConfig(vocab_size=60, init_std=1.0, num_labels=4, **shape, **more))
    model.save_pretrained(tmp_path)
    encoded = [[0, 40, 50, 2], [0, 41, 2], [0, 50, 40, 55, 2]]
    source, whole = open_checkpoint(tmp_path), inference.load_classifier(tmp_path)
    compact, rows = inference.compact(encoded, inference.fixed_tokens(whole.config))
    assert rows.tolist() == [0, 1, 2, 40, 41, 50, 55]
    live = inference.live_classifier(tmp_path, rows_only(source, rows), vocabulary_rows=rows)
    assert bits(inference.logits(live, compact)) == bits(inference.logits(whole, encoded))
    shared = live.get_input_embeddings().weight  # type: ignore[operator]
    assert live.model.decoder.embed_tokens.weight is shared  # type: ignore[union-attr]


def test_a_live_model_is_its_tensors_without_a_copy(sources: list[Checkpoint], encoded: inference.Encoded) -> None:
    mine = arrays(sources[0])
    live = inference.live_classifier(sources[0].folder, mine)
    for name, array in arrays(sources[1]).items():
        mine[name][...] = array
    expected = inference.logits(inference.load_classifier(sources[1].folder), encoded)
    assert bits(inference.logits(live, encoded)) == bits(expected), "who reuses the arrays changes the model"


def test_tensors_of_other_numbers_or_for_reading_only_are_taken(pico: Pico, encoded: inference.Encoded) -> None:
    half = pico.source("half", dtype=torch.bfloat16)
    tensors = {name: half.file.read(name) for name in half.tensors}
    for array in tensors.values():
        array.flags.writeable = False
    live = inference.live_classifier(half.folder, tensors)
    assert {parameter.dtype for parameter in live.parameters()} == {torch.float32}
    expected = inference.logits(inference.load_classifier(half.folder), encoded)
    assert bits(inference.logits(live, encoded)) == bits(expected)


def test_missing_and_misshapen_tensors_are_refused_by_the_name_of_the_candidate(sources: list[Checkpoint]) -> None:
    folder, tensors = sources[0].folder, arrays(sources[0])
    bias = tensors.pop("classifier.out_proj.bias")
    with pytest.raises(
        CheckpointError, match=r"^average for sq-AL lacks tensors of a classifier, classifier\.out_proj"
    ):
        inference.live_classifier(folder, tensors, name="average for sq-AL")
    with pytest.raises(CheckpointError, match=r"de-DE: tensor classifier\.out_proj\.bias is 3, where .* asks for 4: "):
        inference.live_classifier(folder, {**tensors, "classifier.out_proj.bias": bias[:3].copy()})
    layer = {"roberta.encoder.layer.1.output.dense.bias": bias}
    with pytest.raises(CheckpointError, match="tensors that its config"):
        inference.live_classifier(folder, {**tensors, "classifier.out_proj.bias": bias, **layer})


def test_a_candidate_that_answers_nan_is_named(sources: list[Checkpoint], encoded: inference.Encoded) -> None:
    tensors = arrays(sources[0])
    tensors["classifier.out_proj.bias"][0] = np.nan
    live = inference.live_classifier(sources[0].folder, tensors, name="average for sq-AL")
    with pytest.raises(CheckpointError, match="^average for sq-AL answers with NaN"):
        inference.logits(live, encoded)


def test_rows_that_would_move_padding_are_a_programming_error(sources: list[Checkpoint]) -> None:
    rows = np.array([0, 2, 5])
    with pytest.raises(ValueError, match="the first 3 tokens have to stay"):
        inference.live_classifier(sources[0].folder, rows_only(sources[0], rows), vocabulary_rows=rows)
