"""Every source in every locale: right numbers, done once, never mixed with other models or data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pico import INTENTS, Pico, TinyData, poison, rewrite, rows_of, tiny_data

from sprachbund import cells, files, inference, store
from sprachbund.checkpoints import Checkpoint, Zoo
from sprachbund.config import Precision
from sprachbund.data import Partition, Row
from sprachbund.errors import StoreError
from sprachbund.store import SCHEMA_VERSION, Columns, RunStore, Transfer, TransferCell, columns
from sprachbund.zero_shot import ZeroShot, run_zero_shot

SOURCES = ("de-DE", "fr-FR")
TARGETS = ("ja-JP", "de-DE", "sq-AL")
Run = Callable[..., list[Transfer]]
Report = Callable[[str, int, int], None]


@pytest.fixture
def zoo(pico: Pico) -> Zoo:
    return pico.zoo(SOURCES)


@pytest.fixture
def run(zoo: Zoo, tiny: TinyData, tmp_path: Path) -> Run:
    def run_it(
        split: str = "test",
        targets: Iterable[str] = TARGETS,
        data: TinyData = tiny,
        overwrite: bool = False,
        precision: Precision = "fp32",
    ) -> list[Transfer]:
        outcome = run_zero_shot(
            RunStore(tmp_path / "results"),
            zoo,
            data,
            split,
            SOURCES,
            tuple(targets),
            precision=precision,
            jobs=1,
            report=lambda stage, done, total: None,
            overwrite=overwrite,
        )
        assert outcome.failures == {}
        return list(outcome.rows)

    return run_it


def nobody_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(folder: Path) -> None:
        raise AssertionError(f"{folder} was loaded")

    monkeypatch.setattr("sprachbund.measures.transfer.load_classifier", load)


def test_each_number_is_that_of_a_single_evaluation(run: Run, zoo: Zoo, tiny: TinyData, tmp_path: Path) -> None:
    rows = run()
    assert [row.source for row in rows] == list(SOURCES)
    for row in rows:
        assert list(row.cells) == list(TARGETS)
        assert row.digest == zoo.checkpoint(row.source).digest
        for target, cell in row.cells.items():
            subject = cells.describe(zoo.checkpoint(row.source), target)
            alone = cells.evaluate(
                subject, tiny, "test", "x", tmp_path / "x", precision="fp32", started=time.monotonic()
            )
            assert (cell.correct, cell.total) == (alone.performance.correct, 24)
            assert cell.data_digest == alone.dataset_info.digest
            assert cell.majority_rate == 0.25
    assert len({cell.correct for row in rows for cell in row.cells.values()}) > 1


def test_rows_are_kept(run: Run, tmp_path: Path) -> None:
    rows = run()
    assert list(RunStore(tmp_path / "results").transfers("test")) == rows


def test_what_is_known_is_not_done_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = run()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    nobody_works(monkeypatch)
    assert run() == rows
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == before


def test_new_targets_are_added_to_what_is_known(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(targets=["ja-JP"])
    asked: list[tuple[str, ...]] = []
    from sprachbund.measures import evaluate_transfer

    def spy(
        checkpoint: Checkpoint, names: Any, partitions: Sequence[Partition], precision: Precision
    ) -> tuple[dict[str, TransferCell], dict[str, Columns]]:
        asked.append(tuple(partition.locale for partition in partitions))
        return evaluate_transfer(checkpoint, names, partitions, precision)

    monkeypatch.setattr("sprachbund.zero_shot.evaluate_transfer", spy)
    both = run(targets=["sq-AL", "ja-JP"])
    assert asked == [("sq-AL",), ("sq-AL",)]
    for before, after in zip(first, both, strict=True):
        assert after.cells["ja-JP"] == before.cells["ja-JP"]
        assert set(after.cells) == {"ja-JP", "sq-AL"}


# --- what sources answer -----------------------------------------------------------------------------------------------


def test_what_a_source_answers_is_kept_as_a_record_would_keep_it(
    run: Run, zoo: Zoo, tiny: TinyData, tmp_path: Path
) -> None:
    known = RunStore(tmp_path / "results")
    for row in run():
        assert list(known.transfer_answers(row)) == list(TARGETS)
        assert list(known.transfer_answers(row, ["sq-AL", "xx-YY"])) == ["sq-AL"]
        for target, answers in known.transfer_answers(row).items():
            subject = cells.describe(zoo.checkpoint(row.source), target)
            cells.evaluate(subject, tiny, "test", "x", tmp_path / "x", precision="fp32", started=time.monotonic())
            alone = store.read_predictions(tmp_path / "x")
            texts = zip(answers.ids, answers.gold, answers.predicted, strict=True)
            assert [*texts] == [(p.id, p.gold, p.predicted) for p in alone]
            assert answers.confidence.tolist() == pytest.approx([p.confidence for p in alone], rel=1e-6)
            assert answers.gold_probability.tolist() == pytest.approx([p.gold_probability for p in alone], rel=1e-6)


def test_new_targets_are_added_to_what_was_answered(run: Run, tmp_path: Path) -> None:
    known, path = RunStore(tmp_path / "results"), tmp_path / "results/transfer/test/de-DE.parquet"
    run()
    at_once = {
        locale: answers.digest() for locale, answers in known.transfer_answers(next(known.transfers("test"))).items()
    }
    path.unlink()
    path.with_suffix(".json").unlink()
    run(targets=["ja-JP"])
    row, _ = run(targets=["de-DE", "sq-AL"])
    assert {locale: answers.digest() for locale, answers in known.transfer_answers(row).items()} == at_once
    assert columns.digests_in(path) == at_once


def test_a_row_from_before_answers_were_kept_is_as_good_as_ever(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = RunStore(tmp_path / "results")
    for row in run():
        path = tmp_path / f"results/transfer/test/{row.source}.json"
        old = row.without_answers().model_dump()
        for cell in old["cells"].values():
            del cell["predictions_digest"]
        files.write_json(path, old | {"schema_version": 1})
        path.with_suffix(".parquet").unlink()
    nobody_works(monkeypatch)
    rows = run()
    assert [row.schema_version for row in rows] == [1, 1]
    assert [known.transfer_answers(row) for row in rows] == [{}, {}]
    monkeypatch.undo()
    added = run(targets=("fr-FR",))
    assert [row.schema_version for row in known.transfers("test")] == [SCHEMA_VERSION] * 2
    assert [list(known.transfer_answers(row)) for row in added] == [["fr-FR"], ["fr-FR"]]
    assert [row.cells["ja-JP"] for row in added] == [row.cells["ja-JP"] for row in rows]


def test_a_row_without_answers_gets_them_with_overwrite(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, before = RunStore(tmp_path / "results"), run()
    for row in before:
        known.write_transfer(row.without_answers())
        (tmp_path / f"results/transfer/test/{row.source}.parquet").unlink()
    some = run(targets=("ja-JP",), overwrite=True)
    assert [list(known.transfer_answers(row)) for row in some] == [["ja-JP"], ["ja-JP"]]
    assert [list(row.cells) for row in some] == [list(TARGETS)] * 2, "what is not asked for keeps its figure"
    assert run(overwrite=True) == before
    assert list(known.transfers("test")) == before
    assert [{*known.transfer_answers(row)} for row in before] == [{*TARGETS}] * 2
    nobody_works(monkeypatch)
    assert run(overwrite=True) == before, "once is enough"


def test_answers_that_are_gone_are_made_again_and_no_others(run: Run, tmp_path: Path) -> None:
    before = run()
    paths = [tmp_path / f"results/transfer/test/{source}.parquet" for source in SOURCES]
    whole = [path.read_bytes() for path in paths]
    paths[0].unlink()
    untouched = paths[1].stat().st_mtime_ns
    assert run() == before
    assert [path.read_bytes() for path in paths] == whole
    assert paths[1].stat().st_mtime_ns == untouched


def power_cut(path: Path, value: Any) -> None:
    raise KeyboardInterrupt


def test_killed_between_answers_and_row_nothing_is_lost_and_nothing_twice(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = RunStore(tmp_path / "results")
    first, _ = run(targets=["ja-JP"])

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_json", power_cut)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert known.transfer("de-DE", "test") == first
    assert list(known.transfer_answers(first)) == ["ja-JP"]
    row, _ = run()
    answers = known.transfer_answers(row)
    assert sorted(answers) == sorted(TARGETS)
    assert all(len(rows.ids) == len(set(rows.ids)) == 24 for rows in answers.values())


def test_killed_while_a_row_is_replaced_it_does_not_pass_off_the_new_answers_as_its_own(
    run: Run, zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = RunStore(tmp_path / "results")
    old, _ = run()
    rewrite(zoo.checkpoint("de-DE").folder, lambda tensors: tensors["classifier.dense.weight"].neg_())
    with monkeypatch.context() as patched:
        patched.setattr(files, "write_json", power_cut)
        with pytest.raises(KeyboardInterrupt):
            run(overwrite=True)
    assert known.transfer("de-DE", "test") == old
    assert known.transfer_answers(old) == {}
    new, _ = run(overwrite=True)
    assert list(known.transfer_answers(new)) == list(TARGETS)


def test_answers_need_not_be_kept(
    run: Run, zoo: Zoo, tiny: TinyData, quiet: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = RunStore(tmp_path / "bare")
    outcome = run_zero_shot(
        bare, zoo, tiny, "test", SOURCES, TARGETS, precision="fp32", jobs=1, report=quiet, keep_answers=False
    )
    assert [row.without_answers() for row in run()] == list(outcome.rows) == list(bare.transfers("test"))
    assert list((tmp_path / "bare").rglob("*.parquet")) == []
    nobody_works(monkeypatch)
    again = run_zero_shot(
        bare,
        zoo,
        tiny,
        "test",
        SOURCES,
        TARGETS,
        precision="fp32",
        jobs=1,
        report=quiet,
        overwrite=True,
        keep_answers=False,
    )
    assert again == outcome, "nor are they missed"


# --- no mixing ---------------------------------------------------------------------------------------------------------


def counted_alone(checkpoint: Checkpoint, partition: Partition) -> int:
    """The hits of a model that is loaded for this partition only."""
    model, tokenizer = inference.load_classifier(checkpoint.folder), inference.load_tokenizer(checkpoint.folder)
    winners = inference.logits(model, inference.tokenise(tokenizer, partition.texts)).argmax(axis=1)
    return sum(INTENTS[winner] == gold for winner, gold in zip(winners, partition.intents, strict=True))


def test_two_splits_in_one_process_do_not_mix(run: Run, zoo: Zoo, tiny: TinyData) -> None:
    """Token ids are kept between sources; those of dev are none of test's."""
    for split, total in (("dev", 16), ("test", 24)):
        for row in run(split):
            for target, cell in row.cells.items():
                hits = counted_alone(zoo.checkpoint(row.source), tiny.partition(target, split))
                assert (cell.correct, cell.total) == (hits, total)


def other_words(locale: str) -> Iterable[Row]:
    """The same ids and intents in other words."""
    return (replace(row, utt=f"tuvo {row.utt}") for row in rows_of(locale))


def test_two_data_sets_in_one_process_do_not_mix(run: Run, zoo: Zoo) -> None:
    run()
    changed = tiny_data(source=other_words)
    for row in run(data=changed, overwrite=True):
        for target, cell in row.cells.items():
            assert cell.correct == counted_alone(zoo.checkpoint(row.source), changed.partition(target, "test"))


def test_rows_of_other_data_are_in_the_way(run: Run, tmp_path: Path) -> None:
    run()
    changed = tiny_data(source=other_words)
    with pytest.raises(
        StoreError,
        match=r"transfer/test/de-DE\.json is about other models or data, or in .*tiny, fp32\): choose another folder",
    ):
        run(data=changed)
    assert run(data=changed, overwrite=True)[0].cells["ja-JP"].data_digest == changed.partition("ja-JP", "test").digest


def test_rows_of_other_models_are_in_the_way(run: Run, zoo: Zoo) -> None:
    before = run()
    rewrite(zoo.checkpoint("fr-FR").folder, lambda tensors: tensors["classifier.dense.weight"].neg_())
    with pytest.raises(StoreError, match=r"fr-FR\.json is about other models or data"):
        run()
    after = run(overwrite=True)
    assert after[0] == before[0]
    assert after[1].digest != before[1].digest


def test_a_killed_run_goes_on_where_it_was(
    run: Run, zoo: Zoo, tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    run_store = RunStore(tmp_path / "results")
    with pytest.raises(KeyboardInterrupt):
        run_zero_shot(run_store, zoo, tiny, "test", SOURCES, TARGETS, precision="fp32", jobs=1, report=stop)
    (first,) = run_store.transfers("test")
    rows = run()
    assert [row.source for row in rows] == list(SOURCES)
    assert rows[0] == first


@pytest.mark.parametrize("damage", ["answers with NaN", "lost its tensors"])
def test_a_source_that_fails_stops_no_other_and_is_tried_again(
    damage: str, pico: Pico, tiny: TinyData, quiet: Report, tmp_path: Path
) -> None:
    zoo, run_store = pico.zoo(["de-DE", "fr-FR", "sq-AL"]), RunStore(tmp_path / "results")
    weights = zoo.checkpoint("fr-FR").folder / "model.safetensors"
    whole = weights.read_bytes()
    if damage == "answers with NaN":
        poison(weights.parent)
    else:
        weights.unlink()
    reports: list[tuple[int, int]] = []

    def run(report: Report = quiet) -> ZeroShot:
        sources = ("de-DE", "fr-FR", "sq-AL")
        return run_zero_shot(run_store, zoo, tiny, "test", sources, TARGETS, precision="fp32", jobs=1, report=report)

    outcome = run(lambda stage, done, total: reports.append((done, total)))
    assert [row.source for row in outcome.rows] == ["de-DE", "sq-AL"]
    ((source, reason),) = outcome.failures.items()
    assert source == "fr-FR"
    assert ("NaN" if damage == "answers with NaN" else "has no model.safetensors") in reason
    assert "\n" not in reason
    assert reports[-1] == (3, 3)
    assert [row.source for row in run_store.transfers("test")] == ["de-DE", "sq-AL"]

    weights.write_bytes(whole)
    healed = run()
    assert [row.source for row in healed.rows] == ["de-DE", "fr-FR", "sq-AL"]
    assert healed.failures == {}
