"""Vocabularies that only add to each other or count otherwise are aligned by token; all others are refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import (
    ENCODERS,
    Encoder,
    Encoders,
    TokenizerFile,
    permuted,
    tokenizer_of,
    tokens_of,
    with_added,
    write_tokenizer,
)
from pico import Pico, TinyData, bits, rewrite, state
from transformers import AutoModelForSequenceClassification

from sprachbund import inference, merging
from sprachbund.adaptation import CoefficientSettings
from sprachbund.candidates import distance_from_base, merge_candidate
from sprachbund.checkpoints import Checkpoint, Zoo, align, check_base, check_mergeable, learned_tokens, open_checkpoint
from sprachbund.checkpoints.vocabulary import Vocabulary, embedding_of, read_vocabulary, vocabulary_tensors
from sprachbund.choosing import choose_by_hand
from sprachbund.coefficients import learn_coefficients
from sprachbund.errors import CheckpointError, IncompatibleError
from sprachbund.merging import merge, merged_tensors, shared_out

# --- how vocabularies are changed ------------------------------------------------------------------------------------------


def answers(folder: Path, texts: Sequence[str]) -> np.ndarray:
    model, tokenizer = inference.load_classifier(folder), inference.load_tokenizer(folder)
    return inference.logits(model, inference.tokenise(tokenizer, texts))


def refused(*sources: Checkpoint) -> str:
    with pytest.raises(IncompatibleError) as caught:
        check_mergeable(sources)
    return str(caught.value)


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return ENCODERS[request.param]


@pytest.fixture
def texts(tiny: TinyData) -> Sequence[str]:
    return tiny.partition("de-DE", "test").texts


# --- reordered -------------------------------------------------------------------------------------------------------------


def test_a_source_and_its_copy_in_another_order_merge_into_the_source(
    encoder: Encoder, texts: Sequence[str], tmp_path: Path
) -> None:
    source = Encoders(tmp_path / "models", encoder).source("de-DE")
    copied = permuted(source, "reordered")
    np.testing.assert_array_equal(answers(copied.folder, texts), answers(source.folder, texts))
    assert tokens_of(copied) != tokens_of(source)

    for order in ([source, copied], [copied, source]):
        out = tmp_path / f"first {order[0].name}"
        out.mkdir()
        assert merge(order, (0.5, 0.5), out) is not None
        merged = open_checkpoint(out)
        for name, info in merged.tensors.items():
            assert info == order[0].tensors[name]
            assert bits(merged.file.read(name)) == bits(order[0].file.read(name)), name
        assert tokens_of(merged) == tokens_of(order[0])
        np.testing.assert_array_equal(answers(out, texts), answers(source.folder, texts))


def test_without_alignment_it_would_be_another_model(pico: Pico, texts: Sequence[str]) -> None:
    """What the alignment is there for: the mean of rows of other tokens answers otherwise."""
    source = pico.source("m")
    copied = permuted(source, "reordered")
    (copied.folder / "tokenizer.json").write_bytes((source.folder / "tokenizer.json").read_bytes())
    assert np.abs(answers(copied.folder, texts) - answers(source.folder, texts)).max() > 0.01


def test_outputs_with_a_row_for_each_token_are_aligned_too(pico: Pico, base: Checkpoint) -> None:
    """As where a head of the masked language model was left over, untied."""
    source = pico.source("m")
    embedding = "roberta.embeddings.word_embeddings.weight"

    def leave(tensors: dict[str, torch.Tensor]) -> None:
        tensors["lm_head.decoder.weight"] = 2 * tensors[embedding]
        tensors["lm_head.bias"] = tensors[embedding][:, 0].clone()

    rewrite(source.folder, leave)
    source = open_checkpoint(source.folder, "m")
    copied = permuted(source, "reordered")
    rewrite(copied.folder, leave)
    copied = open_checkpoint(copied.folder, "reordered")
    assert vocabulary_tensors(copied) == {embedding, "lm_head.decoder.weight", "lm_head.bias"}
    for name, array in merged_tensors([source, copied], (0.75, 0.25)).items():
        assert bits(array) == bits(source.file.read(name)), name


@pytest.mark.parametrize("elements", [1, 50, 4800])
def test_how_chunks_are_cut_changes_no_bit(
    elements: int, pico: Pico, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [pico.source("a"), permuted(pico.source("b"), "reordered")]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
        merge(sources, (0.7, 0.3), folder)
        monkeypatch.setattr(merging, "ELEMENTS_PER_CHUNK", elements)
    assert (whole / "model.safetensors").read_bytes() == (cut / "model.safetensors").read_bytes()


def test_some_rows_of_an_aligned_vocabulary_are_those_of_all(pico: Pico) -> None:
    sources = [pico.source("a"), permuted(pico.source("b"), "reordered")]
    rows = np.array([0, 1, 2, 17, 40, 299], dtype=np.int64)
    name = "roberta.embeddings.word_embeddings.weight"
    whole = merged_tensors(sources, (0.7, 0.3))[name]
    assert bits(merged_tensors(sources, (0.7, 0.3), rows=rows)[name]) == bits(whole[rows])


# --- added to --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def three(pico: Pico) -> list[Checkpoint]:
    """One with its 37 tokens, one with two more, one with one of these, in another place."""
    return [
        pico.source("plain"),
        with_added(pico.source("both"), "<one>", "<two>"),
        with_added(permuted(pico.source("x"), "other"), "<two>"),
    ]


def by_hand(sources: Sequence[Checkpoint], weights: Sequence[float], lead: Checkpoint) -> dict[str, torch.Tensor]:
    """The merge once more, token by token and in float64; only rows that have a token are told."""
    states = [state(source) for source in sources]
    vocabularies = [tokens_of(source) for source in sources]
    merged = {}
    for name, tensor in state(lead).items():
        if name == embedding_of(lead):
            merged[name] = torch.full(tensor.shape, torch.nan, dtype=torch.float64)
            for token, row in tokens_of(lead).items():
                have = [k for k, vocabulary in enumerate(vocabularies) if token in vocabulary]
                rows = [weights[k] * states[k][name][vocabularies[k][token]].double() for k in have]
                merged[name][row] = sum(rows) / sum(weights[k] for k in have) * sum(weights)
        else:
            merged[name] = sum(w * each[name].double() for w, each in zip(weights, states, strict=True))
    return merged


def test_each_row_is_the_mean_of_those_who_have_its_token(three: list[Checkpoint], tmp_path: Path) -> None:
    weights = (0.5, 0.2, 0.3)
    merge(three, weights, tmp_path)
    written, expected = state(tmp_path), by_hand(three, weights, three[1])
    name = "roberta.embeddings.word_embeddings.weight"
    assert written.keys() == expected.keys()
    for tensor, wanted in expected.items():
        told = ~wanted.isnan()
        assert torch.allclose(written[tensor][told].double(), wanted[told], rtol=0, atol=1e-6), tensor
    one, two = (tokens_of(three[1])[token] for token in ("<one>", "<two>"))
    assert torch.equal(written[name][one], state(three[1])[name][one]), "the row of the only one who has it"
    elsewhere = tokens_of(three[2])["<two>"]
    assert elsewhere != two
    mean = 0.4 * state(three[1])[name][two].double() + 0.6 * state(three[2])[name][elsewhere].double()
    assert torch.allclose(written[name][two].double(), mean, rtol=0, atol=1e-6)


def test_the_merge_speaks_the_vocabulary_of_the_source_with_most_tokens(
    three: list[Checkpoint], texts: Sequence[str], tmp_path: Path
) -> None:
    alignment = merge(three, (0.5, 0.2, 0.3), tmp_path)
    assert alignment is not None
    assert alignment.carrier == 1
    merged = open_checkpoint(tmp_path)
    assert merged.tokenizer_digest == three[1].tokenizer_digest
    config, carried = merged.config, three[1].config
    for key in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id"):
        assert config[key] == carried[key]
    assert config["vocab_size"] == merged.tensors["roberta.embeddings.word_embeddings.weight"].shape[0] == 302
    model, found = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(found.values())
    assert model.config.id2label[0] == "ask"
    assert np.isfinite(answers(tmp_path, ["<one> bala <two>", *texts])).all()


def test_in_memory_is_what_is_written(three: list[Checkpoint], tmp_path: Path) -> None:
    merge(three, (0.5, 0.2, 0.3), tmp_path)
    written = open_checkpoint(tmp_path)
    for name, array in merged_tensors(three, (0.5, 0.2, 0.3)).items():
        assert bits(array) == bits(written.file.read(name))


def test_more_rows_without_tokens_are_no_other_vocabulary(pico: Pico, tmp_path: Path) -> None:
    """As where somebody rounded the size of the embedding up: what has the most rows carries."""
    sources = [pico.source("small", vocab_size=200), pico.source("large")]
    alignment = merge(sources, (0.5, 0.5), tmp_path)
    assert alignment is not None
    assert alignment.carrier == 1
    name = "roberta.embeddings.word_embeddings.weight"
    small, large = (state(source)[name] for source in sources)
    written = state(tmp_path)[name]
    assert torch.allclose(written[:200], (small + large[:200]) / 2, rtol=0, atol=1e-6)
    assert torch.equal(written[200:], large[200:])


def test_of_several_with_as_many_tokens_the_first_carries(pico: Pico) -> None:
    first = pico.source("a")
    alignment = align([first, permuted(first, "b"), permuted(pico.source("c"), "d")])
    assert alignment is not None
    assert alignment.carrier == 0
    assert alignment.rows[1] is alignment.rows[2], "of one vocabulary there is one table"


def test_what_was_aligned_is_said_with_the_merge(three: list[Checkpoint], pico: Pico, tmp_path: Path) -> None:
    pool = ("de-DE", "fr-FR", "ja-JP")
    for source, locale in zip(three, pool, strict=True):
        source.folder.rename(pico.root / locale)
    choice = choose_by_hand("sq-AL", pool, (5, 2, 3))
    details = merge_candidate(choice, Zoo(f"{pico.root}/{{locale}}"), "manual", tmp_path / "out")
    (warning,) = details.warnings
    wide, other = (tokens_of(open_checkpoint(pico.root / locale)) for locale in pool[1:])
    moved = sum(row != wide[token] for token, row in other.items())
    assert warning.startswith("The vocabularies of 2 of 3 sources were aligned by token to that of ")
    assert "/fr-FR: " in warning
    assert f"{moved} rows stand elsewhere in some of them" in warning
    assert warning in (tmp_path / "out/merge_details.txt").read_text(encoding="utf-8")


def test_weights_are_shared_out_in_proportion() -> None:
    present = np.array([[True, True, False, True], [True, False, False, False], [True, True, True, False]])
    found = shared_out(np.array((0.5, 0.3, 0.2)), present)
    expected = [[0.5, 0.5 / 0.7, 0, 1], [0.3, 0, 0, 0], [0.2, 0.2 / 0.7, 1, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    assert (found[:, 0] == (0.5, 0.3, 0.2)).all(), "to the last bit, where all have it"
    np.testing.assert_allclose(shared_out(np.array((0.5, -0.5, 1.0)), present).sum(axis=0), 1)


def test_who_alone_has_a_row_gives_it_even_with_weight_0() -> None:
    found = shared_out(np.array((1.0, 0.0, 0.0)), np.array([[False], [True], [True]]))
    assert found.tolist() == [[0.0], [0.5], [0.5]]


def test_rows_with_weights_of_their_own_share_out_those() -> None:
    by_row = np.array([[0.5, 0.1, 0.2], [0.5, 0.9, 0.8]])
    found = shared_out(by_row[:, 1:3], np.array([[True, True], [True, False]]))
    assert found.tolist() == [[0.1, 1.0], [0.9, 0.0]]


# --- a base with fewer tokens ----------------------------------------------------------------------------------------------


def test_tokens_that_were_added_before_fine_tuning_do_not_count_in_the_distance(pico: Pico, base: Checkpoint) -> None:
    source = pico.source("m")
    before = distance_from_base(source, base)
    grown = with_added(source, "<one>", "<two>")
    assert check_base(base, grown) is not None
    tokens, name = sorted(tokens_of(base).values()), "roberta.embeddings.word_embeddings.weight"
    there, here = state(base), state(grown)
    body = [key for key in here if key in there and key != name]
    change = [here[k] - there[k] for k in body] + [here[name][tokens] - there[name][tokens]]
    start = [there[k] for k in body] + [there[name][tokens]]
    moved, norm = (torch.cat([part.double().flatten() for part in parts]) for parts in (change, start))
    assert distance_from_base(grown, base) == pytest.approx((moved.norm() / norm.norm()).item(), rel=1e-6)
    assert distance_from_base(grown, base) == pytest.approx(before, rel=0.2)


def test_a_source_in_another_order_is_as_far_from_the_base(tmp_path: Path) -> None:
    made = Encoders(tmp_path, ENCODERS["modernbert"])
    base, source = made.base(), made.source("m", change=0.0)
    assert distance_from_base(permuted(source, "reordered"), base) == 0


# --- refused ---------------------------------------------------------------------------------------------------------------


def replaced(content: TokenizerFile) -> None:
    content["model"]["vocab"][10][0] = "zzz"


def rescored(content: TokenizerFile) -> None:
    content["model"]["vocab"][10][1] -= 1


def normalised(content: TokenizerFile) -> None:
    content["normalizer"] = {"type": "Lowercase"}


def pre_cut(content: TokenizerFile) -> None:
    content["pre_tokenizer"] = {"type": "Whitespace"}


def of_bytes(content: TokenizerFile) -> None:
    content["model"]["byte_fallback"] = True


def unknown_elsewhere(content: TokenizerFile) -> None:
    content["model"]["unk_id"] = 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (unknown_elsewhere, "their tokenizers do not cut words into pieces alike"),
        (replaced, "only odd has 'zzz', only de-DE {piece}"),
        (rescored, "their tokenizers cut the same text into different pieces, since they score {piece} differently"),
        (normalised, "their tokenizers do not normalise texts alike"),
        (pre_cut, "their tokenizers do not cut texts into words alike"),
        (of_bytes, "their tokenizers do not cut words into pieces alike"),
    ],
)
def test_what_cannot_be_aligned_is_said_with_the_reason(
    change: Callable[[TokenizerFile], None], said: str, pico: Pico, sources: list[Checkpoint]
) -> None:
    odd = permuted(pico.source("m"), "odd")
    content = tokenizer_of(odd)
    piece = repr(content["model"]["vocab"][10][0])
    change(content)
    write_tokenizer(odd.folder, content)
    odd = open_checkpoint(odd.folder, "odd")
    message = refused(sources[0], odd)
    assert message == (
        f"de-DE and odd have different vocabularies: {said.format(piece=piece)}. "
        "Merge only models of one vocabulary, or of one that others add to or reorder."
    )
    assert refused(odd, sources[0]).startswith("odd and de-DE have different vocabularies: ")


def test_bpe_merges_in_another_order_are_refused(tmp_path: Path) -> None:
    made = Encoders(tmp_path, ENCODERS["roberta"])
    source = made.source("a")
    odd = permuted(source, "odd")
    content = tokenizer_of(odd)
    merges = content["model"]["merges"]
    first = " + ".join(merges[0])
    merges[0], merges[1] = merges[1], merges[0]
    write_tokenizer(odd.folder, content)
    assert f"since they merge {first!r}, " in refused(source, open_checkpoint(odd.folder, "odd"))


def test_two_that_each_have_a_token_of_their_own_are_refused(pico: Pico) -> None:
    one, two = with_added(pico.source("one"), "<one>"), with_added(pico.source("two"), "<two>")
    plain = pico.source("plain")
    assert "only two has '<two>', only one '<one>'" in refused(plain, one, two)
    assert align([plain, one]) is not None
    assert align([plain, two]) is not None


def test_a_tokenizer_with_more_tokens_than_rows_is_no_match(pico: Pico, sources: list[Checkpoint]) -> None:
    message = refused(sources[0], pico.source("tiny", vocab_size=20))
    assert message.startswith("tiny has the embeddings of 20 tokens, but its tokenizer numbers them up to 36: ")


def test_padding_of_another_number_would_move_the_positions(pico: Pico, sources: list[Checkpoint]) -> None:
    odd = permuted(pico.source("m"), "odd")
    config = json.loads((odd.folder / "config.json").read_text())
    (odd.folder / "config.json").write_text(json.dumps({**config, "pad_token_id": 7}))
    message = refused(sources[0], open_checkpoint(odd.folder, "odd"))
    assert "positions are counted from the number of the padding token, which is 1 and 7" in message


def test_what_no_file_tells_cannot_be_aligned(pico: Pico) -> None:
    sources = [pico.source(name) for name in ("a", "b")]
    for source in sources:
        (source.folder / "tokenizer.json").unlink()
        (source.folder / "sentencepiece.bpe.model").write_bytes(source.name.encode())
    message = refused(*(open_checkpoint(source.folder, source.name) for source in sources))
    assert "a has neither tokenizer.json nor vocab.txt to align them by" in message


def test_an_embedding_of_an_unknown_name_cannot_be_aligned(pico: Pico) -> None:
    source = pico.source("a")
    sources = [source, permuted(source, "b")]

    def rename(tensors: dict[str, torch.Tensor]) -> None:
        tensors["roberta.embeddings.pieces.weight"] = tensors.pop("roberta.embeddings.word_embeddings.weight")

    for each in sources:
        rewrite(each.folder, rename)
    message = refused(*(open_checkpoint(each.folder, each.name) for each in sources))
    assert "which tensor of a has a row for each token is not known" in message


# --- where one number per token is taken for all ---------------------------------------------------------------------------


def test_what_counts_by_numbers_of_tokens_refuses_other_vocabularies(
    three: list[Checkpoint], base: Checkpoint, texts: Sequence[str]
) -> None:
    with pytest.raises(
        IncompatibleError, match="^plain and both have different vocabularies, and counting what was met"
    ):
        learned_tokens(three, base)
    with pytest.raises(IncompatibleError, match="^both and base have different vocabularies"):
        learned_tokens(three[1:2], base)
    with pytest.raises(
        IncompatibleError, match="^plain and both have different vocabularies, and learning coefficients"
    ):
        learn_coefficients(three, (0.5, 0.2, 0.3), texts, CoefficientSettings(steps=1))


# --- what files say --------------------------------------------------------------------------------------------------------


def word_pieces(source: Checkpoint, **settings: object) -> None:
    """Save the tokenizer as BERT's were before tokenizer.json."""
    rows = tokens_of(source)
    (source.folder / "vocab.txt").write_text("\n".join(sorted(rows, key=rows.__getitem__)) + "\n", encoding="utf-8")
    (source.folder / "tokenizer.json").unlink()
    (source.folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **settings}))


def test_a_vocab_txt_tells_the_tokens_too(texts: Sequence[str], tmp_path: Path) -> None:
    made = Encoders(tmp_path, ENCODERS["bert"])
    source = made.source("a")
    other = permuted(source, "b")
    before = answers(source.folder, texts)
    for each in (source, other):
        word_pieces(each)
    sources = [open_checkpoint(each.folder, each.name) for each in (source, other)]
    for name, array in merged_tensors(sources, (0.5, 0.5)).items():
        assert bits(array) == bits(source.file.read(name))
    np.testing.assert_array_equal(answers(other.folder, texts), before)
    word_pieces_of = {"do_lower_case": False, "tokenizer_class": "BertTokenizer"}
    (other.folder / "tokenizer_config.json").write_text(json.dumps(word_pieces_of))
    assert "do not normalise texts alike" in refused(sources[0], open_checkpoint(other.folder, "b"))


def test_tokens_of_different_files_are_compared(tmp_path: Path) -> None:
    made = Encoders(tmp_path, ENCODERS["bert"])
    source, same = made.source("a"), made.source("b")
    other = permuted(source, "c")
    for each in (same, other):
        word_pieces(each)
    assert check_mergeable([source, open_checkpoint(same.folder)]) is None
    assert "are saved in different files" in refused(source, open_checkpoint(other.folder, "c"))


def test_added_tokens_stand_beside_a_vocab_txt(tmp_path: Path) -> None:
    source = Encoders(tmp_path, ENCODERS["bert"]).source("a")
    rows: Mapping[str, int] = tokens_of(source)
    word_pieces(source)
    (source.folder / "added_tokens.json").write_text(json.dumps({"<one>": 100}))
    vocabulary = read_vocabulary(open_checkpoint(source.folder))
    assert vocabulary is not None
    assert vocabulary.rows == {**rows, "<one>": 100}
    assert vocabulary.added == {"<one>"}


def test_what_ends_lines_elsewhere_is_a_token_in_a_vocab_txt(tmp_path: Path) -> None:
    source = Encoders(tmp_path, ENCODERS["bert"]).source("a")
    word_pieces(source)
    (source.folder / "vocab.txt").write_text("[PAD]\n\u2028\n\x85\nbala\n", encoding="utf-8")
    vocabulary = read_vocabulary(open_checkpoint(source.folder))
    assert vocabulary is not None
    assert vocabulary.rows == {"[PAD]": 0, "\u2028": 1, "\x85": 2, "bala": 3}


@pytest.mark.parametrize("content", ["[]", '{"<one>": "x"}', "{"])
def test_added_tokens_that_are_none_are_named(content: str, tmp_path: Path) -> None:
    source = Encoders(tmp_path, ENCODERS["bert"]).source("a")
    word_pieces(source)
    (source.folder / "added_tokens.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"vocab\.txt, with what stands beside it, is not a tokenizer: "):
        read_vocabulary(open_checkpoint(source.folder))


def test_merges_are_read_in_both_spellings(tmp_path: Path) -> None:
    source = Encoders(tmp_path, ENCODERS["roberta"]).source("a")
    before = read_vocabulary(source)
    content = tokenizer_of(source)
    assert all(len(pair) == 2 for pair in content["model"]["merges"])
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    write_tokenizer(source.folder, content)
    assert read_vocabulary(open_checkpoint(source.folder)) == before
    assert isinstance(before, Vocabulary)
    assert before.merges
