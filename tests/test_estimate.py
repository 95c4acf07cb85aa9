"""What an experiment will cost, against files counted and times added up by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pico import Pico, TinyData, state
from workshop import content

from sprachbund import estimate as module
from sprachbund.checkpoints import Zoo
from sprachbund.config import ExperimentConfig
from sprachbund.estimate import Rates, estimate
from sprachbund.experiment import Experiment, prepare
from sprachbund.inputs import Inputs

TARGETS = ("de-DE", "ja-JP", "sq-AL")
MERGED = {"de-DE": ("nl-NL", "da-DK"), "ja-JP": ("mn-MN", "kn-IN"), "sq-AL": ("ro-RO", "el-GR")}
"""The two nearest by uriel:syntax_knn."""
POOL = (*TARGETS, *(source for sources in MERGED.values() for source in sources), "fr-FR")
"""One more than the merges read."""
SIZE = 4 * 7_428
"""Bytes of a pico source in fp32."""
SMALL = "de-DE"
"""The locale whose own source is half as big, in bf16; it stands in no merge."""
TEXTS = 24
"""Rows of the test split in each locale."""
RATES = Rates(load=2.0, texts=10.0, merge=1000.0)

Report = Callable[[str, int, int], None]
Make = Callable[..., Experiment]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """The sources of the pool; for reading only."""
    pico = Pico(tmp_path_factory.mktemp("estimate"))
    pico.zoo(set(POOL) - {SMALL})
    return pico.zoo([SMALL], dtype=torch.bfloat16)


@pytest.fixture
def make(zoo: Zoo, tiny: TinyData, tmp_path: Path) -> Make:
    """Prepares the experiment in ``tmp_path/run``."""

    def prepare_it(**settings: Any) -> Experiment:
        given = {"locales": TARGETS, "sources": POOL, "num_languages": 2, "jobs": 1, **settings}
        return prepare(ExperimentConfig(output_dir=tmp_path / "run", **given), Inputs(zoo=zoo, base=None, data=tiny))

    return prepare_it


@pytest.fixture
def rated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures what is easy to add up by hand."""
    monkeypatch.setattr(module, "_measure", lambda experiment: RATES)


def bytes_of(zoo: Zoo, locale: str) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in state(zoo.checkpoint(locale)).values())


def test_the_files_are_as_big_as_these_tests_say(zoo: Zoo) -> None:
    assert {locale: bytes_of(zoo, locale) for locale in POOL} == {**dict.fromkeys(POOL, SIZE), SMALL: SIZE // 2}


@pytest.mark.usefixtures("rated")
def test_all_of_three_locales_is_counted(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage("/")._replace(free=123_456_789)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    found = estimate(make())
    assert (found.cells, found.finished, found.zero_shot) == (9, 0, 0)
    assert found.by_variant == {"baseline": 3, "similarity": 3, "average": 3}
    assert (found.sources, found.source_bytes) == (9, 8 * SIZE + SIZE // 2), "three targets and six in merges"
    baselines, merges = 2 * SIZE + SIZE // 2, 6 * SIZE + 6 * SIZE
    assert found.bytes_read == found.source_bytes + baselines + merges, "six sources in one pass, and six merged models"
    assert found.passes == 1
    apart = estimate(make(memory=SIZE / 1e9))
    assert (apart.passes, apart.bytes_read) == (3, found.bytes_read), "no source is in merges of two targets"
    assert found.bytes_written == 6 * SIZE
    assert found.bytes_free == 123_456_789


@pytest.mark.usefixtures("rated")
def test_seconds_add_up_from_the_rates(make: Make) -> None:
    found = estimate(make())
    evaluating, summing = 2.0 + TEXTS / 10.0, 2 * SIZE / 1000.0
    assert found.seconds == {"cells": pytest.approx(9 * evaluating + 6 * summing)}
    assert found.total_seconds == pytest.approx(9 * evaluating + 6 * summing)
    assert found.rates == RATES
    dev = estimate(make(split="dev", variants=("baseline",)))
    assert dev.seconds == {"cells": pytest.approx(3 * (2.0 + 16 / 10.0))}, "the dev split is shorter"


@pytest.mark.usefixtures("rated")
def test_what_is_finished_does_not_count(make: Make, quiet: Report) -> None:
    make(max_locales=1).run(quiet)
    make(locales=("ja-JP",), variants=("average",)).run(quiet)
    found = estimate(make())
    assert (found.cells, found.finished) == (9, 4)
    assert found.by_variant == {"baseline": 2, "similarity": 2, "average": 1}
    assert found.bytes_read == found.source_bytes + 2 * SIZE + 4 * SIZE + 3 * SIZE, "four sources for three merges"
    assert found.bytes_written == 3 * SIZE
    assert found.seconds["cells"] == pytest.approx(5 * 4.4 + 3 * 2 * SIZE / 1000.0)
    assert estimate(make(overwrite=True, split="dev")).finished == 0, "what is to be replaced is to be done"


@pytest.mark.usefixtures("rated")
@pytest.mark.parametrize(("jobs", "processes"), [(1, 1), (4, 4), (64, len(POOL))])
def test_zero_shot_is_every_source_of_the_pool_in_every_target(
    jobs: int, processes: int, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_peak_memory", lambda: 1000)
    found = estimate(make(zero_shot=True, jobs=jobs, variants=("baseline",)))
    assert found.zero_shot == len(POOL) * 3
    assert (found.sources, found.source_bytes) == (10, 9 * SIZE + SIZE // 2), "the pool, more than the baselines"
    assert found.bytes_read == 2 * SIZE + SIZE // 2 + 2 * found.source_bytes, "once to know them, once to evaluate them"
    assert found.bytes_written == 0
    assert found.memory == processes * 1000
    row = 2.0 + 3 * TEXTS / 10.0
    assert found.seconds == {
        "cells": pytest.approx(3 * 4.4),
        "zero-shot test": pytest.approx(len(POOL) * row / processes),
    }
    assert found.total_seconds == pytest.approx(3 * 4.4 + len(POOL) * row / processes)


@pytest.mark.usefixtures("rated")
def test_rows_of_zero_shot_that_are_there_do_not_count(make: Make, quiet: Report) -> None:
    settings = {"zero_shot": True, "variants": ("baseline",)}
    make(max_locales=1, **settings).run(quiet)
    found = estimate(make(**settings))
    assert (found.finished, found.zero_shot) == (1, len(POOL) * 2)
    assert found.seconds["zero-shot test"] == pytest.approx(len(POOL) * (2.0 + 2 * TEXTS / 10.0))
    assert estimate(make()).zero_shot == 0, "nobody asked"
    assert estimate(make(demo=True, skip_zero_shot=True)).zero_shot == 0


def test_where_nothing_is_left_nothing_is_measured(make: Make, quiet: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"zero_shot": True, "max_locales": 1}
    make(**settings).run(quiet)
    monkeypatch.setattr(module, "_measure", lambda experiment: pytest.fail("something was measured"))
    found = estimate(make(**settings))
    assert (found.cells, found.finished, found.zero_shot) == (3, 3, 0)
    assert found.by_variant == {"baseline": 0, "similarity": 0, "average": 0}
    assert (found.bytes_read, found.bytes_written) == (found.source_bytes, 0), "to know that nothing is left to do"
    assert (found.rates, found.seconds, found.total_seconds) == (None, {}, 0)


def test_it_measures_this_machine_and_writes_nothing(
    make: Make, zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    models = Path(zoo.template).parent
    before = content(models)
    found = estimate(make(zero_shot=True))
    assert content(models) == before
    assert content(tmp_path) == {"empty": None}
    assert found.rates
    assert min(found.rates.load, found.rates.texts, found.rates.merge) > 0
    assert found.memory > 10_000_000, "torch alone takes more"
    assert found.total_seconds > 0


def test_it_expects_the_stages_that_a_run_reports(make: Make) -> None:
    stages = []
    experiment = make(zero_shot=True, max_locales=1)
    expected = estimate(experiment).seconds
    experiment.run(lambda stage, done, total: stages.append(stage.partition(",")[0]))
    assert set(stages) == set(expected) == {"cells", "zero-shot test"}
