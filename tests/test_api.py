"""The Python API: its examples, run as they stand, and that it gives what the commands give."""

from __future__ import annotations

import csv
import doctest
import inspect
import json
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import pytest
from pico import Pico, rows_of

import sprachbund
from sprachbund import api
from sprachbund.cli import run
from sprachbund.config import ExperimentConfig, MergeConfig
from sprachbund.errors import MixError, StoreError, UnknownName, UserError

SOURCES = ("de-DE", "el-GR", "fr-FR")
EXAMPLES = [test for test in doctest.DocTestFinder().find(api) if test.examples]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources with their base, and labelled texts in three languages as a table."""
    folder = tmp_path_factory.mktemp("bench")
    models = Pico(folder / "models")
    models.base()
    for locale in SOURCES:
        models.source(locale)
    lines = ["locale,split,id,text,label"]
    lines += [
        f"{r.locale},{r.partition},{r.id},{r.utt},{r.intent}" for name in (*SOURCES, "sq-AL") for r in rows_of(name)
    ]
    (folder / "texts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def here(bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with all of that in it."""
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    for path in bench.iterdir():
        (work / path.name).symlink_to(path)
    monkeypatch.chdir(work)
    return work


EXPERIMENT: dict[str, Any] = {
    "models": "models/{locale}",
    "data": "table:texts.csv",
    "sources": SOURCES,
    "locales": ("de-DE", "el-GR"),
    "num_languages": 2,
    "output_dir": "out",
}


def test_the_examples_of_the_documentation_run(here: Path) -> None:
    """In their order on the page: an example may look at what those before it made."""
    checker = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    for test in sorted(EXAMPLES, key=lambda test: test.lineno or 0):
        checker.run(test, out=said.append)
    assert checker.summarize(verbose=False).failed == 0, "".join(said)
    assert {test.name.rpartition(".")[2] for test in EXAMPLES} == {*sprachbund.__all__} - {"__version__"}


def test_the_root_shows_what_there_is() -> None:
    assert {*sprachbund.__all__} <= {*dir(sprachbund)}
    for name in {*sprachbund.__all__} - {"__version__"}:
        assert getattr(sprachbund, name) is getattr(api, name)
    with pytest.raises(AttributeError, match="no attribute 'mrge'"):
        _ = sprachbund.mrge


def test_what_can_be_said_of_a_merge_is_what_the_command_takes() -> None:
    named = {*get_type_hints(api.MergeSettings)} | {"target_lang", "mode"}
    assert named == {*MergeConfig.model_fields}
    assert {*api.Experiment.model_fields} == {*ExperimentConfig.model_fields}


def test_a_merge_is_that_of_the_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = sprachbund.merge(
        [Path("models/de-DE"), "models/fr-FR"],
        "ours",
        base=Path("models/base"),
        method="ties",
        options={"density": 0.3},
    )
    line = "merge --source models/de-DE models/fr-FR --base models/base --method ties --set density=0.3 --out theirs"
    assert run(line.split()) == 0
    for name in ("model.safetensors", "config.json"):
        assert (here / "ours" / name).read_bytes() == (here / "theirs" / name).read_bytes()
    theirs = json.loads((here / "theirs/blend.json").read_text(encoding="utf-8"))
    assert made.details.candidate == theirs["candidate"]


def test_a_merge_by_layers_and_by_depth_is_that_of_the_command(here: Path) -> None:
    sprachbund.merge(["models/de-DE", "models/fr-FR"], "ours", layers={"embeddings": [1, 0], "rest": [1, 3]})
    line = "merge --source models/de-DE models/fr-FR --layers embeddings=1,0 rest=1,3 --out theirs"
    assert run(line.split()) == 0
    assert (here / "ours/model.safetensors").read_bytes() == (here / "theirs/model.safetensors").read_bytes()
    how: dict[str, Any] = {"method": "task_arithmetic", "base": "models/base"}
    sprachbund.merge(["models/de-DE", "models/fr-FR"], "deep", lines=(0.5, 0.5), **how)
    sprachbund.merge(["models/de-DE", "models/fr-FR"], "flat", **how)
    assert (here / "deep/model.safetensors").read_bytes() != (here / "flat/model.safetensors").read_bytes()


def test_a_merge_for_a_target_is_that_of_the_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = sprachbund.merge_for(
        "sqi", "manual", models="models/{locale}", sources=["de-DE", "fr-FR"], weights=[3, 1], output_dir="ours"
    )
    line = "merge --mode manual --target-lang sq-AL --models models/{locale} --sources de-DE fr-FR --weights 3 1"
    assert run([*line.split(), "--output-dir", "theirs", "--json"]) == 0
    theirs = json.loads(capsys.readouterr().out)
    assert made.details.candidate == theirs["candidate"]
    assert made.folder == Path("ours/merged_models/manual_merge_sq-AL")
    assert [source.weight for source in made.details.sources] == [0.75, 0.25]


def test_an_evaluation_is_that_of_the_command_and_leaves_nothing_unasked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.rglob("*"))
    record = sprachbund.evaluate("models/fr-FR", "table:texts.csv", "el-GR", "dev")
    assert sorted(here.rglob("*")) == before
    line = "evaluate --base-model models/fr-FR --data table:texts.csv --locale el-GR --split dev --json"
    assert run(line.split()) == 0
    theirs = json.loads(capsys.readouterr().out)
    assert record.identity == theirs["identity"]
    assert record.performance.model_dump() == theirs["performance"]
    kept = sprachbund.evaluate("models/fr-FR", "table:texts.csv", "el-GR", "dev", results_dir="results")
    assert kept.evaluation_info.timestamp == theirs["evaluation_info"]["timestamp"], "it was there already"


@pytest.mark.usefixtures("here", "counted_package")
def test_an_evaluation_says_what_it_drew() -> None:
    info = sprachbund.evaluate("models/fr-FR", "table:texts.csv", "el-GR", "dev").evaluation_info
    assert (info.energy, info.energy_of) == (0.0, ("CPU package-0",))


def test_an_experiment_resumes_tells_of_progress_and_is_read_again(here: Path) -> None:
    told: list[tuple[str, int, int]] = []
    experiment = sprachbund.Experiment(**EXPERIMENT)
    assert experiment.plan().finished == 0
    results = experiment.run(progress=lambda *progress: told.append(progress))
    assert told[-1][1:] == (6, 6)
    assert results.failures == {}
    assert experiment.plan().finished == 6
    stamps = {row["timestamp"] for row in results.rows}
    again = sprachbund.load_results(here / "out/results", data="texts", split="test")
    assert {row["timestamp"] for row in experiment.run().rows} == stamps == {row["timestamp"] for row in again.rows}
    table = again.table()
    assert table.column_names == list(again.rows[0])
    assert table.to_pylist() == again.rows
    by_cell = {(row["locale"], row["variant"]): row["accuracy"] for row in again.rows}
    for row in again.comparison:
        for variant in ("baseline", "similarity", "average"):
            assert row[variant] == by_cell.get((row["locale"], variant))
    assert run(["aggregate", "--results-dir", "out/results", "--format", "csv", "--output-dir", "files"]) == 0
    for name, rows in (("aggregated", again.rows), ("comparison", again.comparison)):
        (path,) = (here / "files").glob(f"results_{name}_*.csv")
        header, *written = csv.reader(path.read_text(encoding="utf-8").splitlines())
        assert header == list(rows[0])
        assert len(written) == len(rows)
        assert [line[header.index("locale")] for line in written] == [row["locale"] for row in rows]
    assert again.headline.startswith("similarity ")
    assert {*again.analysis.scores} == {(row["variant"], row["locale"]) for row in again.rows}
    assert again.plot("picture.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_a_run_is_tracked_if_somebody_asks(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    tracker = ModuleType("trackio")
    tracker.__dict__.update(init=lambda **_: None, log=told.append, finish=lambda: None)
    monkeypatch.setitem(sys.modules, "trackio", tracker)
    sprachbund.Experiment(**EXPERIMENT, track="trackio:mine").run()
    cells = {(entry["locale"], entry["variant"]) for entry in told if "variant" in entry}
    assert cells == {
        (locale, name) for locale in EXPERIMENT["locales"] for name in ("baseline", "similarity", "average")
    }


def test_a_cell_that_fails_is_told_of(here: Path, tmp_path: Path) -> None:
    from pico import poison

    own = Pico(tmp_path / "own")
    for locale in SOURCES:
        own.source(locale)
    poison(tmp_path / "own/fr-FR")
    changed = {**EXPERIMENT, "models": f"{tmp_path}/own/{{locale}}", "locales": ("de-DE",)}
    results = sprachbund.Experiment(**changed).run()
    assert {*results.failures} == {"de-DE similarity", "de-DE average"}
    assert "NaN" in results.failures["de-DE average"]
    assert [row["variant"] for row in results.rows] == ["baseline"]


def test_notes_go_to_the_logger(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="sprachbund"):
        sprachbund.evaluate("models/fr-FR", "table:texts.csv", "el-GR")
    assert any("texts.csv" in record.message for record in caplog.records), "where the data comes from is said"


@pytest.mark.parametrize(
    ("wrong", "kind", "sentence"),
    [
        (lambda: sprachbund.merge([], "out"), UserError, "name the checkpoints"),
        (lambda: sprachbund.merge(["models/de-DE"], "out", weights=[1, 2]), MixError, "2 numbers for 1"),
        (
            lambda: sprachbund.merge(["models/de-DE"], "out", layers={"rest": [1, 2]}),
            MixError,
            "rest=1,2 has 2 numbers for 1",
        ),
        (lambda: sprachbund.merge(["models/de-DE"], "out", method="tise"), UnknownName, "did you mean ties"),
        (lambda: sprachbund.merge_for("xx"), UnknownName, "Unknown locale 'xx'"),
        (lambda: sprachbund.merge_for("sq-AL", "simlarity"), UserError, "did you mean similarity"),
        (
            lambda: sprachbund.merge_for("sq-AL", num_languages=0),
            UserError,
            "num_languages is 0, but must be at least 1",
        ),
        (lambda: sprachbund.merge_for("sq-AL", model="m"), UnknownName, "did you mean models"),
        (
            lambda: sprachbund.evaluate("models/de-DE", "table:texts.csv", "el-GR", "tst"),
            UserError,
            "did you mean test",
        ),
        (lambda: sprachbund.evaluate("models/nl-NL", "table:texts.csv", "el-GR"), UserError, "models/nl-NL"),
        (lambda: sprachbund.Experiment(local=["de-DE"]), UnknownName, "did you mean locales"),
        (lambda: sprachbund.Experiment(num_languages="many"), UserError, "num_languages: 'many' is not a whole number"),
        (lambda: sprachbund.Experiment(locales=["de-DE"], variants=["aut"]).plan(), UnknownName, "did you mean auto"),
        (lambda: sprachbund.load_results("nowhere"), StoreError, "nowhere does not exist"),
    ],
)
def test_what_is_wrong_is_said_in_the_same_words(here: Path, wrong: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        wrong()


def test_embedded_models_that_are_not_made_cannot_be_planned_for(here: Path) -> None:
    with pytest.raises(UserError, match="sprachbund demo"):
        sprachbund.Experiment(demo=True).plan()


# --- wrong arguments ---------------------------------------------------------------------------------------------------

PAIR = ["models/de-DE", "models/fr-FR"]
ANYTHING = (
    None,
    5,
    2.5,
    -1,
    float("nan"),
    True,
    "",
    "x",
    b"x",
    [],
    [None],
    ["a", "b"],
    (1, 2, 3),
    {},
    {"a": 1},
    {1: 2},
)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sources": "models/de-DE"}, "sources is 'models/de-DE', but takes several values: give a list"),
        ({"sources": [5, "models/fr-FR"]}, "sources: 5 is no text"),
        ({"sources": []}, "There are no sources"),
        ({"weights": ["a", 1]}, "weights: 'a' is not a number"),
        ({"weights": "31"}, "weights is '31', but takes several values"),
        ({"method": "tise"}, "did you mean ties"),
        ({"method": 5}, "method: 5 is no text"),
        ({"dtype": "float31"}, "Unknown dtype 'float31': did you mean float32"),
        ({"options": "density=0.5"}, "options is 'density=0.5', but takes names with their values: give a dict"),
        ({"layers": {"rest": "ab"}}, "layers is 'ab', but takes several values"),
        ({"lines": (1, 2, 3)}, "lines has 3 values, but takes 2"),
        ({"seed": -1}, "seed is -1, but must be at least 0"),
        ({"text": "texts.csv"}, "text is 'texts.csv', but takes several values"),
        ({"overwrite": "perhaps"}, "overwrite is true or false, not 'perhaps'"),
        ({"out": None}, "out:"),
    ],
)
def test_a_wrong_argument_of_a_merge_gets_one_sentence(arguments: dict[str, Any], words: str, here: Path) -> None:
    with pytest.raises(UserError) as caught:
        sprachbund.merge(**{"sources": PAIR, "out": "merged", **arguments})
    assert words in str(caught.value)
    assert not Path("merged").exists()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sprachbund.evaluate(5, "table:texts.csv", "de-DE"), "model: 5 is no text"),  # type: ignore[arg-type]
        (lambda: sprachbund.evaluate("models/de-DE", 5, "de-DE"), "data: 5 is no text"),  # type: ignore[arg-type]
        (lambda: sprachbund.evaluate("models/de-DE", "table:texts.csv", "de-DE", "tset"), "did you mean test"),  # type: ignore[arg-type]
        (lambda: sprachbund.merge_for(5, models="models/{locale}"), "target: 5 is no text"),  # type: ignore[arg-type]
        (lambda: sprachbund.merge_for("sq-AL", sources="de-DE"), "sources is 'de-DE', but takes several values"),
        (lambda: sprachbund.Experiment(locales="sq-AL"), "locales is 'sq-AL', but takes several values"),
        (lambda: sprachbund.load_results(5), "results_dir:"),  # type: ignore[arg-type]
        (lambda: sprachbund.load_results("out", split="tset"), "Unknown split 'tset': did you mean test"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_elsewhere_get_one_sentence(call: Any, words: str, here: Path) -> None:
    with pytest.raises(UserError) as caught:
        call()
    assert words in str(caught.value)


CALLS: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "merge": (
        sprachbund.merge,
        {"sources": PAIR, "out": "merged", "base": "models/base", "method": "ties"},
        [name for name in inspect.signature(api.merge).parameters if name != "progress"],
    ),
    "merge_for": (
        sprachbund.merge_for,
        {"target": "sq-AL", "models": "models/{locale}", "sources": SOURCES, "num_languages": 2},
        ["target", "mode", *get_type_hints(api.MergeSettings)],
    ),
    "evaluate": (
        sprachbund.evaluate,
        {"model": "models/de-DE", "data": "table:texts.csv", "locale": "de-DE"},
        [name for name in inspect.signature(api.evaluate).parameters if name != "progress"],
    ),
    "Experiment": (sprachbund.Experiment, {}, [*ExperimentConfig.model_fields]),
    "load_results": (sprachbund.load_results, {"results_dir": "out"}, ["results_dir", "data", "zoo", "split"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_whatever_an_argument_is_nothing_but_our_own_errors_comes_out(name: str, here: Path) -> None:
    call, usual, parameters = CALLS[name]
    for parameter in parameters:
        for value in ANYTHING:
            if parameter in ("demo", "overwrite") or (parameter == "models" and value is None):
                continue  # True and False are both right
            try:
                call(**{**usual, parameter: value})
            except UserError as error:
                sentence = str(error)
            else:
                continue
            assert "\n" not in sentence, (parameter, value)
            assert "Input should" not in sentence, (parameter, value, sentence)
