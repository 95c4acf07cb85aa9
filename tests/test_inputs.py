"""What a command works on: all that is missing in one message, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub import Hub, asked
from pico import Pico, tokenizer

from sprachbund import inputs
from sprachbund.checkpoints import open_checkpoint
from sprachbund.config import InputsConfig
from sprachbund.errors import IncompatibleError, UnknownName, UserError
from sprachbund.inputs import embedded_if, open_base, open_inputs
from sprachbund.training.embedded import Embedded


def quiet(stage: str, done: int, total: int) -> None:
    """Nobody reads."""


def test_sources_and_data_that_are_there(pico: Pico) -> None:
    zoo = pico.zoo(["de-DE", "fr-FR"])
    found = open_inputs(
        InputsConfig(models=zoo.template, data="cldr:12"), lambda held, without: ["de-DE", "fr-FR"], quiet
    )
    assert (found.zoo, found.data.name, found.base) == (zoo, "cldr:12", None)


def test_all_that_is_missing_is_one_message_with_three_ways_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError) as caught:
        open_inputs(InputsConfig(), lambda held, without: ["de-DE", "fr-FR"], quiet)
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
        open_inputs(InputsConfig(models=zoo.template, data="cldr:12"), lambda held, without: ["de-DE", "fr-FR"], quiet)


def test_what_the_hub_lacks_and_what_the_data_lacks_is_one_message_and_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sprachbund.checkpoints.hub._listings", {})
    with Hub() as hub, asked(hub, tmp_path / "home"):
        hub.add("org/de-DE", {"config.json": b"{}", "model.safetensors": b"w"})
        hub.add("org/fr-FR", {"epoch-9/config.json": b"{}"})
        with pytest.raises(UserError) as caught:
            open_inputs(
                InputsConfig(models="org/{locale}", data="massive:data"),
                lambda held, without: ["de-DE", "fr-FR", "ja-JP"],
                quiet,
            )
    message = str(caught.value)
    assert message.startswith("Cannot start: --data massive:data: there is no data")
    assert (
        "; and 2 of 3 sources are missing (org/fr-FR on the hub has no config.json; checkpoints in its sub" in message
    )
    assert "; and those of de-DE are there" in message
    assert hub.asked_for("/resolve/") == []


def test_a_source_that_does_not_arrive_is_told_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sprachbund.checkpoints.hub._listings", {})
    with Hub() as hub, asked(hub, tmp_path / "home"):
        for locale in ("de-DE", "fr-FR"):
            hub.add(f"org/{locale}", {"config.json": b"{}", "model.safetensors": locale.encode()})
        hub.model("org/fr-FR").lies["model.safetensors"] = 7
        with pytest.raises(
            UserError,
            match=r"^Cannot start: 1 of 2 sources did not arrive \(A file of org/fr-FR arrived with another size",
        ):
            open_inputs(
                InputsConfig(models="org/{locale}", data="cldr:12"), lambda held, without: ["de-DE", "fr-FR"], quiet
            )


def test_sources_and_their_base_may_lie_on_the_hub(pico: Pico, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sprachbund.checkpoints.hub._listings", {})
    told: list[str] = []
    with Hub() as hub, asked(hub, tmp_path / "home"):
        hub.add("org/base", pico.base().folder)
        for locale in ("de-DE", "fr-FR"):
            hub.add(f"org/{locale}", pico.source(locale).folder)
        config = InputsConfig(models="org/{locale}", data="cldr:12")
        found = open_inputs(
            config, lambda held, without: ["de-DE", "fr-FR"], lambda stage, done, total: told.append(stage)
        )
        assert set(told) == {"downloading"}
        assert found.zoo.checkpoint("fr-FR").digest == open_checkpoint(pico.root / "fr-FR").digest
        assert open_base("org/base", quiet).digest == open_checkpoint(pico.root / "base").digest


def test_sources_that_do_not_fit_together_are_told_beforehand(pico: Pico) -> None:
    zoo = pico.zoo(["de-DE"])
    pico.source("zoo/fr-FR", words=tokenizer("um"))
    with pytest.raises(IncompatibleError, match="different vocabularies"):
        open_inputs(InputsConfig(models=zoo.template, data="cldr:12"), lambda held, without: ["de-DE", "fr-FR"], quiet)


def test_an_unknown_data_set_gets_did_you_mean(pico: Pico) -> None:
    with pytest.raises(UnknownName, match="did you mean massive"):
        open_inputs(
            InputsConfig(models=pico.zoo(["de-DE"]).template, data="masive"), lambda held, without: ["de-DE"], quiet
        )


@pytest.mark.parametrize(("field", "flag"), [("models", "--models"), ("data", "--data")])
def test_the_demonstration_brings_its_own(field: str, flag: str) -> None:
    with pytest.raises(UserError, match=f"--demo brings its own models and data: leave out {flag}, or --demo"):
        open_inputs(InputsConfig(demo=True, **{field: "x{locale}"}), lambda held, without: ["de-DE"], quiet)


def test_the_demonstration_s_models_are_asked_for_only_with_demo(pico: Pico, monkeypatch: pytest.MonkeyPatch) -> None:
    base = pico.base("xlm/base")
    pico.source("xlm/xlm-roberta-base_massive_k_de-DE/alpha_0.5_de-DE_epoch-9")
    monkeypatch.setattr(inputs, "ensure", lambda report: Embedded("tiny", pico.root / "xlm", "cldr:12"))
    assert embedded_if(False, quiet, {"--data": "cldr"}) is None
    found = open_inputs(InputsConfig(demo=True), lambda held, without: ["de-DE"], quiet)
    assert found.zoo.checkpoint("de-DE").labels[0] == "ask"
    assert found.base is not None
    assert found.base.digest == base.digest
    assert found.data.demonstration
