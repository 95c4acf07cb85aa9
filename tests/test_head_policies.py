"""What becomes of the heads: kept as they are, side by side, or fitted; each against torch or numpy, never against itself."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from encoders import ENCODERS, Encoders
from pico import INTENTS, Pico, TinyData, rewrite, rows_of, state, tiny_data
from transformers import AutoModelForSequenceClassification
from workshop import Capture, make_workshop, refused, typed

import sprachbund.checkpoints
from sprachbund import inference
from sprachbund.candidates import Wanted, merge_candidate, merge_candidates, merges_in_memory
from sprachbund.cards import MergeDetails
from sprachbund.checkpoints import Checkpoint, Zoo, check_mergeable, open_checkpoint
from sprachbund.choosing import Choice, choose_by_hand
from sprachbund.config import ExperimentConfig
from sprachbund.data import DataSet, Row, split
from sprachbund.data.unlabelled import shuffled
from sprachbund.errors import CheckpointError, DataError, IncompatibleError, MixError, UnknownName, UserError
from sprachbund.heads import unlabelled_for, weights_for, with_head_policy
from sprachbund.heads.layout import head_tensors, layout_of
from sprachbund.heads.refit import PENALTIES, best_ridge, refit_to, ridge
from sprachbund.inputs import Inputs
from sprachbund.preparing import prepare

POOL, WEIGHTS = ("de-DE", "fr-FR", "ja-JP"), (0.5, 0.3, 0.2)
TARGET = "sq-AL"
LINEAR = {"modernbert"}
"""Families whose head is a linear layer alone: all before it comes from the base."""


@pytest.fixture(scope="module", params=ENCODERS)
def strangers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoders:
    """Sources whose heads were initialised independently."""
    made = Encoders(tmp_path_factory.mktemp(request.param), ENCODERS[request.param])
    for seed, locale in enumerate(POOL):
        made.source(locale, head_seed=seed)
    return made


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """XLM-R sources of the same kind."""
    pico = Pico(tmp_path_factory.mktemp("heads"))
    for seed, locale in enumerate((*POOL, TARGET)):
        pico.source(f"zoo/{locale}", head_seed=seed)
    return Zoo(f"{pico.root}/zoo/{{locale}}")


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where transformers keeps code of folders that it trusts: here, for a test."""
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])


def chosen(policy: str, *weights: float) -> Choice:
    weights = weights or WEIGHTS
    return with_head_policy(choose_by_hand(TARGET, POOL[: len(weights)], weights), policy)


def merged(policy: str, zoo: Zoo, out: Path, texts: tuple[str, ...] = ()) -> MergeDetails:
    return merge_candidate(chosen(policy), zoo, "manual", out, texts=texts)


def zoo_of(made: Encoders) -> Zoo:
    return Zoo(f"{made.root}/{{locale}}")


def texts_of(tiny: DataSet) -> tuple[str, ...]:
    rows = [text for locale in (TARGET, "ro-RO", "el-GR") for text in tiny.partition(locale, "train").texts]
    return shuffled(rows)


def asked(model: Any, folder: Path, texts: tuple[str, ...]) -> np.ndarray:
    """Logits in float64."""
    tokenizer = inference.load_tokenizer(folder)
    encoded = tokenizer(list(texts), padding=True, return_tensors="pt")
    with torch.inference_mode():
        answer = model.double().eval()(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"])
    return np.asarray(answer.logits)


def summed(average: Path, sources: list[Checkpoint], names: frozenset[str], texts: tuple[str, ...]) -> np.ndarray:
    """Σ wᵢ · logits of transformers' own model with the merged body and head i."""
    model = AutoModelForSequenceClassification.from_pretrained(average).double()
    total = np.zeros(1)
    for weight, source in zip(WEIGHTS, sources, strict=True):
        model.load_state_dict({**state(average), **{name: state(source)[name] for name in names}})
        total = total + weight * asked(model, average, texts)
    return total


# --- wide --------------------------------------------------------------------------------------------------------------


def test_a_wide_head_answers_the_weighted_sum_of_all_heads(
    strangers: Encoders, tiny: TinyData, modules: None, tmp_path: Path
) -> None:
    zoo, texts, name = zoo_of(strangers), texts_of(tiny), strangers.encoder.name
    merged("average", zoo, tmp_path / "average")
    details = merged("wide", zoo, tmp_path / "wide")
    sources = [zoo.checkpoint(locale) for locale in POOL]
    expected = summed(tmp_path / "average", sources, strangers.encoder.head, texts)
    ours = asked(inference.load_classifier(tmp_path / "wide"), tmp_path / "wide", texts)
    np.testing.assert_allclose(ours, expected, atol=1e-5, rtol=0)
    theirs, found = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "wide", trust_remote_code=True, output_loading_info=True
    )
    assert not any(found.values()), "nothing is missing, nothing is left over"
    np.testing.assert_allclose(asked(theirs, tmp_path / "wide", texts), expected, atol=1e-5, rtol=0)

    averaged = asked(inference.load_classifier(tmp_path / "average"), tmp_path / "average", texts)
    if name in LINEAR:
        assert "weighted mean" in details.reasons[0]
        assert not (tmp_path / "wide/modeling_wide.py").exists()
        np.testing.assert_allclose(averaged, expected, atol=1e-5, rtol=0)
    else:
        assert np.abs(averaged - expected).max() > 0.1
        assert details.warnings == ()
        assert open_checkpoint(tmp_path / "wide").labels == INTENTS


def test_in_which_order_a_head_counts_its_features_is_nothing_to_a_wide_one(
    zoo: Zoo, tiny: TinyData, tmp_path: Path
) -> None:
    """Features in another order and with other signs are the same head, as tanh is odd; for the average it is another one."""
    shutil.copytree(Path(zoo.template).parent, tmp_path / "zoo")
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    signs = torch.tensor([1.0, -1.0]).repeat(8)

    def turn(tensors: dict[str, torch.Tensor]) -> None:
        tensors["classifier.dense.weight"] = (signs[:, None] * tensors["classifier.dense.weight"])[order]
        tensors["classifier.dense.bias"] = (signs * tensors["classifier.dense.bias"])[order]
        tensors["classifier.out_proj.weight"] = (signs * tensors["classifier.out_proj.weight"])[:, order].contiguous()

    rewrite(tmp_path / "zoo/fr-FR", turn)
    texts, apart = texts_of(tiny), {}
    for policy in ("average", "wide"):
        answers = []
        for name, each in (("before", zoo), ("turned", Zoo(f"{tmp_path}/zoo/{{locale}}"))):
            folder = tmp_path / f"{policy} {name}"
            merged(policy, each, folder)
            answers.append(asked(inference.load_classifier(folder), folder, texts))
        apart[policy] = np.abs(answers[0] - answers[1]).max()
    assert apart["wide"] < 1e-5
    assert apart["average"] > 0.1


def test_the_body_of_a_wide_model_is_that_of_the_average(zoo: Zoo, tmp_path: Path) -> None:
    merged("average", zoo, tmp_path / "average")
    merged("wide", zoo, tmp_path / "wide")
    average, wide = state(tmp_path / "average"), state(tmp_path / "wide")
    assert list(average) == list(wide)
    for name in average:
        assert name.startswith("classifier.") or torch.equal(average[name], wide[name])
    assert wide["classifier.dense.weight"].shape == (48, 16)
    assert wide["classifier.out_proj.weight"].shape == (4, 48)


def test_no_code_of_a_folder_is_run(zoo: Zoo, tiny: TinyData, tmp_path: Path) -> None:
    merged("wide", zoo, tmp_path / "wide")
    texts = texts_of(tiny)
    before = asked(inference.load_classifier(tmp_path / "wide"), tmp_path / "wide", texts)
    (tmp_path / "wide/modeling_wide.py").write_text("raise SystemExit('run')")
    after = asked(inference.load_classifier(tmp_path / "wide"), tmp_path / "wide", texts)
    np.testing.assert_array_equal(before, after)


def test_who_does_not_trust_it_gets_an_error_and_no_random_head(strangers: Encoders, tmp_path: Path) -> None:
    merged("wide", zoo_of(strangers), tmp_path / "wide")
    if strangers.encoder.name in LINEAR:
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "wide")
        return
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "wide")


def test_the_file_beside_the_model_is_the_package_s_own_and_goes_along(
    zoo: Zoo, tiny: TinyData, modules: None, tmp_path: Path
) -> None:
    merged("wide", zoo, tmp_path / "wide")
    own = Path(sprachbund.checkpoints.__file__).with_name("modeling_wide.py").read_bytes()
    assert (tmp_path / "wide/modeling_wide.py").read_bytes() == own
    model = inference.load_classifier(tmp_path / "wide")
    model.save_pretrained(tmp_path / "again")  # type: ignore[operator]
    assert (tmp_path / "again/modeling_wide.py").read_bytes() == own
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "again", trust_remote_code=True)
    texts = texts_of(tiny)
    np.testing.assert_array_equal(asked(again, tmp_path / "wide", texts), asked(model, tmp_path / "wide", texts))


def test_a_config_that_does_not_describe_its_head_is_refused(zoo: Zoo, tmp_path: Path) -> None:
    merged("wide", zoo, tmp_path / "wide")
    path = tmp_path / "wide/config.json"
    config = json.loads(path.read_text())
    for wrong, said in (("roberta.encoder", "roberta.encoder is no linear layer"), ("nowhere", "cannot be read")):
        path.write_text(
            json.dumps({**config, "sprachbund_wide_head": {**config["sprachbund_wide_head"], "hidden": wrong}})
        )
        with pytest.raises(CheckpointError, match=said):
            inference.load_classifier(tmp_path / "wide")


def test_a_wide_model_is_no_source(zoo: Zoo, tmp_path: Path) -> None:
    merged("wide", zoo, tmp_path / "wide")
    wide = open_checkpoint(tmp_path / "wide", "wide")
    with pytest.raises(IncompatibleError, match=r"^wide has a wide head, .* merge these sources instead"):
        check_mergeable([wide, wide])


def test_a_head_of_a_kind_that_nobody_looked_at_is_refused(zoo: Zoo, tmp_path: Path) -> None:
    shutil.copytree(Path(zoo.template).parent, tmp_path / "zoo")
    for locale in POOL:
        path = tmp_path / "zoo" / locale / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "xlm-roberta-xl"}))
    strange = Zoo(f"{tmp_path}/zoo/{{locale}}")
    for policy in ("wide", "refit"):
        with pytest.raises(IncompatibleError, match=r"How the head of .*de-DE \(xlm-roberta-xl\) is made is not known"):
            merged(policy, strange, tmp_path / "out", ("aska bala", "counte dono"))
    assert not (tmp_path / "out").exists()


# --- from:LOCALE ---------------------------------------------------------------------------------------------------------


def test_the_head_of_one_source_is_taken_as_it_is(strangers: Encoders, tmp_path: Path) -> None:
    zoo = zoo_of(strangers)
    merged("average", zoo, tmp_path / "average")
    details = merged("from:fr-FR", zoo, tmp_path / "out")
    assert details.warnings == ()
    assert details.recipe.head_policy == "from:fr-FR"
    source, average, out = state(zoo.checkpoint("fr-FR")), state(tmp_path / "average"), state(tmp_path / "out")
    for name, tensor in out.items():
        assert torch.equal(tensor, source[name] if name in strangers.encoder.head else average[name]), name


@pytest.mark.parametrize("keep", ["folder", "memory"])
@pytest.mark.parametrize(("method", "options"), [("ties", {"density": 0.2}), ("task_arithmetic", {"scale": 3.0})])
def test_no_method_touches_a_head_that_is_taken(
    method: str, options: dict[str, Any], keep: str, zoo: Zoo, tmp_path: Path
) -> None:
    """Methods on task vectors trim or scale what they merge, and the base may have a head."""
    base = zoo.checkpoint("de-DE")
    choice = with_head_policy(choose_by_hand("sq-AL", POOL[1:], WEIGHTS[1:]), "from:fr-FR")
    recipe = choice.recipe.model_copy(update={"method": method, "options": options})
    wanted = Wanted(replace(choice, recipe=recipe), "manual")
    if keep == "folder":
        merge_candidates([wanted], zoo, [tmp_path / "out"], base=base)
        found = {name: tensor.numpy() for name, tensor in state(tmp_path / "out").items()}
    else:
        everything = np.arange(300)
        (made,) = merges_in_memory([wanted], zoo, [lambda lead: everything], base=base)
        found = dict(made.tensors)
    source = zoo.checkpoint("fr-FR")
    for name, tensor in found.items():
        taken = name.startswith("classifier.")
        assert np.array_equal(tensor, source.file.read(name)) == taken, name


def test_the_weights_of_a_tensor_say_whose_head_it_is(zoo: Zoo) -> None:
    lead = zoo.checkpoint("de-DE")
    assert weights_for("average", POOL, WEIGHTS, lead) == weights_for("wide", POOL, WEIGHTS, lead) == WEIGHTS
    of = weights_for("from:ja-JP", POOL, WEIGHTS, lead)
    assert callable(of)
    assert [list(of(name)) for name in sorted(head_tensors(lead))] == [[0, 0, 1]] * 4
    assert of("roberta.embeddings.word_embeddings.weight") == WEIGHTS


# --- refit ---------------------------------------------------------------------------------------------------------------


def least_squares(features: np.ndarray, wanted: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression with a free intercept, as numpy's least squares over the rows and √λ · I."""
    count, width = features.shape
    rows = np.block([[features, np.ones((count, 1))], [np.sqrt(penalty) * np.eye(width), np.zeros((width, 1))]])
    answers = np.vstack([wanted, np.zeros((width, wanted.shape[1]))])
    found, *_ = np.linalg.lstsq(rows, answers, rcond=None)
    return found[:-1].T, found[-1]


def left_out(features: np.ndarray, wanted: np.ndarray, penalty: float) -> np.ndarray:
    """What is answered to each row by the fit to all others, one by one."""
    answers = []
    for row in range(len(features)):
        weight, bias = least_squares(np.delete(features, row, 0), np.delete(wanted, row, 0), penalty)
        answers.append(weight @ features[row] + bias)
    return np.array(answers)


@pytest.mark.parametrize("shape", [(30, 5, 3), (6, 9, 4), (2, 3, 2)], ids=["tall", "wide", "two rows"])
@pytest.mark.parametrize("penalty", [1e-3, 1.0, 50.0])
def test_ridge_is_numpy_s_least_squares(shape: tuple[int, int, int], penalty: float) -> None:
    count, width, labels = shape
    numbers = np.random.default_rng(0)
    features, wanted = numbers.normal(2, 1, (count, width)), numbers.normal(-3, 2, (count, labels))
    fit = ridge(features, wanted, penalty)
    weight, bias = least_squares(features, wanted, penalty)
    np.testing.assert_allclose(fit.weight, weight, atol=1e-9)
    np.testing.assert_allclose(fit.bias, bias, atol=1e-9)
    np.testing.assert_allclose(fit.left_out, left_out(features, wanted, penalty), atol=1e-8)


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 50.0])
def test_a_row_that_counts_three_times_is_three_rows(penalty: float) -> None:
    """Whole weights are copies; any weights are in the normal equations, Σ w x xᵀ V = Σ w x r with a 1 among x."""
    numbers = np.random.default_rng(2)
    features, wanted = numbers.normal(2, 1, (12, 5)), numbers.normal(-3, 2, (12, 3))
    times = numbers.integers(1, 4, 12)
    copied = ridge(np.repeat(features, times, axis=0), np.repeat(wanted, times, axis=0), penalty)
    fit = ridge(features, wanted, penalty, times.astype(float))
    np.testing.assert_allclose(fit.weight, copied.weight, atol=1e-9)
    np.testing.assert_allclose(fit.bias, copied.bias, atol=1e-9)

    weights = numbers.uniform(0.1, 5, 12)
    fit = ridge(features, wanted, penalty, weights)
    weight, bias = normal_equations(features, wanted, penalty, weights)
    np.testing.assert_allclose(fit.weight, weight, atol=1e-9)
    np.testing.assert_allclose(fit.bias, bias, atol=1e-9)
    for row in range(12):
        others = np.arange(12) != row
        weight, bias = normal_equations(features[others], wanted[others], penalty, weights[others])
        np.testing.assert_allclose(fit.left_out[row], weight @ features[row] + bias, atol=1e-8)


def normal_equations(
    features: np.ndarray, wanted: np.ndarray, penalty: float, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted ridge regression with a free intercept."""
    rows = np.column_stack([features, np.ones(len(features))])
    shrunk = penalty * np.eye(rows.shape[1])
    shrunk[-1, -1] = 0
    found = np.linalg.solve(rows.T @ (weights[:, None] * rows) + shrunk, rows.T @ (weights[:, None] * wanted))
    return found[:-1].T, found[-1]


def test_the_penalty_is_chosen_by_what_rows_count() -> None:
    """Rows that count nothing to speak of are noise: with them the penalty would be another one."""
    numbers = np.random.default_rng(1)
    features = numbers.normal(2, 1, (40, 12))
    wanted = features @ numbers.normal(size=(12, 4)) + numbers.normal(0, 0.1, (40, 4))
    wanted[20:] = numbers.normal(0, 30, (20, 4))
    weights = np.where(np.arange(40) < 20, 1.0, 1e-9)
    fit, plain = best_ridge(features, wanted, weights), best_ridge(features, wanted)
    alone = best_ridge(features[:20], wanted[:20])
    np.testing.assert_allclose(fit.weight, alone.weight, atol=1e-4)
    assert np.abs(plain.weight - alone.weight).max() > 1


def test_the_penalty_is_the_one_that_misses_least_of_what_it_leaves_out() -> None:
    """Of targets that are half noise; neither the least nor the largest penalty is the best."""
    numbers = np.random.default_rng(1)
    features = numbers.normal(2, 1, (20, 12))
    wanted = features @ numbers.normal(size=(12, 4)) + numbers.normal(0, 3, (20, 4))
    unit = np.square(features - features.mean(axis=0)).sum() / 12
    missed = [np.square(left_out(features, wanted, p * unit) - wanted).sum() for p in PENALTIES]
    best = int(np.argmin(missed))
    assert 0 < best < len(PENALTIES) - 1
    weight, bias = least_squares(features, wanted, PENALTIES[best] * unit)
    fit = best_ridge(features, wanted)
    np.testing.assert_allclose(fit.weight, weight, atol=1e-9)
    np.testing.assert_allclose(fit.bias, bias, atol=1e-9)


def test_features_that_are_always_the_same_are_no_reason_to_fail() -> None:
    fit = ridge(np.ones((5, 3)), np.arange(10.0).reshape(5, 2), 1.0)
    np.testing.assert_allclose(fit.weight, 0)
    np.testing.assert_allclose(fit.bias, [4, 5])


def test_the_last_layer_of_any_model_is_fitted_to_any_answers(
    strangers: Encoders, tiny: TinyData, tmp_path: Path
) -> None:
    """Answers that the model's own last layer can give are found again, and nothing but that layer is another one."""
    folder = tmp_path / "model"
    shutil.copytree(strangers.root / POOL[0], folder)
    texts = texts_of(tiny)
    last = layout_of(open_checkpoint(folder)).last
    before = state(folder)
    wanted = asked(inference.load_classifier(folder), folder, texts)[:, ::-1] * 0.5 + 3
    alike = refit_to(folder, texts, wanted)
    found = asked(inference.load_classifier(folder), folder, texts)
    assert (found.argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.9
    assert alike > 0.9
    assert np.abs(found - wanted).mean() < 0.05 * wanted.std()
    changed = {name for name, tensor in state(folder).items() if not torch.equal(tensor, before[name])}
    assert changed == {f"{last}.weight", f"{last}.bias"}


def test_the_refit_head_is_the_best_fit_to_the_wide_head(zoo: Zoo, tiny: TinyData, tmp_path: Path) -> None:
    """All by hand: features of the first source's hidden layer, λ by leaving texts out one by one, and the fit by numpy."""
    texts = texts_of(tiny)[:40]
    details = merged("refit", zoo, tmp_path / "refit", texts)
    merged("average", zoo, tmp_path / "average")
    sources = [zoo.checkpoint(locale) for locale in POOL]
    first = state(sources[0])
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "average")
    model.load_state_dict({**state(tmp_path / "average"), **{n: first[n] for n in first if "classifier" in n}})
    model.classifier.out_proj = torch.nn.Identity()
    features = asked(model, tmp_path / "average", texts)
    wanted = summed(tmp_path / "average", sources, ENCODERS["xlm-roberta"].head, texts)
    unit = np.square(features - features.mean(axis=0)).sum() / features.shape[1]
    missed = {p: np.square(left_out(features, wanted, p * unit) - wanted).sum() for p in PENALTIES}
    best = min(missed, key=missed.__getitem__)
    weight, bias = least_squares(features, wanted, best * unit)
    made = state(tmp_path / "refit")
    np.testing.assert_allclose(made["classifier.out_proj.weight"], weight, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(made["classifier.out_proj.bias"], bias, rtol=1e-3, atol=1e-3)
    assert torch.equal(made["classifier.dense.weight"], first["classifier.dense.weight"])
    assert torch.equal(made["classifier.dense.bias"], first["classifier.dense.bias"])
    alike = left_out(features, wanted, best * unit).argmax(axis=1) == wanted.argmax(axis=1)
    assert f"it answers {alike.mean():.3f} of them alike" in details.reasons[0]
    assert "with the hidden layer of de-DE;" in details.reasons[0]
    assert details.reasons[0] in (tmp_path / "refit/README.md").read_text(encoding="utf-8")


def test_it_answers_new_texts_more_like_the_wide_head_than_the_average_does(
    strangers: Encoders, tiny: TinyData, tmp_path: Path
) -> None:
    zoo = zoo_of(strangers)
    merged("refit", zoo, tmp_path / "refit", texts_of(tiny))
    for policy in ("average", "wide"):
        merged(policy, zoo, tmp_path / policy)
    new = tuple(text for locale in ("fr-FR", "de-DE") for text in tiny.partition(locale, "test").texts)
    answers = {}
    for policy in ("average", "refit", "wide"):
        answers[policy] = asked(inference.load_classifier(tmp_path / policy), tmp_path / policy, new)
    apart = {policy: np.square(answers[policy] - answers["wide"]).mean() for policy in ("average", "refit")}
    if strangers.encoder.name in LINEAR:
        assert max(apart.values()) < 1e-10
    else:
        assert apart["refit"] < apart["average"] / 2
        _, found = AutoModelForSequenceClassification.from_pretrained(tmp_path / "refit", output_loading_info=True)
        assert not any(found.values()), "an ordinary model"
        assert open_checkpoint(tmp_path / "refit").tensors == zoo.checkpoint("de-DE").tensors


def test_sixteen_bit_sources_make_sixteen_bit_heads(pico: Pico, tiny: TinyData, tmp_path: Path) -> None:
    for seed, locale in enumerate(POOL):
        pico.source(f"zoo/{locale}", head_seed=seed, dtype=torch.bfloat16)
    zoo = Zoo(f"{pico.root}/zoo/{{locale}}")
    for policy in ("wide", "refit", "from:de-DE"):
        merged(policy, zoo, tmp_path / policy, texts_of(tiny) if policy == "refit" else ())
        assert {tensor.dtype for tensor in state(tmp_path / policy).values()} == {torch.bfloat16}
        inference.load_classifier(tmp_path / policy)


# --- which policy, and what it has seen --------------------------------------------------------------------------------


def test_a_policy_stands_in_the_recipe_and_refit_has_seen_texts() -> None:
    for policy in ("average", "wide", "refit", "from:fr-FR"):
        assert chosen(policy).recipe.head_policy == policy
        assert chosen(policy).uses == (("unlabelled",) if policy == "refit" else ("nothing",))
    assert chosen("from:fr").recipe.head_policy == "from:fr-FR"
    assert chosen("refit", 1.0).uses == ("nothing",), "one source is that source"


def test_what_is_no_policy_is_refused() -> None:
    with pytest.raises(UnknownName, match="Unknown head policy 'wider': did you mean wide"):
        chosen("wider")
    with pytest.raises(UnknownName, match="Unknown head policy 'wider': did you mean wide"):
        ExperimentConfig(head_policy="wider")
    with pytest.raises(UnknownName, match="Unknown locale 'xy-XY'"):
        chosen("from:xy-XY")
    with pytest.raises(MixError, match=r"pl-PL is none of the sources merged for sq-AL \(de-DE fr-FR ja-JP\)"):
        chosen("from:pl-PL")


def test_a_policy_is_part_of_what_a_model_is(zoo: Zoo) -> None:
    digests = {locale: zoo.checkpoint(locale).digest for locale in POOL}
    found = {
        policy: chosen(policy).mix.candidate(chosen(policy).recipe, digests, ("a", "b"))
        for policy in ("average", "wide", "refit", "from:fr-FR", "from:ja-JP")
    }
    assert len({json.dumps(candidate) for candidate in found.values()}) == 5
    assert found["from:fr-FR"]["head_policy"] == f"from:{digests['fr-FR']}", "by content: names change"
    refit = chosen("refit")
    assert refit.mix.candidate(refit.recipe, digests, ("a", "c")) != found["refit"]
    assert ["texts" in candidate for candidate in found.values()] == [False, False, True, False, False]


@pytest.mark.parametrize("policy", ["wide", "refit", "from:de-DE"])
def test_a_merge_of_one_source_is_that_source(policy: str, zoo: Zoo, tmp_path: Path) -> None:
    choice = with_head_policy(choose_by_hand(TARGET, ["de-DE"], ()), policy)
    details = merge_candidate(choice, zoo, "manual", tmp_path / "out")
    assert details.candidate == {"kind": "single", "digest": zoo.checkpoint("de-DE").digest}
    source = state(zoo.checkpoint("de-DE"))
    assert all(torch.equal(tensor, source[name]) for name, tensor in state(tmp_path / "out").items())


def test_texts_are_asked_for_where_they_are_needed(tiny: TinyData) -> None:
    assert unlabelled_for("wide", TARGET, None) == ()
    with pytest.raises(UserError, match=r"--head-policy refit needs unlabelled text .* \(--data split:…\)"):
        unlabelled_for("refit", TARGET, None)
    with pytest.raises(DataError, match="sets no unlabelled text of sq-AL aside"):
        unlabelled_for("refit", TARGET, tiny)


def test_strangers_are_told_what_to_do(zoo: Zoo, tmp_path: Path) -> None:
    (warning,) = merged("average", zoo, tmp_path / "out").warnings
    assert "--head-policy wide" in warning


# --- commands ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(make_workshop(tmp_path, POOL, [TARGET]))
    return tmp_path


MERGE = f"merge --mode manual --target-lang {TARGET} --sources {' '.join(POOL)} --models models/{{locale}}"


def test_a_wide_model_is_merged_and_evaluated_by_commands(workshop: Path, capsys: Capture) -> None:
    made, said = typed(f"{MERGE} --head-policy wide", capsys)
    assert made["recipe"]["head_policy"] == "wide"
    assert "warning" not in said
    record, _ = typed(
        f"evaluate --base-model {made['folder']} --locale {TARGET} --data massive:data --prefix wide", capsys
    )
    assert record["model_info"]["recipe"]["head_policy"] == "wide"
    assert record["model_info"]["architecture"] == "WideHeadForSequenceClassification"


def test_what_a_policy_lacks_is_said_before_work(workshop: Path, capsys: Capture) -> None:
    assert "Unknown head policy 'wise'" in refused(f"{MERGE} --head-policy wise", capsys)
    assert "pl-PL is none of the sources" in refused(f"{MERGE} --head-policy from:pl", capsys)
    assert "needs unlabelled text" in refused(f"{MERGE} --head-policy refit", capsys)
    few = refused(f"{MERGE} --head-policy refit --data split:massive:data", capsys)
    assert "fewer than it has labels: a head cannot be fitted to so few" in few
    run = (
        f"experiment --models models/{{locale}} --data split:massive:data --locales {TARGET} --sources {' '.join(POOL)}"
    )
    idle = refused(f"{run} --variants auto --head-policy wide", capsys)
    assert "--head-policy has no effect with these variants" in idle


def more_rows(locale: str) -> Iterable[Row]:
    """As many train rows again and again, so that enough of them are set aside."""
    yield from rows_of(locale)
    train = [row for row in rows_of(locale) if row.partition == "train"]
    yield from (replace(row, id=f"{again} {row.id}", utt=f"{row.utt} {again}") for again in range(4) for row in train)


def run_experiment(zoo: Zoo, out: Path, monkeypatch: pytest.MonkeyPatch, policy: str, **settings: Any) -> Any:
    monkeypatch.setattr(split, "load_data", lambda argument: tiny_data(source=more_rows))
    config = ExperimentConfig(
        output_dir=out,
        locales=(TARGET,),
        sources=(*POOL, TARGET),
        variants=("baseline", "average"),
        num_languages=3,
        head_policy=policy,
        **settings,
    )
    return prepare(config, Inputs(zoo=zoo, data=split.load("tiny"), base=None))


@pytest.mark.parametrize("policy", ["wide", "refit", "from:fr-FR"])
@pytest.mark.parametrize("keep", ["all", "none"])
def test_an_experiment_merges_by_the_policy_and_finds_it_again(
    policy: str,
    keep: str,
    zoo: Zoo,
    quiet: Callable[[str, int, int], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = run_experiment(zoo, tmp_path, monkeypatch, policy, keep_models=keep).run(quiet)
    assert not first.failures
    record, baseline = first.records[TARGET, "average"], first.records[TARGET, "baseline"]
    assert record.model_info.recipe is not None
    assert record.model_info.recipe["head_policy"] == policy
    assert record.evaluation_info.uses == (("unlabelled",) if policy == "refit" else ("nothing",))
    assert baseline.evaluation_info.uses == ("target-train",)
    again = run_experiment(zoo, tmp_path, monkeypatch, policy, keep_models=keep).run(quiet)
    assert again.reused == 2
    assert again.records == first.records
