"""Evidence from real checkpoints, and what a reliability may not depend on: the order of the texts and of the sources."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pico import FILLERS, Pico, markers

from sprachbund import inference
from sprachbund.checkpoints import Checkpoint, write_token_counts
from sprachbund.errors import CheckpointError, UnknownName
from sprachbund.measures import RELIABILITIES, AnswerStore, Evidence, gather, reliabilities
from sprachbund.measures.evidence import standardised
from sprachbund.parallel import Report

TEXTS = tuple(f"{marker} {filler}" for marker in (*markers("ask"), *markers("greet")) for filler in FILLERS[:3])
ROWS = 300
"""Tokens that pico models have rows for."""


@pytest.fixture
def counted(pico: Pico) -> dict[str, Checkpoint]:
    """Sources that met 0, 1, 2 fillers."""
    made = {name: pico.source(name) for name in ("de-DE", "fr-FR", "ja-JP")}
    for met, source in enumerate(made.values()):
        tokenizer = inference.load_tokenizer(source.folder)
        write_token_counts(source.folder, inference.tokenise(tokenizer, ["", *FILLERS[:met]]), ROWS)
    return made


@pytest.fixture
def store(counted: dict[str, Checkpoint], quiet: Report, tmp_path: Path) -> AnswerStore:
    """What the sources answer to the texts, forwards and backwards."""
    made = AnswerStore(tmp_path / "answers")
    assert made.collect(counted, [TEXTS, TEXTS[::-1]], jobs=1, report=quiet) == {}
    return made


def at_random(seed: int, sources: int = 4, texts: int = 30, classes: int = 5, tokens: int = 8) -> Evidence:
    """Evidence of sources that know some of the truth."""
    lot = np.random.default_rng(seed)
    truth = np.eye(classes)[lot.integers(classes, size=texts)]
    known = lot.uniform(0, 3, size=(sources, 1, 1))
    return Evidence(
        sources=tuple(f"s{number}" for number in range(sources)),
        logits=(known * truth + lot.normal(size=(sources, texts, classes))).astype(np.float32),
        tokens=lot.integers(5, size=tokens),
        learned=lot.integers(3, size=(sources, tokens)),
    )


def test_what_is_gathered(counted: dict[str, Checkpoint], store: AnswerStore) -> None:
    evidence = gather(counted, TEXTS, store)
    assert evidence.sources == ("de-DE", "fr-FR", "ja-JP")
    assert evidence.logits.shape == (3, 18, 4)
    assert evidence.logits.dtype == np.float32
    for answered, source in zip(evidence.logits, counted.values(), strict=True):
        assert np.array_equal(answered, store.read(source, TEXTS))
    assert evidence.probabilities.shape == (3, 18, 4)
    assert evidence.probabilities.sum(axis=2) == pytest.approx(np.ones((3, 18)))
    assert evidence.preferences == pytest.approx(evidence.probabilities.mean(axis=1))
    assert evidence.answers.tolist() == evidence.logits.argmax(axis=2).tolist()
    assert evidence.learned is not None
    assert evidence.learned.shape == (3, ROWS)
    assert evidence.tokens.shape == (ROWS,)


def test_tokens_are_counted_as_they_run_and_special_ones_are_not(
    counted: dict[str, Checkpoint], store: AnswerStore
) -> None:
    tokens = gather(counted, TEXTS, store).tokens
    tokenizer = inference.load_tokenizer(counted["de-DE"].folder)
    pieces = [piece for text in TEXTS for piece in tokenizer.tokenize(text)]
    assert tokens.sum() == len(pieces)
    for piece in ("▁ask", "▁greet", "d", "<s>", "</s>"):
        expected = 0 if piece.startswith("<") else pieces.count(piece)
        assert tokens[tokenizer.convert_tokens_to_ids(piece)] == expected, piece


def test_overlap_of_what_was_gathered_by_hand(counted: dict[str, Checkpoint], quiet: Report, tmp_path: Path) -> None:
    """The sources met the pieces of nothing, of bala, of bala and dono."""
    texts = ("bala bala keme",)
    store = AnswerStore(tmp_path / "more")
    store.collect(counted, [texts], jobs=1, report=quiet)
    tokenizer = inference.load_tokenizer(counted["de-DE"].folder)
    pieces = tokenizer.tokenize(texts[0])
    shares = [
        sum(piece in tokenizer.tokenize(" ".join(FILLERS[:met])) for piece in pieces) / len(pieces) for met in range(3)
    ]
    assert 0 == shares[0] < shares[1] <= shares[2] < 1
    assert RELIABILITIES["overlap"](gather(counted, texts, store)) == pytest.approx(shares)


def test_what_was_learned_is_found_out_only_where_it_is_needed(
    sources: list[Checkpoint], base: Checkpoint, quiet: Report, tmp_path: Path
) -> None:
    two, store = {source.name: source for source in sources[:2]}, AnswerStore(tmp_path)
    store.collect(two, [TEXTS], jobs=1, report=quiet)
    evidence = gather(two, TEXTS, store, learned=False)
    assert evidence.learned is None
    with pytest.raises(ValueError, match="gather the evidence with what the sources learned"):
        RELIABILITIES["overlap"](evidence)
    assert RELIABILITIES["confidence"](evidence).shape == (2,)
    with pytest.raises(CheckpointError, match="--base"):
        gather(two, TEXTS, store)
    met = gather(two, TEXTS, store, base).learned
    assert met is not None
    assert met.tolist() == np.ones((2, ROWS), int).tolist(), "all rows of pico models have moved"


def test_all_must_have_answered(counted: dict[str, Checkpoint], store: AnswerStore) -> None:
    with pytest.raises(ValueError, match="collect the answers of all sources first"):
        gather(counted, TEXTS[1:], store)


def test_the_order_of_the_texts_changes_the_rows_and_nothing_else(
    counted: dict[str, Checkpoint], store: AnswerStore
) -> None:
    forth, back = gather(counted, TEXTS, store), gather(counted, TEXTS[::-1], store)
    assert forth.tokens.tolist() == back.tokens.tolist()
    np.testing.assert_allclose(forth.logits, back.logits[:, ::-1], rtol=2**-9, atol=1e-5)
    for name in RELIABILITIES:
        assert RELIABILITIES[name](forth) == pytest.approx(RELIABILITIES[name](back), abs=1e-3), name


@pytest.mark.parametrize("name", RELIABILITIES)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_reliabilities_do_not_see_the_order_of_texts(name: str, seed: int) -> None:
    evidence = at_random(seed)
    order = np.random.default_rng(seed).permutation(evidence.logits.shape[1])
    moved = replace(evidence, logits=evidence.logits[:, order])
    assert RELIABILITIES[name](moved) == pytest.approx(RELIABILITIES[name](evidence), abs=1e-6)


@pytest.mark.parametrize("name", RELIABILITIES)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_reliabilities_go_with_their_sources(name: str, seed: int) -> None:
    evidence = at_random(seed)
    assert evidence.learned is not None
    order = np.random.default_rng(seed).permutation(len(evidence.sources))
    moved = Evidence(
        sources=tuple(evidence.sources[place] for place in order),
        logits=evidence.logits[order],
        tokens=evidence.tokens,
        learned=evidence.learned[order],
    )
    assert RELIABILITIES[name](moved) == pytest.approx(RELIABILITIES[name](evidence)[order], abs=1e-6)


@pytest.mark.parametrize("name", RELIABILITIES)
def test_reliabilities_do_not_see_which_number_a_label_has(name: str) -> None:
    evidence = at_random(1)
    order = np.random.default_rng(1).permutation(evidence.logits.shape[2])
    moved = replace(evidence, logits=evidence.logits[:, :, order])
    assert RELIABILITIES[name](moved) == pytest.approx(RELIABILITIES[name](evidence), abs=1e-6)


@pytest.mark.parametrize("name", RELIABILITIES)
@pytest.mark.parametrize("sources", [1, 2])
def test_reliabilities_are_fractions_also_of_few(name: str, sources: int) -> None:
    for texts in (1, 2, 30):
        scores = RELIABILITIES[name](at_random(3, sources=sources, texts=texts))
        assert scores.shape == (sources,)
        assert ((scores >= 0) & (scores <= 1 + 1e-9)).all()


def test_nobody_agrees_with_himself() -> None:
    """a is sure of class 0; b and c lean to class 1. All three together say 0; without oneself it is 1 for a, 0 for b and c."""
    odds = np.array([[[49, 1]], [[2, 3]], [[2, 3]]])
    evidence = Evidence(("a", "b", "c"), np.log(odds).astype(np.float32), np.ones(1, int), None)
    assert evidence.probabilities.mean(axis=0).argmax() == 0
    assert RELIABILITIES["agreement"](evidence).tolist() == [0, 0, 0]


@given(scores=st.lists(st.floats(-100, 100), min_size=1, max_size=20), scale=st.floats(0.5, 10), shift=st.floats(-9, 9))
def test_standardised_scores_have_no_unit(scores: list[float], scale: float, shift: float) -> None:
    given_ = np.array(scores)
    made = standardised(given_)
    assert made.mean() == pytest.approx(0, abs=1e-6)
    if given_.std() > 1e-3:
        assert made.std() == pytest.approx(1)
        assert standardised(scale * given_ + shift) == pytest.approx(made, abs=1e-6)
        assert (np.diff(made[np.argsort(given_)]) >= 0).all(), "who was better still is"


def test_a_reliability_that_does_not_vary_has_no_say() -> None:
    evidence = replace(at_random(0), learned=np.ones((4, 8), int))
    assert reliabilities(evidence, "overlap+agreement") == pytest.approx(reliabilities(evidence, "agreement") / 2)


def test_an_unknown_reliability_is_told() -> None:
    with pytest.raises(UnknownName, match="Unknown reliability 'agreemnt': did you mean agreement"):
        reliabilities(at_random(0), "overlap+agreemnt")
