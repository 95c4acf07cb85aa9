"""``sprachbund adapt`` as users type it: a checkpoint that can be evaluated, and every wrong call in one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pico import FILLERS, Pico
from workshop import content, make_workshop

from sprachbund import data
from sprachbund.checkpoints import open_checkpoint
from sprachbund.cli import run
from sprachbund.data.massive import INTENTS
from sprachbund.training.jobs import Group, train_groups
from sprachbund.training.settings import FinetuneSettings

SOURCES = ("de-DE", "en-US", "fr-FR")
CALL = ("adapt", "--target", "sq-AL", "--models", "models/{locale}", "--sources", *SOURCES, "--out", "albanian")


@pytest.fixture
def folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(here.parent / "cache"))
    make_workshop(here, (*SOURCES, "sq-AL"), ("sq-AL", "de-DE"))
    texts = [f"{first} {second}" for first in FILLERS for second in FILLERS]
    (here / "raw.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    few = "".join(f"{intent}\t{text}\n" for intent, text in zip([*INTENTS[:5], *INTENTS[:5]], texts, strict=False))
    (here / "few.tsv").write_text(few, encoding="utf-8")
    (here / "wrong.tsv").write_text(few + "alarm_sett\twrong\n", encoding="utf-8")
    return here


def test_sources_and_raw_text_in_one_checkpoint_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = (*CALL, "--unlabelled", "raw.txt", "--epochs", "1", "--jobs", "1")
    assert run(call) == 0
    said = capsys.readouterr().out
    assert "Adapted model for Albanian (sq-AL)" in said
    assert "agreement with the ensemble of all sources" in said
    assert open_checkpoint(folder / "albanian").labels == INTENTS
    before = content(folder)
    assert run((*call, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["uses"] == ["unlabelled"]
    assert {source["locale"] for source in found["sources"]} <= set(SOURCES)
    assert content(folder) == before
    assert run(("evaluate", "--base-model", "albanian", "--locale", "sq-AL", "--data", "massive:data")) == 0


def test_any_language_can_be_the_target(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = [word if word != "sq-AL" else "grc" for word in CALL]
    assert run((*call, "--unlabelled", "raw.txt", "--method", "merge-reliable", "--jobs", "1")) == 0
    assert "Adapted model for grc" in capsys.readouterr().out


def test_texts_can_be_what_a_data_set_sets_aside(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run((*CALL, "--data", "split:massive:data", "--method", "pick-confidence", "--jobs", "1")) == 0


FEW = (*CALL, "--unlabelled", "raw.txt", "--jobs", "1", "--method")


def test_a_few_labels_come_from_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run((*FEW, "few-finetuned-1", "--epochs", "1", "--labelled", "few.tsv")) == 0
    out, err = capsys.readouterr()
    assert "few-finetuned-1 takes 5 of the 10 labelled texts, 1 per intent at most." in err
    assert "target-few, unlabelled (of the target)" in out
    assert run((*FEW, "few-finetuned-1", "--epochs", "1", "--labelled", "few.tsv", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["adaptation"]["labels"] == 1
    assert run((*FEW, "few-finetuned-5", "--epochs", "1", "--labelled", "few.tsv", "--overwrite")) == 0
    assert "labelled texts" not in capsys.readouterr().err


def test_what_was_made_with_labels_of_the_target_is_no_source_for_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run((*FEW, "few-finetuned-1", "--epochs", "1", "--labelled", "few.tsv")) == 0
    shutil.copytree(folder / "albanian", folder / "models" / "it-IT")
    call = [word if word != "fr-FR" else "it-IT" for word in CALL if word != "albanian"]
    assert run((*call, "again", "--unlabelled", "raw.txt", "--method", "merge-reliable")) == 2
    assert "The source it-IT was made for sq-AL and has seen target-few" in " ".join(capsys.readouterr().err.split())
    elsewhere = [word if word != "sq-AL" else "grc" for word in call]
    assert run((*elsewhere, "again", "--unlabelled", "raw.txt", "--method", "merge-reliable", "--jobs", "1")) == 0


def test_a_merge_that_the_source_of_the_target_is_part_of_is_no_source_for_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever target it was merged for."""
    merge = (
        "merge",
        "--mode",
        "manual",
        "--target-lang",
        "it-IT",
        "--models",
        "models/{locale}",
        "--output-dir",
        "merged",
    )
    assert run((*merge, "--sources", "de-DE", "sq-AL")) == 0
    shutil.copytree(folder / "merged" / "merged_models" / "manual_merge_it-IT", folder / "models" / "it-IT")
    call = [word if word != "fr-FR" else "it-IT" for word in CALL]
    assert run((*call, "--unlabelled", "raw.txt")) == 2
    assert "The source it-IT is made of the source of sq-AL among others" in " ".join(capsys.readouterr().err.split())
    assert not (folder / "albanian").exists()


def test_a_few_labels_are_what_a_data_set_sets_aside(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run((*CALL, "--data", "split:massive:data", "--method", "few-soup-5", "--jobs", "1")) == 0
    aside = len(data.load("split:massive:data").few("sq-AL", 5))
    assert f"sources are in the soup, chosen by {aside} labelled texts" in capsys.readouterr().out
    assert run((*CALL, "--data", "massive:data", "--unlabelled", "raw.txt", "--method", "few-soup-5")) == 2
    assert "sets no labelled texts of sq-AL aside" in capsys.readouterr().err


WRONG = {
    "labels for who must not see any": (
        ("--unlabelled", "raw.txt", "--labelled", "few.tsv"),
        "auto decides from unlabelled evidence only, and must not see --labelled few.tsv: leave it out, or choose",
    ),
    "settings of a student where there is none": (
        ("--unlabelled", "raw.txt", "--method", "merge-reliable", "--epochs", "3", "--freeze-embeddings"),
        "merge-reliable trains no student, which --epochs and --freeze-embeddings would be about: leave that out, or choose",
    ),
    "frozen embeddings where they are frozen anyway": (
        ("--unlabelled", "raw.txt", "--method", "distilled-head", "--freeze-embeddings"),
        "distilled-head trains nothing but the head: leave out --freeze-embeddings",
    ),
    "no labels": (
        ("--unlabelled", "raw.txt", "--method", "few-head-5"),
        "few-head-5 needs a few labelled texts of sq-AL: name a file of them (--labelled FILE, one text a line as intent, tab",
    ),
    "no such labels": (
        ("--unlabelled", "raw.txt", "--method", "few-head-5", "--labelled", "view.tsv"),
        "There is no file view.tsv: name a file of labelled texts",
    ),
    "labels of nobody": (
        ("--unlabelled", "raw.txt", "--method", "few-head-5", "--labelled", "wrong.tsv"),
        "wrong.tsv: intent 'alarm_sett' is none of the 60 that the sources know (did you mean alarm_set",
    ),
    "no text": ((), "There is no unlabelled text: name a file of it (--unlabelled FILE, one text a line)."),
    "no file": (("--unlabelled", "row.txt"), "There is no file row.txt: name a text file with one text a line."),
    "unknown method": (("--unlabelled", "raw.txt", "--method", "autoo"), "did you mean auto?"),
    "an ensemble": (("--unlabelled", "raw.txt", "--method", "ensemble-uniform"), "An ensemble is no model"),
    "data without texts": (("--data", "massive:data"), "sets no unlabelled text of sq-AL aside"),
    "own source": (
        ("--unlabelled", "raw.txt", "--sources", "de-DE", "SQ-al"),
        "The source sq-AL has met the labels of the target: leave it out of --sources.",
    ),
    "no source": (("--unlabelled", "raw.txt", "--sources", "it-IT"), "1 of 1 sources are missing"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_in_one_sentence_and_nothing_is_written(
    wrong: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags, sentence = WRONG[wrong]
    call = CALL if "--sources" not in flags else tuple(word for word in CALL if word not in ("--sources", *SOURCES))
    before = content(folder)
    assert run((*call, *flags)) == 2
    captured = capsys.readouterr()
    assert sentence in " ".join(captured.err.split())
    assert "Traceback" not in captured.err
    assert content(folder) == before


def test_another_model_is_not_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = (*CALL, "--unlabelled", "raw.txt", "--method", "pick-confidence", "--jobs", "1")
    assert run(one) == 0
    before = content(folder)
    assert run((*one[:-4], "--method", "merge-reliable")) == 2
    assert "holds another model: choose another --out, or" in " ".join(capsys.readouterr().err.split())
    assert content(folder) == before


def test_a_zoo_that_has_seen_labels_of_the_target_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = {"name": "leaky", "uses": ["target-dev"]}
    (folder / "models" / "zoo.json").write_text(json.dumps(card), encoding="utf-8")
    assert run((*CALL, "--unlabelled", "raw.txt")) == 2
    assert "have seen target-dev" in capsys.readouterr().err


def test_variants_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(("variants", "--json")) == 0
    rows = {row["variant"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["auto"]["needs"] == "unlabelled text"
    assert rows["few-soup-5"]["needs"] == "unlabelled text, a few labels"
    assert rows["baseline"]["needs"] == ""


def test_a_source_that_was_trained_on_the_target_too_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A joint model under the name of one of its locales."""
    (card,) = train_groups(
        Pico(folder).base().folder,
        data.load("massive:data"),
        [Group("de-DE", ("de-DE", "sq-AL"))],
        folder / "joint",
        FinetuneSettings(epochs=1),
    )
    assert card.locale == "de-DE+sq-AL"
    models = "joint/xlm-roberta-base_massive_k_{locale}:alpha_0.5_{locale}_epoch-9"
    call = ("adapt", "--target", "sq-AL", "--models", models, "--sources", "de-DE", "--out", "albanian")
    assert run((*call, "--unlabelled", "raw.txt")) == 2
    assert "The source de-DE was trained on labels of sq-AL, as its training.json says" in capsys.readouterr().err
    assert not (folder / "albanian").exists()
