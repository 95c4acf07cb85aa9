"""``sprachbund check``: what people see in 80 columns, what programs get, and how it exits."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from encoders import permuted
from pico import INTENTS, Pico, poison, rewrite, tokenizer
from workshop import INPUTS, make_workshop

from sprachbund import inputs
from sprachbund.checkpoints import open_checkpoint
from sprachbund.cli import run
from sprachbund.data import massive
from sprachbund.training.embedded import Embedded

Capture = pytest.CaptureFixture[str]
POOL = ("de-DE", "el-GR", "ro-RO", "sq-AL")
LINE = f"check --models models/{{locale}} --sources {' '.join(POOL)}"


@pytest.fixture
def workshop(here: Path) -> Path:
    """Four sources that fit, and their base."""
    Pico(here).base()
    for locale in POOL:
        Pico(here / "models").source(locale)
    return here


def typed(line: str, capsys: Capture, status: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert run(shlex.split(line)) == status, capsys.readouterr()
    return capsys.readouterr()


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_what_all_have_in_common_is_said_once(workshop: Path, capsys: Capture) -> None:
    before = files(workshop)
    out, err = typed(f"{LINE} --base base", capsys)
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    common = {line.split()[0]: line for line in lines if line.rstrip().endswith("all 4")}
    assert set(common) == {"architecture", "dtype", "tensors", "vocabulary", "tokenizer", "labels"}
    for property_, word in {
        "architecture": "XLMRobertaForSequenceClassification",
        "dtype": "float32",
        "tensors": "7,428 parameters",
        "vocabulary": "300 rows",
        "labels": "4 labels",
    }.items():
        assert word in common[property_]
    assert [line.split()[0] for line in lines if line.rstrip().endswith("yes")] == list(POOL)
    assert lines[-1] == "All 4 can be merged together."
    assert "error" not in err
    assert files(workshop) == before, "nothing is written"


def test_the_figures_of_a_row_are_those_of_the_document(workshop: Path, capsys: Capture) -> None:
    out, _ = typed(f"{LINE} --base base", capsys)
    document = json.loads(typed(f"{LINE} --base base --json", capsys)[0])
    assert document["mergeable"] is True
    for facts in document["sources"]:
        row = next(line.split() for line in out.splitlines() if line.startswith(facts["source"]))
        cosines = facts["head_cosines"]
        least = min(cosines, key=cosines.__getitem__)
        mean = sum(cosines.values()) / 3
        said = [f"{facts['distance_from_base']:.4f}", least, f"{cosines[least]:.4f}", f"{mean:.4f}", "yes"]
        assert row == [facts["source"], *said]
        assert facts["labels"] == list(INTENTS)
        assert facts["vocabulary"][:8] in out
        assert facts["tokenizer"][:8] in out
        assert facts["labels_digest"][:8] in out


@pytest.mark.usefixtures("workshop")
def test_without_a_base_nothing_is_said_of_distances(capsys: Capture) -> None:
    out, _ = typed(LINE, capsys)
    assert "from base" not in out
    assert json.loads(typed(f"{LINE} --json", capsys)[0])["base"] is None


def test_what_differs_is_said_of_whom(workshop: Path, capsys: Capture) -> None:
    Pico(workshop / "models").source("ro-RO", dtype=torch.float16)
    out, _ = typed(LINE, capsys)
    assert "float32                              de-DE el-GR sq-AL" in out
    assert "float16                              ro-RO" in out
    assert out.endswith("All 4 can be merged together.\n")


def test_the_table_comes_first_then_one_sentence_and_status_1(workshop: Path, capsys: Capture) -> None:
    models = Pico(workshop / "models")
    models.source("el-GR", labels=INTENTS[::-1])
    poison(workshop / "models/ro-RO")
    out, err = typed(f"{LINE} ja-JP ko-KR", capsys, status=1)
    fits = {
        line.split()[0]: line.split()[-1]
        for line in out.splitlines()
        if line[:5] in (*POOL, "ja-JP", "ko-KR") and ": " not in line
    }
    assert fits == {"de-DE": "yes", "el-GR": "no", "ro-RO": "no", "sq-AL": "yes", "ja-JP": "no", "ko-KR": "no"}
    assert "el-GR: models/de-DE and models/el-GR have the same labels in another order" in out
    assert "ro-RO: Tensor classifier.out_proj.bias of models/ro-RO holds NaN" in out
    assert "ja-JP ko-KR: models/{locale} is not a folder here" in out, "one reason is said once"
    assert "All" not in out
    assert err.splitlines()[-1] == (
        "error: 4 of 6 sources cannot be merged with the others: el-GR ro-RO ja-JP ko-KR. "
        "Mend what is said of them, or leave them out (--sources takes only the locales you name)."
    )


def test_programs_get_the_document_and_status_1_too(workshop: Path, capsys: Capture) -> None:
    Pico(workshop / "models").source("el-GR", words=tokenizer("um"))
    out, err = typed(f"{LINE} --json", capsys, status=1)
    document = json.loads(out)
    assert document["mergeable"] is False
    assert [facts["source"] for facts in document["sources"] if facts["problem"]] == ["el-GR"]
    assert "different vocabularies" in document["sources"][1]["problem"]
    assert "1 of 4 sources cannot be merged with the others: el-GR." in err


@pytest.mark.usefixtures("here")
def test_where_nothing_is_there_each_is_told(capsys: Capture) -> None:
    out, err = typed("check --models nowhere/{locale}", capsys, status=1)
    assert "af-ZA am-ET ar-SA and 49 more: nowhere/{locale} is not a folder" in out
    assert "52 of 52 sources cannot be merged: af-ZA" in err
    assert "and 40 more" in err


def test_heads_and_vocabularies_are_spoken_of_though_all_fit(workshop: Path, capsys: Capture) -> None:
    Pico(workshop / "models").source("ro-RO", head_seed=9, vocab_size=305)
    out, _ = typed(LINE, capsys)
    assert "Warning: The classification heads of " in out
    assert "The vocabularies of 3 of 4 sources were aligned by token to that of models/ro-RO: " in out
    assert out.endswith("All 4 can be merged together.\n")


def test_labels_are_compared_with_those_of_the_data(here: Path, capsys: Capture) -> None:
    make_workshop(here, POOL, POOL)
    out, err = typed(f"check {shlex.join(INPUTS)} --sources {' '.join(POOL)}", capsys)
    assert f"{len(massive.INTENTS)} labels" in out
    assert "MASSIVE" in err, "where the data came from"
    Pico(here / "models").source("el-GR", labels=INTENTS)
    out, _ = typed(f"check {shlex.join(INPUTS)} --sources {' '.join(POOL)}", capsys, status=1)
    assert "el-GR: models/el-GR was trained for other labels than those of " in out


def test_what_check_calls_fit_is_merged(workshop: Path, capsys: Capture) -> None:
    Pico(workshop / "models").source("ro-RO", vocab_size=305)
    typed(f"{LINE} --base base", capsys)
    out, _ = typed(
        "merge --models models/{locale} --mode manual --target-lang hu-HU --sources de-DE el-GR ro-RO --base base",
        capsys,
    )
    assert "Warning: The vocabularies of 2 of 3 sources were aligned by token" in out
    rewrite(workshop / "models/ro-RO", lambda tensors: tensors.pop("classifier.dense.bias"))
    typed(LINE, capsys, status=1)
    typed("merge --models models/{locale} --mode manual --target-lang hu-HU --sources de-DE ro-RO", capsys, status=2)


def test_an_experiment_of_aligned_sources_has_the_results_of_the_same_sources(here: Path, capsys: Capture) -> None:
    names = ("el-GR", "ro-RO", "sq-AL")
    make_workshop(here, names, names)
    line = f"experiment {shlex.join(INPUTS)} --sources {' '.join(names)} --locales sq-AL --num-languages 2"
    typed(f"{line} --output-dir before", capsys)
    moved = permuted(open_checkpoint(here / "models/el-GR"), "elsewhere")
    shutil.rmtree(here / "models/el-GR")
    moved.folder.rename(here / "models/el-GR")
    typed(f"{line} --output-dir after", capsys)
    for variant in ("similarity", "average"):
        before, after = (
            json.loads((here / run_ / f"results/{variant}_sq-AL/results.json").read_text())
            for run_ in ("before", "after")
        )
        assert before["performance"] == pytest.approx(after["performance"], abs=1e-5)
        assert before["identity"] != after["identity"], "it is another source, by content"
        said = (here / f"after/merged_models/{variant}_merge_sq-AL/merge_details.txt").read_text(encoding="utf-8")
        assert "Warning: The vocabularies of 1 of 2 sources were aligned by token" in said


def test_the_embedded_models_are_checked_with_their_base(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    embedded = Embedded("tiny", here, "cldr:12")
    Pico(here).base()
    for locale in POOL:
        Pico(here).source(Path(embedded.template.replace("{locale}", locale)).relative_to(here).as_posix())
    monkeypatch.setattr(inputs, "ensure", lambda report: embedded)
    out, _ = typed(f"check --demo --sources {' '.join(POOL)} --json", capsys, status=1)
    document = json.loads(out)
    assert document["base"] == "base"
    assert all(facts["distance_from_base"] > 0 for facts in document["sources"])
    assert all("other labels than those of cldr" in facts["problem"] for facts in document["sources"])
