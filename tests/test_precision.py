"""In what numbers models answer: what is cheaper stays close, what cannot run is refused, and no column mixes two of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoders import ENCODERS, Encoders
from pico import FILLERS, Pico, TinyData, bits, tiny_data
from workshop import INPUTS, make_workshop, refused, typed

from sprachbund import inference, store
from sprachbund.checkpoints import Checkpoint
from sprachbund.config import ExperimentConfig, Precision
from sprachbund.data import split
from sprachbund.errors import StoreError, UserError
from sprachbund.inference import devices, precision
from sprachbund.inputs import Inputs
from sprachbund.measures import AnswerStore
from sprachbund.prepared import ANSWERS
from sprachbund.preparing import prepare
from sprachbund.zero_shot import run_zero_shot

Capture = pytest.CaptureFixture[str]
Report = Callable[[str, int, int], None]
TEXTS = [" ".join(FILLERS[number % 7 : number % 7 + 1 + number % 3]) for number in range(30)]
PLACES = ("de-DE", "nl-NL", "da-DK")

with_int8 = pytest.mark.skipif(
    not precision._multiplies_bytes(), reason="this processor does not multiply bytes exactly"
)
CHEAPER = ("bf16", pytest.param("int8", marks=with_int8))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that seems to have one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def wide(pico: Pico, name: str = "wide") -> Checkpoint:
    """Wide enough that rounding errors average out, and tame like what is trained."""
    return pico.source(name, hidden=64, initializer_range=0.2, change=0.01)


# --- what comes out ------------------------------------------------------------------------------------------------------


def test_fp32_is_what_was_loaded(sources: list[Checkpoint]) -> None:
    model = inference.load_classifier(sources[0].folder)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert inference.ready(model) is model
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("kind", CHEAPER)
@pytest.mark.parametrize("family", sorted(ENCODERS))
def test_every_family_answers_nearly_the_same(kind: Precision, family: str, tmp_path: Path) -> None:
    folder = Encoders(tmp_path, ENCODERS[family]).source("de-DE").folder
    encoded = inference.encode(folder, TEXTS)
    exact = inference.logits(inference.load_classifier(folder), encoded)
    found = inference.logits(inference.ready(inference.load_classifier(folder), kind), encoded)
    assert found.dtype == np.float32
    error, spread = np.sqrt(((found - exact) ** 2).mean()), exact.std()
    assert 0 < error < 0.2 * spread, "weights of these are far from tame"


@pytest.mark.parametrize(("kind", "most"), [("bf16", 0.02), pytest.param("int8", 0.035, marks=with_int8)])
def test_of_a_tame_model_little_changes(kind: Precision, most: float, pico: Pico) -> None:
    folder = wide(pico).folder
    encoded = inference.encode(folder, TEXTS)
    exact = inference.logits(inference.load_classifier(folder), encoded)
    found = inference.logits(inference.ready(inference.load_classifier(folder), kind), encoded)
    assert 0 < np.sqrt(((found - exact) ** 2).mean()) < most * exact.std()


@with_int8
def test_int8_is_the_product_of_whole_numbers() -> None:
    """Against float64: 127 levels on each side, a scale for each row of the weight and for each token."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(48, 20)
    x = 3 * torch.randn(5, 7, 48)
    found = precision._Int8Linear(linear)(x)
    W, b, X = (part.detach().double().numpy() for part in (linear.weight, linear.bias, x))
    s_w, s_x = np.abs(W).max(axis=1) / 127, np.abs(X).max(axis=-1, keepdims=True) / 127
    expected = s_x * s_w * (np.round(X / s_x) @ np.round(W / s_w[:, None]).T) + b
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected - (X @ W.T + b)).max() < 0.05 * np.abs(expected).max()


@with_int8
def test_int8_layers_take_zeros_and_do_without_a_bias() -> None:
    linear = torch.nn.Linear(8, 3, bias=False)
    with torch.no_grad():
        linear.weight[1] = 0
    quantised = precision._Int8Linear(linear)
    assert quantised(torch.zeros(2, 8)).tolist() == [[0.0] * 3] * 2
    assert quantised(torch.ones(1, 8))[0, 1] == 0


@with_int8
def test_in_int8_answers_do_not_hang_on_what_stands_beside_a_text(pico: Pico) -> None:
    folder = wide(pico).folder
    model = inference.ready(inference.load_classifier(folder), "int8")
    encoded = inference.encode(folder, TEXTS)
    alone = np.concatenate([inference.logits(model, [text]) for text in encoded])
    # What is added in another order may be rounded to another whole number; a scale of the batch would move far more.
    np.testing.assert_allclose(inference.logits(model, encoded), alone, atol=0.01 * alone.std())


@pytest.mark.parametrize("kind", CHEAPER)
def test_the_head_stays_in_fp32(kind: Precision, sources: list[Checkpoint]) -> None:
    model: Any = inference.ready(inference.load_classifier(sources[0].folder), kind)
    assert {parameter.dtype for parameter in model.classifier.parameters()} == {torch.float32}
    linears = [type(module) for module in model.base_model.modules() if "Linear" in type(module).__name__]
    expected = precision._Int8Linear if kind == "int8" else torch.nn.Linear
    assert len(linears) == 6
    assert set(linears) == {expected}
    body = {parameter.dtype for parameter in model.base_model.parameters()}
    assert body == {torch.float32 if kind == "int8" else torch.bfloat16}


@pytest.mark.parametrize("family", sorted(set(ENCODERS) - {"deberta-v2"}))
def test_attention_is_torch_s_own(family: str, tmp_path: Path) -> None:
    """All but DeBERTa, whose attention has no such form."""
    model: Any = inference.load_classifier(Encoders(tmp_path, ENCODERS[family]).source("de-DE").folder)
    assert model.config._attn_implementation == "sdpa"


# --- where it runs -------------------------------------------------------------------------------------------------------


def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(
        UserError, match="--precision fp16 needs a GPU that torch can use, and there is none: take bf16"
    ):
        inference.check_precision("fp16")


@pytest.mark.usefixtures("gpu")
def test_on_a_gpu_there_is_fp16_and_no_int8() -> None:
    for kind in ("fp32", "bf16", "fp16"):
        inference.check_precision(kind)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="--precision int8 runs on a CPU only"):
        inference.check_precision("int8")


def test_int8_needs_a_processor_that_does_not_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_vnni": False})
    with pytest.raises(UserError, match="--precision int8 needs an x86 processor with VNNI"):
        inference.check_precision("int8")


def test_models_go_where_the_device_is_chosen(sources: list[Checkpoint], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors on torch's ``meta`` device stand for those on a GPU."""
    monkeypatch.setattr(devices, "chosen", lambda: torch.device("meta"))
    model = inference.ready(inference.load_classifier(sources[0].folder), "bf16")
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


# --- results -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def experiment(pico: Pico, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Prepares an experiment in one and the same folder."""
    zoo = pico.zoo(PLACES)
    monkeypatch.setattr(split, "load_data", lambda argument: tiny_data())
    halved = split.load("tiny")

    def prepared(**settings: Any) -> Any:
        given = {"locales": ("de-DE",), "sources": PLACES, "num_languages": 2, "jobs": 1, "skip_similarity": True}
        config = ExperimentConfig(output_dir=tmp_path / "run", **{**given, **settings})
        return prepare(config, Inputs(zoo=zoo, base=None, data=halved))

    return prepared


def test_a_record_says_in_what_numbers_and_is_known_by_it(experiment: Callable[..., Any], quiet: Report) -> None:
    outcome = experiment(precision="bf16").run(quiet)
    assert {record.evaluation_info.precision for record in outcome.records.values()} == {"bf16"}
    assert experiment(precision="bf16").run(quiet).reused == 2
    with pytest.raises(StoreError, match="baseline_de-DE holds the result of something else"):
        experiment()
    replaced = experiment(overwrite=True).run(quiet)
    assert {record.evaluation_info.precision for record in replaced.records.values()} == {"fp32"}
    for variant, record in replaced.records.items():
        assert record.identity != outcome.records[variant].identity


@pytest.mark.parametrize("variant", ["baseline", "average"])
def test_no_column_mixes_two_precisions(variant: str, experiment: Callable[..., Any], quiet: Report) -> None:
    experiment(variants=(variant,)).run(quiet)
    with pytest.raises(StoreError, match=f"{variant}_de-DE was made with another precision than this run has"):
        experiment(variants=(variant,), locales=("nl-NL",), precision="bf16")
    experiment(variants=(variant,), locales=("nl-NL",)).run(quiet)


def test_zero_shot_rows_of_another_precision_are_in_the_way(
    pico: Pico, tiny: TinyData, tmp_path: Path, quiet: Report
) -> None:
    zoo, known = pico.zoo(PLACES), store.RunStore(tmp_path / "results")

    def run(kind: Precision, **more: Any) -> Any:
        return run_zero_shot(known, zoo, tiny, "test", PLACES, PLACES, precision=kind, jobs=1, report=quiet, **more)

    run("fp32")
    with pytest.raises(StoreError, match=r"de-DE\.json is about other .* in another precision .*fp32\)"):
        run("bf16")
    assert {row.precision for row in run("bf16", overwrite=True).rows} == {"bf16"}


def test_rows_from_before_there_was_a_choice_are_fp32() -> None:
    row = {"source": "de-DE", "digest": "d", "zoo": "z", "split": "test", "dataset": "tiny", "cells": {}}
    assert store.Transfer.model_validate(row).precision == "fp32"


def test_answers_in_other_numbers_are_kept_apart(sources: list[Checkpoint], tmp_path: Path, quiet: Report) -> None:
    exact, half = AnswerStore(tmp_path), AnswerStore(tmp_path, "bf16")
    asked = {source.name: source for source in sources[:1]}
    exact.collect(asked, [TEXTS], jobs=1, report=quiet)
    assert half.read(sources[0], TEXTS) is None
    half.collect(asked, [TEXTS], jobs=1, report=quiet)
    found = [kept.read(sources[0], TEXTS) for kept in (exact, half)]
    assert found[0] is not None
    assert found[1] is not None
    assert bits(found[0]) != bits(found[1])


def test_of_an_ensemble_only_what_is_evaluated_is_asked_for_in_the_precision(
    experiment: Callable[..., Any], quiet: Report, tmp_path: Path
) -> None:
    """What its weights hang on is exact: a model that is made of it has one content, in whatever numbers it answers."""
    ran = experiment(variants=("ensemble-uniform",), precision="bf16")
    (record,) = ran.run(quiet).records.values()
    assert record.evaluation_info.precision == "bf16"
    names = [path.stem for path in (tmp_path / "run" / ANSWERS).rglob("*.npy")]
    assert sorted("bf16" in name for name in names) == [False, False, True, True], "two foreign sources, two lots"


def test_the_command_refuses_a_second_precision_and_what_cannot_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    make_workshop(tmp_path, ["de-DE"], ["de-DE"])
    line = "evaluate --base-model models/de-DE --locale de-DE --prefix mine --data massive:data"
    made, _ = typed(f"{line} --precision bf16", capsys)
    assert made["evaluation_info"]["precision"] == "bf16"
    assert "mine_de-DE holds the result of something else" in refused(line, capsys)
    assert refused(f"{line} --precision fp16", capsys).startswith("--precision fp16 needs a GPU")
    transfer = f"transfer {' '.join(INPUTS)} --sources de-DE --locales de-DE --jobs 1 --precision"
    assert refused(f"{transfer} fp16", capsys).startswith("--precision fp16 needs a GPU")
    rows, _ = typed(f"{transfer} bf16", capsys)
    assert rows["sources"][0]["precision"] == "bf16"
