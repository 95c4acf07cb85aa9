"""What who looks on learns of a run: from its folder alone, while that changes under his eyes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from results_folder import ZOO
from watched import BEFORE, LAST, LATER, NAMES, VARIANTS, Run

from sprachbund import files, store
from sprachbund.report import progress as onlooking
from sprachbund.report.progress import Reader, RunState


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


@pytest.fixture
def reader(run: Run) -> Reader:
    return Reader(run.folder)


def look(reader: Reader) -> RunState:
    state = reader.look()
    assert state is not None
    return state


def states(state: RunState) -> Mapping[tuple[str, str], str]:
    return {(variant, row.locale.name): cell.state for row in state.rows for variant, cell in row.cells.items()}


def test_a_run_from_before_its_beginning_to_its_end(run: Run, reader: Reader) -> None:
    assert reader.look() is None
    run.announce()
    state = look(reader)
    assert (state.total, state.count("open"), state.complete) == (4, 4, False)
    assert (state.variants, [row.locale.name for row in state.rows]) == (VARIANTS, ["af-ZA", "nl-NL"])
    assert (state.rate, state.seconds_left, state.leader) == (None, None, None)

    run.finish("baseline", "nl-NL", 80)
    run.fail("auto", "nl-NL", "a source holds NaN")
    state = look(reader)
    assert states(state) == {
        ("baseline", "af-ZA"): "open",
        ("auto", "af-ZA"): "open",
        ("baseline", "nl-NL"): "done",
        ("auto", "nl-NL"): "failed",
    }
    assert (state.rate, state.seconds_left) == (None, None), "both in one second"
    assert state.leader is None, "no locale has all variants"
    assert [cell.reason for *_, cell in state.finished if cell.state == "failed"] == ["a source holds NaN"]

    run.finish("baseline", "af-ZA", 90, at=LAST)
    state = look(reader)
    assert (state.rate, state.seconds_left) == (pytest.approx(2 / 180), pytest.approx(90)), "two more in three minutes"
    run.finish("auto", "af-ZA", 70, at=LAST)
    state = look(reader)
    assert state.complete
    assert (state.count("done"), state.count("failed"), state.seconds_left) == (3, 1, 0)
    assert state.leader == ("baseline", 0.9)
    assert state.common == ("af-ZA",)
    assert (state.by_variant["baseline"].mean, state.by_variant["baseline"].best_locale) == (
        pytest.approx(0.85),
        "af-ZA",
    )
    assert (state.by_variant["auto"].mean, state.by_variant["auto"].failed) == (0.7, 1)
    assert [event[:2] for event in state.finished[:2]] == [("auto", "af-ZA"), ("baseline", "af-ZA")], "the latest first"


def test_on_resume_failures_are_open_again_and_results_from_before_tell_nothing_of_the_rate(
    run: Run, reader: Reader
) -> None:
    run.finish("baseline", "nl-NL", 80, at=BEFORE)
    run.fail("auto", "nl-NL", "no memory", at=BEFORE)
    run.announce()
    state = look(reader)
    assert (states(state)["baseline", "nl-NL"], states(state)["auto", "nl-NL"]) == ("done", "open")
    assert state.rate is None
    run.finish("auto", "nl-NL", 60, at=LATER)
    run.finish("baseline", "af-ZA", 60, at=LAST)
    assert look(reader).rate == pytest.approx(1 / 180)


def test_results_of_something_else_are_not_of_this_run(run: Run, reader: Reader) -> None:
    run.announce()
    run.results.record("auto", "nl-NL", 60)  # of another identity, as with --overwrite
    run.results.record("ties", "nl-NL", 60)
    run.results.failure("auto", "af-ZA", "of another identity")
    state = look(reader)
    assert (state.count("open"), state.others) == (4, 2)


def test_without_a_word_of_a_run_what_is_there_is_all_there_is(run: Run, reader: Reader) -> None:
    run.results.record("manual", "nl-NL", 60)
    run.results.record("manual", "af-ZA", 60, data="massive")  # of another setup, and no earlier
    run.finish("mine", "nl-NL", 70, at=LAST)
    run.results.record("", "nl-NL", 60, folder="_nl-NL")
    state = look(reader)
    assert states(state) == {("manual", "nl-NL"): "done", ("mine", "nl-NL"): "done"}
    assert (state.complete, state.others, state.rate) == (True, 2, None)


def test_without_a_word_of_a_run_variants_stand_as_in_every_table(run: Run, reader: Reader) -> None:
    for variant in ("auto", "average", "baseline", "similarity"):
        run.results.record(variant, "nl-NL", 60)
    assert look(reader).variants == ("baseline", "similarity", "average", "auto")
    assert look(reader).variants == run.results.load().variants


def test_a_file_from_before_runs_named_their_cells_is_no_word(run: Run, reader: Reader) -> None:
    run.announce()
    old = json.loads((run.folder / store.PROGRESS).read_text(encoding="utf-8"))
    for key in ("cells", "zero_shot", "split"):
        del old[key]
    files.write_json(run.folder / store.PROGRESS, old)
    run.finish("auto", "nl-NL", 60)
    assert (look(reader).total, look(reader).started, look(reader).complete) == (1, None, True)


def test_zero_shot_sources_are_counted_once_they_have_all_locales(run: Run, reader: Reader) -> None:
    run.announce(variants=["baseline"], zero_shot=["de-DE", "en-US"])
    for name in NAMES:
        run.finish("baseline", name, 80)
    assert (look(reader).zero_shot_done, look(reader).zero_shot_sources, look(reader).complete) == (0, 2, False)
    run.results.transfer("de-DE", {"af-ZA": 50, "nl-NL": 60, "fr-FR": 1}, zoo=ZOO)
    run.results.transfer("en-US", {"af-ZA": 50})
    assert (look(reader).zero_shot_done, look(reader).complete) == (1, False)
    run.results.transfer("en-US", {"af-ZA": 50, "nl-NL": 40})
    assert look(reader).complete


def test_what_is_half_there_counts_once_it_is_whole(run: Run, reader: Reader) -> None:
    run.announce()
    run.finish("auto", "nl-NL", 60)
    path = run.path("auto", "nl-NL", store.RECORD)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    state = look(reader)
    assert states(state)["auto", "nl-NL"] == "open"
    (complaint,) = state.unreadable
    assert str(path) in complaint
    path.write_bytes(whole)
    assert states(look(reader))["auto", "nl-NL"] == "done"
    assert look(reader).unreadable == ()
    announced = (run.folder / store.PROGRESS).read_bytes()
    (run.folder / store.PROGRESS).write_bytes(b"")
    assert look(reader).total == 1, "what is there"
    (run.folder / store.PROGRESS).write_bytes(announced)
    assert look(reader).total == 4


def test_results_of_a_newer_version_are_named(run: Run, reader: Reader) -> None:
    run.announce()
    run.finish("auto", "nl-NL", 60)
    path = run.path("auto", "nl-NL", store.RECORD)
    files.write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"schema_version": 99})
    (complaint,) = look(reader).unreadable
    assert "update sprachbund" in complaint


def test_what_was_read_is_not_read_again_until_it_is_replaced(
    run: Run, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.announce()
    run.finish("auto", "nl-NL", 60)
    run.finish("auto", "af-ZA", 50)
    read: list[str] = []
    original = store.read_record

    def counted(folder: Path) -> store.Record:
        read.append(folder.name)
        return original(folder)

    monkeypatch.setattr(onlooking.store, "read_record", counted)
    look(reader)
    assert sorted(read) == ["auto_af-ZA", "auto_nl-NL"]
    read.clear()
    look(reader)
    assert read == []
    path = run.path("auto", "nl-NL", store.RECORD)
    before = path.stat()
    changed = path.read_text(encoding="utf-8").replace('"accuracy": 0.6', '"accuracy": 0.7')
    files.write_text(path, changed)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert look(reader).by_variant["auto"].best == 0.7, "another file of the same size and time"
    assert read == ["auto_nl-NL"]
    path.unlink()
    assert states(look(reader))["auto", "nl-NL"] == "open"


def test_a_failure_that_is_followed_by_a_result(run: Run, reader: Reader) -> None:
    run.announce()
    run.fail("auto", "nl-NL", "once")
    assert look(reader).count("failed") == 1
    run.finish("auto", "nl-NL", 60)
    assert (look(reader).count("failed"), look(reader).count("done")) == (0, 1)


def test_as_json_it_is_all_there(run: Run, reader: Reader) -> None:
    run.announce(zero_shot=["de-DE"])
    run.finish("baseline", "nl-NL", 80)
    run.finish("auto", "nl-NL", 90)
    run.fail("auto", "af-ZA", "no memory", at=LAST)
    found = json.loads(json.dumps(look(reader).as_json()))
    assert (found["total"], found["done"], found["failed"], found["open"]) == (4, 2, 1, 1)
    assert found["cells"]["af-ZA"]["auto"]["reason"] == "no memory"
    assert found["cells"]["nl-NL"]["auto"]["accuracy"] == 0.9
    assert found["zero_shot"] == {"done": 0, "sources": 1}
    assert found["cells_per_second"] == pytest.approx(2 / 180)
    assert found["seconds_left"] == pytest.approx(90)
    assert (found["variants"]["baseline"]["uses"], found["variants"]["auto"]["uses"]) == (["target-train"], ["nothing"])
    assert found["leader"] == {"variant": "auto", "mean": 0.9, "locales": 1}
