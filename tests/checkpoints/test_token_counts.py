"""Which tokens a source met: as its training counted them, or as its tensors give away; both must tell the same."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pico import INTENTS, Pico, rewrite

from sprachbund import inference
from sprachbund.checkpoints import (
    Checkpoint,
    learned_tokens,
    open_checkpoint,
    read_token_counts,
    write_token_counts,
)
from sprachbund.data import Partition
from sprachbund.errors import CheckpointError
from sprachbund.merging import merge
from sprachbund.training.finetune import finetune
from sprachbund.training.settings import FinetuneSettings

COUNTS = "token_counts.npy"
EMBEDDINGS = "roberta.embeddings.word_embeddings.weight"
ROWS = 300
"""Tokens that pico models have rows for; their tokenizer knows far fewer."""
LETTERS = {"de-DE": "kns", "fr-FR": "ldr", "ja-JP": "bfp", "sq-AL": "tmv", "tr-TR": "gcu"}
"""No two languages share a letter, so that each token is met by one source alone, or (beginnings, ends) by all."""
SETTINGS = FinetuneSettings(epochs=3, batch=8, learning_rate=1e-3)


def texts_of(locale: str) -> tuple[str, ...]:
    lot = random.Random(locale)
    return tuple(" ".join("".join(lot.choices(LETTERS[locale], k=4)) for _ in range(3)) for _ in range(24))


def train(base: Checkpoint, locale: str, out: Path, settings: FinetuneSettings = SETTINGS) -> Checkpoint:
    texts = texts_of(locale)
    ids = tuple(str(number) for number in range(len(texts)))
    partition = Partition(locale, "train", ids, texts, tuple(INTENTS[number % 4] for number in range(len(texts))))
    finetune(base.folder, partition, partition, INTENTS, out, settings)
    return open_checkpoint(out, locale)


@pytest.fixture(scope="module")
def trained(base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> list[Checkpoint]:
    """Sources that were fine-tuned, weight decay and all; for reading only."""
    root = tmp_path_factory.mktemp("trained")
    return [train(base, locale, root / locale) for locale in LETTERS]


@pytest.fixture
def uncounted(trained: list[Checkpoint], tmp_path: Path) -> list[Checkpoint]:
    """The same sources as somebody else would have saved them."""
    return [without_counts(source, tmp_path / source.name) for source in trained]


def without_counts(source: Checkpoint, folder: Path) -> Checkpoint:
    shutil.copytree(source.folder, folder, ignore=shutil.ignore_patterns(COUNTS))
    return open_checkpoint(folder, source.name)


def counts_of(sources: list[Checkpoint]) -> np.ndarray:
    """What stands beside them, [K, V]."""
    counts = [read_token_counts(source) for source in sources]
    return np.stack([each for each in counts if each is not None])


def test_fine_tuning_counts_what_it_trained_on(trained: list[Checkpoint]) -> None:
    for source in trained:
        tokenizer = inference.load_tokenizer(source.folder)
        expected = Counter(token for text in texts_of(source.name) for token in tokenizer(text)["input_ids"])
        counts = read_token_counts(source)
        assert counts is not None
        assert counts.dtype == np.int64
        assert len(counts) == ROWS, "a count for each row of the embedding, whether the tokenizer knows it or not"
        assert {token: count for token, count in enumerate(counts) if count} == expected


def test_what_was_written_is_read(pico: Pico) -> None:
    source = pico.source("de-DE")
    assert read_token_counts(source) is None
    write_token_counts(source.folder, [[0, 7, 7], [0], [ROWS - 1]], ROWS)
    counts = read_token_counts(source)
    assert counts is not None
    assert {token: count for token, count in enumerate(counts) if count} == {0: 2, 7: 2, ROWS - 1: 1}


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda path: np.save(path, np.ones(ROWS - 1, int)), "counts other tokens than the model has: remove it"),
        (lambda path: np.save(path, np.ones((ROWS, 1), int)), "counts other tokens than the model has: remove it"),
        (lambda path: np.save(path, np.ones(ROWS)), "does not hold token counts"),
        (lambda path: np.save(path, np.array([{}] * ROWS)), "does not hold token counts"),
        (lambda path: path.write_text("5 7 9", encoding="utf-8"), "does not hold token counts"),
        (lambda path: path.write_bytes(b""), "does not hold token counts"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "does not hold token counts"),
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "does not hold token counts"),
    ],
    ids=["too few", "a matrix", "floats", "objects", "text", "empty", "cut off", "cut off in its header"],
)
def test_another_file_in_its_place_is_named(spoil: Callable[[Path], None], complaint: str, pico: Pico) -> None:
    source = pico.source("de-DE")
    path = source.folder / COUNTS
    write_token_counts(source.folder, [[5]], ROWS)
    spoil(path)
    with pytest.raises(CheckpointError, match=complaint) as caught:
        read_token_counts(source)
    assert str(caught.value).startswith(str(path))


def test_counts_are_taken_where_all_have_them(trained: list[Checkpoint], base: Checkpoint) -> None:
    assert learned_tokens(trained[:1]).tolist() == counts_of(trained[:1]).tolist(), "nobody needs a base for that"
    assert learned_tokens(trained, base).tolist() == counts_of(trained).tolist()
    assert counts_of(trained).max() > 1


def test_tensors_and_their_base_tell_what_counts_do(
    trained: list[Checkpoint], uncounted: list[Checkpoint], base: Checkpoint
) -> None:
    start = base.file.read(EMBEDDINGS)
    never = counts_of(trained).sum(axis=0) == 0
    for source in uncounted:
        assert (source.file.read(EMBEDDINGS) != start)[never].any(), "weight decay moves rows that learned nothing, too"
    met = counts_of(trained) > 0
    assert learned_tokens(uncounted, base).tolist() == met.astype(int).tolist()
    for source, expected in zip(uncounted, met, strict=True):
        assert learned_tokens([source], base).tolist() == [expected.astype(int).tolist()]


@pytest.mark.parametrize("count", [3, 4, 5])
def test_from_three_sources_on_the_median_stands_for_the_base(
    count: int, trained: list[Checkpoint], uncounted: list[Checkpoint]
) -> None:
    """Of tokens that most have met no row is left that could: beginnings and ends, which nobody asks about."""
    met = counts_of(trained[:count]) > 0
    few = met.sum(axis=0) < count / 2
    assert set(met.sum(axis=0)) == {0, 1, count}
    assert learned_tokens(uncounted[:count])[:, few].tolist() == met[:, few].astype(int).tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rounding_to_sixteen_bits_is_no_learning(dtype: torch.dtype, base: Checkpoint, tmp_path: Path) -> None:
    far = SETTINGS.model_copy(update={"learning_rate": 3e-2})
    source = train(base, "de-DE", tmp_path / "counted", far)
    counts = counts_of([source])[0]

    def narrow(tensors: dict[str, torch.Tensor]) -> None:
        tensors.update({name: tensor.to(dtype) for name, tensor in tensors.items()})

    narrowed = without_counts(source, tmp_path / "narrowed")
    rewrite(narrowed.folder, narrow)
    found = learned_tokens([open_checkpoint(narrowed.folder)], base)[0]
    assert found.tolist() == (counts > 0).astype(int).tolist()


def test_one_source_without_counts_makes_it_whether_and_not_how_often_for_all(
    trained: list[Checkpoint], uncounted: list[Checkpoint], base: Checkpoint
) -> None:
    mixed = [trained[0], uncounted[1], trained[2]]
    assert learned_tokens(mixed, base).tolist() == (counts_of(trained[:3]) > 0).astype(int).tolist()


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_sources_ask_for_their_base(count: int, uncounted: list[Checkpoint]) -> None:
    with pytest.raises(CheckpointError) as caught:
        learned_tokens(uncounted[:count])
    assert str(caught.value) == (
        f"Which tokens de-DE met in training cannot be told from {count} sources alone: name their base (--base)."
    )


def test_embeddings_of_another_name_are_told(pico: Pico) -> None:
    sources = [pico.source(name) for name in ("de-DE", "fr-FR", "ja-JP")]

    def rename(tensors: dict[str, torch.Tensor]) -> None:
        tensors["roberta.embeddings.pieces.weight"] = tensors.pop(EMBEDDINGS)

    rewrite(sources[1].folder, rename)
    with pytest.raises(CheckpointError, match=r"fr-FR has no tensor …embeddings.word_embeddings.weight"):
        learned_tokens(sources)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (1.0, 0.0)])
def test_a_merge_carries_no_counts_of_a_source(
    weights: tuple[float, float], trained: list[Checkpoint], tmp_path: Path
) -> None:
    """It is another model: the counts of its first source would claim too little."""
    merge(trained[:2], weights, tmp_path)
    assert not (tmp_path / COUNTS).exists()
    assert read_token_counts(open_checkpoint(tmp_path)) is None


def test_counts_are_no_part_of_what_a_source_is(trained: list[Checkpoint], uncounted: list[Checkpoint]) -> None:
    assert trained[0].digest == uncounted[0].digest
