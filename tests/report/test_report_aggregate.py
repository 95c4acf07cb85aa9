"""The files: their names, their numbers, and what each says of the data."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from pyarrow import parquet
from results_folder import ResultsFolder

from sprachbund.config import AggregateConfig
from sprachbund.errors import UnknownName
from sprachbund.report import FORMATS, Analysis, write_aggregate
from sprachbund.report.aggregate import markdown
from sprachbund.report.latex import escaped

WHEN = datetime(2026, 11, 23, 20, 5, 59)
FILES = [
    "results_aggregated_20261123_200559.csv",
    "results_comparison_20261123_200559.csv",
    "results_summary_20261123_200559.json",
    "results_report_20261123_200559.md",
]


def write(folder: ResultsFolder, out: Path, *formats: str) -> list[Path]:
    return write_aggregate(folder.load(), folder.summary(), out, formats or ("all",), when=WHEN)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def section(report: str, title: str) -> list[str]:
    return report.split(f"## {title}\n")[1].split("\n## ")[0].strip().splitlines()


def test_writes_four_files_by_default(small: ResultsFolder, tmp_path: Path) -> None:
    assert [path.name for path in write(small, tmp_path / "new")] == FILES
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(FILES)


@pytest.mark.parametrize(("name", "files"), [("csv", FILES[:2]), ("json", FILES[2:3]), ("markdown", FILES[3:])])
def test_writes_one_format(small: ResultsFolder, tmp_path: Path, name: str, files: list[str]) -> None:
    assert [path.name for path in write(small, tmp_path, name)] == files


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("parquet", ["results_aggregated_20261123_200559.parquet", "results_comparison_20261123_200559.parquet"]),
        ("latex", ["results_comparison_20261123_200559.tex"]),
        ("html", ["results_report_20261123_200559.html"]),
    ],
)
def test_parquet_latex_and_html_are_written_only_when_asked_for(
    small: ResultsFolder, tmp_path: Path, name: str, files: list[str]
) -> None:
    assert [path.name for path in write(small, tmp_path, name)] == files
    assert [path.stem[-6:] for path in write(small, tmp_path, "all", name)] == ["200600"] * (4 + len(files))


def test_every_format_can_be_typed_and_no_other() -> None:
    assert get_args(AggregateConfig.model_fields["format"].annotation) == (*FORMATS, "all")


def test_an_unknown_format_is_refused(small: ResultsFolder, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Unknown format 'markdwn': did you mean markdown"):
        write(small, tmp_path, "markdwn")


def test_never_overwrites(small: ResultsFolder, tmp_path: Path) -> None:
    first = write(small, tmp_path, "json")
    before = first[0].read_bytes()
    second, third = write(small, tmp_path, "csv", "json"), write(small, tmp_path)
    assert [path.stem[-15:] for path in second] == ["20261123_200600"] * 3, "one set has one stamp"
    assert [path.stem[-15:] for path in third] == ["20261123_200601"] * 4
    assert first[0].read_bytes() == before


def test_long_table_has_every_record_in_full_precision(small: ResultsFolder, tmp_path: Path) -> None:
    record = small.record(
        "similarity", "sq-AL", 1, total=3, sources={"nl-NL": 2 / 3, "de-DE": 1 / 3}, head_agreement=0.5, nll=1.25
    )
    small.record("", "sq-AL", 1, total=3, folder="some-model_sq-AL")
    rows = read_csv(write(small, tmp_path)[0])
    assert len(rows) == 10
    albanian = next(row for row in rows if row["locale"] == "sq-AL" and row["variant"] == "similarity")
    assert albanian == {
        "locale": "sq-AL",
        "language": "Albanian",
        "family": "Indo-European",
        "variant": "similarity",
        "uses": "nothing",
        "accuracy": repr(1 / 3),
        "macro_f1": repr(1 / 6),
        "correct": "1",
        "total": "3",
        "majority_rate": "0.08",
        "nll": "1.25",
        "ece": "",
        "split": "test",
        "dataset": "cldr",
        "revision": "CLDR 47, seed 0",
        "demonstration": "true",
        "zoo": "embedded-xlmr 1a2b3c",
        "model": "merged_models/similarity_merge_sq-AL",
        "sources": "nl-NL:0.666666667 de-DE:0.333333333",
        "effective_sources": repr(1 / ((2 / 3) ** 2 + (1 / 3) ** 2)),
        "head_agreement": "0.5",
        "seconds": "1.5",
        "identity": record.identity,
        "timestamp": "2026-11-23T20:00:00+00:00",
    }
    assert rows[-1]["variant"] == ""
    assert rows[0]["head_agreement"] == "", "a single source has no head agreement"


@pytest.mark.parametrize("table", [0, 1])
def test_parquet_holds_what_csv_holds(table: int, small: ResultsFolder, tmp_path: Path) -> None:
    small.record("", "sq-AL", 1, total=3, folder="some-model_sq-AL")
    small.record("ties", "af-ZA", 95, nll=0.5)
    written = {path.suffix + path.stem[:18]: path for path in write(small, tmp_path, "csv", "parquet")}
    name = ("results_aggregated", "results_comparison")[table]
    rows, found = read_csv(written[f".csv{name}"]), parquet.read_table(written[f".parquet{name}"])
    assert found.column_names == list(rows[0])
    assert [{key: as_csv(value) for key, value in row.items()} for row in found.to_pylist()] == rows


def as_csv(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def test_parquet_columns_without_any_value_have_a_type(folder: ResultsFolder, tmp_path: Path) -> None:
    folder.record("baseline", "af-ZA", 90)
    long, comparison = (parquet.read_schema(path) for path in write(folder, tmp_path, "parquet"))
    kinds = {name: str(schema.field(name).type) for schema in (long, comparison) for name in schema.names}
    assert [kinds[name] for name in ("nll", "ece", "head_agreement", "zero_shot_mean")] == ["double"] * 4
    assert kinds["zero_shot_best_source"] == kinds["locale"] == "string"
    assert (kinds["correct"], kinds["demonstration"]) == ("int64", "bool")


# --- the long table in every format ------------------------------------------------------------------------------------


def write_long(folder: ResultsFolder, out: Path, *formats: str) -> dict[str, Path]:
    written = write_aggregate(folder.load(), folder.summary(), out, formats, when=WHEN, long=True)
    return {path.suffix: path for path in written if path.name.startswith("results_aggregated_")}


@pytest.fixture
def long_tables(small: ResultsFolder, tmp_path: Path) -> dict[str, Path]:
    small.record("", "sq-AL", 1, total=3, folder="some-model_sq-AL", data="cldr")
    small.record("a|b", "af-ZA", 95, nll=0.5, folder="bar")
    return write_long(small, tmp_path, "csv", "json", "markdown", "parquet", "latex")


def test_json_and_markdown_hold_the_rows_of_the_csv(long_tables: dict[str, Path]) -> None:
    assert long_tables.keys() == {".csv", ".json", ".md", ".parquet", ".tex"}
    rows = read_csv(long_tables[".csv"])
    found = read_json(long_tables[".json"])
    assert [{key: as_csv(value) for key, value in row.items()} for row in found] == rows
    head, rule, *lines = long_tables[".md"].read_text(encoding="utf-8").splitlines()
    assert head == f"| {' | '.join(rows[0])} |"
    assert rule.count("|") == head.count("|")
    assert len(lines) == len(rows) == 10
    accuracy = list(rows[0]).index("accuracy")
    for line, row in zip(lines, rows, strict=True):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        assert len(cells) == len(row)
        assert cells[0] == row["locale"]
        assert cells[accuracy] == f"{float(row['accuracy']):.4f}"
    assert any("a\\|b" in line for line in lines)


def test_latex_has_a_row_a_result(long_tables: dict[str, Path]) -> None:
    rows = [[cell.strip() for cell in row] for row in body(long_tables[".tex"].read_text(encoding="utf-8"))]
    csv_rows = read_csv(long_tables[".csv"])
    assert [row[0] for row in rows] == [row["locale"] for row in csv_rows]
    assert [row[4] for row in rows] == [f"{float(row['accuracy']):.4f}" for row in csv_rows]


def test_without_being_asked_the_old_names_stand_alone(small: ResultsFolder, tmp_path: Path) -> None:
    assert {path.stem[:-16] for path in write(small, tmp_path, "json", "markdown", "latex")} == {
        "results_summary",
        "results_report",
        "results_comparison",
    }


# --- LaTeX -------------------------------------------------------------------------------------------------------------


def latex(folder: ResultsFolder, out: Path) -> str:
    (path,) = write(folder, out, "latex")
    return path.read_text(encoding="utf-8")


def body(table: str) -> list[list[str]]:
    """The cells of each row after the heads; rows that span all columns have one."""
    lines = table.split("\\endfoot\n")[1].splitlines()
    return [line.removesuffix("\\\\").split(" & ") for line in lines if line.endswith("\\\\")]


def test_latex_has_the_figures_of_the_comparison(small: ResultsFolder, tmp_path: Path) -> None:
    table = latex(small, tmp_path)
    assert table.startswith("% Made by `python aggregate_results.py`; needs \\usepackage{booktabs,longtable}.\n")
    columns = "baseline & similarity & average & zero-shot mean & zero-shot English & zero-shot best & majority rate"
    heads = [line for line in table.splitlines() if line.startswith("locale & language & ")]
    assert [re.sub(r"\\shortstack\[r\]\{(.*?)\}", r"\1", line).replace(r"\\", " ").rstrip() for line in heads] == [
        f"locale & language & {columns}"
    ] * 2, "on the first page, and on all others"
    assert "\\begin{longtable}{llrrrrrrr}" in table
    assert [[cell.strip() for cell in row] for row in body(table)] == [
        ["af-ZA", "Afrikaans", "0.9000", "0.6000", "0.5000", "0.5500", "0.4000", "0.7000", "0.0800"],
        ["en-US", "English", "0.8000", "0.6000", "0.6000", "0.4000", "", "0.5000", "0.0800"],
        ["nl-NL", "Dutch", "", "0.4000", "0.5000", "0.3000", "0.4000", "0.4000", "0.0800"],
        ["mean", "", "0.8500", "0.5333", "0.5333", "0.4167", "0.4000", "0.5333", "0.0800"],
        ["locales", "", "2", "3", "3", "3", "2", "3", "3"],
    ]
    assert "\\multicolumn{9}{l}{\\emph{Indo-European}}\\\\*" in table
    assert "DEMONSTRATION: these figures show that the program works" in table


def test_a_group_a_family_and_columns_that_have_figures(full: ResultsFolder, tmp_path: Path) -> None:
    table = latex(full, tmp_path)
    families = re.findall(r"\\emph\{(.*?)\}", table)
    assert len(families) == len(set(families)) > 10
    assert len(body(table)) == 52 + 2
    assert {len(row) for row in body(table)} == {9}


def test_by_gain_latex_has_the_best_gain_first_and_no_families(small: ResultsFolder, tmp_path: Path) -> None:
    small.record("baseline", "nl-NL", 30)  # gains +0.1; af-ZA -0.3, en-US -0.2
    small.record("similarity", "sq-AL", 50)
    families, gains = (
        write_aggregate(small.load(), small.summary(), tmp_path, ("latex",), when=WHEN, by_gain=by_gain)[0].read_text()
        for by_gain in (False, True)
    )
    names = ("nl-NL", "en-US", "af-ZA", "sq-AL", "mean")
    assert [row[0].strip() for row in body(gains) if row[0].strip() in names] == [*names]
    assert [row[0].strip() for row in body(families) if row[0].strip() in names] != [*names]
    assert r"\emph{" in families
    assert r"\emph{" not in gains
    assert "the best first" in gains
    assert "the best first" not in families


def test_by_gain_markdown_has_the_best_gain_first(answered: ResultsFolder) -> None:
    answered.answers("baseline", "nl-NL", [*map(str, range(60))], [number < 12 for number in range(60)])
    asked = answered.load(), answered.summary(), WHEN, "aggregate", answered.analysis()
    families, gains = markdown(*asked), markdown(*asked, by_gain=True)
    names = ("nl-NL", "af-ZA", "en-US")  # gains, in sixtieths: 18, -10, -13
    for title in ("Accuracy by locale", "Intervals and calibration by locale"):
        assert list(dict.fromkeys(places(section(gains, title)))) == [*names]
        assert list(dict.fromkeys(places(section(families, title)))) == ["af-ZA", "en-US", "nl-NL"]
    assert "the best first" in section(gains, "Accuracy by locale")[-1]
    assert "the best first" not in families


def places(lines: list[str]) -> list[str]:
    """The first cells of a table's rows."""
    return [
        cell
        for line in lines
        if re.fullmatch(r"[a-z]{2}-[A-Z]{2}", cell := line.split("|")[1:2][0].strip() if "|" in line else "")
    ]


def test_latex_without_references_has_no_empty_columns(folder: ResultsFolder, tmp_path: Path) -> None:
    folder.record("baseline", "af-ZA", 90)
    assert r"locale & language & baseline & \shortstack[r]{majority\\rate} \\" in latex(folder, tmp_path)


NASTY = r"""a_b & 50 % #1 $x^2$ {y} \input{z} ~ <b> | `q' *[1] -- --- '' ,, \\"""


def test_text_is_set_as_it_is() -> None:
    assert escaped(r"a_b & 50 % #1 $x^2$ {y} \in ~") == (
        r"a\_b \& 50 \% \#1 \$x\textasciicircum{}2\$ \{y\} \textbackslash{}in \textasciitilde{}"
    )
    assert escaped("<b> | `q' *[1]") == (r"\textless{}b\textgreater{} \textbar{} \textasciigrave{}q' {*}{[}1{]}")
    assert escaped("- -- --- '' ,,,") == "- -{}- -{}-{}- '{}' ,{},{},"
    assert escaped("two\n lines\t") == "two lines"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex on this machine: the tables are not compiled")
@pytest.mark.parametrize("strange", [False, True])
def test_tables_compile_and_fit_a_page(strange: bool, full: ResultsFolder, tmp_path: Path) -> None:
    if strange:
        full.record(NASTY, "af-ZA", 80, folder="nasty")
        full.record("Bokmål naïve — “x” ß", "af-ZA", 80, folder="accents")
    (tmp_path / "out").mkdir()
    comparison, long = write_aggregate(full.load(), full.summary(), tmp_path / "out", ("latex",), when=WHEN, long=True)
    document = tmp_path / "out" / "document.tex"
    document.write_text(
        "\\documentclass{article}\\usepackage[a4paper,margin=2cm]{geometry}\\usepackage{booktabs,longtable}\\begin{document}"
        f"\\input{{{comparison.name}}}\\input{{{long.name}}}\\end{{document}}",
        encoding="utf-8",
    )
    line = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", document.name]
    for _ in range(2):  # widths of columns are known after the first time
        done = subprocess.run(line, cwd=document.parent, capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout
    assert strange or "Overfull" not in done.stdout


def test_letters_that_pdflatex_lacks_are_said(folder: ResultsFolder, tmp_path: Path) -> None:
    folder.record("тест", "af-ZA", 90)
    assert "longtable}, and LuaLaTeX with a font" in latex(folder, tmp_path).splitlines()[0]


def test_nothing_special_is_left_over_from_a_name(folder: ResultsFolder, tmp_path: Path) -> None:
    """TeX reads ``\\name{}`` and ``\\character`` as one thing each; what is special must be within one, or group braces."""
    folder.record("baseline", "af-ZA", 90)
    folder.record(NASTY, "af-ZA", 80, folder="nasty", revision="CLDR 47, seed 0")
    table = latex(folder, tmp_path)
    assert escaped(NASTY) in table
    rest = re.sub(r"\\[a-z]+\{\}|\\[{}$&#%_]|\{[*\[\]]\}|(?<=[-',])\{\}", "", escaped(NASTY))
    assert not set("\\{}$&#%_~^<>|`*[]") & set(rest)
    table = table.replace(r"\\", "")  # where a line ends
    assert table.count("{") - table.count(r"\{") == table.count("}") - table.count(r"\}")


# --- the comparison ----------------------------------------------------------------------------------------------------


def test_comparison_leaves_missing_cells_blank(small: ResultsFolder, tmp_path: Path) -> None:
    small.record("ties", "af-ZA", 95)
    rows = {row["locale"]: row for row in read_csv(write(small, tmp_path)[1])}
    assert len(rows) == 52
    afrikaans, dutch, thai = rows["af-ZA"], rows["nl-NL"], rows["th-TH"]
    assert float(afrikaans["similarity_minus_baseline"]) == pytest.approx(-0.3)
    assert float(afrikaans["ties_minus_baseline"]) == pytest.approx(0.05)
    assert (afrikaans["zero_shot_best"], afrikaans["zero_shot_best_source"]) == ("0.7", "nl-NL")
    assert (dutch["baseline"], dutch["similarity_minus_baseline"], dutch["similarity"]) == ("", "", "0.4")
    figures = {key: value for key, value in thai.items() if key not in {"locale", "language", "family"}}
    about = {"split": "test", "dataset": "cldr", "demonstration": "true", "zero_shot_sources": "0"}
    seen = {key: value for key, value in figures.items() if key.endswith("_uses")}
    assert {key: value for key, value in figures.items() if value and key not in seen} == about
    assert seen["baseline_uses"] == "target-train"
    assert seen["zero_shot_best_uses"] == "target-test"
    assert seen["similarity_uses"] == seen["zero_shot_mean_uses"] == "nothing"


def test_summary_holds_statistics_counts_and_what_is_missing(small: ResultsFolder, tmp_path: Path) -> None:
    small.failure("baseline", "nl-NL", "no space left")
    summary = read_json(write(small, tmp_path)[2])
    assert summary["counts"] == {"expected": 156, "done": 8, "failed": 1, "missing": 147}
    assert summary["mean_baseline"] == pytest.approx(0.85)
    assert summary["columns"]["similarity"]["median"] == 0.6
    assert summary["columns"]["zero_shot_best"]["uses"] == ["target-test"]
    assert summary["smallest_head_agreement"] == {"cosine": 0.4, "variant": "similarity", "locale": "nl-NL"}
    assert len(summary["missing"]["baseline"]) == 49
    assert summary["failed"] == [{"variant": "baseline", "locale": "nl-NL", "reason": "ValueError: no space left"}]
    assert summary["setup"]["zoo"] == "embedded-xlmr 1a2b3c"
    dutch = next(row for row in summary["locales"] if row["locale"] == "nl-NL")
    assert dutch["baseline"] is None


def test_report_has_headline_tables_and_making(small: ResultsFolder) -> None:
    small.failure("baseline", "nl-NL", "one | two\nthree")
    report = markdown(small.load(), small.summary(), WHEN, "sprachbund aggregate --data cldr")
    assert "similarity beats average in 1 of 3 locales" in report
    assert "**8 of 156** results are there; 1 failed, 147 are missing." in report
    assert "| zero-shot best | target-test | oracle: best single foreign source |" in section(
        report, "What each column has seen of its target"
    )
    assert "| similarity | 3 | 0.5333 | 0.6000 | 0.1155 | 0.4000 nl-NL | 0.6000 af-ZA, en-US |" in section(
        report, "Accuracy over the locales"
    )
    by_locale = section(report, "Accuracy by locale")
    assert (
        "| nl-NL | Dutch | Indo-European |  | 0.4000 | 0.5000 |  |  | -0.1000 | 0.3000 | 0.4000 | 0.4000 en-US | 0.0800 |"
    ) in by_locale
    gaps = section(report, "Missing and failed")
    assert any(line.startswith("- similarity: 49 missing: am-ET, ar-SA") for line in gaps)
    assert "| baseline | nl-NL | ValueError: one \\| two three |" in gaps
    made = " ".join(section(report, "How this was made"))
    assert "`sprachbund aggregate --data cldr` at 2026-11-23 20:05:59" in made
    assert "sprachbund 0.1.0, torch 2.13.0" in made


def test_report_tables_are_tables(full: ResultsFolder) -> None:
    """Every row of a table has as many cells as its head, and no line of the template runs into the next."""
    full.record("ties", "af-ZA", 95)
    report = markdown(full.load(), full.summary(), WHEN)
    tables = [block.splitlines() for block in report.split("\n\n") if block.startswith("|")]
    assert [len(table) for table in tables] == [2 + 8, 2 + 8, 2 + 14, 2 + 52]
    for table in tables:
        assert len({line.count("|") for line in table}) == 1
    assert "\n\n\n" not in report


def test_auto_stands_beside_the_seeds_three_in_every_file(with_auto: ResultsFolder, tmp_path: Path) -> None:
    aggregated, comparison, summary_path, report_path = write(with_auto, tmp_path)
    assert sum(row["variant"] == "auto" for row in read_csv(aggregated)) == 52
    first = read_csv(comparison)[0]
    assert float(first["auto"]) == 0.6
    assert float(first["auto_minus_baseline"]) == pytest.approx(0.6 - float(first["baseline"]))
    assert float(first["auto_minus_similarity"]) == pytest.approx(0.6 - float(first["similarity"]))
    assert first["auto_uses"] == "unlabelled"
    summary = read_json(summary_path)
    assert summary["counts"] == {"expected": 208, "done": 208, "failed": 0, "missing": 0}
    assert summary["columns"]["auto"]["mean"] == pytest.approx(0.6 + 0.001 * 25.5)
    report = report_path.read_text(encoding="utf-8")
    assert "**208 of 208** results are there; 0 failed, 0 are missing." in report
    assert any(line.startswith("| auto | 52 | 0.6255 |") for line in section(report, "Accuracy over the locales"))
    head = next(line for line in section(report, "Accuracy by locale") if line.startswith("| locale"))
    assert head.startswith(
        "| locale | language | family | baseline | similarity | average | auto | similarity minus baseline |"
    )
    assert "| auto minus similarity | zero-shot mean |" in head


def analysed(folder: ResultsFolder, out: Path, analysis: Analysis) -> list[Path]:
    return write_aggregate(folder.load(), folder.summary(), out, when=WHEN, analysis=analysis)


def test_intervals_and_tests_stand_in_every_file(answered: ResultsFolder, tmp_path: Path) -> None:
    analysis = answered.analysis()
    _, comparison_path, summary_path, report_path = analysed(answered, tmp_path, analysis)
    merged = analysis.comparison("similarity", "average")
    assert merged is not None
    afrikaans, _, dutch = analysis.contrasts["similarity", "average"]
    score = analysis.scores["similarity", "af-ZA"]
    assert score.macro_f1_interval is not None

    rows = {row["locale"]: row for row in read_csv(comparison_path)}
    assert {key: rows["af-ZA"][f"similarity_minus_average_{key}"] for key in ("low", "high", "p", "p_adjusted")} == {
        "low": repr(afrikaans.interval.low),
        "high": repr(afrikaans.interval.high),
        "p": repr(afrikaans.p),
        "p_adjusted": repr(afrikaans.p_adjusted),
    }
    assert {key: rows["af-ZA"][f"similarity_{key}"] for key in ("low", "macro_f1", "macro_f1_high", "nll", "ece")} == {
        "low": repr(score.accuracy_interval.low),
        "macro_f1": "0.375",
        "macro_f1_high": repr(score.macro_f1_interval.high),
        "nll": "1.25",
        "ece": "0.0625",
    }
    assert rows["nl-NL"]["baseline_low"] == rows["nl-NL"]["similarity_minus_baseline_p"] == ""
    assert rows["nl-NL"]["similarity_minus_average_p"] == repr(dutch.p)

    found = read_json(summary_path)
    assert "95 % CI" in found["headline"]
    told = found["analysis"]
    assert (told["level"], told["resamples"], told["macro_f1_resamples"], told["blank"]) == (0.95, 10_000, 50, "")
    assert told["comparisons"][0] == json.loads(json.dumps(asdict(merged)))
    assert (told["comparisons"][0]["adjustment"], told["comparisons"][0]["adjusted_over"]) == ("Holm", 3)
    assert len(told["contrasts"]) == 3 + 2 + 2
    assert len(told["scores"]) == 8
    assert {"p", "p_adjusted"} <= set(told["contrasts"][0])

    report = report_path.read_text(encoding="utf-8")
    over = "\n".join(section(report, "Accuracy over the locales"))
    low, high = merged.interval.low, merged.interval.high
    assert (
        f"| similarity minus average | 3 | +0.1000 | {low:+.4f} to {high:+.4f} "
        f"| 2 | 0 | 1 | {merged.better} | {merged.worse} | {merged.p:.2g} "
        f"| {merged.p_adjusted:.2g} | Holm over 3 | {merged.wilcoxon_p:.2g} |"
    ) in over
    assert "| similarity minus zero-shot mean | 3 | +0.3500 |  | 3 | 0 | 0 |  |  |  |  |  |  |" in over
    assert "nothing here knows how far those of another training would lie apart" in over
    assert "adjusted by Holm over themselves, whatever else was run" in over
    by_locale = section(report, "Intervals and calibration by locale")
    wilson, bootstrap = score.accuracy_interval, score.macro_f1_interval
    assert (
        f"| af-ZA | similarity | 0.7500 | {wilson.low:.4f} to {wilson.high:.4f} | 0.3750 | "
        f"{bootstrap.low:.4f} to {bootstrap.high:.4f} | 20 | 1.2500 | 0.0625 |"
    ) in by_locale
    assert "\n\n\n" not in report
    tables = [block.splitlines() for block in report.split("\n\n") if block.startswith("|")]
    assert [len(table) for table in tables] == [2 + 7, 2 + 7, 2 + 8, 2 + 3, 2 + 8]
    for table in tables:
        assert len({line.count("|") for line in table}) == 1


def test_columns_of_the_comparison_keep_their_order(answered: ResultsFolder, tmp_path: Path) -> None:
    """Scripts count on it: what comes later stands last, and is blank where nothing is known."""
    _, plain, *_ = write(answered, tmp_path / "plain")
    _, full, *_ = analysed(answered, tmp_path / "full", answered.analysis())
    columns = list(read_csv(full)[0])
    assert columns == list(read_csv(plain)[0])
    assert columns[:9] == [
        "locale",
        "language",
        "family",
        "baseline",
        "similarity",
        "average",
        "similarity_minus_baseline",
        "average_minus_baseline",
        "similarity_minus_average",
    ]
    later = columns.index("demonstration") + 1
    assert columns[later] == "baseline_low"
    for with_analysis, without in zip(read_csv(full), read_csv(plain), strict=True):
        assert {key: with_analysis[key] for key in columns[:later]} == {key: without[key] for key in columns[:later]}
        assert {without[key] for key in columns[later:]} == {""}


def test_lost_predictions_leave_blanks_and_a_reason(answered: ResultsFolder, tmp_path: Path) -> None:
    for path in answered.root.glob("*/predictions.csv"):
        path.unlink()
    _, comparison_path, summary_path, report_path = analysed(answered, tmp_path, answered.analysis())
    rows = {row["locale"]: row for row in read_csv(comparison_path)}
    assert rows["en-US"]["similarity_minus_average_p"] == ""
    assert rows["en-US"]["similarity_low"] != "", "Wilson needs no predictions"
    told = read_json(summary_path)["analysis"]
    assert "predictions.csv is missing" in told["blank"]
    assert (told["comparisons"], told["contrasts"]) == ([], [])
    report = report_path.read_text(encoding="utf-8")
    assert "| similarity minus average | 3 | +0.1000 |  | 2 | 0 | 1 |  |  |  |  |  |  |" in report
    blank = told["blank"].replace(str(answered.root), "results")
    assert f"Intervals and tests of differences are blank: {blank}" in report
    assert "## Intervals and calibration by locale" in report


def test_one_lost_file_leaves_its_own_blanks_and_a_note(answered: ResultsFolder, tmp_path: Path) -> None:
    (answered.root / "average_af-ZA" / "predictions.csv").unlink()
    _, comparison_path, summary_path, report_path = analysed(answered, tmp_path, answered.analysis())
    rows = {row["locale"]: row for row in read_csv(comparison_path)}
    assert rows["af-ZA"]["similarity_minus_average_p"] == ""
    assert rows["en-US"]["similarity_minus_average_p"] != "" != rows["af-ZA"]["similarity_minus_baseline_p"]
    told = read_json(summary_path)["analysis"]
    (note,) = (note for note in told["notes"] if "average" in note)
    assert "average leave out af-ZA: " in note
    assert "predictions.csv is missing" in note
    assert {(row["first"], row["second"]): row["locales"] for row in told["comparisons"]}["similarity", "average"] == 2
    report = report_path.read_text(encoding="utf-8")
    assert f"- {note.replace(str(answered.root), 'results')}" in report
    assert "| similarity minus average | 3 | +0.1000 |  | 2 | 0 | 1 |  |  |  |  |  |  |" in report
    assert "\n\n\n" not in report


def test_records_without_calibration_have_no_columns_of_it(answered: ResultsFolder) -> None:
    analysis = answered.analysis()
    old = {cell: replace(score, nll=None, ece=None) for cell, score in analysis.scores.items()}
    report = markdown(answered.load(), answered.summary(), WHEN, analysis=replace(analysis, scores=old))
    assert "NLL" not in report
    assert any(line.endswith(" | 20 |") for line in section(report, "Intervals by locale"))


def test_report_of_a_full_run_says_so(full: ResultsFolder) -> None:
    report = markdown(full.load(), full.summary(), WHEN)
    assert "**156 of 156** results are there; 0 failed, 0 are missing." in report
    assert "- baseline: none missing" in report
    assert "No cell failed." in report


@pytest.mark.parametrize("demonstration", [True, False])
def test_a_demonstration_is_said_in_every_file(small: ResultsFolder, tmp_path: Path, demonstration: bool) -> None:
    folder = ResultsFolder(tmp_path / "other", demonstration=demonstration)
    folder.record("baseline", "af-ZA", 90)
    aggregated, comparison, summary, report = write(folder, tmp_path)
    word = "true" if demonstration else "false"
    assert {row["demonstration"] for path in (aggregated, comparison) for row in read_csv(path)} == {word}
    assert read_json(summary)["demonstration"] is demonstration
    assert ("**DEMONSTRATION" in report.read_text(encoding="utf-8")) is demonstration


def test_a_name_with_markup_is_no_markup_in_the_report(answered: ResultsFolder, tmp_path: Path) -> None:
    name = r"<img src=x> \<b> [a](b) *|"
    for locale in ("af-ZA", "nl-NL"):
        answered.record(name, locale, 90, folder=f"other_{locale}")
    *_, report_path = write(answered, tmp_path)
    report = report_path.read_text(encoding="utf-8")
    told = r"\<img src=x> \\\<b> \[a\](b) \*\|"
    assert f"{told} stands at" in report
    for opening in ("<img", "<b>", "[a]", "*|"):
        assert not re.search(r"(?<!\\)(\\\\)*" + re.escape(opening), report)
