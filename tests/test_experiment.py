"""The main job over three locales: what it writes, what it does again, and what it survives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pico import INTENTS, Pico, TinyData, poison, rewrite

from sprachbund import cards, cells, inference, locales, prepared, store
from sprachbund.checkpoints import Checkpoint, Zoo, open_checkpoint
from sprachbund.config import ExperimentConfig
from sprachbund.errors import CheckpointError, IncompatibleError, StoreError, UserError
from sprachbund.experiment import CONFIGURATION, FINAL, Experiment
from sprachbund.inputs import Inputs
from sprachbund.merging import merged_tensors
from sprachbund.preparing import needed_sources, prepare
from sprachbund.report.html.page import _licences_of_sources
from sprachbund.store import PROGRESS, Record

TARGETS = ("de-DE", "ja-JP", "sq-AL")
VARIANTS = ("baseline", "similarity", "average")
MERGED = {"de-DE": ("nl-NL", "da-DK"), "ja-JP": ("mn-MN", "kn-IN"), "sq-AL": ("ro-RO", "el-GR")}
"""The two nearest by uriel:syntax_knn."""
Report = Callable[[str, int, int], None]


@pytest.fixture(scope="module")
def shared_zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """All sources that three locales need; for reading only."""
    return Pico(tmp_path_factory.mktemp("experiment")).zoo(needed_sources(config(Path()), locales.names()))


@pytest.fixture
def own_zoo(shared_zoo: Zoo, tmp_path: Path) -> Zoo:
    """A copy that a test may break."""
    shutil.copytree(Path(shared_zoo.template).parent, tmp_path / "own")
    return Zoo(f"{tmp_path}/own/{{locale}}")


@pytest.fixture
def make(shared_zoo: Zoo, tiny: TinyData, tmp_path: Path) -> Callable[..., Experiment]:
    """Prepares the experiment in ``tmp_path/run``."""

    def prepare_it(zoo: Zoo = shared_zoo, **settings: Any) -> Experiment:
        return prepare(config(tmp_path / "run", **settings), Inputs(zoo=zoo, base=None, data=tiny))

    return prepare_it


Make = Callable[..., Experiment]


def config(output_dir: Path, **settings: Any) -> ExperimentConfig:
    return ExperimentConfig(**{"output_dir": output_dir, "locales": TARGETS, "num_languages": 2, **settings})


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def snapshot(folder: Path, pattern: str = "*") -> dict[Path, tuple[int, int]]:
    """Every file with its inode and the time of its last change."""
    files = (path for path in folder.rglob(pattern) if path.is_file())
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def substance(record: Record) -> dict[str, Any]:
    """All of a record but when it was made and what that took."""
    values = record.model_dump(mode="json")
    for name in ("timestamp", "seconds", "energy"):
        values["evaluation_info"].pop(name)
    return values


# --- what it does ------------------------------------------------------------------------------------------------------


def test_the_sources_that_are_needed_are_known_before_any_is_opened() -> None:
    merged = {source for sources in MERGED.values() for source in sources}
    assert set(needed_sources(config(Path()), locales.names())) == {*TARGETS, *merged}
    assert set(needed_sources(config(Path(), skip_baseline=True), locales.names())) == merged
    only = config(Path(), skip_similarity=True, skip_average=True)
    assert needed_sources(only, locales.names()) == TARGETS
    assert needed_sources(config(Path(), variants=("average-all",)), locales.names()) == locales.names()
    assert needed_sources(config(Path(), zero_shot=True), locales.names()) == locales.names()


@pytest.mark.usefixtures("counted_package")
@pytest.mark.parametrize(
    ("settings", "is_worker", "drawn"),
    [({}, False, (0.0, ("CPU package-0",))), ({}, True, (None, ())), ({"join": True}, False, (None, ()))],
    ids=["alone", "one of several workers", "one of several runs"],
)
def test_a_cell_says_what_it_drew_where_no_other_worker_draws(
    make: Make,
    quiet: Report,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    is_worker: bool,
    drawn: tuple[float | None, tuple[str, ...]],
) -> None:
    monkeypatch.setattr(prepared, "is_worker", lambda: is_worker)
    records = make(locales=("sq-AL",), skip_similarity=True, **settings).run(quiet).records.values()
    assert {(record.evaluation_info.energy, record.evaluation_info.energy_of) for record in records} == {drawn}


def test_three_variants_in_three_locales_make_nine_records(
    make: Make, shared_zoo: Zoo, quiet: Report, tmp_path: Path
) -> None:
    outcome = make().run(quiet)
    assert set(outcome.records) == {(target, variant) for target in TARGETS for variant in VARIANTS}
    assert (outcome.failures, outcome.reused) == ([], 0)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "results",
        "merged_models",
        PROGRESS,
        FINAL,
        CONFIGURATION,
    }
    for (target, variant), record in outcome.records.items():
        assert store.read_record(tmp_path / f"run/results/{variant}_{target}") == record
        assert (record.evaluation_info.locale, record.evaluation_info.variant) == (target, variant)
        assert record.performance.total == 24
        sources = {source.locale: source.weight for source in record.model_info.sources}
        if variant == "baseline":
            assert sources == {target: 1.0}
            assert record.evaluation_info.uses == ("target-train",)
        else:
            assert tuple(sources) == MERGED[target]
            assert sum(sources.values()) == pytest.approx(1)
            assert record.evaluation_info.uses == ("nothing",)
            assert (sources[MERGED[target][0]] > 0.5) == (variant == "similarity")
        for source in record.model_info.sources:
            assert source.digest == shared_zoo.checkpoint(source.locale).digest


def test_merged_models_are_the_weighted_sums_that_the_records_tell_of(
    make: Make, shared_zoo: Zoo, quiet: Report, tmp_path: Path
) -> None:
    outcome = make().run(quiet)
    for target in TARGETS:
        for variant in ("similarity", "average"):
            model = open_checkpoint(tmp_path / f"run/merged_models/{variant}_merge_{target}")
            info = outcome.records[target, variant].model_info
            sources = [shared_zoo.checkpoint(source.locale) for source in info.sources]
            for name, array in merged_tensors(sources, [source.weight for source in info.sources]).items():
                assert (model.file.read(name) == array).all()


def test_progress_is_written_after_each_locale(make: Make, tmp_path: Path) -> None:
    seen: list[Any] = []

    def look(stage: str, done: int, total: int) -> None:
        assert total == 9
        seen.append(read(tmp_path / "run" / PROGRESS) if (tmp_path / "run" / PROGRESS).exists() else None)

    make().run(look)
    counts = [len(progress["completed_locales"]) for progress in seen]
    assert counts == [0] * 5 + [1] * 3 + [2] * 3, "before all, before the merges, and after each cell"
    identities = {
        target: {
            variant: read(tmp_path / f"run/results/{variant}_{target}/results.json")["identity"] for variant in VARIANTS
        }
        for target in TARGETS
    }
    assert seen[0]["cells"] == seen[-1]["cells"] == identities, "what is to be done is said before anything is"
    assert (seen[0]["results"], seen[0]["zero_shot"]) == ({}, [])
    halfway = seen[6]
    assert halfway["completed_locales"] == ["de-DE"]
    assert halfway["remaining_locales"] == ["ja-JP", "sq-AL"]
    assert (halfway["total_locales"], halfway["total_experiments"]) == (3, 9)
    assert (halfway["successful_experiments"], halfway["failed_experiments"]) == (3, 0)
    assert set(halfway["results"]) == {"de-DE"}
    last = read(tmp_path / "run" / PROGRESS)
    assert (last["completed_locales"], last["remaining_locales"]) == (list(TARGETS), [])


def test_final_results_are_those_of_the_records(make: Make, quiet: Report, tmp_path: Path) -> None:
    outcome = make().run(quiet)
    final = read(tmp_path / "run" / FINAL)
    assert (final["total_experiments"], final["successful_experiments"], final["failed_experiments"]) == (9, 9, 0)
    assert final["configuration"]["num_languages"] == 2
    assert final["data"] == {"name": "tiny", "revision": "1", "notice": "Made-up words.", "demonstration": True}
    assert list(final["results"]) == list(TARGETS)
    for (target, variant), record in outcome.records.items():
        assert final["results"][target][variant] == {
            "accuracy": record.performance.accuracy,
            "correct": record.performance.correct,
            "total": 24,
            "uses": list(record.evaluation_info.uses),
        }


def test_a_merged_folder_evaluated_by_itself_is_the_same_cell(
    make: Make, tiny: TinyData, quiet: Report, tmp_path: Path
) -> None:
    outcome = make().run(quiet)
    for (target, variant), record in outcome.records.items():
        checkpoint = (
            open_checkpoint(tmp_path / f"run/merged_models/{variant}_merge_{target}")
            if variant != "baseline"
            else open_checkpoint(Path(record.model_info.model))
        )
        subject = cells.describe(checkpoint, target)
        again = cells.evaluate(subject, tiny, "test", variant, tmp_path / "again", precision="fp32", started=0)
        ours, theirs = substance(record), substance(again)
        assert ours.pop("model_info").pop("model")
        assert theirs.pop("model_info").pop("model")
        assert ours == theirs


def test_locales_start_and_maximum_are_applied_in_this_order(make: Make) -> None:
    planned = make(start_from=1, max_locales=1)
    assert planned.targets == ("ja-JP",)
    assert [cell.variant.name for cell in planned.cells] == list(VARIANTS)
    assert [cell.target for cell in make(start_from=1).cells] == ["ja-JP"] * 3 + ["sq-AL"] * 3


@pytest.mark.parametrize("skipped", VARIANTS)
def test_what_is_skipped_is_neither_made_nor_read(skipped: str, make: Make, quiet: Report, tmp_path: Path) -> None:
    outcome = make(max_locales=1, **{f"skip_{skipped}": True}).run(quiet)
    kept = [variant for variant in VARIANTS if variant != skipped]
    assert [variant for _, variant in outcome.records] == kept
    assert not (tmp_path / f"run/results/{skipped}_de-DE").exists()
    assert not (tmp_path / f"run/merged_models/{skipped}_merge_de-DE").exists()
    assert read(tmp_path / "run" / FINAL)["total_experiments"] == 2


# --- again -------------------------------------------------------------------------------------------------------------


def test_a_second_run_does_nothing_again(
    make: Make, quiet: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make().run(quiet)
    before = {**snapshot(tmp_path / "run/results"), **snapshot(tmp_path / "run/merged_models")}
    assert len([path for path in before if not path.name.endswith(".lock")]) == 9 * 2 + 6 * 7

    def load(folder: Path) -> None:
        raise AssertionError(f"{folder} was loaded")

    monkeypatch.setattr(inference, "load_classifier", load)
    second = make().run(quiet)
    assert second.reused == 9
    assert second.records == first.records
    assert {**snapshot(tmp_path / "run/results"), **snapshot(tmp_path / "run/merged_models")} == before


def test_an_interrupted_run_goes_on_where_it_was(make: Make, quiet: Report) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make().run(interrupt)
    outcome = make().run(quiet)
    assert (outcome.reused, len(outcome.records)) == (5, 9)


def test_more_locales_later_keep_what_is_there(make: Make, quiet: Report) -> None:
    make(max_locales=1).run(quiet)
    assert make().run(quiet).reused == 3


def test_a_result_that_was_tampered_with_is_made_again(make: Make, quiet: Report, tmp_path: Path) -> None:
    make().run(quiet)
    path = tmp_path / "run/results/average_ja-JP/predictions.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert make().run(quiet).reused == 8
    assert path.read_bytes() == whole


def test_a_merged_model_that_was_tampered_with_is_never_the_candidate(
    make: Make, quiet: Report, tmp_path: Path
) -> None:
    first = make().run(quiet)
    rewrite(
        tmp_path / "run/merged_models/average_merge_ja-JP", lambda tensors: tensors["classifier.dense.weight"].zero_()
    )
    shutil.rmtree(tmp_path / "run/results/average_ja-JP")
    with pytest.raises(StoreError, match="average_merge_ja-JP holds another model"):
        make()
    again = make(overwrite=True).run(quiet)
    assert (again.reused, len(again.records)) == (8, 9)
    assert again.records["ja-JP", "average"].identity == first.records["ja-JP", "average"].identity


def test_models_of_another_zoo_are_not_mixed_in(make: Make, pico: Pico, quiet: Report, tmp_path: Path) -> None:
    before = make().run(quiet)
    files = snapshot(tmp_path / "run")
    other = pico.zoo(needed_sources(config(Path()), locales.names()), change=0.1)
    with pytest.raises(StoreError, match=r"results/baseline_de-DE holds the result of something else .*--overwrite"):
        make(other)
    assert snapshot(tmp_path / "run") == files
    after = make(other, overwrite=True).run(quiet)
    assert (after.reused, after.failures) == (0, [])
    assert all(record.identity != before.records[key].identity for key, record in after.records.items())
    assert make(other).run(quiet).reused == 9


@pytest.mark.parametrize("change", [{"sharpness": 5.0}, {"num_languages": 3}, {"split": "dev"}])
def test_other_settings_are_other_results(change: dict[str, Any], make: Make, pico: Pico, quiet: Report) -> None:
    zoo = pico.zoo(needed_sources(config(Path(), **change), locales.names()))
    make(zoo, max_locales=1).run(quiet)
    with pytest.raises(StoreError, match="holds the result of something else"):
        make(zoo, max_locales=1, **change)


@pytest.mark.parametrize("change", [{"sharpness": 5.0}, {"num_languages": 3}])
def test_results_of_other_locales_that_were_made_otherwise_are_told_before_work(
    change: dict[str, Any], make: Make, pico: Pico, quiet: Report, tmp_path: Path
) -> None:
    zoo = pico.zoo(needed_sources(config(Path(), **change), locales.names()))
    make(zoo, locales=TARGETS[:1]).run(quiet)
    before = snapshot(tmp_path / "run")
    (name,) = change
    with pytest.raises(StoreError, match=f"_de-DE was made with another {name} than this run has"):
        make(zoo, locales=TARGETS[1:], **change)
    assert snapshot(tmp_path / "run") == before
    make(zoo, locales=TARGETS[1:], skip_similarity=True, skip_average=True, **change)  # a baseline knows no settings


def test_a_result_that_cannot_be_read_is_told_before_work_even_if_it_is_not_wanted(
    make: Make, quiet: Report, tmp_path: Path
) -> None:
    make(locales=TARGETS[:1]).run(quiet)
    path = tmp_path / "run/results/average_de-DE/results.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace(f'"schema_version": {store.SCHEMA_VERSION}', '"schema_version": 99')
    )
    with pytest.raises(StoreError, match="newer sprachbund"):
        make(locales=TARGETS[1:])


def test_models_that_were_moved_take_their_results_with_them(make: Make, own_zoo: Zoo, quiet: Report) -> None:
    before = make(own_zoo, zero_shot=True, sources=TARGETS, jobs=1).run(quiet)
    new = Path(own_zoo.template).parent.with_name("moved")
    Path(own_zoo.template).parent.rename(new)
    moved = make(Zoo(f"{new}/{{locale}}"), zero_shot=True, sources=TARGETS, jobs=1)
    after = moved.run(quiet)
    assert (after.reused, len(after.records)) == (9, 9)
    assert {record.model_info.zoo for record in after.records.values()} == {f"{new}/{{locale}}"} == {moved.zoo}
    assert {record.identity for record in after.records.values()} == {r.identity for r in before.records.values()}
    for place in ("records", "rows"):
        found = moved.store.records() if place == "records" else moved.store.transfers("test")
        zoos = {each.model_info.zoo if isinstance(each, Record) else each.zoo for each in found}
        assert zoos == {moved.zoo}, place


def test_one_folder_has_one_name_however_it_is_typed(
    make: Make, own_zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ("own/{locale}", "../" + tmp_path.name + "/own/{locale}", own_zoo.template)
    assert {make(Zoo(template)).zoo for template in typed} == {own_zoo.template}


def test_cells_that_are_done_need_no_room(
    make: Make, quiet: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(keep_models="none").run(quiet)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))  # type: ignore[attr-defined]
    assert make().run(quiet).reused == 9


def test_to_replace_results_is_no_setting_that_is_read_back(make: Make, quiet: Report, tmp_path: Path) -> None:
    make(overwrite=True).run(quiet)
    assert "overwrite" not in (tmp_path / "run" / CONFIGURATION).read_text(encoding="utf-8")


# --- what it survives --------------------------------------------------------------------------------------------------


def test_a_broken_source_fails_its_cells_and_no_others(make: Make, own_zoo: Zoo, quiet: Report, tmp_path: Path) -> None:
    """nl-NL is a source of the merges for de-DE; ja-JP is a target's own."""
    intact = {name: (own_zoo.checkpoint(name).folder / "model.safetensors").read_bytes() for name in ("nl-NL", "ja-JP")}
    for name in intact:
        poison(own_zoo.checkpoint(name).folder)
    outcome = make(own_zoo).run(quiet)

    assert [(failure.locale, failure.variant) for failure in outcome.failures] == [
        ("de-DE", "similarity"),
        ("de-DE", "average"),
        ("ja-JP", "baseline"),
    ]
    assert len(outcome.records) == 6
    merge, average, single = outcome.failures
    assert merge.reason == average.reason
    assert merge.reason.startswith(
        f"Tensor classifier.out_proj.bias of {tmp_path}/own/nl-NL holds NaN or infinite numbers"
    )
    assert single.reason.startswith(f"{tmp_path}/own/ja-JP answers with NaN or infinite numbers")
    for failure in outcome.failures:
        folder = tmp_path / f"run/results/{failure.variant}_{failure.locale}"
        assert {path.name for path in folder.iterdir()} == {"failure.json"}
        assert "Traceback" in read(folder / "failure.json")["traceback"]
    assert not (tmp_path / "run/merged_models/average_merge_de-DE").exists()

    final = read(tmp_path / "run" / FINAL)
    assert (final["successful_experiments"], final["failed_experiments"]) == (6, 3)
    assert final["results"]["ja-JP"]["baseline"] == {"error": single.reason}

    for name, content in intact.items():
        (own_zoo.checkpoint(name).folder / "model.safetensors").write_bytes(content)
    healed = make(own_zoo).run(quiet)
    assert (healed.reused, len(healed.records), healed.failures) == (6, 9, [])
    assert list((tmp_path / "run/results").glob("*/failure.json")) == []


def test_a_source_that_vanishes_fails_its_cells_only(make: Make, own_zoo: Zoo, quiet: Report) -> None:
    experiment = make(own_zoo)
    folder = own_zoo.checkpoint("nl-NL").folder
    shutil.rmtree(folder)
    outcome = experiment.run(quiet)
    assert len(outcome.records) == 7
    assert len(outcome.failures) == 2
    assert all(f"{folder} has changed" in failure.reason for failure in outcome.failures)


def test_the_first_target_s_own_source_may_vanish_too(make: Make, own_zoo: Zoo, quiet: Report) -> None:
    experiment = make(own_zoo)
    shutil.rmtree(own_zoo.checkpoint("de-DE").folder)
    outcome = experiment.run(quiet)
    assert [(failure.locale, failure.variant) for failure in outcome.failures] == [("de-DE", "baseline")]
    assert len(outcome.records) == 8


def test_a_target_needs_no_source_of_its_own(make: Make, own_zoo: Zoo, quiet: Report) -> None:
    """Merging for a language that has no model is what all this is for."""
    for target in TARGETS:
        shutil.rmtree(own_zoo.checkpoint(target).folder)
    experiment = make(own_zoo, skip_baseline=True)
    assert experiment.zoo.endswith("/own/{locale}")
    poison(own_zoo.checkpoint("nl-NL").folder)
    outcome = experiment.run(quiet)
    assert len(outcome.records) == 4
    assert {failure.locale for failure in outcome.failures} == {"de-DE"}
    assert {record.model_info.zoo for record in outcome.records.values()} == {experiment.zoo}
    assert {failure.zoo for failure in outcome.failures} == {experiment.zoo}


def test_a_missing_source_stops_it_before_anything_is_written(make: Make, own_zoo: Zoo, tmp_path: Path) -> None:
    shutil.rmtree(own_zoo.checkpoint("ro-RO").folder)
    with pytest.raises(CheckpointError, match="There is no folder .*ro-RO: check the name"):
        make(own_zoo)
    assert not (tmp_path / "run").exists()


def test_a_source_of_another_task_stops_it_before_anything_is_written(make: Make, own_zoo: Zoo, tmp_path: Path) -> None:
    Pico(tmp_path / "own").source("ro-RO", labels=("yes", "no"))
    with pytest.raises(IncompatibleError, match="ro-RO was trained for other labels than those of tiny"):
        make(own_zoo)
    assert not (tmp_path / "run").exists()


def test_too_little_disk_stops_it_beforehand_and_names_the_way_on(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bytes_per_model = 4 * 7_428
    free = shutil.disk_usage(tmp_path)._replace(free=3 * bytes_per_model)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(
        UserError, match=r"^6 merged models need .* keep none of them \(--keep-models none\), or choose another"
    ):
        make()
    assert len(make(keep_models="none").cells) == 9
    assert not (tmp_path / "run").exists()


# --- model cards -------------------------------------------------------------------------------------------------------


def test_a_kept_model_has_its_result_on_its_card(make: Make, quiet: Report, tmp_path: Path) -> None:
    outcome = make().run(quiet)
    for (target, variant), record in outcome.records.items():
        if variant == "baseline":
            continue
        folder = tmp_path / "run" / "merged_models" / f"{variant}_merge_{target}"
        front = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])
        ((accuracy, f1),) = [result["metrics"] for result in front["model-index"][0]["results"]]
        assert accuracy["value"] == pytest.approx(record.performance.accuracy, abs=1e-6)
        assert f1["value"] == pytest.approx(record.performance.macro_f1, abs=1e-6)


def test_a_card_that_a_killed_run_left_without_its_result_is_completed(
    make: Make, quiet: Report, tmp_path: Path
) -> None:
    make(max_locales=1).run(quiet)
    first, second = sorted((tmp_path / "run" / "merged_models").iterdir())
    whole = (first / "README.md").read_text(encoding="utf-8")
    details = cards.read_details(first)
    assert details
    assert cards.write_card(first, details) != whole
    (second / "README.md").write_text("# Mine\n")
    assert make(max_locales=1).run(quiet).reused == 3
    assert (first / "README.md").read_text(encoding="utf-8") == whole
    assert (second / "README.md").read_text(encoding="utf-8") == "# Mine\n"  # which is nobody else's to change


# --- keep_models none --------------------------------------------------------------------------------------------------


def test_without_keeping_models_the_records_are_the_same(make: Make, quiet: Report, tmp_path: Path) -> None:
    kept = make().run(quiet)
    shutil.rmtree(tmp_path / "run")
    passing = make(keep_models="none").run(quiet)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"results", PROGRESS, FINAL, CONFIGURATION}
    assert passing.failures == []
    for key, record in kept.records.items():
        assert substance(passing.records[key]) == substance(record)
    assert make(keep_models="all").run(quiet).reused == 9


def test_without_keeping_models_the_first_cell_may_be_a_merge(make: Make, quiet: Report, tmp_path: Path) -> None:
    """The output folder is not there yet, and merges need a temporary one in it."""
    outcome = make(keep_models="none", skip_baseline=True, max_locales=1).run(quiet)
    assert [failure.reason for failure in outcome.failures] == []
    assert len(outcome.records) == 2


# --- labels and zero-shot ----------------------------------------------------------------------------------------------


def test_numbered_labels_are_noted_once_for_all_sources(make: Make, pico: Pico, quiet: Report, shared_zoo: Zoo) -> None:
    numbered = [f"LABEL_{number}" for number in range(len(INTENTS))]
    needed = needed_sources(config(Path()), locales.names())
    experiment = make(pico.zoo(needed, labels=numbered))
    (note,) = experiment.notes
    assert "names its labels LABEL_0 to LABEL_3: read in the label order of tiny." in note
    assert note.endswith(f"So do {len(needed) - 1} others.")
    assert make().notes == ()


def test_zero_shot_rows_of_other_models_are_told_before_any_work(
    make: Make, pico: Pico, quiet: Report, tmp_path: Path
) -> None:
    pool = ("de-DE", "ja-JP", "sq-AL", "fr-FR")
    settings = {"zero_shot": True, "jobs": 1, "sources": pool, "variants": ("baseline",)}
    make(pico.zoo(pool), **settings).run(quiet)
    others = pico.zoo(pool, change=0.1)
    shutil.rmtree(tmp_path / "run/results/baseline_de-DE")
    with pytest.raises(StoreError, match="transfer/test/.*other models or data"):
        make(others, **settings, locales=("de-DE",))
    assert not (tmp_path / "run/results/baseline_de-DE").exists()


def test_zero_shot_evaluates_every_source_on_every_target(make: Make, pico: Pico, quiet: Report) -> None:
    pool = ("de-DE", "ja-JP", "sq-AL", "fr-FR")
    settings = {"zero_shot": True, "jobs": 1, "skip_similarity": True, "skip_average": True}
    experiment = make(pico.zoo(pool), sources=pool, **settings)
    outcome = experiment.run(quiet)
    rows = list(experiment.store.transfers("test"))
    assert {row.source: set(row.cells) for row in rows} == {source: set(TARGETS) for source in pool}
    for row in rows:
        if row.source in TARGETS:  # at home, a source is its locale's baseline
            assert row.cells[row.source].correct == outcome.records[row.source, "baseline"].performance.correct


def test_zero_shot_is_off_unless_asked_for_or_in_the_demonstration() -> None:
    assert not config(Path()).wants_zero_shot
    assert config(Path(), zero_shot=True).wants_zero_shot
    assert config(Path(), demo=True).wants_zero_shot
    assert not config(Path(), demo=True, skip_zero_shot=True).wants_zero_shot


def test_a_source_that_changes_before_it_is_opened_anew_takes_no_cell(
    make: Make, own_zoo: Zoo, quiet: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is opened then is looked at only while it is read: it would be compared with itself."""
    experiment = make(own_zoo, locales=["de-DE"], variants=("baseline",), skip_zero_shot=True, jobs=1)
    look = Checkpoint.check_unchanged

    def look_too_early(checkpoint: Checkpoint) -> None:
        look(checkpoint)
        if checkpoint is experiment.checkpoints["de-DE"]:
            other = own_zoo.checkpoint("nl-NL").folder / "model.safetensors"
            shutil.copyfile(other, checkpoint.folder / other.name)

    monkeypatch.setattr(Checkpoint, "check_unchanged", look_too_early)
    (failure,) = experiment.run(quiet).failures
    assert "de-DE has changed while this run was at work: bring back what was there" in failure.reason
    assert list(experiment.store.records()) == []


def test_an_old_record_gets_the_licences_that_the_cards_name(make: Make, own_zoo: Zoo, quiet: Report) -> None:
    for locale in MERGED["de-DE"]:
        card = own_zoo.checkpoint(locale).folder / "README.md"
        card.write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    experiment = make(own_zoo, locales=["de-DE"], variants=("similarity",), skip_zero_shot=True, jobs=1)
    experiment.run(quiet)
    path = experiment.cells[0].results_folder / "results.json"
    old = read(path) | {"schema_version": 2}
    for source in old["model_info"]["sources"]:
        del source["score"], source["licence"]
    for name in ("energy", "energy_of", "threads"):
        del old["evaluation_info"][name]
    path.write_text(json.dumps(old), encoding="utf-8")
    outcome = experiment.run(quiet)
    assert outcome.reused == 1
    said = list(_licences_of_sources(list(experiment.store.records())))
    assert said == ["mit (2: all of them).", "A merge is a derivative of all of its sources."]
