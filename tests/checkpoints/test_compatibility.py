"""Which checkpoints fit together, and how those that don't are told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pico import INTENTS, Pico, rewrite, state, tokenizer
from safetensors.torch import save_file

from sprachbund.checkpoints import Checkpoint, body_counterparts, check_base, check_mergeable, open_checkpoint
from sprachbund.errors import IncompatibleError


def refused(*sources: Checkpoint) -> str:
    with pytest.raises(IncompatibleError) as caught:
        check_mergeable(sources)
    return str(caught.value)


def test_sources_of_one_base_fit(sources: list[Checkpoint]) -> None:
    check_mergeable(sources)
    check_mergeable(sources[:1])


def test_other_dtypes_fit(pico: Pico, sources: list[Checkpoint]) -> None:
    check_mergeable([*sources, pico.source("half", dtype=torch.float16)])


def test_a_missing_tensor_is_named_with_who_lacks_it(pico: Pico, sources: list[Checkpoint]) -> None:
    lacking = pico.source("lacking")
    rewrite(lacking.folder, lambda tensors: tensors.pop("roberta.embeddings.LayerNorm.bias"))
    lacking = open_checkpoint(lacking.folder, "lacking")
    there = "Tensor roberta.embeddings.LayerNorm.bias is in de-DE, but not in lacking"
    assert refused(sources[0], lacking).startswith(there)
    assert refused(lacking, sources[0]).startswith(there)


def test_another_shape_is_named_with_both(pico: Pico, sources: list[Checkpoint]) -> None:
    message = refused(sources[0], pico.source("narrow", hidden=8))
    assert message.startswith("Tensor classifier.dense.bias is 16 in de-DE and 8 in narrow: ")
    assert message.endswith("merge only models of one size and vocabulary.")


def test_another_vocabulary_size_is_another_shape(pico: Pico, sources: list[Checkpoint]) -> None:
    message = refused(sources[0], pico.source("small", vocab_size=200))
    assert "word_embeddings.weight is 300 × 16 in de-DE and 200 × 16 in small" in message


def test_another_vocabulary_of_the_same_size_is_noticed(pico: Pico, sources: list[Checkpoint]) -> None:
    message = refused(sources[0], pico.source("foreign", words=tokenizer("um")))
    assert message.startswith("de-DE and foreign have different tokenizers: ")


def test_other_labels_are_counted_and_named(pico: Pico, sources: list[Checkpoint]) -> None:
    message = refused(sources[0], pico.source("other", labels=("ask", "count", "greet", "sing")))
    assert message.startswith("de-DE (4 labels) and other (4) have other label sets; they differ in leave, sing: ")
    more = refused(sources[0], pico.source("more", labels=(*INTENTS, "sing", "dance", "eat", "run")))
    assert "de-DE (4 labels) and more (8)" in more
    assert "dance, eat, run …" in more


def test_the_same_labels_in_another_order_are_another_thing(pico: Pico, sources: list[Checkpoint]) -> None:
    message = refused(sources[0], pico.source("shuffled", labels=INTENTS[::-1]))
    assert message.startswith("de-DE and shuffled have the same labels in another order")


def test_the_odd_one_out_is_found_wherever_it_stands(pico: Pico, sources: list[Checkpoint]) -> None:
    odd = pico.source("odd", labels=INTENTS[::-1])
    for place in range(4):
        mixed = [*sources[:place], odd, *sources[place:]]
        assert "odd" in refused(*mixed)


def test_a_masked_language_model_is_a_base(base: Checkpoint, sources: list[Checkpoint]) -> None:
    check_base(base, sources[0])
    counterparts = body_counterparts(base, sources[0])
    assert set(counterparts) == set(sources[0].tensors) - set(sources[0].head)
    assert all(name == there for name, there in counterparts.items())


def test_a_bare_encoder_is_a_base_too(base: Checkpoint, sources: list[Checkpoint], tmp_path: Path) -> None:
    bare = {
        name.removeprefix("roberta."): tensor for name, tensor in state(base).items() if name.startswith("roberta.")
    }
    save_file(bare, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    encoder = open_checkpoint(tmp_path)
    check_base(encoder, sources[0])
    there = body_counterparts(encoder, sources[0])["roberta.embeddings.LayerNorm.bias"]
    assert there == "embeddings.LayerNorm.bias"


def test_another_base_is_refused(pico: Pico, base: Checkpoint, sources: list[Checkpoint]) -> None:
    with pytest.raises(
        IncompatibleError, match=r"^narrow is not the base of de-DE: tensor .* is 8 there and 16 in the source"
    ):
        check_base(pico.base("narrow", hidden=8), sources[0])
    with pytest.raises(
        IncompatibleError, match=r"^base is not the base of deep: it has no tensor roberta\.encoder\.layer\.1\."
    ):
        check_base(base, pico.source("deep", layers=2))
    with pytest.raises(IncompatibleError, match=r"^base and foreign have different tokenizers"):
        check_base(base, pico.source("foreign", words=tokenizer("um")))
