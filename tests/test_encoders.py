"""BERT, DeBERTa-v2, ModernBERT and others, made tiny: what is true of XLM-R classifiers over their base is true of all."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import ENCODERS, Encoder, Encoders
from pico import INTENTS, TinyData, rewrite, state
from safetensors.torch import save_file
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from sprachbund import adapt, cells, inference
from sprachbund.adaptation import ADAPTATIONS, CoefficientSettings, DistillationSettings
from sprachbund.candidates import distance_from_base, merge_candidate
from sprachbund.checkpoints import (
    Checkpoint,
    Zoo,
    body_counterparts,
    check_base,
    check_mergeable,
    learned_tokens,
    open_checkpoint,
)
from sprachbund.checkpoints.vocabulary import embedding_of, vocabulary_tensors
from sprachbund.choosing import choose_by_hand
from sprachbund.data.unlabelled import shuffled
from sprachbund.errors import CheckpointError, IncompatibleError
from sprachbund.heads import head_agreement
from sprachbund.measures import AnswerStore
from sprachbund.store import Record

POOL, WEIGHTS = ("de-DE", "fr-FR", "ja-JP"), (0.5, 0.3, 0.2)


@pytest.fixture(scope="module", params=ENCODERS)
def encoders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoders:
    made = Encoders(tmp_path_factory.mktemp(request.param), ENCODERS[request.param])
    made.base()
    for locale in POOL:
        made.source(locale)
    return made


@pytest.fixture
def encoder(encoders: Encoders) -> Encoder:
    return encoders.encoder


@pytest.fixture
def base(encoders: Encoders) -> Checkpoint:
    return open_checkpoint(encoders.root / "base", "base")


@pytest.fixture
def sources(encoders: Encoders) -> list[Checkpoint]:
    return [open_checkpoint(encoders.root / locale, locale) for locale in POOL]


def body_of(encoder: Encoder, source: Checkpoint) -> set[str]:
    return source.tensors.keys() - encoder.head


def test_the_base_lacks_the_head_and_the_tied_output(
    encoder: Encoder, base: Checkpoint, sources: list[Checkpoint]
) -> None:
    """What the other tests build on: the files are like those that people have."""
    assert encoder.head <= sources[0].tensors.keys()
    assert not encoder.head & base.tensors.keys()
    assert not [
        name for name in base.tensors if name.endswith(("decoder.weight", "lm_head.weight", "projector.weight"))
    ]
    model = AutoModelForMaskedLM.from_pretrained(base.folder)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_labels_are_those_of_the_classifier_and_a_base_has_none(base: Checkpoint, sources: list[Checkpoint]) -> None:
    assert sources[0].labels == INTENTS
    with pytest.raises(CheckpointError, match="holds no classifier, but .*ForMaskedLM"):
        _ = base.labels


def test_the_body_is_what_came_from_the_base(encoder: Encoder, base: Checkpoint, sources: list[Checkpoint]) -> None:
    assert check_base(base, sources[0]) is None
    counterparts = body_counterparts(base, sources[0])
    assert counterparts.keys() == body_of(encoder, sources[0])
    assert all(name == there for name, there in counterparts.items())


def test_a_bare_encoder_is_a_base_too(
    encoder: Encoder, base: Checkpoint, sources: list[Checkpoint], tmp_path: Path
) -> None:
    prefix = encoder.embedding.split(".", 1)[0] + "."
    tensors = {name.removeprefix(prefix): tensor for name, tensor in state(base).items() if name.startswith(prefix)}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architectures": ["BareModel"]}')
    bare = open_checkpoint(tmp_path)
    check_base(bare, sources[0])
    counterparts = body_counterparts(bare, sources[0])
    assert {name for name in counterparts if name.startswith(prefix)} == counterparts.keys()
    assert set(counterparts.values()) == tensors.keys()


def test_a_pooler_that_the_base_has_is_body(tmp_path: Path) -> None:
    """As in bert-base-multilingual-cased, which has learned to tell whether a sentence follows another."""
    made = Encoders(tmp_path, ENCODERS["bert"])
    base, source = made.base(), made.source("de-DE")
    pooler = {name: tensor for name, tensor in state(source).items() if ".pooler." in name}
    save_file({**state(base), **pooler}, base.folder / "model.safetensors", metadata={"format": "pt"})
    counterparts = body_counterparts(open_checkpoint(base.folder), source)
    assert {name for name in counterparts if ".pooler." in name} == pooler.keys()


def test_old_names_of_layer_norms_are_known(tmp_path: Path) -> None:
    made = Encoders(tmp_path, ENCODERS["bert"])
    base, source = made.base(), made.source("de-DE")
    before = distance_from_base(source, base)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in state(base).items()
    }
    assert old.keys() != state(base).keys()
    save_file(old, base.folder / "model.safetensors", metadata={"format": "pt"})
    assert distance_from_base(source, open_checkpoint(base.folder)) == before


def test_a_layer_that_the_base_lacks_is_refused(base: Checkpoint, sources: list[Checkpoint], tmp_path: Path) -> None:
    lost = next(name for name in state(base) if "layer" in name.lower() and name in sources[0].tensors)
    save_file({name: tensor for name, tensor in state(base).items() if name != lost}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(IncompatibleError, match=f"it has no tensor {lost}"):
        check_base(open_checkpoint(tmp_path), sources[0])


def test_the_distance_is_that_of_torch_over_the_body(
    encoder: Encoder, base: Checkpoint, sources: list[Checkpoint]
) -> None:
    before, after = state(base), state(sources[0])
    body = sorted(body_of(encoder, sources[0]))
    moved = torch.cat([(after[name] - before[name]).double().flatten() for name in body]).norm()
    norm = torch.cat([before[name].double().flatten() for name in body]).norm()
    assert distance_from_base(sources[0], base) == pytest.approx((moved / norm).item(), rel=1e-6)


def test_heads_of_one_seed_agree_and_of_two_do_not(encoders: Encoders, sources: list[Checkpoint]) -> None:
    stranger = encoders.source("stranger", head_seed=9)
    same, other = head_agreement(sources), head_agreement([sources[0], stranger])
    assert same is not None
    assert other is not None
    assert same.cosine > 0.9
    assert abs(other.cosine) < 0.4


def test_the_embedding_is_found(encoder: Encoder, sources: list[Checkpoint]) -> None:
    assert embedding_of(sources[0]) == encoder.embedding
    assert vocabulary_tensors(sources[0]) == {encoder.embedding}


def test_which_tokens_a_source_met_is_told_from_its_embedding(
    encoder: Encoder, base: Checkpoint, tmp_path: Path
) -> None:
    made = Encoders(tmp_path, encoder)
    made.base()
    source = made.source("m", change=0.0)
    met = [7, 11, 30]

    def learn(tensors: dict[str, torch.Tensor]) -> None:
        tensors[encoder.embedding][met] += torch.linspace(0, 1, tensors[encoder.embedding].shape[1])

    rewrite(source.folder, learn)
    (found,) = learned_tokens([open_checkpoint(source.folder)], base)
    assert np.flatnonzero(found).tolist() == met


def test_given_the_base_the_classifier_stays(
    encoders: Encoders, base: Checkpoint, sources: list[Checkpoint], tiny: TinyData, tmp_path: Path
) -> None:
    """Nothing is dropped: the tensors are those of the sources, and the model answers like one that torch averaged."""
    assert check_mergeable(sources) is None
    zoo = Zoo(f"{encoders.root}/{{locale}}")
    details = merge_candidate(choose_by_hand("sq-AL", POOL, WEIGHTS), zoo, "manual", tmp_path / "out", base=base)
    assert [s.distance_from_base for s in details.sources] == [distance_from_base(source, base) for source in sources]
    assert details.warnings == ()
    merged = open_checkpoint(tmp_path / "out")
    assert merged.tensors == sources[0].tensors
    assert merged.labels == INTENTS

    model, found = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(found.values()), "nothing is missing, nothing is left over"
    by_hand = AutoModelForSequenceClassification.from_pretrained(sources[0].folder).double()
    states = [state(source) for source in sources]
    average = {
        name: sum(weight * each[name].double() for weight, each in zip(WEIGHTS, states, strict=True))
        for name in states[0]
    }
    by_hand.load_state_dict(average)
    tokenizer = inference.load_tokenizer(tmp_path / "out")
    encoded = tokenizer(list(tiny.partition("de-DE", "test").texts), padding=True, return_tensors="pt")
    asked = {key: encoded[key] for key in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        scores, expected = model.double().eval()(**asked).logits, by_hand.eval()(**asked).logits
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert np.abs(expected.numpy()).max() > 0.1


def test_it_is_evaluated_end_to_end(
    encoders: Encoders, sources: list[Checkpoint], tiny: TinyData, tmp_path: Path
) -> None:
    """One by one and in batches: padding changes no answer, and long texts are cut where the positions end."""
    texts = tiny.partition("de-DE", "test").texts
    model, tokenizer = inference.load_classifier(sources[0].folder), inference.load_tokenizer(sources[0].folder)
    encoded = inference.tokenise(tokenizer, [*texts, " ".join(texts)])
    assert max(map(len, encoded)) == 32
    together = inference.logits(model, encoded)
    alone = np.concatenate([inference.logits(model, [text]) for text in encoded])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert len({row.tobytes() for row in together}) > len(texts) // 2, "answers hang on the words"

    subject = cells.describe(sources[0], "de-DE")
    record = cells.evaluate(
        subject, tiny, "test", "baseline", tmp_path / "record", precision="fp32", started=time.monotonic()
    )
    assert isinstance(record, Record)
    gold = tiny.partition("de-DE", "test").intents
    hits = sum(INTENTS[answer] == intent for answer, intent in zip(together[:-1].argmax(axis=1), gold, strict=True))
    assert record.performance.correct == hits
    assert record.model_info.architecture.endswith("ForSequenceClassification")


@pytest.mark.parametrize("name", ["pick-overlap", "merge-reliable", "learned-teacher", "distilled-merge-reliability"])
def test_it_is_adapted(name: str, base: Checkpoint, sources: list[Checkpoint], tiny: TinyData, tmp_path: Path) -> None:
    """What an adaptation makes has all tensors of a source, and loads without anything missing or left over."""
    short = {
        "distillation": DistillationSettings(epochs=1, learning_rate=0.01),
        "coefficients": CoefficientSettings(steps=2),
    }
    texts = shuffled(tiny.partition("sq-AL", "train").texts)
    known = {source.name: source for source in sources}
    material = adapt.Material(known, texts, AnswerStore(tmp_path / "answers"), base)
    adaptation = ADAPTATIONS[name][0].model_copy(update=short)
    adapt.adapt(adaptation, "sq-AL", material, tmp_path / "out", mode=name)
    assert open_checkpoint(tmp_path / "out").tensors == sources[0].tensors
    _, found = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(found.values())
