"""What a command works on: all that is missing in one message, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from pico import Pico, tokenizer

from sprachbund import inputs
from sprachbund.config import InputsConfig
from sprachbund.errors import IncompatibleError, UnknownName, UserError
from sprachbund.inputs import embedded_if, open_inputs
from sprachbund.training.embedded import Embedded


def quiet(stage: str, done: int, total: int) -> None:
    """Nobody reads."""


def test_sources_and_data_that_are_there(pico: Pico) -> None:
    zoo = pico.zoo(["de-DE", "fr-FR"])
    found = open_inputs(InputsConfig(models=zoo.template, data="cldr:12"), lambda held: ["de-DE", "fr-FR"], quiet)
    assert (found.zoo, found.data.name, found.base) == (zoo, "cldr:12", None)


def test_all_that_is_missing_is_one_message_with_three_ways_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError) as caught:
        open_inputs(InputsConfig(), lambda held: ["de-DE", "fr-FR"], quiet)
    message = str(caught.value)
    assert message.startswith("Cannot start: MASSIVE is not on this machine")
    assert "; and 2 of 2 sources are missing (haryoaw/xlm-roberta-base_massive_k_de-DE" in message
    assert all(way in message for way in ("--models TEMPLATE", "--data massive:PATH", "--demo"))
    assert ".." not in message
    assert "\n" not in message


def test_one_missing_source_is_enough(pico: Pico) -> None:
    zoo = pico.zoo(["de-DE"])
    with pytest.raises(
        UserError, match=r"^Cannot start: 1 of 2 sources are missing \(There is no folder .*fr-FR: check"
    ):
        open_inputs(InputsConfig(models=zoo.template, data="cldr:12"), lambda held: ["de-DE", "fr-FR"], quiet)


def test_sources_that_do_not_fit_together_are_told_beforehand(pico: Pico) -> None:
    zoo = pico.zoo(["de-DE"])
    pico.source("zoo/fr-FR", words=tokenizer("um"))
    with pytest.raises(IncompatibleError, match="different vocabularies"):
        open_inputs(InputsConfig(models=zoo.template, data="cldr:12"), lambda held: ["de-DE", "fr-FR"], quiet)


def test_an_unknown_data_set_gets_did_you_mean(pico: Pico) -> None:
    with pytest.raises(UnknownName, match="did you mean massive"):
        open_inputs(InputsConfig(models=pico.zoo(["de-DE"]).template, data="masive"), lambda held: ["de-DE"], quiet)


@pytest.mark.parametrize(("field", "flag"), [("models", "--models"), ("data", "--data")])
def test_the_demonstration_brings_its_own(field: str, flag: str) -> None:
    with pytest.raises(UserError, match=f"--demo brings its own models and data: leave out {flag}, or --demo"):
        open_inputs(InputsConfig(demo=True, **{field: "x{locale}"}), lambda held: ["de-DE"], quiet)


def test_the_demonstration_s_models_are_asked_for_only_with_demo(pico: Pico, monkeypatch: pytest.MonkeyPatch) -> None:
    base = pico.base("xlm/base")
    pico.source("xlm/xlm-roberta-base_massive_k_de-DE/alpha_0.5_de-DE_epoch-9")
    monkeypatch.setattr(inputs, "ensure", lambda report: Embedded("tiny", pico.root / "xlm", "cldr:12"))
    assert embedded_if(False, quiet, {"--data": "cldr"}) is None
    found = open_inputs(InputsConfig(demo=True), lambda held: ["de-DE"], quiet)
    assert found.zoo.checkpoint("de-DE").labels[0] == "ask"
    assert found.base is not None
    assert found.base.digest == base.digest
    assert found.data.demonstration
