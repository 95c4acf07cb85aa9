"""Less than 52 of everything: a few sources, a data set of a few locales, and what is said where something is missing."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from workshop import INPUTS, Capture, make_workshop, merged_of, refused, typed

from sprachbund.cli import run
from sprachbund.cli.console import MODE

SOURCES = ("da-DK", "el-GR", "ro-RO", "sq-AL")
"""There are no others."""
DATA = ("da-DK", "de-DE", "sq-AL")
"""The locales that the data set holds; de-DE has no source."""
GIVEN = shlex.join(INPUTS)
MODELS = shlex.join(INPUTS[:2])
POOL = "--sources el-GR ro-RO sq-AL"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources and data; for reading only."""
    return make_workshop(tmp_path_factory.mktemp("partial"), SOURCES, DATA)


@pytest.fixture(autouse=True)
def here(workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the workshop in it, in which commands are typed."""
    for name in ("models", "data"):
        (tmp_path / name).symlink_to(workshop / name)
    monkeypatch.chdir(tmp_path)
    for setting in ("quiet", "verbose", "json"):
        monkeypatch.setattr(MODE, setting, False)
    return tmp_path


# --- a few sources -----------------------------------------------------------------------------------------------------


def test_an_experiment_chooses_from_the_named_sources_only(capsys: Capture) -> None:
    found, _ = typed(f"experiment {GIVEN} {POOL} --num-languages 2 --skip-baseline", capsys)
    assert list(found["results"]) == list(DATA)
    assert merged_of("sq-AL") == {"el-GR", "ro-RO"}, "its own is left out"
    for target in ("da-DK", "de-DE"):
        assert len(merged_of(target)) == 2
        assert merged_of(target) == merged_of(target, "average") < {"el-GR", "ro-RO", "sq-AL"}


def test_all_means_all_that_are_named(capsys: Capture) -> None:
    typed(f"experiment {GIVEN} {POOL} --variants average-all --locales da-DK sq-AL", capsys)
    assert merged_of("da-DK", "average-all") == {"el-GR", "ro-RO", "sq-AL"}
    assert merged_of("sq-AL", "average-all") == {"el-GR", "ro-RO"}


def test_zero_shot_evaluates_the_named_sources_only(capsys: Capture) -> None:
    typed(f"experiment {GIVEN} {POOL} --variants baseline --locales sq-AL da-DK --zero-shot --jobs 1", capsys)
    rows = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in Path("results/transfer/test").glob("*.json")
    }
    assert rows.keys() == {"el-GR", "ro-RO", "sq-AL"}, "not da-DK, whose baseline was evaluated all the same"
    assert all(row["cells"].keys() == {"sq-AL", "da-DK"} for row in rows.values())


def test_a_plan_counts_the_named_sources_only(capsys: Capture) -> None:
    found, _ = typed(f"plan {GIVEN} {POOL} --num-languages 2 --skip-baseline --zero-shot --jobs 1", capsys)
    assert (found["cells"], found["sources"], found["zero_shot"]) == (6, 3, 9)


def test_transfer_evaluates_the_named_sources_only(capsys: Capture) -> None:
    found, _ = typed(f"transfer {GIVEN} --sources ro-RO sq-AL --jobs 1", capsys)
    assert [row["source"] for row in found["sources"]] == ["ro-RO", "sq-AL"]
    assert all(set(row["cells"]) == set(DATA) for row in found["sources"])


@pytest.mark.parametrize(
    ("command", "again"),
    [("similarity sq-AL", ""), (f"merge {MODELS} --mode similarity --target-lang sqi", " --output-dir again")],
)
def test_a_choice_is_made_among_the_named_sources(command: str, again: str, capsys: Capture) -> None:
    found, _ = typed(f"{command} --sources da-DK el-GR sq-AL --num-languages 2", capsys)
    assert {source.get("source", source.get("locale")) for source in found["sources"]} == {"da-DK", "el-GR"}
    one, _ = typed(f"{command} --sources da-DK el-GR sq-AL --num-languages 1{again}", capsys)
    (nearest,) = one["sources"]
    assert nearest.get("source", nearest.get("locale")) == "el-GR", "the more similar of the two"


@pytest.mark.parametrize(
    "command",
    ["similarity sq-AL", f"merge {MODELS} --mode average --target-lang sqi", f"experiment {GIVEN} --locales sq-AL"],
)
def test_more_sources_than_are_named_are_refused(command: str, capsys: Capture) -> None:
    sentence = refused(f"{command} {POOL}", capsys)
    assert sentence == (
        "5 sources are asked for sq-AL, but the pool has 2 (its own left out): "
        "ask for at most 2 (--num-languages), or add sources."
    )


def test_how_the_sources_are_listed_changes_nothing(capsys: Capture) -> None:
    line = "similarity sq-AL --num-languages 3 --sources"
    assert typed(f"{line} ro-RO el-GR da-DK", capsys) == typed(f"{line} da-DK ro-RO el-GR ro-RO", capsys)


# --- sources that are missing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "missing", "there"),
    [
        (f"experiment {GIVEN} --variants baseline", "1 of 3", "da-DK sq-AL"),
        (f"experiment {GIVEN} --locales sq-AL --variants average-all", "48 of 51", "da-DK el-GR ro-RO"),
        (f"plan {GIVEN} --locales sq-AL --zero-shot", "48 of 52", "da-DK el-GR ro-RO sq-AL"),
        (f"transfer {GIVEN}", "48 of 52", "da-DK el-GR ro-RO sq-AL"),
        (f"merge {MODELS} --mode average --target-lang sqi", "3 of 5", "ro-RO el-GR"),
        (f"merge {MODELS} --mode manual --target-lang sqi --sources ro-RO fr-FR", "1 of 2", "ro-RO"),
    ],
)
def test_what_is_missing_is_said_with_what_is_there(line: str, missing: str, there: str, capsys: Capture) -> None:
    sentence = refused(line, capsys)
    assert f"{missing} sources are missing" in sentence
    assert (
        f"those of {there} are there "
        "(--sources and --locales take only those you name, --allow-missing goes on without the others)" in sentence
    )


def test_the_advice_works(capsys: Capture) -> None:
    sentence = refused(f"transfer {GIVEN} --jobs 1", capsys)
    named = re.search(r"those of (.*) are there", sentence)
    assert named
    found, _ = typed(f"transfer {GIVEN} --jobs 1 --sources {named[1]}", capsys)
    assert [row["source"] for row in found["sources"]] == list(SOURCES)


def test_where_none_is_there_none_is_named(capsys: Capture) -> None:
    sentence = refused(f"transfer {GIVEN} --sources fr-FR ja-JP", capsys)
    assert "2 of 2 sources are missing" in sentence
    assert "are there" not in sentence


def test_own_models_and_data_need_no_other_ways_on(capsys: Capture) -> None:
    assert "Three ways on" not in refused(f"transfer {GIVEN}", capsys)
    assert "Three ways on: --models TEMPLATE" in refused(f"transfer {MODELS}", capsys)


# --- a data set of a few locales ---------------------------------------------------------------------------------------


def test_the_targets_are_the_locales_of_the_data_and_that_is_said(capsys: Capture) -> None:
    line = f"experiment {GIVEN} {POOL} --num-languages 2 --skip-baseline"
    found, said = typed(line, capsys)
    assert list(found["results"]) == list(DATA)
    assert "massive holds 3 of the 52 locales: they are run." in said
    assert "they are run" not in typed(f"{line} --locales sq-AL", capsys)[1], "who names them knows"
    assert "they are run" not in typed(f"{line} --quiet", capsys)[1]


def test_indices_count_in_the_locales_of_the_data(capsys: Capture) -> None:
    line = f"experiment {GIVEN} {POOL} --num-languages 2 --skip-baseline"
    assert list(typed(f"{line} --start-from 1 --max-locales 1", capsys)[0]["results"]) == ["de-DE"]
    assert "numbered 0 to 2." in refused(f"{line} --start-from 3", capsys)


@pytest.mark.parametrize(
    "command", ["experiment --num-languages 2 --skip-baseline", "plan --num-languages 2", "transfer"]
)
def test_a_locale_that_the_data_does_not_hold_is_refused(command: str, capsys: Capture) -> None:
    sentence = refused(f"{command} {GIVEN} {POOL} --locales sq-AL ro-RO", capsys)
    assert sentence.startswith("Unknown locale 'ro-RO'")
    assert "That is what the data set 'massive' holds." in sentence


def test_a_target_without_a_source_of_its_own_is_merged_for(capsys: Capture) -> None:
    line = f"experiment {GIVEN} {POOL} --num-languages 2 --locales de-DE"
    assert "1 of 3 sources are missing" in refused(line, capsys), "the baseline is the target's own source"
    found, _ = typed(f"{line} --skip-baseline", capsys)
    assert found["results"]["de-DE"].keys() == {"similarity", "average"}


# --- what stands in another's place ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["aggregate", "plot", "report"])
def test_the_demo_is_a_zoo_beside_which_no_other_can_be_named(command: str, capsys: Capture) -> None:
    sentence = refused(f"{command} --demo --zoo mine", capsys)
    assert sentence == "--demo stands for the embedded models' zoo: leave out --zoo, or --demo."


@pytest.mark.parametrize("model", ["nowhere", "haryoaw/xlm-roberta-base_massive_k_sq-AL"])
def test_the_evaluation_of_a_missing_model_names_three_ways_on(model: str, capsys: Capture) -> None:
    sentence = refused(f"evaluate --base-model {model} --locale sq-AL", capsys)
    assert sentence.startswith("Cannot start: ")
    for missing in (model, "MASSIVE is not on this machine"):
        assert missing in sentence
    ways = sentence.partition("Three ways on: ")[2].split(";")
    for way, flag in zip(ways, ("--base-model NAME, with --model-dir", "--data massive:PATH", "--demo"), strict=True):
        assert flag in way


def test_with_data_of_ones_own_only_the_model_is_missing(capsys: Capture) -> None:
    line = "evaluate --locale sq-AL --data massive:data --base-model"
    assert refused(f"{line} ./nowhere", capsys) == "Cannot start: There is no folder nowhere: check the name."
    assert refused(f"{line} nowhere", capsys).startswith(
        "Cannot start: nowhere is not a folder here and not in the hub's"
    )
    assert refused(f"{line} models --model-dir sq-Al", capsys).endswith("no subfolder sq-Al: did you mean sq-AL?")


def test_rows_are_sorted_by_gain_where_that_is_asked_for(capsys: Capture) -> None:
    line = f"experiment {GIVEN} --sources da-DK el-GR sq-AL --num-languages 2 --locales sq-AL da-DK"
    orders = []
    for sort in ("family", "gain"):
        assert run(shlex.split(f"{line} --sort {sort}")) == 0
        orders.append(capsys.readouterr().out)
        assert run(["aggregate", "--sort", sort, "--format", "json"]) == 0
        orders.append(capsys.readouterr().out)
    headed = [("similarity -" in shown, bool(re.search(r"^family", shown, re.MULTILINE))) for shown in orders]
    assert headed == [(False, True)] * 2 + [(True, False)] * 2
