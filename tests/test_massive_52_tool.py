"""The script that makes the figures of the 52-target experiment: its comparisons by hand, and the whole on pico runs."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pico import Pico, TinyData
from scipy.stats import binomtest

from sprachbund import data, locales, parallel, store
from sprachbund.checkpoints import Zoo
from sprachbund.config import ExperimentConfig
from sprachbund.inputs import Inputs
from sprachbund.preparing import prepare
from sprachbund.store import RESULTS, RunStore
from sprachbund.training.jobs import TrainingCard, source_folder
from sprachbund.zero_shot import run_zero_shot

ROOT = Path(__file__).parents[1]
SOURCES = ("de-DE", "en-US", "fr-FR")
TARGETS = ("af-ZA", "en-US", "jv-ID", "sq-AL")
"""One of them a source, and jv-ID a development locale."""
RUNS = {"one:0": ("baseline", "average-all", "average"), "one:1": ("average-all",), "two:0": ("average-all",)}


@pytest.fixture(scope="module")
def tool(tool_named: Callable[[str], ModuleType]) -> ModuleType:
    return tool_named("massive_52")


def test_development_locales_are_the_first_in_the_order_of_their_hashes(tool: ModuleType) -> None:
    in_order = sorted(locales.names(), key=lambda name: hashlib.sha256(f"development {name}".encode()).hexdigest())
    assert list(tool.DEVELOPMENT) == in_order[:12]


# How variants compare


IDS = 60


def right(count: int, *, skip: int = 0) -> np.ndarray:
    """The ``count`` ids behind the first ``skip`` ones are right."""
    return (np.arange(IDS) >= skip) & (np.arange(IDS) < skip + count)


def results(tool: ModuleType, answers: Mapping[str, Mapping[str, Sequence[np.ndarray]]]) -> Any:
    """By variant and locale, one array for each seed."""
    return {
        variant: {
            name: {
                seed: tool.Cell("one", seed, name, variant, ("unlabelled",), each) for seed, each in enumerate(seeds)
            }
            for name, seeds in by_locale.items()
        }
        for variant, by_locale in answers.items()
    }


def test_one_seed_is_compared_by_mcnemar_s_test_and_holm(tool: ModuleType) -> None:
    found = results(
        tool,
        {
            "auto": {"af-ZA": [right(40)], "sq-AL": [right(20)], "cy-GB": [right(30, skip=1)]},
            tool.ORACLE: {"af-ZA": [right(25)], "sq-AL": [right(30)], "cy-GB": [right(30)]},
            tool.MEAN: {name: [right(20)] for name in ("af-ZA", "sq-AL", "cy-GB")},
            tool.OWN: {name: [right(50)] for name in ("af-ZA", "sq-AL", "cy-GB")},
        },
    )
    row = next(row for row in tool.compare(found, ["af-ZA", "sq-AL", "cy-GB"]) if row.variant == "auto")
    assert row.gains == pytest.approx({"af-ZA": 15 / 60, "sq-AL": -10 / 60, "cy-GB": 0.0})
    assert row.difference == pytest.approx(5 / 180)
    assert row.at_or_above == 2
    raw = {"af-ZA": binomtest(15, 15).pvalue, "sq-AL": binomtest(0, 10).pvalue, "cy-GB": binomtest(1, 2).pvalue}
    assert row.p_values == pytest.approx({"af-ZA": 3 * raw["af-ZA"], "sq-AL": 2 * raw["sq-AL"], "cy-GB": 1.0})
    assert (row.significant(1), row.significant(-1)) == (1, 1)
    assert row.gap_closed == pytest.approx((90 / 180 - 20 / 60) / (50 / 60 - 20 / 60))
    assert row.low < row.difference < row.high


def test_seeds_are_averaged_over_those_that_both_have(tool: ModuleType) -> None:
    found = results(
        tool,
        {
            "auto": {"af-ZA": [right(40), right(20), right(33)]},
            tool.ORACLE: {"af-ZA": [right(30), right(30), right(33)]},
            tool.MEAN: {"af-ZA": [right(10), right(20), right(30)]},
            "once": {"af-ZA": [right(30)]},
        },
    )
    rows = {row.variant: row for row in tool.compare(found, ["af-ZA"])}
    assert (rows["auto"].seeds, rows["once"].seeds) == ("3", "1")
    assert rows["auto"].accuracy == pytest.approx(93 / 180)
    assert rows["auto"].gains["af-ZA"] == 0.0
    assert rows["auto"].at_or_above == 1, "rounding made an equal locale a worse one"
    assert rows["once"].accuracy == pytest.approx(0.5)
    assert rows["once"].gains["af-ZA"] == 0.0, "compared with the seed that it has not"
    assert rows["auto"].gap_closed is None, "there is no own model to close a gap to"


def test_the_mean_of_sources_is_not_tested_but_by_its_interval(tool: ModuleType) -> None:
    mean = np.mean([right(10), right(20), right(25)], axis=0)
    found = results(tool, {tool.MEAN: {"af-ZA": [mean]}, tool.ORACLE: {"af-ZA": [right(25)]}})
    row = next(row for row in tool.compare(found, ["af-ZA"]) if row.variant == tool.MEAN)
    assert row.significant(-1) is None
    assert row.high < 0


def test_the_own_model_of_the_first_run_stands_for_every_zoo_and_seed(tool: ModuleType) -> None:
    first = tool.Run("one", 0, Path(), Zoo("{locale}"))
    found = [
        tool.Cell("one", 0, "af-ZA", tool.OWN, ("target-train",), right(50)),
        tool.Cell("two", 0, "af-ZA", tool.OWN, ("target-train",), right(10)),
        *(tool.Cell("two", seed, "af-ZA", "auto", (), right(30)) for seed in (0, 1)),
    ]
    own = tool.results_of("two", found, first)[tool.OWN]["af-ZA"]
    assert {seed: int(cell.right.sum()) for seed, cell in own.items()} == {0: 50, 1: 50}


# The whole


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs with the models that they are about, and joint models; for reading only."""
    from pico import tiny_data

    folder = tmp_path_factory.mktemp("runs")
    for number, (name, variants) in enumerate(RUNS.items()):
        pico = Pico(folder / "models" / name)
        for place in {*SOURCES, *TARGETS}:
            pico.source(place, change=0.1 * (number + 1))
        zoo = Zoo(f"{folder}/models/{name}/{{locale}}")
        settings = {"locales": TARGETS, "sources": SOURCES, "num_languages": 2, "variants": variants, "jobs": 1}
        experiment = ExperimentConfig(output_dir=folder / name, zero_shot=True, keep_models="none", **settings)
        prepare(experiment, Inputs(zoo=zoo, base=None, data=tiny_data())).run(lambda *_: None)
    known = RunStore(folder / "one:0" / RESULTS)
    zoo = Zoo(f"{folder}/models/one:0/{{locale}}")
    run_zero_shot(known, zoo, tiny_data(), "dev", SOURCES, TARGETS, precision="fp32", jobs=1, report=lambda *_: None)
    joint_model(folder / "joint", "de-DE+en-US+fr-FR", "de-DE+en-US+fr-FR")
    joint_model(folder / "joint-loo", "all-but-en-US", "de-DE+fr-FR")
    return folder


def joint_model(out: Path, name: str, trained_on: str) -> None:
    folder = source_folder(out, name)
    Pico(folder.parent).source(folder.name, change=0.3)
    card = TrainingCard(
        digest="", locale=trained_on, data="tiny", settings={}, dev_accuracy=None, seconds=0.0, uses=("unlabelled",)
    )
    (folder / "training.json").write_text(card.model_dump_json(), encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where the pages stand, with room for the tables."""
    for name in ("README.md", "docs/experiments/massive-52.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def typed(runs: Path, site: Path, *more: str) -> list[str]:
    named = [f"--run={name}={runs / name},{runs}/models/{name}/{{locale}}" for name in RUNS]
    joints = [f"--joint={runs / name}" for name in ("joint", "joint-loo")]
    return ["--data", "tiny", *named, *joints, "--root", str(site), "--headline", "average-all", "average", *more]


@pytest.fixture
def at_hand(tiny: TinyData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load", lambda spec: tiny)
    monkeypatch.setattr(parallel, "cores", lambda: 1)


def rows_of(site: Path) -> dict[tuple[str, ...], dict[str, str]]:
    with (site / "docs/experiments/massive-52.csv").open(encoding="utf-8", newline="") as stream:
        return {(f"{row['zoo']}:{row['seed']}", row["locale"], row["variant"]): row for row in csv.DictReader(stream)}


@pytest.mark.usefixtures("at_hand")
def test_every_cell_of_the_runs_is_a_row(tool: ModuleType, runs: Path, site: Path) -> None:
    assert tool.main(typed(runs, site)) == 0
    rows = rows_of(site)
    references = {tool.MEAN, tool.ORACLE, tool.ENGLISH}
    for name, variants in RUNS.items():
        for target in TARGETS:
            wanted = {*variants, *references} - ({tool.ENGLISH} if target == "en-US" else set())
            wanted |= {tool.JOINT, tool.ORACLE_DEV} if name == "one:0" else set()
            assert {variant for run, place, variant in rows if (run, place) == (name, target)} == wanted
            for variant in variants:
                record = store.read_record(runs / name / RESULTS / f"{variant}_{target}")
                row = rows[name, target, variant]
                assert (int(row["correct"]), int(row["total"])) == (
                    record.performance.correct,
                    record.performance.total,
                )
                assert float(row["accuracy"]) == pytest.approx(record.performance.accuracy, abs=1e-6)
                assert row["uses"] == " ".join(record.evaluation_info.uses)
                assert row["development"] == str(target == "jv-ID").lower()


@pytest.mark.usefixtures("at_hand")
def test_single_sources_are_those_that_zero_shot_counted(tool: ModuleType, runs: Path, site: Path) -> None:
    assert tool.main(typed(runs, site)) == 0
    rows = rows_of(site)
    for name in RUNS:
        known = RunStore(runs / name / RESULTS)
        test, dev = ({row.source: row.cells for row in known.transfers(split)} for split in ("test", "dev"))
        for target in TARGETS:
            correct = {source: test[source][target].correct for source in SOURCES if source != target}
            assert float(rows[name, target, tool.MEAN]["correct"]) == pytest.approx(np.mean(list(correct.values())))
            assert int(rows[name, target, tool.ORACLE]["correct"]) == max(correct.values())
            assert rows[name, target, tool.ORACLE]["uses"] == "target-test"
            if "en-US" in correct:
                assert int(rows[name, target, tool.ENGLISH]["correct"]) == correct["en-US"]
            if dev:
                chosen = max(correct, key=lambda source: dev[source][target].correct)
                assert int(rows[name, target, tool.ORACLE_DEV]["correct"]) == correct[chosen]
                assert rows[name, target, tool.ORACLE_DEV]["uses"] == "target-dev"


@pytest.mark.usefixtures("at_hand")
def test_joint_models_have_not_met_the_target(
    tool: ModuleType, runs: Path, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main(typed(runs, site)) == 0
    rows = rows_of(site)
    assert {rows["one:0", target, tool.JOINT]["uses"] for target in TARGETS} == {"unlabelled"}
    assert tool.main([part for part in typed(runs, site) if not part.endswith("joint-loo")]) == 0
    assert ("one:0", "en-US", tool.JOINT) not in rows_of(site)
    assert ("one:0", "sq-AL", tool.JOINT) in rows_of(site)
    joint_model(tmp_path / "leaky", "all-but-en-US", "de-DE+en-US+fr-FR")
    assert tool.main([part.replace(f"{runs}/joint-loo", f"{tmp_path}/leaky") for part in typed(runs, site)]) == 2
    assert "is not trained on de-DE fr-FR" in capsys.readouterr().err


@pytest.mark.usefixtures("at_hand")
def test_pages_take_the_tables_and_nothing_else(tool: ModuleType, runs: Path, site: Path) -> None:
    assert tool.main(typed(runs, site)) == 0
    pages = [site / "README.md", site / "docs/experiments/massive-52.md"]
    once = [page.read_bytes() for page in pages]
    picture = (site / "docs/images/massive-52.png").read_bytes()
    assert tool.main(typed(runs, site)) == 0
    assert [page.read_bytes() for page in pages] == once
    assert (site / "docs/images/massive-52.png").read_bytes() == picture
    rows = rows_of(site)
    for page, name in zip(pages, ("massive-52", "tables"), strict=True):
        text, before = page.read_text(encoding="utf-8"), (ROOT / page.relative_to(site)).read_text(encoding="utf-8")
        outside = [part.partition(f"<!-- {name} -->")[::2] for part in (text, before)]
        assert outside[0][0] == outside[1][0]
        assert [part.partition(f"<!-- /{name} -->")[2] for _, part in outside] == [
            outside[1][1].partition(f"<!-- /{name} -->")[2]
        ] * 2
    page = pages[1].read_text(encoding="utf-8")
    both = [float(rows[run, "sq-AL", "average-all"]["accuracy"]) for run in ("one:0", "one:1")]
    (line,) = [line for line in page.partition("### two")[0].splitlines() if line.startswith("| sq-AL |")]
    assert line.split(" | ")[1] == f"{float(rows['one:0', 'sq-AL', 'baseline']['accuracy']):.3f}"
    assert f" | {np.mean(both):.3f} | " in line
    assert "| jv-ID° |" in page
    headline = [
        np.mean([float(rows["two:0", target, "average-all"]["accuracy"]) for target in TARGETS if target != "jv-ID"])
    ]
    assert (
        f"{headline[0]:.3f}" in pages[0].read_text(encoding="utf-8").partition("| two, mean over 3 headline locales")[2]
    )


@pytest.mark.usefixtures("at_hand")
def test_what_cannot_be_done_is_said(
    tool: ModuleType, runs: Path, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(arguments: Sequence[str]) -> str:
        assert tool.main(arguments) == 2
        return capsys.readouterr().err

    line = typed(runs, site)
    assert "write ZOO:SEED=RUN,MODELS" in said([*line, "--run", "one=somewhere"])
    assert "is no output folder of an experiment" in said([*line, "--run", f"one:7={tmp_path}/none,{{locale}}"])
    others = [part.replace("models/one:1/", "models/two:0/") for part in line]
    assert "Are" in said(others)
    shutil.copytree(runs / "one:0", tmp_path / "empty", ignore=shutil.ignore_patterns("results"))
    assert "holds no results yet" in said([*line, "--run", f"one:7={tmp_path}/empty,{{locale}}"])
    assert "ZOO:SEED of its own" in said([*line, line[2]])
    assert "unknown variant" in said([*line, "--headline", "avrage-all"]).lower()
    (site / "README.md").write_text("no markers", encoding="utf-8")
    assert "has no <!-- massive-52 -->" in said(line)
    assert not (site / "docs/experiments/massive-52.csv").exists()
