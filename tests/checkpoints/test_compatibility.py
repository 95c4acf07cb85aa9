"""Which checkpoints fit together, and how those that don't are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pico import INTENTS, Pico, rewrite, state, tokenizer
from safetensors.torch import save_file

from sprachbund import digests
from sprachbund.checkpoints import Checkpoint, body_counterparts, check_base, check_mergeable, misfits, open_checkpoint
from sprachbund.errors import CheckpointError, IncompatibleError


def refused(*sources: Checkpoint) -> str:
    with pytest.raises(IncompatibleError) as caught:
        check_mergeable(sources)
    return str(caught.value)


def test_sources_of_one_base_fit(sources: list[Checkpoint]) -> None:
    assert check_mergeable(sources) is None
    assert check_mergeable(sources[:1]) is None


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
    assert message.endswith("merge only models of one size.")


def test_integers_of_another_width_are_named(pico: Pico, sources: list[Checkpoint]) -> None:
    for name, dtype in (("wide", torch.int64), ("narrow", torch.int32)):
        positions = torch.arange(34, dtype=dtype)
        rewrite(pico.source(name).folder, lambda tensors, p=positions: tensors.update({"roberta.positions": p}))
    message = refused(*(open_checkpoint(pico.root / name, name) for name in ("wide", "narrow")))
    assert message == "Tensor roberta.positions is I32 and I64 in the sources: it cannot be merged."


def test_another_vocabulary_of_the_same_size_is_noticed(pico: Pico, sources: list[Checkpoint]) -> None:
    message = refused(sources[0], pico.source("foreign", words=tokenizer("um")))
    assert message.startswith("de-DE and foreign have different vocabularies: ")


def test_a_vocabulary_is_no_matter_of_how_its_file_is_written(pico: Pico, sources: list[Checkpoint]) -> None:
    """A tokenizer that has cut and padded remembers it in its file."""
    source = pico.source("used")
    used = json.loads((source.folder / "tokenizer.json").read_text(encoding="utf-8"))
    used["truncation"] = {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    (source.folder / "tokenizer.json").write_text(json.dumps(used, indent=7), encoding="utf-8")
    source = open_checkpoint(source.folder)
    assert source.tokenizer_digest != sources[0].tokenizer_digest
    check_mergeable([*sources, source])


def test_vocabularies_of_other_kinds_of_tokenizers_are_read(pico: Pico) -> None:
    source = pico.source("bpe")
    tokens = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}}, "added_tokens": [{"content": "<mask>", "id": 2}]}
    (source.folder / "tokenizer.json").write_text(json.dumps(tokens))
    expected = digests.of_value({"a": 0, "b": 1, "<mask>": 2})
    assert open_checkpoint(source.folder).vocabulary_digest == expected


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model": {"vocab": [1, 2]}}'])
def test_a_tokenizer_that_is_none_is_named(content: str, pico: Pico, sources: list[Checkpoint]) -> None:
    source = pico.source("broken")
    (source.folder / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"broken/tokenizer\.json is not a tokenizer: "):
        check_mergeable([sources[0], open_checkpoint(source.folder)])


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
    with pytest.raises(IncompatibleError, match=r"^base and foreign have different vocabularies"):
        check_base(base, pico.source("foreign", words=tokenizer("um")))


# --- who does not fit the others ---------------------------------------------------------------------------------------


def test_most_decide_who_does_not_fit(sources: list[Checkpoint], pico: Pico) -> None:
    odd = [pico.source("wide", hidden=8), pico.source("words", words=tokenizer("x"))]
    named = {source.name: source for source in (odd[0], sources[0], odd[1], *sources[1:])}
    reasons = misfits(named)
    assert list(reasons) == ["wide", "words"]
    assert f"in {sources[0].name}" in reasons["wide"]
    assert "different vocabularies" in reasons["words"]
    assert misfits({source.name: source for source in sources}) == {}
    assert misfits({}) == {}


def test_of_two_equal_lots_the_first_stays(sources: list[Checkpoint], pico: Pico) -> None:
    wide = pico.source("wide", hidden=8)
    assert list(misfits({"a": sources[0], "b": wide})) == ["b"]
    assert list(misfits({"b": wide, "a": sources[0]})) == ["a"]


def test_what_cannot_be_read_fits_nobody(sources: list[Checkpoint], pico: Pico) -> None:
    broken = pico.source("broken")
    (broken.folder / "model.safetensors").write_bytes(b"short")
    reasons = misfits({"broken": open_checkpoint(broken.folder), "a": sources[0]})
    assert list(reasons) == ["broken"]
    assert "truncated or corrupt" in reasons["broken"]
    assert list(misfits({"broken": open_checkpoint(broken.folder)})) == ["broken"]
