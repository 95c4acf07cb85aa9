"""Where sources come from, and what is said where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pico import Pico

from sprachbund.checkpoints import PUBLISHED, Zoo, locate, split_subfolder, sub_checkpoints, zoo_name
from sprachbund.errors import CheckpointError, UserError


def test_a_template_names_the_source_of_each_locale(pico: Pico) -> None:
    zoo = pico.zoo(["de-DE", "fr-FR"])
    assert zoo.checkpoint("fr-FR").folder == pico.root / "zoo/fr-FR"
    assert zoo.checkpoint("fr-FR").name == f"{pico.root}/zoo/fr-FR"


def test_a_template_may_say_repository_and_subfolder(pico: Pico) -> None:
    pico.source("xlmr_de-DE/alpha_0.5_de-DE_epoch-9")
    zoo = Zoo(f"{pico.root}/xlmr_{{locale}}:alpha_0.5_{{locale}}_epoch-9")
    checkpoint = zoo.checkpoint("de-DE")
    assert checkpoint.folder == pico.root / "xlmr_de-DE/alpha_0.5_de-DE_epoch-9"
    assert checkpoint.name == f"{pico.root}/xlmr_de-DE:alpha_0.5_de-DE_epoch-9"


def test_a_template_needs_a_locale_in_it() -> None:
    with pytest.raises(UserError, match=r"--models 'my/model' has no \{locale\} in it"):
        Zoo("my/model")


def test_missing_sources_are_listed_with_reasons(pico: Pico) -> None:
    zoo = pico.zoo(["de-DE"])
    (pico.root / "zoo/fr-FR").mkdir()
    missing = zoo.missing(["de-DE", "fr-FR", "ja-JP"])
    assert list(missing) == ["fr-FR", "ja-JP"]
    assert missing["fr-FR"].endswith(
        "zoo/fr-FR has no config.json; name the folder that has it, or download the model again."
    )
    assert "There is no folder" in missing["ja-JP"]


def test_offline_a_name_on_the_hub_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = "haryoaw/xlm-roberta-base_massive_k_sq-AL:alpha_0.5_sq-AL_epoch-9 is not a .* offline mode is on"
    with pytest.raises(CheckpointError, match=said):
        Zoo(PUBLISHED).checkpoint("sq-AL")


def test_a_folder_wins_over_a_hub_id_of_the_same_name(pico: Pico, monkeypatch: pytest.MonkeyPatch) -> None:
    pico.source("org/model")
    monkeypatch.chdir(pico.root)
    assert locate("org/model").labels[0] == "ask"


def test_a_wrong_subfolder_is_answered_with_the_right_ones(pico: Pico) -> None:
    pico.source("repo/epoch-1")
    pico.source("repo/epoch-2")
    with pytest.raises(CheckpointError, match=r"has no subfolder epoch-3: did you mean epoch-1 or epoch-2\?"):
        locate(f"{pico.root}/repo", "epoch-3")
    with pytest.raises(
        CheckpointError, match=r"repo has no config\.json; checkpoints in its subfolders: epoch-1, epoch-2"
    ):
        locate(f"{pico.root}/repo")


def test_a_colon_in_a_folder_s_name_is_no_subfolder(pico: Pico) -> None:
    assert split_subfolder("repo:sub") == ("repo", "sub")
    assert split_subfolder("repo") == ("repo", "")
    (pico.root / "a:b").mkdir(parents=True)
    assert split_subfolder(f"{pico.root}/a:b") == (f"{pico.root}/a:b", "")


def test_sub_checkpoints_are_sorted_and_hold_a_config(pico: Pico) -> None:
    for name in ("repo/b", "repo/a"):
        pico.source(name)
    (pico.root / "repo/empty").mkdir()
    assert [path.name for path in sub_checkpoints(pico.root / "repo")] == ["a", "b"]


def test_a_zoo_without_a_name_is_its_path(pico: Pico) -> None:
    zoo = pico.zoo(["de-DE", "fr-FR"])
    names = {zoo_name(zoo.checkpoint(locale), locale) for locale in ("de-DE", "fr-FR")}
    assert names == {f"{pico.root.resolve()}/zoo/{{locale}}"}


@pytest.mark.parametrize("layout", ["zoo/{locale}", "zoo/xlmr_{locale}/epoch_{locale}"])
def test_a_zoo_has_the_name_that_its_root_says(layout: str, pico: Pico) -> None:
    checkpoint = pico.source(layout.format(locale="de-DE"))
    (pico.root / "zoo/zoo.json").write_text(json.dumps({"name": "embedded-1234"}))
    assert zoo_name(checkpoint, "de-DE") == "embedded-1234"


@pytest.mark.parametrize("card", ["{", "[]", "7", "{}", '{"name": "mine", "uses": 7}'])
def test_a_card_that_is_none_is_named(card: str, pico: Pico) -> None:
    source = pico.zoo(["de-DE"]).checkpoint("de-DE")
    (source.folder.parent / "zoo.json").write_text(card)
    with pytest.raises(CheckpointError, match=r"/zoo/zoo\.json does not name its zoo .*: mend it or remove it\."):
        zoo_name(source, "de-DE")


def test_a_short_code_is_a_locale_only_where_it_stands_alone(pico: Pico) -> None:
    source = pico.source("alpha_k_ha/ha_alpha_ha")
    assert zoo_name(source, "ha") == f"{pico.root}/alpha_k_{{locale}}/{{locale}}_alpha_{{locale}}"
