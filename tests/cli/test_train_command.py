"""``sprachbund train`` as users type it: a base under any name, one source per locale or group, a table of how well they do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pico import Pico
from workshop import content, make_workshop

from sprachbund import parallel
from sprachbund.cards import trained_on
from sprachbund.checkpoints import open_checkpoint
from sprachbund.cli import run
from sprachbund.data.massive import INTENTS
from sprachbund.training import jobs

THREE = ("de-DE", "en-US", "fr-FR")
CALL = ("train", "--data", "massive:data")
BASE = ("--base", "base")
TWO = (*BASE, "--epochs", "2")


@pytest.fixture
def folder(here: Path) -> Iterator[Path]:
    make_workshop(here, (), THREE)
    Pico(here).base()
    yield here
    leftovers = [name for name in content(here) if ".partial" in name or name.endswith(".training")]
    assert leftovers == []


def source(name: str, root: str = "models") -> Path:
    return Path(root) / f"xlm-roberta-base_massive_k_{name}" / f"alpha_0.5_{name}_epoch-9"


def typed(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert run((*CALL, *words)) == status
    printed = capsys.readouterr()
    return printed.err if status else printed.out


def rows(shown: str) -> dict[str, list[str]]:
    """The lines of a table by their first word."""
    return {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}


def test_the_table_has_epochs_and_the_mean(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = typed(capsys, *BASE, "--epochs", "4", "--patience", "1", "--learning-rate", "1e-9")
    cards = {name: json.loads((source(name) / "training.json").read_text()) for name in THREE}
    for name, card in cards.items():
        assert rows(shown)[name][:3] == [f"{card['dev_accuracy']:.4f}", "1", "2"], "no epoch was better than the first"
        assert len(card["dev_accuracies"]) == 2
        assert (card["saved_epoch"], card["device"]) == (1, "cpu")
        assert card["settings"]["patience"] == 1
    mean = sum(card["dev_accuracy"] for card in cards.values()) / 3
    assert rows(shown)["mean"] == [f"{mean:.4f}"]
    assert 'Use them with --models "models/xlm-roberta-base_massive_k_{locale}:alpha_0.5_{locale}_epoch-9"' in shown


def test_joint_models_stand_beside_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = typed(capsys, *TWO, "--joint", "fr-FR,de-DE", "all", "de-DE,fr-FR", "--out", "together")
    assert {path.name for path in Path("together").iterdir() if path.is_dir()} == {
        "xlm-roberta-base_massive_k_de-DE+fr-FR",
        "xlm-roberta-base_massive_k_all",
    }
    assert {"de-DE+fr-FR", "all"} <= rows(shown).keys()
    assert trained_on(source("all", "together")) == THREE
    assert trained_on(source("de-DE+fr-FR", "together")) == ("de-DE", "fr-FR")
    said = f'--base-model "{source("all", "together").parent}" --model-dir "alpha_0.5_all_epoch-9"'
    assert said in shown
    evaluate = ("evaluate", *said.replace('"', "").split(), "--data", "massive:data", "--json")
    for locale, uses in (("fr-FR", ["target-train"]), ("de-DE", ["target-train"])):
        assert run((*evaluate, "--locale", locale)) == 0
        assert json.loads(capsys.readouterr().out)["evaluation_info"]["uses"] == uses


def test_leaving_one_out_trains_on_all_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = typed(capsys, *TWO, "--leave-one-out")
    template = "models/xlm-roberta-base_massive_k_all-but-{locale}:alpha_0.5_all-but-{locale}_epoch-9"
    assert f'Use them with --models "{template}"' in shown
    for name in THREE:
        assert trained_on(source(f"all-but-{name}")) == tuple(other for other in THREE if other != name)
        assert rows(shown)[f"all-but-{name}"][1:3] == ["2", "2"]
    call = ("experiment", "--models", template, "--data", "massive:data", "--variants", "baseline", "--split", "dev")
    assert run((*call, "--sources", *THREE, "--json")) == 0
    capsys.readouterr()
    for name in THREE:
        record = json.loads(Path(f"results/baseline_{name}/results.json").read_text())
        assert record["evaluation_info"]["uses"] == ["nothing"], "the labels of the locale itself were not met"


def test_the_base_may_lie_in_a_subfolder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("shelf").mkdir()
    Path("base").rename("shelf/base")
    typed(capsys, "--base", "shelf:base", "--locales", "de-DE", "--epochs", "1")
    assert open_checkpoint(source("de-DE")).labels == INTENTS


@pytest.mark.parametrize(
    ("gpus", "asked", "expected"), [(0, "0", 5), (0, "3", 3), (1, "0", 1), (1, "2", 2)], ids=lambda value: str(value)
)
def test_one_process_for_a_gpu_unless_more_are_asked_for(
    gpus: int, asked: str, expected: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def train(*_: Any, **options: Any) -> None:
        given.update(options)

    monkeypatch.setattr(jobs, "train_groups", train)
    monkeypatch.setattr(parallel, "cores", lambda: 5)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    assert run((*CALL, *TWO, "--jobs", asked)) == 0
    assert given["jobs"] == expected
    assert given["device"] == torch.device("cuda" if gpus else "cpu")


def test_options_of_training_reach_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (*TWO, "--locales", "de-DE", "--batch", "8", "--accumulate", "2", "--precision", "bf16", "--patience", "1")
    (card,) = json.loads(typed(capsys, *words, "--device", "cpu", "--json"))
    settings = card["settings"]
    assert [settings[name] for name in ("batch", "accumulate", "precision", "patience")] == [8, 2, "bf16", 1]
    whole = typed(capsys, *TWO, "--locales", "de-DE", "--device", "cpu", status=2)
    assert "holds another model" in whole
