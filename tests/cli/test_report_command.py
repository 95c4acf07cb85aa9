"""``sprachbund report`` and ``aggregate --format html``: which sentences stand on the page, and how it is made again."""

from __future__ import annotations

import html
import json
import shlex
from pathlib import Path

import pytest
from workshop import Capture, make_workshop, refused, typed

from sprachbund import store
from sprachbund.cli.results import line_of
from sprachbund.config import AggregateConfig, ReportConfig
from sprachbund.data import load

NAMES = ("he-IL", "sq-AL")
RECORD = Path(__file__).parents[1] / "fixtures" / "record_v2" / "results.json"

pytestmark = pytest.mark.usefixtures("results")


@pytest.fixture
def results(here: Path) -> None:
    """The test rows of two locales, answered by two variants that are never right together."""
    make_workshop(here, [], NAMES)
    data = load("massive:data")
    model = store.Record.model_validate(json.loads(RECORD.read_text(encoding="utf-8")))
    for locale in NAMES:
        rows = data.partition(locale, "test")
        for variant, parity in (("similarity", 0), ("average", 1)):
            said = [
                store.Prediction(id=id_, gold=gold, predicted=gold if number % 2 == parity else "", confidence=1)
                for number, (id_, gold) in enumerate(zip(rows.ids, rows.intents, strict=True))
            ]
            about = {"name": "massive", "demonstration": False, "digest": rows.digest}
            first = store.Example(**said[0].model_dump(), text=rows.texts[0], correct=parity == 0)
            record = model.model_copy(
                update={
                    "identity": f"{variant} {locale}",
                    "evaluation_info": model.evaluation_info.model_copy(update={"variant": variant, "locale": locale}),
                    "dataset_info": model.dataset_info.model_copy(update=about),
                    "examples": (first,),
                }
            )
            store.write_record(here / "results" / f"{variant}_{locale}", record, said)


def texts(locale: str) -> tuple[str, ...]:
    return load("massive:data").partition(locale, "test").texts


def made(line: str, capsys: Capture) -> str:
    """The page that a line makes."""
    found, _ = typed(line, capsys)
    return Path(found["file"]).read_text(encoding="utf-8")


def test_sentences_of_the_data_set_stand_on_the_page(capsys: Capture) -> None:
    page = made("report --texts massive:data", capsys)
    assert all(text in page for locale in NAMES for text in texts(locale))
    assert "Sentences are those of massive; its rows have the digests that the records have." in page


def test_without_a_data_set_those_of_the_records_do(capsys: Capture) -> None:
    page = made("report", capsys)
    for locale in NAMES:
        first, *others = texts(locale)
        assert first in page
        assert not any(text in page for text in others)
    assert "`sprachbund report --texts DATA` reads the others" in page


def test_other_rows_than_those_answered_are_left_out_and_named(here: Path, capsys: Capture) -> None:
    path = here / "data" / "sq-AL.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"utt": "', '"utt": "not '), encoding="utf-8")
    page = made("report --texts massive:data", capsys)
    assert all(text in page for text in texts("he-IL"))
    assert not any(text in page for text in texts("sq-AL"))
    assert "Its rows of sq-AL have not" in page


def test_a_data_set_of_something_else_is_refused(capsys: Capture) -> None:
    sentence = refused("report --texts cldr", capsys)
    assert sentence.startswith("--texts cldr: its rows are not those that were answered (massive (1), test split")
    assert refused("report --texts massiv:data", capsys).startswith("Unknown data set 'massiv'")


def test_the_page_says_the_line_that_makes_it_again(capsys: Capture) -> None:
    line = "report --results-dir results --split test --out 'my page.html' --texts massive:data"
    page = made(line, capsys)
    assert f"sprachbund {line}" in html.unescape(page)
    assert made(shlex.join(shlex.split(line)), capsys).count("my page.html") == 1


@pytest.mark.parametrize(
    ("format_", "others"), [("html", "--sort gain"), ("markdown", "--long --show-missing"), ("latex", "")]
)
def test_the_files_of_aggregate_say_the_line_that_makes_them_again(format_: str, others: str, capsys: Capture) -> None:
    zoo = json.loads(RECORD.read_text(encoding="utf-8"))["model_info"]["zoo"]
    chosen = f"--data massive --zoo {shlex.quote(zoo)} --split test"
    line = f"aggregate --results-dir results {chosen} --output-dir out --format {format_} {others}".strip()
    for _ in range(2):
        found, _ = typed(line, capsys)
        assert f"sprachbund {line}" in html.unescape(Path(found["files"][0]).read_text(encoding="utf-8"))


def test_the_line_of_aggregate_says_what_was_set_and_no_place() -> None:
    line = "sprachbund aggregate --results-dir results --output-dir ."
    assert line_of("aggregate", AggregateConfig()) == line
    set_ = AggregateConfig(results_dir=Path("/me/runs"), zoo="/me/{locale}/best", output_dir=Path("/me/out"), long=True)
    zoo = "--zoo '{locale}/best'"
    assert (
        line_of("aggregate", set_)
        == f"sprachbund aggregate --results-dir path/to/runs {zoo} --output-dir path/to/out --long"
    )
    assert line_of("report", ReportConfig(demo=True)).endswith("--results-dir results --demo --out report.html")


def test_the_line_does_not_say_where_things_lie(here: Path, capsys: Capture) -> None:
    line = f"report --results-dir {here}/results --out {here}/out/page.html --texts massive:{here}/data"
    page = html.unescape(made(line, capsys))
    again = "report --results-dir path/to/results --out path/to/page.html --texts massive:path/to/data"
    assert f"sprachbund {again}" in page
    assert str(here) not in page


def test_aggregate_writes_the_same_page_when_asked_for(capsys: Capture) -> None:
    found, _ = typed("aggregate --format html --output-dir out", capsys)
    (name,) = found["files"]
    assert Path(name).name.startswith("results_report_")
    page = Path(name).read_text(encoding="utf-8")
    assert "similarity is right, average is not" in page
    assert texts("sq-AL")[0] in page


def test_a_long_table_is_no_page(capsys: Capture) -> None:
    assert refused("aggregate --format html --long", capsys).startswith("--long is about tables")
    found, _ = typed("aggregate --format json --long --output-dir out", capsys)
    assert [Path(name).stem[:-16] for name in found["files"]] == ["results_summary", "results_aggregated"]


def test_a_page_without_predictions_says_what_is_wrong_with_them(here: Path, capsys: Capture) -> None:
    for path in (here / "results").glob("*/predictions.csv"):
        path.unlink()
    page = html.unescape(made("report", capsys))
    assert "predictions.csv is missing: start the run" in page
    assert "No predictions can be read." in page
    assert "0.375" in page, "accuracies are those of the records"


def test_a_page_leaves_out_one_cell_without_predictions(here: Path, capsys: Capture) -> None:
    (here / "results" / "similarity_sq-AL" / "predictions.csv").unlink()
    page = html.unescape(made("report", capsys))
    assert "differences with similarity leave out sq-AL: " in page
    assert "similarity_sq-AL/predictions.csv is missing" in page
    assert "No predictions can be read." not in page
