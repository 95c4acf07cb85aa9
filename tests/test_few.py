"""A few labels: what each kind makes of them, checked by hand, and that nobody else gets to see one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pico import INTENTS, Pico, TinyData, rows_of, state, tiny_data
from transformers import AutoModelForSequenceClassification

from sprachbund import adapt, inference, merging
from sprachbund.adapt.teaching import as_logits
from sprachbund.adaptation import ADAPTATIONS, Adaptation, CoefficientSettings, DistillationSettings
from sprachbund.cards import MergeDetails
from sprachbund.checkpoints import Checkpoint, Zoo
from sprachbund.coefficients import learn_coefficients
from sprachbund.config import ExperimentConfig
from sprachbund.data import Row, split
from sprachbund.data.few import Labelled
from sprachbund.errors import DataError, UserError
from sprachbund.experiment import Experiment, Outcome
from sprachbund.heads.refit import best_ridge
from sprachbund.inputs import Inputs
from sprachbund.measures import AnswerStore
from sprachbund.preparing import prepare

TARGET = "sq-AL"
SOURCES = ("de-DE", "fr-FR", "it-IT", "ja-JP", "ru-RU")
SHORT = {
    "distillation": DistillationSettings(epochs=2, learning_rate=0.01, token_dropout=0.0, sharpening=1.0),
    "coefficients": CoefficientSettings(steps=5),
}
KINDS = ("few-soup", "few-coefficients", "few-head", "few-finetuned", "few-finetuned-merge")
Report = Callable[[str, int, int], None]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """Sources that answer differently."""
    pico = Pico(tmp_path_factory.mktemp("few"))
    return {name: pico.source(name, change=0.3) for name in SOURCES}


@pytest.fixture
def material(known: dict[str, Checkpoint], base: Checkpoint, tiny: TinyData, tmp_path: Path) -> adapt.Material:
    """Of 40 texts without labels 20 have one, which is not always the true one: nobody is right everywhere."""
    train = tiny.partition(TARGET, "train")
    lot = random.Random(0)
    few = Labelled.of(
        (text, lot.choice((intent, "greet"))) for text, intent in zip(train.texts[:20], train.intents, strict=False)
    )
    return adapt.Material(known, train.texts, AnswerStore(tmp_path / "answers"), base, few)


def settings(name: str, **changes: Any) -> Adaptation:
    return ADAPTATIONS[f"{name}-20"][0].model_copy(update={**SHORT, **changes})


def made(name: str, material: adapt.Material, out: Path, **changes: Any) -> MergeDetails:
    return adapt.adapt(settings(name, **changes), TARGET, material, out, mode=name)


def gold(material: adapt.Material) -> np.ndarray:
    assert material.labelled
    return np.array([INTENTS.index(intent) for intent in material.labelled.intents])


def labelled(material: adapt.Material) -> Labelled:
    assert material.labelled
    return material.labelled


def asked(tensors: dict[str, torch.Tensor], folder: Path, texts: Iterable[str], last: Any = None) -> np.ndarray:
    """What transformers' own classifier answers with these tensors; what comes before its last layer, if that is replaced."""
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    model.load_state_dict(tensors)
    if last:
        model.classifier.out_proj = last
    encoded = inference.load_tokenizer(folder)(list(texts), padding=True, return_tensors="pt")
    with torch.inference_mode():
        answer = model.eval()(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"])
    return np.asarray(answer.logits.double())


def average(sources: list[Checkpoint], weights: Iterable[float]) -> dict[str, torch.Tensor]:
    states = [state(source) for source in sources]
    return {
        name: sum(w * each[name].double() for w, each in zip(weights, states, strict=True)).float()
        for name in states[0]
    }


# --- what is made ------------------------------------------------------------------------------------------------------


def test_a_greedy_soup_is_the_recipe_of_the_paper(material: adapt.Material, tmp_path: Path) -> None:
    """Word by word: sort by held-out accuracy, add each in its turn, keep it if the accuracy of the average does not fall."""
    details = made("few-soup", material, tmp_path / "out")
    sources, few, right = list(material.sources.values()), labelled(material), gold(material)
    alone = [asked(state(source), source.folder, few.texts) for source in sources]
    accuracy = [(logits.argmax(axis=1) == right).mean() for logits in alone]
    likelihood = [np.log(softmax(logits))[np.arange(len(right)), right].mean() for logits in alone]
    order = sorted(range(len(sources)), key=lambda k: (-accuracy[k], -likelihood[k]))
    ingredients: list[int] = []
    best = -1.0
    for source in order:
        tried = [*ingredients, source]
        soup = average([sources[k] for k in tried], [1 / len(tried)] * len(tried))
        reached = (asked(soup, sources[0].folder, few.texts).argmax(axis=1) == right).mean()
        if reached >= best:
            ingredients, best = tried, reached
    assert 1 < len(ingredients) < len(sources), "a choice that could have been another one"
    assert {source.locale for source in details.sources} == {list(material.sources)[k] for k in ingredients}
    assert {source.weight for source in details.sources} == {1 / len(ingredients)}
    soup = average([sources[k] for k in sorted(ingredients)], [1 / len(ingredients)] * len(ingredients))
    for name, tensor in state(tmp_path / "out").items():
        torch.testing.assert_close(tensor, soup[name], atol=1e-6, rtol=0)
    assert f"{len(ingredients)} of 5 sources are in the soup" in details.reasons[0]


def test_a_soup_of_the_most_reliable_sources_tries_no_others(material: adapt.Material, tmp_path: Path) -> None:
    details = made("few-soup", material, tmp_path / "out", num_languages=2)
    scores = adapt.weights_of(settings("few-soup"), material.evidence(learned=False))
    best = {list(material.sources)[place] for place in np.argsort(-scores)[:2]}
    assert {source.locale for source in details.sources} <= best
    assert "of 2 sources are in the soup" in details.reasons[0]


def test_coefficients_are_learned_on_the_few_towards_their_labels(material: adapt.Material, tmp_path: Path) -> None:
    made("few-coefficients", material, tmp_path / "out")
    weights = adapt.weights_of(settings("few-coefficients"), material.evidence(learned=True))
    sources, few = list(material.sources.values()), labelled(material)
    one_hot = np.eye(4)[gold(material)]
    found = learn_coefficients(sources, weights.tolist(), few.texts, SHORT["coefficients"], one_hot)
    (tmp_path / "by-hand").mkdir()
    merging.merge(sources, lambda tensor: found.of(tensor).tolist(), tmp_path / "by-hand")
    assert same(tmp_path / "out", tmp_path / "by-hand")
    start = average(sources, weights)
    before, after = (
        -np.log(
            np.take_along_axis(softmax(asked(tensors, sources[0].folder, few.texts)), gold(material)[:, None], 1)
        ).mean()
        for tensors in (start, state(tmp_path / "out"))
    )
    assert after < before


def test_a_head_is_fitted_to_the_ensemble_and_to_the_few(material: adapt.Material, tmp_path: Path) -> None:
    made("few-head", material, tmp_path / "out", label_weight=7.0)
    adaptation, few = settings("few-head"), labelled(material)
    evidence = material.evidence(learned=False)
    weights = adapt.weights_of(adaptation, evidence)
    sources = list(material.sources.values())
    merged = average(sources, weights)
    rest = [number for number, text in enumerate(material.texts) if text not in few.texts]
    assert len(rest) == len(material.texts) - len(set(few.texts)) > 0
    texts = [*(material.texts[number] for number in rest), *few.texts]
    features = asked(merged, sources[0].folder, texts, torch.nn.Identity())
    answers = adapt.teacher(adaptation, evidence, weights)[rest]
    wanted = as_logits(np.concatenate([answers, np.eye(4)[gold(material)]]))
    fit = best_ridge(features, wanted, np.array([1.0] * len(rest) + [7.0] * len(few)))
    out = state(tmp_path / "out")
    np.testing.assert_allclose(out.pop("classifier.out_proj.weight"), fit.weight, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(out.pop("classifier.out_proj.bias"), fit.bias, rtol=2e-3, atol=2e-3)
    for name, tensor in out.items():
        torch.testing.assert_close(tensor, merged[name], atol=1e-6, rtol=0)


def test_what_is_fine_tuned_has_read_the_few_and_nothing_else(material: adapt.Material, tmp_path: Path) -> None:
    one = made("few-finetuned", material, tmp_path / "one")
    (picked,) = one.sources
    few, right = labelled(material), gold(material)
    source = material.sources[picked.locale]
    before, after = (
        (asked(tensors, source.folder, few.texts).argmax(axis=1) == right).mean()
        for tensors in (state(source), state(tmp_path / "one"))
    )
    assert after > before
    (other,) = made("few-finetuned", replace(material, texts=material.texts[:35]), tmp_path / "two").sources
    assert other.locale == picked.locale
    assert same(tmp_path / "one", tmp_path / "two")
    both = made("few-finetuned-merge", material, tmp_path / "three")
    assert len(both.sources) == len(SOURCES)
    assert not same(tmp_path / "one", tmp_path / "three")


@pytest.mark.parametrize("name", KINDS)
def test_it_says_what_it_has_seen_and_is_another_model_with_other_labels(
    name: str, material: adapt.Material, tmp_path: Path
) -> None:
    details = made(name, material, tmp_path / "out")
    assert details.uses == ("target-few", "unlabelled")
    assert details.recipe.adaptation
    assert details.recipe.adaptation["labels"] == 20
    assert "target-few" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    few = labelled(material)
    turned = replace(material, labelled=Labelled(few.texts, (*few.intents[1:], few.intents[0])))
    assert adapt.candidate(settings(name), turned) != details.candidate


def same(one: Path, other: Path) -> bool:
    first, second = state(one), state(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


# --- who may see them --------------------------------------------------------------------------------------------------


def test_labels_are_no_part_of_who_sees_none(material: adapt.Material, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^merge must not see 15 labels of sq-AL per intent"):
        adapt.adapt(ADAPTATIONS["merge-reliable"][0], TARGET, material, tmp_path / "out", mode="x")
    with pytest.raises(ValueError, match="^ensemble must not see"):
        adapt.ensemble(ADAPTATIONS["ensemble-uniform"][0], TARGET, material, ("hello",), mode="x")
    with pytest.raises(ValueError, match="^few-head must not see"):
        adapt.adapt(ADAPTATIONS["few-head-1"][0], TARGET, material, tmp_path / "out", mode="x")
    for none in (None, Labelled((), ())):
        with pytest.raises(UserError, match=r"few-head needs a few labelled texts of sq-AL: name a file"):
            adapt.adapt(
                ADAPTATIONS["few-head-5"][0], TARGET, replace(material, labelled=none), tmp_path / "out", mode="x"
            )
    assert not (tmp_path / "out").exists()


def test_settings_say_nothing_of_labels_where_there_are_none() -> None:
    """So that models and records of before have the same identity."""
    for name, (found, _) in ADAPTATIONS.items():
        written = found.model_dump(mode="json")
        assert ("labels" in written) == ("label_weight" in written) == name.startswith("few-")
        assert Adaptation.model_validate(written) == found
    for wrong in ({"kind": "auto", "labels": 5}, {"kind": "few-head"}):
        with pytest.raises(ValueError, match="those of few-… take some, others none"):
            Adaptation.model_validate(wrong)


def unequal(locale: str) -> Iterable[Row]:
    """More train rows than usual, so that enough of them are set aside."""
    rows = list(rows_of(locale))
    yield from rows
    for number in range(400):
        row = rows[number % 40]
        yield replace(row, id=f"more {number}", partition="train", utt=f"{row.utt} {locale[:2]}{number}")


def mislabelled(locale: str) -> Iterable[Row]:
    """The same, but the labels of the target's train rows are garbage."""
    lot = random.Random(locale)
    for row in unequal(locale):
        yield replace(row, intent=lot.choice(INTENTS)) if (locale, row.partition) == (TARGET, "train") else row


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return Pico(tmp_path_factory.mktemp("adapt")).zoo((TARGET, *SOURCES), change=0.3)


def experiment(
    zoo: Zoo,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: Callable[[str], Iterable[Row]],
    variants: tuple[str, ...],
) -> Experiment:
    monkeypatch.setattr(split, "load_data", lambda argument: tiny_data(source=rows))
    config = ExperimentConfig(output_dir=out, locales=(TARGET,), sources=SOURCES, variants=variants, jobs=1)
    return prepare(config, Inputs(zoo=zoo, data=split.load("tiny"), base=None))


def ran(prepared: Experiment, quiet: Report) -> Outcome:
    outcome = prepared.run(quiet)
    assert not outcome.failures
    return outcome


BLIND = ("merge-reliable", "pick-confidence", "auto")
SEEING = tuple(f"{name}-5" for name in KINDS)


def test_labels_of_the_target_reach_those_alone_that_say_so(
    zoo: Zoo, quiet: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, rows, variants in (
        ("true", unequal, (*BLIND, *SEEING)),
        ("garbage", mislabelled, (*BLIND, *SEEING)),
        ("alone", mislabelled, BLIND),
    ):
        outcome = ran(experiment(zoo, tmp_path / name, monkeypatch, rows, variants), quiet)
        for variant in variants:
            uses = outcome.records[TARGET, variant].evaluation_info.uses
            assert uses == (("target-few", "unlabelled") if variant in SEEING else ("unlabelled",))
    for variant in (*BLIND, *SEEING):
        true, garbage, alone = (
            tmp_path / name / "merged_models" / f"{variant}_merge_{TARGET}" for name in ("true", "garbage", "alone")
        )
        assert same(true, garbage) == (variant in BLIND), variant
        assert variant in SEEING or same(true, alone)


def test_each_gets_as_many_as_it_says_and_a_finished_one_is_not_made_again(
    zoo: Zoo, quiet: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ("pick-confidence", "few-soup-1", "few-finetuned-1", "few-finetuned-5")
    prepared = experiment(zoo, tmp_path, monkeypatch, unequal, wanted)
    assert {key: len(few) for key, few in prepared.labelled.items()} == {(TARGET, 1): 4, (TARGET, 5): 20}
    assert all(material.labelled is None for material in prepared.materials.values())
    first = ran(prepared, quiet)
    again = ran(experiment(zoo, tmp_path, monkeypatch, unequal, wanted), quiet)
    assert again.reused == len(wanted)
    assert again.records == first.records
    record = first.records[TARGET, "few-finetuned-5"]
    assert record.model_info.recipe
    assert record.model_info.recipe["adaptation"]["labels"] == 5


def test_data_that_sets_no_labels_aside_is_refused_before_work(zoo: Zoo, tiny: TinyData, tmp_path: Path) -> None:
    config = ExperimentConfig(output_dir=tmp_path, locales=(TARGET,), sources=SOURCES, variants=("few-head-5",))
    with pytest.raises(DataError, match="sets no unlabelled text"):
        prepare(config, Inputs(zoo=zoo, data=tiny, base=None))
