"""Any labelled texts in several languages: every kind of file, usual names and described ones, and what is no table."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from sprachbund import data
from sprachbund.data import PARTITIONS, Row
from sprachbund.data.table import SPLITS, USUAL
from sprachbund.errors import DataError, UnknownName, UserError

Records = Sequence[Mapping[str, Any]]

RECORDS: Records = [
    {"locale": locale, "split": split, "text": f"{locale} „größe“, {number}", "label": label, "id": str(number)}
    for locale in ("yo", "sw-KE", "af-ZA")
    for number, (split, label) in enumerate(
        [("train", "politics"), ("train", "sports"), ("validation", "sports"), ("test", "politics"), ("test", "sports")]
    )
]


def write_csv(path: Path, records: Records, delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(records[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(records)


def write_tsv(path: Path, records: Records) -> None:
    write_csv(path, records, "\t")


def write_jsonl(path: Path, records: Records) -> None:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")


def write_parquet(path: Path, records: Records) -> None:
    parquet.write_table(pyarrow.Table.from_pylist(list(records)), path)


WRITERS: dict[str, Callable[[Path, Records], None]] = {
    "csv": write_csv,
    "tsv": write_tsv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}


def renamed(records: Records, **names: str) -> Records:
    return [{names.get(column, column): value for column, value in record.items()} for record in records]


def without(records: Records, *columns: str) -> Records:
    return [{column: value for column, value in record.items() if column not in columns} for record in records]


def described(folder: Path, text: str) -> str:
    (folder / "table.yaml").write_text(text, encoding="utf-8")
    return f"table:{folder}/table.yaml"


@pytest.mark.parametrize("ending", WRITERS)
def test_every_kind_of_file_gives_the_same_rows(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"news.{ending}"
    WRITERS[ending](path, RECORDS)
    table = data.load(f"table:{path}")
    assert table.locales == ("af-ZA", "sw-KE", "yo"), "those of the table of 52 first"
    assert table.intents == ("politics", "sports")
    assert (table.name, table.licence, table.demonstration) == ("table:news", "unknown", False)
    assert [len(table.partition("yo", name)) for name in PARTITIONS] == [2, 1, 2]
    assert list(table.rows("yo"))[2] == Row("2", "yo", "dev", "", "sports", "yo „größe“, 2")
    assert "not matched" not in table.notice


@pytest.mark.parametrize(("ours", "theirs"), [(ours, theirs) for ours, names in USUAL.items() for theirs in names])
def test_usual_names_of_columns_need_no_description(ours: str, theirs: str, tmp_path: Path) -> None:
    records = [{**record, "scenario": "news"} for record in RECORDS]
    write_csv(tmp_path / "news.csv", renamed(records, **{ours: theirs}))
    table = data.load(f"table:{tmp_path}/news.csv")
    assert next(iter(table.rows("yo"))) == Row("0", "yo", "train", "news", "politics", "yo „größe“, 0")


@pytest.mark.parametrize("split", SPLITS)
def test_usual_names_of_splits_are_understood(split: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "news.csv", [{**RECORDS[0], "split": split}])
    assert len(data.load(f"table:{tmp_path}/news.csv").partition("yo", SPLITS[split])) == 1


def test_without_ids_nothing_is_matched_and_that_is_said(tmp_path: Path) -> None:
    write_csv(tmp_path / "news.csv", without(RECORDS, "id"))
    table = data.load(f"table:{tmp_path}/news.csv")
    assert table.partition("yo", "test").ids == ("yo-3", "yo-4")
    assert table.notice.endswith("It has no ids: rows of different locales are not matched.")
    table.check(table.locales, PARTITIONS)


def test_a_description_says_what_is_called_otherwise(tmp_path: Path) -> None:
    """One file per locale and split, as many data sets come: their names, in place of columns."""
    for record in RECORDS:
        folder = tmp_path / {"sw-KE": "swh_Latn", "yo": "yor_Latn"}.get(record["locale"], record["locale"])
        folder.mkdir(exist_ok=True)
        path = folder / f"{record['split']}.jsonl"
        line = json.dumps({"number": int(record["id"]), "headline": record["text"], "desk": record["label"]})
        path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + line + "\n", encoding="utf-8")
    spec = described(
        tmp_path,
        """
        files: "{locale}/{split}.jsonl"
        columns: {id: number, text: headline, label: desk}
        locales: {swh_Latn: sw-KE, yor_Latn: yo}
        splits: {validation: train}
        labels: [sports, politics]
        name: news
        licence: CC-BY-4.0
        notice: Headlines of our own papers.
        revision: "2"
        """,
    )
    table = data.load(spec)
    assert (table.name, table.licence, table.revision) == ("news", "CC-BY-4.0", "2")
    assert table.notice == "Headlines of our own papers."
    assert (table.intents, table.locales) == (("sports", "politics"), ("af-ZA", "sw-KE", "yo"))
    assert table.partition("sw-KE", "train").ids == ("0", "1", "2")
    assert table.partition("sw-KE", "test").texts == ("sw-KE „größe“, 3", "sw-KE „größe“, 4")


def test_files_may_be_several_and_patterns(tmp_path: Path) -> None:
    for number, record in enumerate(RECORDS):
        write_csv(tmp_path / f"part-{number:02}.csv", [record])
    whole = data.load(described(tmp_path, 'files: ["part-0*.csv", "part-1?.csv"]'))
    assert sum(len(list(whole.rows(locale))) for locale in whole.locales) == len(RECORDS)
    part = data.load(described(tmp_path, "files: part-0[0-4].csv"))
    assert part.locales == ("yo",)
    assert part.revision != whole.revision


def test_a_column_that_is_called_id_and_is_none_can_be_left_out(tmp_path: Path) -> None:
    write_csv(tmp_path / "news.csv", [{**record, "id": "0"} for record in RECORDS])
    with pytest.raises(DataError, match="id 0 stands there twice"):
        data.load(f"table:{tmp_path}/news.csv").partition("yo", "test")
    table = data.load(described(tmp_path, "files: news.csv\ncolumns: {id: null}"))
    assert table.partition("yo", "test").ids == ("yo-3", "yo-4")


def test_labels_that_parquet_numbers_have_the_names_of_its_schema(tmp_path: Path) -> None:
    numbered = [{**record, "label": ["sports", "politics"].index(record["label"])} for record in RECORDS]
    features = {"label": {"names": ["sports", "politics"], "_type": "ClassLabel"}}
    table = pyarrow.Table.from_pylist(numbered).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    parquet.write_table(table, tmp_path / "news.parquet")
    assert data.load(f"table:{tmp_path}/news.parquet").partition("yo", "test").intents == ("politics", "sports")


def test_a_table_can_be_split(tmp_path: Path) -> None:
    many = [{**RECORDS[0], "id": str(number), "text": f"text {number}"} for number in range(100)]
    write_csv(tmp_path / "news.csv", many)
    table = data.load(f"split:table:{tmp_path}/news.csv")
    assert len(table.partition("yo", "train")) + len(table.unlabelled("yo")) == 100
    assert 10 < len(table.texts("yo")) < 40


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "news.csv holds no rows: take another file"),
        ("locale,split,text,label\n", "news.csv holds no rows"),
        (
            "locale,split,txt,label\nyo,test,a,b\n",
            "line 2 has no column 'text' or 'utt' or 'utterance' or 'sentence' for ",
        ),
        (
            "locale,split,txt,label\nyo,test,a,b\n",
            r"for the text \(did you mean txt\?\): rename it, or describe the table in",
        ),
        (
            "locale,split,text,label\nyo,test,,b\n",
            "line 2 has nothing in it for the text: fill it in, or remove the row",
        ),
        (
            "locale,split,text,label\nyo,tst,a,b\n",
            r"line 2: split 'tst' is unknown \(did you mean test\?\): mend it, or",
        ),
        ("locale,split,text,label\nyo,test,a\n", "line 2 has more or fewer columns than the first line"),
        ("locale,split,text,label\nyo,test,a,b,c\n", "line 2 has more or fewer columns than the first line"),
        ('locale,split,text,label\nyo,test,"a"b,c\n', r"line 2 is not CSV \(.*\): mend it"),
    ],
)
def test_what_is_no_row_is_given_by_file_and_line(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "news.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        data.load(f"table:{tmp_path}/news.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("news.jsonl", b"{", "line 1 is not JSON, perhaps cut off: mend it"),
        ("news.jsonl", b"7", "line 1 is not an object of columns: mend it"),
        (
            "news.jsonl",
            b'{"locale": "yo", "split": "test", "text": ["a"], "label": 3}',
            "has nothing in it for the text",
        ),
        ("news.csv", "locale\nä".encode("latin-1"), r"news\.csv is not UTF-8: save it as that"),
        ("news.parquet", b"no", r"news\.parquet cannot be read as Parquet"),
        ("news.xlsx", b"no", r"news\.xlsx ends in '\.xlsx', but \.csv, \.tsv, \.jsonl, \.parquet are read: convert"),
    ],
)
def test_other_files_are_refused_as_plainly(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        data.load(f"table:{tmp_path}/{name}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file: news.csv", r"Unknown key in .*table\.yaml 'file': did you mean files\?"),
        ("files: nws.csv", r"files: there is no .*/nws\.csv, check the name"),
        ("files: []", "files: names none, name at least one"),
        ("name: news", "files: field required: mend it"),
        ("files: news.csv\ncolumns: {txt: text}", r"Unknown column in .* 'txt': did you mean text\?"),
        ("files: news.csv\ncolumns: {text: headline}", r"has no column 'headline' for the text \(known: locale"),
        ("files: news.csv\nsplits: {test: tset}", r"Unknown split in .* 'tset': did you mean test"),
        ("files: news.csv\nlocales: {yor: yo}", r"Unknown locale in .* 'yor': did you mean yo\?"),
        ("files: news.csv\nlocales: [yo]", "locales: input should be a valid dictionary: mend it"),
        ("- news.csv", "must hold lines `key: value`, files: among them"),
        ("files: [", "is not YAML"),
    ],
)
def test_what_is_no_description_is_told(text: str, message: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "news.csv", RECORDS)
    with pytest.raises(UserError, match=message):
        data.load(described(tmp_path, text))


def test_labels_beside_those_that_are_given_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "news.csv", RECORDS)
    table = data.load(described(tmp_path, "files: news.csv\nlabels: [sport, politics]"))
    with pytest.raises(DataError, match=r"id 1: intent 'sports' is not among its 2 intents \(did you mean sport\?\)"):
        table.check(["yo"], ["train"])


def test_no_file_is_told() -> None:
    with pytest.raises(DataError, match="--data table needs a file: --data table:PATH"):
        data.load("table")
    with pytest.raises(
        DataError, match=r"--data table:/no/where\.csv: there is no file /no/where\.csv, check the path"
    ):
        data.load("table:/no/where.csv")


def test_a_locale_that_a_table_lacks_gets_did_you_mean(tmp_path: Path) -> None:
    write_csv(tmp_path / "news.csv", RECORDS)
    with pytest.raises(UnknownName, match=r"Unknown locale 'sw': did you mean sw-KE\?"):
        data.load(f"table:{tmp_path}/news.csv").partition("sw", "test")
