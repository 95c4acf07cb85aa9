"""What an experiment will cost, against files counted and times added up by hand."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pico import Pico, TinyData, state
from workshop import content

from sprachbund import estimate as module
from sprachbund import merging
from sprachbund.checkpoints import Checkpoint, Zoo
from sprachbund.config import ExperimentConfig
from sprachbund.estimate import Rates, estimate
from sprachbund.experiment import Experiment
from sprachbund.inputs import Inputs
from sprachbund.merging.reading import Readers
from sprachbund.methods import METHODS
from sprachbund.preparing import prepare
from sprachbund.store import RunStore

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
def make(zoo: Zoo, tiny: TinyData, base: Checkpoint, tmp_path: Path) -> Make:
    """Prepares the experiment in ``tmp_path/run``, with a base where the method needs one."""

    def prepare_it(**settings: Any) -> Experiment:
        theirs = base if METHODS[settings.get("method", "linear")].needs_base else None
        given = {"locales": TARGETS, "sources": POOL, "num_languages": 2, "jobs": 1, **settings}
        named = {"base": str(base.folder)} if theirs else {}
        inputs = Inputs(zoo=zoo, base=theirs, data=tiny)
        return prepare(ExperimentConfig(output_dir=tmp_path / "run", **given, **named), inputs)

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


MATRIX = "encoder.layer.0.attention.self.query.weight"
"""A tensor that every method is about, 16 × 16."""


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How many elements of MATRIX the engine has read, by checkpoint."""
    found: Counter[Path] = Counter()
    read_ = Readers.read

    def counted(self: Readers, file: Any, name: str, start: int, out: Any) -> Any:
        if name.endswith(MATRIX):
            found[file.locate(name).path.parent] += out.size
        return read_(self, file, name, start, out)

    monkeypatch.setattr(Readers, "read", counted)
    return found


@pytest.mark.usefixtures("rated")
@pytest.mark.parametrize(
    "method", ["linear", "task_arithmetic", "karcher", "model_stock", "ties", "sce", "dare", "tsv_m"]
)
@pytest.mark.parametrize("keep", ["all", "none"])
@pytest.mark.parametrize("policy", ["average", "wide"])
def test_a_checkpoint_is_in_as_many_passes_as_the_engine_reads_it(
    method: str, keep: str, policy: str, make: Make, quiet: Report, read: Counter[Path]
) -> None:
    settings: dict[str, Any] = {"method": method, "keep_models": keep, "head_policy": policy}
    if method == "task_arithmetic":  # where λ is 1, θ₀ cancels and is not read
        settings["set"] = ("scale=0.5",)
    experiment = make(variants=("average", "average-all"), max_locales=2, **settings)
    passes = module._passes(experiment)
    found = estimate(experiment)
    assert found.passes == len(passes)
    to_merge = [each for sources in passes for each in sources]
    assert found.bytes_read == found.source_bytes + sum(each.nbytes for each in to_merge) + 4 * SIZE, (
        "four merged models"
    )
    assert not experiment.run(quiet).failures
    times = Counter(each.folder for each in to_merge)
    assert read == {folder: 16 * 16 * often for folder, often in times.items()}


@pytest.mark.usefixtures("rated")
def test_models_that_nobody_keeps_are_held_in_memory_group_by_group(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_peak_memory", lambda: 1000)
    assert estimate(make()).memory == 1000
    assert estimate(make(keep_models="none")).memory == 1000 + 6 * SIZE
    assert estimate(make(keep_models="none", memory=SIZE / 1e9)).memory == 1000 + 2 * SIZE
    assert estimate(make(keep_models="none", head_policy="wide")).memory == 1000
    assert estimate(make(keep_models="none", zero_shot=True, jobs=4)).memory == 1000 + 6 * SIZE, "one after the other"


def test_the_rate_of_a_merge_is_that_of_its_method(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, asked = 0.0, []

    def merge(merges: Sequence[merging.Merge], names: Sequence[str]) -> None:
        nonlocal seconds
        (wanted,) = merges
        size = sum(wanted.sources[0].tensors[name].nbytes for name in names)
        seconds += len(wanted.sources) * size / (100 if wanted.method == "tsv_m" else 1000)
        asked.append((wanted.method, dict(wanted.options), wanted.base, len(names)))

    experiment = make(method="tsv_m", set=("scale=0.5",), variants=("average",))
    monkeypatch.setattr(module.time, "perf_counter", lambda: seconds)
    monkeypatch.setattr(merging, "in_memory", merge)
    matrices = 6 * 16 * 16 * 4
    """Bytes of those in the only layer."""
    rate = module._merge_rate(module._probe(experiment, []))
    assert rate == pytest.approx(SIZE / (matrices / 100 + (SIZE - matrices) / 1000))
    tensors = len(experiment.checkpoints["nl-NL"].tensors)
    assert asked == [
        ("tsv_m", {"scale": 0.5}, experiment.inputs.base, 1),  # which took its time
        ("linear", {}, None, tensors),
    ]


def test_only_tensors_that_are_small_together_are_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {name: SimpleNamespace(nbytes=size) for name, size in (("a", 3), ("b", 90), ("c", 5), ("d", 4))}
    monkeypatch.setattr(module, "PROBE_BYTES", 8)
    assert module._probed(tensors) == ["c", "a"]
    monkeypatch.setattr(module, "PROBE_BYTES", 2)
    assert module._probed(tensors) == ["a"]


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
def test_rows_of_zero_shot_that_are_there_do_not_count(make: Make, quiet: Report, tmp_path: Path) -> None:
    settings = {"zero_shot": True, "variants": ("baseline",)}
    make(max_locales=1, **settings).run(quiet)
    found = estimate(make(**settings))
    assert (found.finished, found.zero_shot) == (1, len(POOL) * 2)
    assert found.seconds["zero-shot test"] == pytest.approx(len(POOL) * (2.0 + 2 * TEXTS / 10.0))
    assert estimate(make(overwrite=True, **settings)).zero_shot == len(POOL) * 2
    kept = RunStore(tmp_path / "run" / "results")
    for row in list(kept.transfers("test")):
        kept.write_transfer(row.without_answers())
    assert estimate(make(**settings)).zero_shot == len(POOL) * 2
    assert estimate(make(overwrite=True, **settings)).zero_shot == len(POOL) * 3, "answers were not kept"
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


@pytest.mark.parametrize(
    "method", [{}, {"method": "dare", "set": ("density=0.5",)}, {"method": "tsv_m", "variants": ("average",)}]
)
def test_it_measures_this_machine_and_writes_nothing(
    method: dict[str, Any], make: Make, zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    models = Path(zoo.template).parent
    before = content(models)
    found = estimate(make(zero_shot=True, **method))
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
