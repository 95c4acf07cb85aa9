"""The run store: what is finished is found again, what is something else is left alone, what is broken is said."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprachbund import files, store
from sprachbund.errors import StoreError
from sprachbund.store import Prediction, Record, RunStore, Transfer, TransferCell

FIXTURES = Path(__file__).parent / "fixtures"
RECORD_V1, RECORD_V2, RECORD_V3 = (FIXTURES / f"record_v{version}" for version in (1, 2, 3))
"""Written by these schema versions, never to be written again."""
PREDICTIONS = [
    Prediction(id="1", gold="ask", predicted="greet", confidence=0.125, gold_probability=1.5e-09),
    Prediction(id="0", gold="größe, „ja“", predicted="ask", confidence=1.0, gold_probability=0.0),
]


@pytest.fixture
def record() -> Record:
    return store.read_record(RECORD_V1).model_copy(update={"predictions_digest": "", "identity": "mine"})


@pytest.fixture
def written(record: Record, tmp_path: Path) -> Path:
    """A finished cell of identity ``mine``."""
    store.write_record(tmp_path / "cell", record, PREDICTIONS)
    return tmp_path / "cell"


def keys(value: Any, prefix: str = "") -> set[str]:
    """All key paths of nested dicts."""
    if not isinstance(value, dict):
        return {prefix}
    return {path for key, inner in value.items() for path in keys(inner, f"{prefix}.{key}")}


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


# --- round trips -------------------------------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was_written(record: Record, tmp_path: Path) -> None:
    returned = store.write_record(tmp_path / "cell", record, PREDICTIONS)
    assert store.read_record(tmp_path / "cell") == returned
    assert returned.model_copy(update={"predictions_digest": ""}) == record
    assert store.read_predictions(tmp_path / "cell") == PREDICTIONS


def test_the_record_vouches_for_its_predictions(written: Path) -> None:
    content = (written / "predictions.csv").read_bytes()
    assert store.read_record(written).predictions_digest == hashlib.sha256(content).hexdigest()
    assert content.decode().splitlines() == [
        "id,gold,predicted,confidence,gold_probability",
        "1,ask,greet,0.125000,1.5e-09",
        '0,"größe, „ja“",ask,1.000000,0',
    ]


def test_what_is_not_known_of_predictions_has_no_column(record: Record, tmp_path: Path) -> None:
    bare = [prediction.model_copy(update={"gold_probability": None}) for prediction in PREDICTIONS]
    store.write_record(tmp_path / "cell", record, bare)
    assert (
        (tmp_path / "cell/predictions.csv").read_text(encoding="utf-8").startswith("id,gold,predicted,confidence\n1,")
    )
    assert store.read_predictions(tmp_path / "cell") == bare


def test_the_record_is_written_last(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def power_cut(path: Path, value: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_json", power_cut)
    with pytest.raises(KeyboardInterrupt):
        store.write_record(tmp_path / "cell", record, PREDICTIONS)
    assert {path.name for path in (tmp_path / "cell").iterdir()} == {"predictions.csv"}
    assert store.find_record(tmp_path / "cell", "mine") is None


def test_an_overwrite_that_is_cut_off_leaves_nothing_that_counts(
    written: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the old record would stand beside the new predictions."""

    def power_cut(path: Path, value: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_json", power_cut)
    with pytest.raises(KeyboardInterrupt):
        store.write_record(written, record.model_copy(update={"identity": "new"}), PREDICTIONS[:1])
    assert store.find_record(written, "mine") is None
    assert store.find_record(written, "new", overwrite=True) is None
    assert list(RunStore(written.parent).records()) == []


# --- finding -----------------------------------------------------------------------------------------------------------


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    assert store.find_record(tmp_path / "nowhere", "mine") is None


def test_what_is_there_is_found(written: Path) -> None:
    found = store.find_record(written, "mine")
    assert found == store.read_record(written)


def test_a_record_of_another_identity_is_in_the_way_unless_overwriting(written: Path) -> None:
    with pytest.raises(StoreError) as caught:
        store.find_record(written, "other")
    assert str(caught.value) == (
        f"{written} holds the result of something else (merged_models/similarity_merge_sq-AL on tiny, "
        f"{store.read_record(written).evaluation_info.timestamp}): "
        "choose another --output-dir or --results-dir, or replace it with --overwrite."
    )
    assert store.find_record(written, "other", overwrite=True) is None


def test_overwriting_does_not_throw_away_what_is_the_same(written: Path) -> None:
    assert store.find_record(written, "mine", overwrite=True) == store.read_record(written)


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_predictions_that_are_not_the_record_s_make_it_undone(damage: str, written: Path) -> None:
    path = written / "predictions.csv"
    text = path.read_text(encoding="utf-8")
    if damage == "gone":
        path.unlink()
    else:
        path.write_text(text[:-3] if damage == "cut" else text.replace("1,ask,greet", "1,ask,leave"), encoding="utf-8")
        os.utime(path, ns=(0, 0))  # as another day: digests are remembered by size and time
    assert store.find_record(written, "mine") is None


# --- files that are no records -----------------------------------------------------------------------------------------


def test_a_newer_record_asks_for_an_update(written: Path) -> None:
    edit(written / "results.json", lambda value: value.update(schema_version=99, from_the_future=1))
    with pytest.raises(
        StoreError, match=r"results\.json was written by a newer sprachbund \(schema 99, this one knows 3\): update"
    ):
        store.find_record(written, "mine")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "no JSON at line 1"),
        (b"", "no JSON at line 1"),
        (b"\xff\xfe", "no text"),
        (b"[1, 2]", "valid dictionary"),
        (b"{}", "identity: Field required"),
    ],
)
def test_a_broken_record_is_named_and_not_taken_for_missing(content: bytes, reason: str, written: Path) -> None:
    (written / "results.json").write_bytes(content)
    with pytest.raises(StoreError) as caught:
        store.find_record(written, "mine")
    message = str(caught.value)
    assert message.startswith(f"{written / 'results.json'} is not a record of sprachbund (")
    assert reason in message
    assert message.endswith("move it away and run again.")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda value: value["performance"].update(accuracy="high"), "performance.accuracy"),
        (lambda value: value["performance"].pop("total"), "performance.total: Field required"),
        (lambda value: value.update(surprise=1), "surprise: Extra inputs"),
    ],
)
def test_a_wrong_field_is_named(change: Callable[[dict[str, Any]], None], where: str, written: Path) -> None:
    edit(written / "results.json", change)
    with pytest.raises(StoreError, match=where):
        store.read_record(written)


# --- failures ----------------------------------------------------------------------------------------------------------


def fail(folder: Path) -> store.Failure:
    failure = store.Failure(
        variant="average",
        locale="sq-AL",
        dataset="tiny",
        split="test",
        zoo="z",
        identity="mine",
        reason="Tensor w of de-DE holds NaN.",
        traceback="Traceback …",
        timestamp=store.now(),
    )
    return store.write_failure(folder, failure)


def test_a_failure_is_kept_until_a_success_follows(tmp_path: Path, record: Record) -> None:
    run_store = RunStore(tmp_path)
    failure = fail(tmp_path / "average_sq-AL")
    assert list(run_store.failures()) == [failure]
    assert store.find_record(tmp_path / "average_sq-AL", "mine") is None
    store.write_record(tmp_path / "average_sq-AL", record, PREDICTIONS)
    assert not (tmp_path / "average_sq-AL/failure.json").exists()
    assert list(run_store.failures()) == []


def test_a_record_that_was_to_be_replaced_does_not_stand_for_the_failure(written: Path) -> None:
    fail(written)
    assert [failure.reason for failure in RunStore(written.parent).failures()] == ["Tensor w of de-DE holds NaN."]
    assert list(RunStore(written.parent).records()) == []
    assert [path.name for path in written.iterdir()] == ["failure.json"]


# --- the folder --------------------------------------------------------------------------------------------------------


def test_the_store_yields_its_records_in_order(tmp_path: Path, record: Record) -> None:
    run_store = RunStore(tmp_path)
    for variant, locale in (("similarity", "sq-AL"), ("average", "sq-AL"), ("average", "de-DE")):
        store.write_record(
            run_store.folder(variant, locale), record.model_copy(update={"identity": f"{variant} {locale}"}), []
        )
    assert [found.identity for found in run_store.records()] == ["average de-DE", "average sq-AL", "similarity sq-AL"]
    assert run_store.folder("average", "de-DE") == tmp_path / "average_de-DE"


def test_an_empty_store_is_empty(tmp_path: Path) -> None:
    run_store = RunStore(tmp_path / "nowhere")
    assert list(run_store.records()) == list(run_store.failures()) == list(run_store.transfers("test")) == []


def test_transfer_rows(tmp_path: Path) -> None:
    run_store = RunStore(tmp_path)
    cell = TransferCell(data_digest="d", correct=3, total=4, majority_rate=0.25)
    rows = [
        Transfer(source=source, digest="x", zoo="z", split="dev", dataset="tiny", cells={"sq-AL": cell})
        for source in ("fr-FR", "de-DE")
    ]
    for row in rows:
        run_store.write_transfer(row)
    assert list(run_store.transfers("dev")) == rows[::-1]
    assert list(run_store.transfers("test")) == []
    assert run_store.transfer("fr-FR", "dev") == rows[0]
    assert run_store.transfer("fr-FR", "test") is None
    assert cell.accuracy == 0.75
    assert list(run_store.records()) == []


def test_the_identity_of_a_cell_hangs_on_each_of_its_parts() -> None:
    parts: dict[str, Any] = {
        "candidate": {"kind": "single", "digest": "a"},
        "data_digest": "d",
        "split": "test",
        "precision": "fp32",
    }
    changes: dict[str, Any] = {
        "candidate": {"kind": "single", "digest": "b"},
        "data_digest": "e",
        "split": "dev",
        "precision": "bf16",
    }

    def identity(**others: Any) -> str:
        everything = {**parts, **others}
        return store.cell_identity(everything.pop("candidate"), **everything)

    assert identity() == identity(candidate={"digest": "a", "kind": "single"})
    assert len({identity(), *(identity(**{name: value}) for name, value in changes.items())}) == 5


# --- records of old ----------------------------------------------------------------------------------------------------


def test_a_record_of_version_1_stays_readable(tmp_path: Path) -> None:
    shutil.copytree(RECORD_V1, tmp_path / "similarity_sq-AL")
    identity = "2ff92215564688f084485cf0c5b8619685d45283ecb5a4bf49eeee12e7f2dd0c"
    record = store.find_record(tmp_path / "similarity_sq-AL", identity)
    assert record is not None
    assert record.schema_version == 1
    assert (record.performance.correct, record.performance.total) == (8, 24)
    assert record.performance.accuracy == 8 / 24
    assert [source.locale for source in record.model_info.sources] == ["ro-RO", "el-GR", "pt-PT"]
    assert record.evaluation_info.uses == ("nothing",)
    rows = store.read_predictions(tmp_path / "similarity_sq-AL")
    assert len(rows) == 24
    assert sum(row.gold == row.predicted for row in rows) == 8


def test_a_record_of_version_1_that_gets_new_names_is_one_of_today(tmp_path: Path) -> None:
    """An older sprachbund must be told that there are fields that it does not know."""
    shutil.copytree(RECORD_V1, tmp_path / "cell")
    old, text = store.read_record(tmp_path / "cell"), (tmp_path / "cell/results.json").read_bytes()
    same = store.renamed(tmp_path / "cell", old, zoo=old.model_info.zoo, data=old.dataset_info)
    assert (same.schema_version, (tmp_path / "cell/results.json").read_bytes()) == (1, text)
    moved = store.renamed(tmp_path / "cell", old, zoo="moved", data=old.dataset_info)
    assert moved.schema_version == store.SCHEMA_VERSION
    assert store.find_record(tmp_path / "cell", old.identity) == moved
    assert (moved.performance.nll, moved.performance.ece, moved.evaluation_info.threads) == (None, None, None)


def test_a_record_of_version_2_stays_readable(tmp_path: Path) -> None:
    shutil.copytree(RECORD_V2, tmp_path / "foreign_sq-AL")
    identity = "ff1630af94380faeae92bd2f9c56f59ddf3e853e48115382b16a7f2736258a75"
    record = store.find_record(tmp_path / "foreign_sq-AL", identity)
    assert record is not None
    assert record.schema_version == 2
    rows = store.read_predictions(tmp_path / "foreign_sq-AL")
    assert (rows[0].confidence, rows[0].gold_probability) == (0.405305, 0.347291)
    likely = [row.gold_probability for row in rows if row.gold_probability]
    assert record.performance.nll == pytest.approx(-sum(map(math.log, likely)) / 24, rel=1e-12)
    assert record.performance.ece is not None


def test_a_record_of_version_3_stays_readable(tmp_path: Path) -> None:
    shutil.copytree(RECORD_V3, tmp_path / "similarity_sq-AL")
    record = store.find_record(
        tmp_path / "similarity_sq-AL", "5876195dbb2d5f42da4a7195f376fc06fb97b5af879f9bbd358f4f63a8c9ca66"
    )
    assert record is not None
    assert record.schema_version == 3
    sources = [(source.locale, source.licence, source.score) for source in record.model_info.sources]
    assert record.evaluation_info.threads == 1
    assert sources == [("ro-RO", "mit", 0.5666666666666667), ("pt-PT", None, 0.45), ("el-GR", "cc-by-4.0", 0.15)]
    assert (record.evaluation_info.energy, record.evaluation_info.energy_of) == (0.9, ("CPU package-0",))


def test_a_renamed_record_says_by_what_its_sources_are_chosen_now(tmp_path: Path) -> None:
    shutil.copytree(RECORD_V2, tmp_path / "cell")
    old = store.read_record(tmp_path / "cell")
    named = {"zoo": old.model_info.zoo, "data": old.dataset_info, "scores": {"fr-FR": 0.25}}
    assert store.renamed(tmp_path / "cell", old, **named).model_info.sources[0].score == 0.25
    assert store.read_record(tmp_path / "cell").model_info.sources[0].score == 0.25


@pytest.mark.parametrize("version", [1, 2, 3])
def test_what_else_a_run_of_an_old_version_left_stays_readable(version: int) -> None:
    """One cell of two failed; one source was asked about two locales. The code of each version wrote it, paths are cut."""
    run = FIXTURES / f"run_v{version}"
    progress = store.read_progress(run)
    assert (progress.schema_version, progress.successful_experiments, progress.failed_experiments) == (version, 1, 1)
    assert "NaN" in progress.results["sq-AL"]["similarity"]["error"]
    (failure,) = RunStore(run / "results").failures()
    assert (failure.schema_version, failure.variant, failure.locale) == (version, "similarity", "sq-AL")
    assert (failure.dataset, failure.split) == (("", "") if version == 1 else ("massive", "test"))
    assert "classifier.out_proj.bias of models/el-GR holds NaN" in failure.reason
    assert failure.traceback.startswith("Traceback")
    (row,) = RunStore(run / "results").transfers("test")
    assert (row.schema_version, row.source, row.uses, row.precision) == (version, "ro-RO", ("nothing",), "fp32")
    assert {locale: cell.total for locale, cell in row.cells.items()} == {"sq-AL": 6, "ro-RO": 6}
    answers = RunStore(run / "results").transfer_answers(row)
    assert {locale: len(rows.ids) for locale, rows in answers.items()} == (
        {} if version == 1 else {"sq-AL": 6, "ro-RO": 6}
    )


def test_another_field_needs_another_schema_version() -> None:
    """Records are closed: an older sprachbund cannot read one with more fields, and must be told why."""
    old = json.loads((RECORD_V3 / "results.json").read_text(encoding="utf-8"))
    today = store.read_record(RECORD_V3).model_dump(mode="json")
    assert store.SCHEMA_VERSION == old["schema_version"] == 3, "keep a record of each version in tests/fixtures"
    assert keys(today) == keys(old)
