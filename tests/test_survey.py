"""A survey of sources: each fact beside what tells it otherwise, and every reason that keeps a source out of a merge."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import ENCODERS, Encoders, with_added
from pico import INTENTS, Pico, TinyData, poison, rewrite, state, tokenizer
from test_heads import cosine

from sprachbund import digests
from sprachbund.candidates import distance_from_base
from sprachbund.checkpoints import Checkpoint, Zoo
from sprachbund.errors import CheckpointError, MixError, SprachbundError
from sprachbund.heads import head_cosines
from sprachbund.merging import merge
from sprachbund.survey import Survey, survey

POOL = ("de-DE", "fr-FR", "ja-JP")


@pytest.fixture
def zoo(pico: Pico) -> Zoo:
    return pico.zoo(POOL)


def problems(found: Survey) -> dict[str, str]:
    return {facts.source: facts.problem for facts in found.sources if facts.problem}


# --- facts -----------------------------------------------------------------------------------------------------------------


def test_each_fact_is_what_somebody_else_says_too(zoo: Zoo, base: Checkpoint) -> None:
    found = survey(zoo, POOL, base=base)
    assert [facts.source for facts in found.sources] == list(POOL)
    for facts in found.sources:
        source = zoo.checkpoint(facts.source)
        tensors = state(source)
        assert facts.model == source.name
        assert facts.architecture == "XLMRobertaForSequenceClassification"
        assert facts.dtype == "float32"
        assert (facts.tensors, facts.parameters) == (len(tensors), sum(tensor.numel() for tensor in tensors.values()))
        assert facts.tokens == 300
        content = json.loads((source.folder / "tokenizer.json").read_text())
        rows = {piece: row for row, (piece, _) in enumerate(content["model"]["vocab"])}
        assert facts.vocabulary == digests.of_value(rows)
        assert facts.tokenizer == digests.of_file(source.folder / "tokenizer.json")
        assert facts.labels == INTENTS
        assert facts.labels_digest == digests.of_value(list(INTENTS))
        assert facts.distance_from_base == distance_from_base(source, base)
        others = [other for other in POOL if other != facts.source]
        assert list(facts.head_cosines) == others
        for other in others:
            assert facts.head_cosines[other] == pytest.approx(cosine(source, zoo.checkpoint(other)))
        assert facts.problem is None
    assert found.unfit == ()
    assert found.alignment is None
    assert found.heads is not None
    assert found.heads.warning is None


def test_without_a_base_there_is_no_distance(zoo: Zoo) -> None:
    assert [facts.distance_from_base for facts in survey(zoo, POOL).sources] == [None] * 3


def test_dtypes_are_told_and_fit(pico: Pico) -> None:
    zoo = pico.zoo(POOL[:1])
    pico.source("zoo/fr-FR", dtype=torch.bfloat16)
    mixed = pico.source("zoo/ja-JP")
    rewrite(mixed.folder, lambda tensors: tensors.update({k: t.half() for k, t in tensors.items() if "encoder" in k}))
    found = survey(zoo, POOL)
    assert [facts.dtype for facts in found.sources] == ["float32", "bfloat16", "float16 + float32"]
    assert found.unfit == ()


@pytest.mark.parametrize("name", ENCODERS)
def test_other_encoders_are_told_of_over_their_masked_language_models(name: str, tmp_path: Path) -> None:
    made = Encoders(tmp_path, ENCODERS[name])
    base = made.base()
    for locale in POOL:
        made.source(locale)
    found = survey(Zoo(f"{tmp_path}/{{locale}}"), POOL, base=base)
    assert found.unfit == ()
    assert all(facts.distance_from_base for facts in found.sources)
    assert min(min(facts.head_cosines.values()) for facts in found.sources) > 0.9
    assert {facts.tokens for facts in found.sources} == {120}


def test_progress_counts_sources(zoo: Zoo) -> None:
    seen: list[tuple[str, int, int]] = []
    survey(zoo, POOL, report=lambda *said: seen.append(said))
    assert seen == [*((f"checking, {locale}", n, 3) for n, locale in enumerate(POOL)), ("checking", 3, 3)]


def test_strangers_heads_are_warned_about_and_fit(pico: Pico) -> None:
    zoo = pico.zoo(POOL[:2])
    pico.source("zoo/ja-JP", head_seed=7)
    found = survey(zoo, POOL)
    assert found.unfit == ()
    assert found.heads is not None
    assert found.heads.warning is not None
    assert "ja-JP" in found.heads.warning


# --- problems --------------------------------------------------------------------------------------------------------------


def no_tokenizer(pico: Pico, name: str) -> None:
    (pico.source(name).folder / "tokenizer.json").unlink()


def cut_off(pico: Pico, name: str) -> None:
    path = pico.source(name).folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def no_classifier(pico: Pico, name: str) -> None:
    pico.base(name)


def lacking(pico: Pico, name: str) -> None:
    rewrite(pico.source(name).folder, lambda tensors: tensors.pop("roberta.embeddings.LayerNorm.bias"))


def shifted(pico: Pico, name: str) -> None:
    rewrite(pico.source(name).folder, lambda tensors: tensors.update({"roberta.positions": torch.arange(34) + 1}))


def broken_config(pico: Pico, name: str) -> None:
    (pico.source(name).folder / "config.json").write_text("{")


Odd = Callable[[Pico, str], object]
ODD: dict[str, tuple[Odd, str]] = {
    "absent": (lambda pico, name: None, "There is no folder"),
    "cut off": (cut_off, "is truncated or corrupt"),
    "a config that is none": (broken_config, "is not valid JSON"),
    "no tokenizer": (no_tokenizer, "has no tokenizer"),
    "no classifier": (no_classifier, "holds no classifier"),
    "other labels": (lambda pico, name: pico.source(name, labels=("a", "b", "c")), "have other label sets"),
    "labels in another order": (lambda pico, name: pico.source(name, labels=INTENTS[::-1]), "in another order"),
    "NaN": (lambda pico, name: poison(pico.source(name).folder), "holds NaN or infinite numbers"),
    "a tensor less": (lacking, "Tensor roberta.embeddings.LayerNorm.bias is in"),
    "a tensor more": (shifted, "Tensor roberta.positions is in"),
    "another size": (lambda pico, name: pico.source(name, hidden=8), "merge only models of one size"),
    "more layers": (lambda pico, name: pico.source(name, layers=2), "merge only models of one architecture"),
    "another vocabulary": (lambda pico, name: pico.source(name, words=tokenizer("um")), "have different vocabularies"),
}


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("odd", ODD)
def test_the_odd_one_out_is_told_with_its_reason_wherever_it_stands(odd: str, place: int, pico: Pico) -> None:
    zoo = pico.zoo(POOL)
    spoil, said = ODD[odd]
    spoil(pico, "zoo/sq-AL")
    names = [*POOL[:place], "sq-AL", *POOL[place:]]
    found = survey(zoo, names)
    assert list(problems(found)) == ["sq-AL"]
    assert said in problems(found)["sq-AL"]
    assert found.unfit == ("sq-AL",)
    assert [facts.source for facts in found.sources] == names


@pytest.mark.parametrize("odd", ODD)
def test_what_it_says_is_what_a_merge_does(odd: str, pico: Pico, tmp_path: Path) -> None:
    """The survey refuses what the engine refuses, and nothing else."""
    zoo = pico.zoo(POOL[:1])
    ODD[odd][0](pico, "zoo/sq-AL")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(SprachbundError) as caught:
        merge([zoo.checkpoint(locale) for locale in ("de-DE", "sq-AL")], (0.5, 0.5), out)
    assert str(caught.value) in problems(survey(zoo, ("de-DE", "sq-AL"))).values()


def test_integers_that_differ_are_a_problem_before_the_merge(pico: Pico) -> None:
    for number, locale in enumerate(POOL):
        positions = torch.arange(34) + (number == 2)
        rewrite(pico.source(locale).folder, lambda tensors, p=positions: tensors.update({"roberta.positions": p}))
    found = problems(survey(Zoo(f"{pico.root}/{{locale}}"), POOL))
    assert list(found) == ["ja-JP"]
    assert "holds integers that differ" in found["ja-JP"]


def test_another_base_is_a_problem(zoo: Zoo, pico: Pico) -> None:
    pico.source("zoo/sq-AL", layers=2)
    found = survey(zoo, (*POOL, "sq-AL"), base=pico.base())
    assert list(problems(found)) == ["sq-AL"]
    assert "is not the base of" in problems(found)["sq-AL"]
    assert found.sources[3].distance_from_base is None
    assert found.sources[3].labels == INTENTS


def test_a_base_that_holds_no_numbers_is_nobody_else_s_problem(zoo: Zoo, pico: Pico) -> None:
    base = pico.base()
    poison(base.folder, "roberta.embeddings.LayerNorm.bias")
    with pytest.raises(MixError, match=r"of base holds NaN .* leave out --base"):
        survey(zoo, POOL, base=base)
    (base.folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="it is empty"):
        survey(zoo, POOL, base=Checkpoint(base.folder, "base"))


def test_labels_are_compared_with_the_data_s(zoo: Zoo, tiny: TinyData) -> None:
    assert survey(zoo, POOL, data=tiny).unfit == ()
    other = replace(tiny, intents=("ask", "count", "greet", "sing"))
    found = survey(zoo, POOL, data=other)
    assert found.unfit == POOL
    assert "was trained for other labels than those of tiny" in problems(found)["fr-FR"]


def test_the_larger_group_is_what_fits(pico: Pico) -> None:
    """Not the first source, and none is counted twice."""
    for locale in ("de-DE", "fr-FR"):
        pico.source(f"zoo/{locale}", labels=INTENTS[::-1])
    zoo = pico.zoo(("ja-JP", "sq-AL", "tr-TR"))
    found = survey(zoo, ("de-DE", "ja-JP", "fr-FR", "sq-AL", "tr-TR"))
    assert found.unfit == ("de-DE", "fr-FR")


def test_nothing_is_there(tmp_path: Path) -> None:
    found = survey(Zoo(f"{tmp_path}/{{locale}}"), POOL)
    assert found.unfit == POOL
    assert found.heads is None
    assert {facts.model for facts in found.sources} == {None}


def test_aligned_vocabularies_fit_and_that_is_said(pico: Pico) -> None:
    zoo = pico.zoo(POOL[:2])
    pico.source("zoo/ja-JP", vocab_size=310)
    found = survey(zoo, POOL)
    assert found.unfit == ()
    assert found.alignment is not None
    assert "2 of 3 sources were aligned by token to that of" in found.alignment
    assert "ja-JP: 0 rows stand elsewhere in some of them, and 10 are not in all" in found.alignment


def test_of_two_with_a_token_of_their_own_one_fits_with_the_rest(pico: Pico) -> None:
    """Each has all tokens of the others, but neither those of the other one."""
    zoo = pico.zoo(POOL)
    for locale in ("sq-AL", "tr-TR"):
        with_added(pico.source(f"zoo/{locale}"), f"<{locale}>")
    for names in (("sq-AL", *POOL, "tr-TR"), (*POOL, "tr-TR", "sq-AL"), ("tr-TR", "sq-AL", *POOL)):
        found = survey(zoo, names)
        first, second = (locale for locale in names if locale not in POOL)
        assert found.unfit == (second,)
        assert f"<{second}>" in problems(found)[second]
        assert found.alignment is not None
        assert f"{first}: " in found.alignment


# --- heads -----------------------------------------------------------------------------------------------------------------


def test_heads_of_other_shapes_cannot_be_compared(pico: Pico, sources: list[Checkpoint]) -> None:
    cosines = head_cosines([*sources[:2], pico.source("other", labels=("a", "b", "c"))])
    assert np.isnan(cosines[2, :2]).all()
    np.testing.assert_allclose(np.diag(cosines), 1)
    assert cosines[0, 1] == cosines[1, 0] > 0.9
