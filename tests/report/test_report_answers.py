"""All predictions of a setup: what columns hold is what the store reads row by row, at the place of its id."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from results_folder import ResultsFolder

from sprachbund import store
from sprachbund.errors import StoreError
from sprachbund.report.answers import Answers, read_answers
from sprachbund.store import Columns, Prediction

INTENTS = ("größe", "ask, again", 'say "no"', "line\nbreak", "", "null", "nan")


def answered(ids: Sequence[str], variant: str, locale: str) -> list[Prediction]:
    """Rows of which the gold intent hangs on locale and id alone."""
    lot = random.Random(f"{variant} {locale}")
    return [
        Prediction(
            id=id_,
            gold=random.Random(f"{locale} {id_}").choice(INTENTS),
            predicted=lot.choice(INTENTS),
            confidence=round(lot.random(), 6),
        )
        for id_ in ids
    ]


@pytest.fixture
def three(folder: ResultsFolder) -> ResultsFolder:
    """Two variants in three locales: one without some ids, one with ids of its own, one in another order."""
    for locale, ids in (("af-ZA", "3 1 2 10"), ("de-DE", "2 3"), ("en-US", "x 10 y")):
        for variant in ("baseline", "similarity"):
            ordered = ids.split() if variant == "baseline" else ids.split()[::-1]
            folder.record(variant, locale, 50, predictions=answered(ordered, variant, locale))
    folder.record("", "sq-AL", 50)
    return folder


def read(folder: ResultsFolder) -> Answers:
    return read_answers(folder.root, folder.load())


def test_every_prediction_stands_at_the_place_of_its_id(three: ResultsFolder) -> None:
    answers = read(three)
    assert answers.ids == ("3", "1", "2", "10", "x", "y")
    assert set(answers.predicted) == set(answers.confidence) == set(three.load().records)
    seen = set()
    for (variant, locale), predicted in answers.predicted.items():
        rows = {row.id: row for row in store.read_predictions(store.RunStore(three.root).folder(variant, locale))}
        for id_, gold, said, sure in zip(
            answers.ids, answers.gold[locale], predicted, answers.confidence[variant, locale], strict=True
        ):
            if id_ not in rows:
                assert (gold, said, np.isnan(sure)) == (-1, -1, True)
            else:
                assert (answers.intents[gold], answers.intents[said]) == (rows[id_].gold, rows[id_].predicted)
                assert sure == np.float32(rows[id_].confidence)
                seen |= {rows[id_].gold, rows[id_].predicted}
    assert answers.intents == tuple(sorted(seen))
    assert (predicted.dtype, sure.dtype) == (np.int16, np.float32)


def test_ids_stand_in_the_order_of_the_first_locale_of_the_table(folder: ResultsFolder) -> None:
    """Whatever variant it stands in."""
    folder.record("baseline", "en-US", 50, predictions=answered("12", "baseline", "en-US"))
    folder.record("average", "af-ZA", 50, predictions=answered("321", "average", "af-ZA"))
    assert read(folder).ids == ("3", "2", "1")


def test_the_best_foreign_source_stands_among_the_variants(folder: ResultsFolder) -> None:
    """Where its answers were kept: those of fr-FR, best in de-DE, were; those of de-DE, best in en-US, were not."""
    for locale in ("de-DE", "en-US"):
        folder.record("baseline", locale, 50, predictions=answered("123", "baseline", locale))
    folder.transfer("de-DE", {"de-DE": 90, "en-US": 70})
    folder.transfer("en-US", {"de-DE": 40, "en-US": 90})
    foreign = answered("321", "fr-FR", "de-DE")
    likely = np.array([0.5, 0.25, 0.125])
    answers = Columns(
        [row.id for row in foreign],
        [row.gold for row in foreign],
        [row.predicted for row in foreign],
        np.array([row.confidence for row in foreign]),
        likely,
    )
    folder.transfer("fr-FR", {"de-DE": 60, "en-US": 20, "sq-AL": 99}, answers={"de-DE": answers, "sq-AL": answers})
    found = read(folder)
    assert set(found.predicted) == {("baseline", "de-DE"), ("baseline", "en-US"), ("zero_shot_best", "de-DE")}
    assert found.ids == ("1", "2", "3")
    best = "zero_shot_best", "de-DE"
    assert [found.intents[said] for said in found.predicted[best]] == [row.predicted for row in foreign[::-1]]
    assert found.confidence[best].tolist() == [np.float32(row.confidence) for row in foreign[::-1]]
    assert found.gold_probability[best].tolist() == likely[::-1].tolist()
    assert set(found.gold_probability) == {best}


def test_the_probability_of_gold_is_read_where_files_have_it(folder: ResultsFolder) -> None:
    rows = answered("12", "average", "af-ZA")
    folder.record("baseline", "af-ZA", 50, predictions=rows)
    likely = [row.model_copy(update={"gold_probability": p}) for row, p in zip(rows, (1.5e-9, 0.0), strict=True)]
    folder.record("average", "af-ZA", 50, predictions=likely)
    found = read(folder).gold_probability
    assert {cell: values.tolist() for cell, values in found.items()} == {
        ("average", "af-ZA"): [np.float32(1.5e-9), 0.0]
    }


def test_a_cell_in_a_folder_of_another_name_is_read(folder: ResultsFolder) -> None:
    folder.record("baseline", "af-ZA", 50, folder="kept", predictions=answered("12", "baseline", "af-ZA"))
    assert read(folder).ids == ("1", "2")


@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_predictions_that_are_not_the_record_s_are_left_out(damage: str, three: ResultsFolder) -> None:
    path = three.root / "similarity_de-DE" / "predictions.csv"
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3] if damage == "cut" else path.read_bytes().replace(b"2,", b"4,"))
    whole = three.load().records.keys()
    found = read(three)
    assert found.predicted.keys() == found.confidence.keys() == whole - {("similarity", "de-DE")}
    (said,) = found.left_out.values()
    assert f"similarity_de-DE/predictions.csv is {'missing' if damage == 'gone' else 'damaged'}" in said
    assert said.endswith("start the run that made this result again, and it is made anew.")


def test_predictions_that_are_vouched_for_and_no_table_are_left_out(
    three: ResultsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (
        b"",
        b"id,gold\n1,a\n",
        b"id,gold,predicted,confidence\n1,a,b\n",
        b"id,gold,predicted,confidence\n1,a,b,high\n",
    ):
        monkeypatch.setattr("sprachbund.report.answers.checked_predictions", lambda folder, record, it=content: it)
        found = read(three)
        assert (found.ids, found.predicted) == ((), {})
        assert found.left_out.keys() == three.load().records.keys()
        told = "predictions.csv is no table of id, gold, predicted, confidence, gold_probability: make"
        assert all(told in reason for reason in found.left_out.values())


@pytest.mark.parametrize(
    ("ids", "intent", "said"),
    [("132", "other", r"id 1 is greet there and other here"), ("13", "greet", r"id 2 is greet there and missing here")],
)
def test_variants_that_answered_other_rows_are_not_compared(
    ids: str, intent: str, said: str, folder: ResultsFolder
) -> None:
    def rows(ids: str, gold: str) -> list[Prediction]:
        return [Prediction(id=id_, gold=gold if id_ == "1" else "greet", predicted="a", confidence=1.0) for id_ in ids]

    folder.record("baseline", "sq-AL", 1, predictions=rows("123", "greet"))
    folder.record("average", "sq-AL", 1, predictions=rows(ids, intent))
    with pytest.raises(StoreError, match=rf"baseline and average answered different rows for sq-AL \({said}\)"):
        read(folder)


def test_an_id_that_stands_there_twice_is_left_out(folder: ResultsFolder) -> None:
    folder.record("baseline", "sq-AL", 1, predictions=answered("11", "baseline", "sq-AL"))
    folder.record("baseline", "de-DE", 1, predictions=answered("12", "baseline", "de-DE"))
    found = read(folder)
    assert found.predicted.keys() == {("baseline", "de-DE")}
    assert "baseline_sq-AL/predictions.csv holds an id twice" in found.left_out["baseline", "sq-AL"]


def test_a_best_source_whose_answers_were_not_kept_is_left_out_with_what_to_do(folder: ResultsFolder) -> None:
    for locale in ("de-DE", "sq-AL"):
        folder.record("baseline", locale, 1, predictions=answered("12", "baseline", locale))
    folder.transfer("fr-FR", {"de-DE": 60, "sq-AL": 99})
    found = read(folder)
    columns = "zero_shot_best", "zero_shot_mean"
    assert found.left_out.keys() == {(column, locale) for column in columns for locale in ("de-DE", "sq-AL")}
    assert all("--overwrite" in reason for reason in found.left_out.values())
    (folder.root / "transfer" / "test" / "fr-FR.parquet").write_bytes(b"no table")
    found = read(folder)
    assert (len(found.predicted), len(found.left_out)) == (2, 4)
    assert all("fr-FR.parquet is damaged" in reason for reason in found.left_out.values())
