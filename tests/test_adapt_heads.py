"""What becomes of heads when sources are adapted: averaged where they agree, else fitted to the ensemble, or all kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pico import INTENTS, Pico, TinyData, state
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sprachbund import adapt, heads, inference
from sprachbund.adapt.teaching import as_logits
from sprachbund.adaptation import ADAPTATIONS, Adaptation
from sprachbund.checkpoints import Checkpoint, open_checkpoint
from sprachbund.data.unlabelled import shuffled
from sprachbund.errors import UserError
from sprachbund.heads import HeadAgreement, measured_policy
from sprachbund.heads.refit import best_ridge
from sprachbund.measures import AnswerStore

SOURCES = ("de-DE", "fr-FR", "ja-JP")
DENSE, LAST = "classifier.dense.weight", "classifier.out_proj.weight"


def texts_of(tiny: TinyData) -> tuple[str, ...]:
    return shuffled([*tiny.partition("sq-AL", "train").texts, *tiny.partition("ro-RO", "train").texts])


@pytest.fixture
def family(pico: Pico, tiny: TinyData, tmp_path: Path) -> adapt.Material:
    """Sources whose heads grew from one seed."""
    sources = {name: pico.source(f"family/{name}") for name in SOURCES}
    return adapt.Material(sources, texts_of(tiny), AnswerStore(tmp_path / "answers"))


@pytest.fixture
def strangers(pico: Pico, tiny: TinyData, tmp_path: Path) -> adapt.Material:
    """Sources whose heads were initialised independently."""
    sources = {name: pico.source(f"strangers/{name}", head_seed=seed) for seed, name in enumerate(SOURCES)}
    return adapt.Material(sources, texts_of(tiny), AnswerStore(tmp_path / "answers"))


def made(adaptation: Adaptation, material: adapt.Material, out: Path) -> tuple[str, dict[str, torch.Tensor]]:
    details = adapt.adapt(adaptation, "sq-AL", material, out, mode="x")
    return details.reasons[0], state(out)


def asked(folder: Path | Checkpoint, texts: tuple[str, ...], *, without_last: bool = False) -> np.ndarray:
    """Ask by plain transformers, one text at a time."""
    path = folder if isinstance(folder, Path) else folder.folder
    model = AutoModelForSequenceClassification.from_pretrained(path, trust_remote_code=True).eval()
    if without_last:
        model.classifier.out_proj = torch.nn.Identity()
    tokenizer = AutoTokenizer.from_pretrained(path)
    with torch.no_grad():
        return np.concatenate([model(**tokenizer(text, return_tensors="pt")).logits.numpy() for text in texts])


def test_who_agrees_is_averaged_and_strangers_are_not() -> None:
    near, far = HeadAgreement(0.8, "a", "b"), HeadAgreement(0.02, "a", "b")
    assert measured_policy(near, 5, 60) == ("average", "The heads agree (cosine at least 0.80): they were averaged.")
    assert measured_policy(None, 5, 60)[0] == "average"
    assert measured_policy(far, 60, 60)[0] == "refit"
    policy, why = measured_policy(far, 59, 60)
    assert policy == "wide"
    assert "59 texts are too few" in why


def test_heads_that_agree_are_averaged_like_the_rest(family: adapt.Material, tmp_path: Path) -> None:
    reason, tensors = made(Adaptation(kind="merge", sharpness=0.0), family, tmp_path / "out")
    assert "The heads agree" in reason
    for name in (DENSE, LAST):
        mean = np.mean([source.file.read(name) for source in family.sources.values()], axis=0)
        np.testing.assert_allclose(tensors[name].numpy(), mean, atol=1e-6)


def test_the_last_layer_is_the_best_fit_to_what_the_sources_say_together(
    strangers: adapt.Material, tmp_path: Path
) -> None:
    """Features and answers by plain transformers; the fit is the one that tests/test_head_policies.py compares with numpy."""
    adaptation = Adaptation(kind="merge", debias=0.7)
    reason, tensors = made(adaptation, strangers, tmp_path / "out")
    assert "The heads do not agree" in reason
    assert "fitted to what the sources say together" in reason
    evidence = strangers.evidence(learned=False)
    wanted = as_logits(adapt.teacher(adaptation, evidence, adapt.weights_of(adaptation, evidence)))
    features = asked(tmp_path / "out", strangers.texts, without_last=True).astype(np.float64)
    fit = best_ridge(features, wanted)
    np.testing.assert_allclose(tensors[LAST].numpy(), fit.weight, atol=1e-3 * np.abs(fit.weight).max())
    answers = asked(tmp_path / "out", strangers.texts)
    np.testing.assert_allclose(answers, features @ fit.weight.T + fit.bias, atol=2e-3 * np.abs(answers).max())
    alike = (fit.left_out.argmax(axis=1) == wanted.argmax(axis=1)).mean()
    assert f"answers {alike:.3f} of {len(strangers.texts)} texts alike" in reason


@pytest.mark.parametrize("policy", ["measured", "average", "wide", "refit"])
def test_only_strangers_that_are_averaged_are_warned_of(policy: Any, strangers: adapt.Material, tmp_path: Path) -> None:
    details = adapt.adapt(Adaptation(kind="merge", heads=policy), "sq-AL", strangers, tmp_path / "out", mode="x")
    warned = [warning for warning in details.warnings if "initialised independently" in warning]
    assert len(warned) == (policy == "average")


def test_its_hidden_layer_is_that_of_the_source_that_looks_best(strangers: adapt.Material, tmp_path: Path) -> None:
    adaptation = Adaptation(kind="merge")
    _, tensors = made(adaptation, strangers, tmp_path / "out")
    weights = adapt.weights_of(adaptation, strangers.evidence(learned=False))
    best = list(strangers.sources.values())[int(weights.argmax())]
    np.testing.assert_array_equal(tensors[DENSE].numpy(), best.file.read(DENSE))


def test_a_fitted_head_answers_more_like_the_ensemble_than_averaged_strangers(
    strangers: adapt.Material, tiny: TinyData, tmp_path: Path
) -> None:
    new = tiny.partition("sq-AL", "test").texts
    together = adapt.ensemble(ADAPTATIONS["ensemble-reliability"][0], "sq-AL", strangers, new, mode="x").probabilities
    apart = {}
    for policy in ("average", "refit"):
        made(Adaptation(kind="merge", heads=policy), strangers, tmp_path / policy)
        apart[policy] = np.square(_centred(asked(tmp_path / policy, new)) - _centred(as_logits(together))).mean()
    assert apart["refit"] < apart["average"]


def _centred(logits: np.ndarray) -> np.ndarray:
    return np.asarray(logits - logits.mean(axis=1, keepdims=True))


def test_all_heads_can_be_kept(strangers: adapt.Material, tmp_path: Path) -> None:
    reason, _ = made(ADAPTATIONS["merge-wide"][0], strangers, tmp_path / "out")
    assert "All heads were kept" in reason
    for card in ("merge_details.txt", "README.md"):
        written = (tmp_path / "out" / card).read_text(encoding="utf-8")
        assert reason in written
        assert "head policy" not in written, "of a merge without adaptation, whose default is another one"
    few = strangers.texts[:5]
    answers = inference.logits(
        inference.ready(inference.load_classifier(tmp_path / "out")), inference.encode(tmp_path / "out", few)
    )
    np.testing.assert_allclose(answers, asked(tmp_path / "out", few), atol=1e-5)


def test_of_a_handful_of_texts_strangers_are_all_kept(strangers: adapt.Material, tmp_path: Path) -> None:
    few = replace(strangers, texts=strangers.texts[: len(INTENTS) - 1])
    reason, _ = made(Adaptation(kind="merge"), few, tmp_path / "out")
    assert "all were kept" in reason
    with pytest.raises(UserError, match="cannot be fitted to"):
        made(ADAPTATIONS["merge-refit"][0], few, tmp_path / "refit")
    assert not (tmp_path / "refit").exists()


def test_who_takes_no_part_is_no_stranger(family: adapt.Material, pico: Pico, tmp_path: Path) -> None:
    """Heads are those of the sources that are merged, whatever the others' are."""
    other = pico.source("strangers/xx", head_seed=9)
    material = replace(family, sources={**family.sources, "xx": other})
    adaptation = Adaptation(kind="merge", num_languages=2)
    weights = adapt.weights_of(adaptation, material.evidence(learned=False))
    names = [name for name, weight in zip(material.sources, weights, strict=True) if weight > 0]
    reason, tensors = made(adaptation, material, tmp_path / "out")
    assert ("The heads agree" in reason) == ("xx" not in names)
    wide, _ = made(Adaptation(kind="merge", num_languages=2, heads="wide"), material, tmp_path / "wide")
    assert "All heads were kept" in wide
    assert len(state(tmp_path / "wide")[DENSE]) == 2 * len(tensors[DENSE])


@pytest.mark.parametrize("zoo", ["family", "strangers"])
def test_auto_says_what_became_of_the_heads(zoo: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    material = request.getfixturevalue(zoo)
    quick = ADAPTATIONS["auto"][0].distillation.model_copy(update={"epochs": 1})
    details = adapt.adapt(
        ADAPTATIONS["auto"][0].model_copy(update={"distillation": quick}),
        "sq-AL",
        material,
        tmp_path / "out",
        mode="auto",
    )
    agree = "The heads agree" if zoo == "family" else "The heads do not agree"
    assert details.reasons[2].startswith(f"In the merge: {agree}")
    if zoo == "family":
        assert "merge with a fitted head" in details.reasons[0]
        assert details.reasons[3].startswith("In the merge with a fitted head: The last layer was fitted")
    else:
        assert len(details.reasons) == 3, "the merge has a fitted head already"
    assert open_checkpoint(tmp_path / "out").labels == INTENTS


def test_a_student_starts_as_a_merge_whose_head_works(strangers: adapt.Material, tmp_path: Path) -> None:
    adaptation = ADAPTATIONS["distilled-merge-reliability"][0]
    quick = adaptation.model_copy(update={"distillation": adaptation.distillation.model_copy(update={"epochs": 1})})
    reason, tensors = made(quick, strangers, tmp_path / "out")
    assert "one was fitted" in reason
    assert heads.head_agreement(list(strangers.sources.values())).cosine < heads.TOO_LOW  # type: ignore[union-attr]
    assert set(tensors) == set(next(iter(strangers.sources.values())).tensors)
