"""Defaults < file < environment < flags: who wins, what is refused, and that what is printed is read back as it was."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclopts import App
from hypothesis import given, settings
from hypothesis import strategies as st
from workshop import INPUTS, content, make_workshop

from sprachbund import locales
from sprachbund.cli import run
from sprachbund.cli.app import app
from sprachbund.config import ExperimentConfig, SimulationConfig, as_yaml
from sprachbund.experiment import CONFIGURATION

pytestmark = pytest.mark.usefixtures("here")

FILE = "settings.yaml"

COMPLETE = {
    "adapt": "--target sq-AL --out o --unlabelled u.txt --labelled l.tsv --method pick-overlap --base b --epochs 3 "
    "--learning-rate 1e-4 --freeze-embeddings --num-languages 2 --seed 7 --jobs 2 --overwrite --data split:cldr --demo "
    "--models m/{locale} --sources af-ZA --allow-missing --allow-pickle",
    "aggregate": "--long --results-dir r --data cldr --zoo z --split dev --demo --output-dir o --format csv --show-missing "
    "--sort gain",
    "card": "--model m --results-dir r --overwrite",
    "check": "--data cldr --demo --models m/{locale} --sources af-ZA --base b --allow-pickle",
    "cluster slurm": "--nodes 3 --cpus-per-task 8 --gpus-per-node a100:4 --mem 64G --time 2-12 --partition p --account a "
    "--qos q --constraint c --job-name j --requeue --setup 'module load x' --start-timeout 9 --out o.sbatch --overwrite",
    "compare": "a b --variants similarity:average --data cldr --zoo one two --split dev --out o.csv",
    "data": "--data massive:data",
    "demo": "--locales sq-AL --output-dir elsewhere --overwrite",
    "evaluate": "--data cldr --demo --base-model m --model-dir d --locale sq-AL --prefix null --list-models --results-dir r "
    "--split dev --overwrite --precision bf16 --allow-pickle",
    "experiment": "--list-locales --dry-run --data cldr --demo --models '{locale}: #1' --base b --sources af-ZA da-DK "
    "--similarity s --selection all --num-languages 2 --include-target --sharpness 0.1 --output-dir 'my run' --overwrite "
    "--allow-missing "
    "--locales sq-AL nb-NO --variants average baseline --skip-baseline --skip-similarity --skip-average --start-from 1 "
    "--max-locales 3 --split train --keep-models none --zero-shot --skip-zero-shot --jobs 2 --sort gain --precision int8 "
    "--memory 4 --head-policy from:sq-AL --method ties --set density=0.5 --seed 3 --track trackio:mine "
    "--executor ray --ray-address auto --threads 2 --join --allow-pickle",
    "export": "--model m --mergekit --onnx --out r.yml --overwrite --allow-pickle",
    "merge": "r.yml --data cldr --demo --models m/{locale} --sources af-ZA da-DK --similarity s --selection original "
    "--num-languages 2 --include-target --sharpness 1e-3 --output-dir o --overwrite --allow-missing --mode manual "
    "--target-lang sqi --base b --weights 1 2.5 --source m n --out o --method ties --set density=0.5 a=[1,2] --no-normalize "
    "--dtype float16 --seed 3 --text a.txt b.txt --lines 0 0.5 --layers 0-5=1,0 rest=0,1 --layerwise --head-policy wide "
    "--allow-pickle",
    "methods": "",
    "plan": "--simulate --shape xlm-r-base --workers 1 8 --times 5 --costs c.yaml "
    "--data cldr --demo --models m/{locale} --base b --sources af-ZA da-DK --similarity s --selection all "
    "--num-languages 2 --include-target --sharpness 30 --output-dir o --overwrite --allow-missing --locales sq-AL "
    "--variants average --skip-baseline --skip-similarity --skip-average --start-from 1 --max-locales 3 --split dev "
    "--keep-models none --zero-shot --skip-zero-shot --jobs 2 --sort gain --precision fp16 --memory 0.5 --head-policy wide "
    "--method ties --set density=0.5 --seed 3 --track wandb:mine "
    "--executor ray --ray-address auto --threads 2 --join --allow-pickle",
    "plot": "--results-dir r --data cldr --zoo z --split dev --demo --out a.png",
    "predict": "--text 'one text' another --model m --file f.csv --column c --top 3 --out a.csv --overwrite --precision bf16 "
    "--allow-pickle",
    "push": "--model m --repo o/n --private --revision v --dry-run",
    "pretrain": "--out o --data cldr --locales sq-AL --device cpu --overwrite --vocabulary 400 --tokenizer-texts 50 --hidden 8 "
    "--layers 1 --heads 2 --intermediate 8 --dropout 0 --max-tokens 16 --mlm-steps 1 --mlm-batch 2 --ranking-steps 3 "
    "--ranking-batch 4 --temperature 0.5 --learning-rate 1e-4 --seed 5",
    "report": "--results-dir r --data cldr --zoo z --split dev --demo --out a.html --texts cldr",
    "similarity": "sq-AL --list --data cldr --demo --models m/{locale} --base b --sources af-ZA da-DK --similarity s "
    "--selection all --num-languages 2 --include-target --sharpness 0 --allow-missing --jobs 2 --out a.csv --plot a.svg "
    "--allow-pickle",
    "train": "--base b --out o --data cldr --locales sq-AL --joint sq-AL,af-ZA all --leave-one-out --jobs 2 --device cpu "
    "--overwrite --epochs 1 --batch 2 --accumulate 3 --precision bf16 --patience 1 "
    "--learning-rate 1e-4 --dropout 0.5 --head-seed 3 --seed 4 --allow-pickle",
    "transfer": "--data cldr --demo --models m/{locale} --sources af-ZA --locales sq-AL --split dev --results-dir r "
    "--overwrite --allow-missing --jobs 2 --precision bf16 --allow-pickle",
    "variants": "",
    "watch": "--output-dir o --interval 0.5 --once",
}
"""Each command with all of its flags, none at its default."""

WITHOUT_THEIR_NAMES = {"--a", "--b", "--target", "--recipe", "WORDS"}
"""Flags whose values are typed alone."""

NEEDED = {
    "adapt": "--target sq-AL --out o",
    "card": "--model m",
    "cluster slurm": "--nodes 2",
    "compare": "a b",
    "evaluate": "--base-model m",
    "export": "--model m",
    "merge": "--mode average --target-lang sq-AL",
    "predict": "--model m",
    "pretrain": "--out o",
    "push": "--model m --repo o/n",
    "similarity": "sq-AL",
    "train": "--base b",
}
"""What commands cannot be typed without."""


Capture = pytest.CaptureFixture[str]


def write(text: str, name: str = FILE) -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def settled(line: str, capsys: Capture) -> dict[str, Any]:
    """The settings that a command line settles on."""
    assert run([*shlex.split(line), "--print-config"]) == 0, capsys.readouterr().err
    printed = yaml.safe_load(capsys.readouterr().out)
    assert isinstance(printed, dict)
    return printed


def refused(line: str, capsys: Capture) -> str:
    """The one sentence that refuses a command line."""
    assert run(shlex.split(line)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (sentence,) = err.splitlines()
    return sentence.removeprefix("error: ")


# --- who wins ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "default", "file", "variable", "typed", "values"),
    [
        ("num_languages", 5, "2", "3", "4", (2, 3, 4)),
        ("sharpness", 20.0, "1", "2.5", "1e-3", (1.0, 2.5, 0.001)),
        ("split", "test", "dev", "train", "dev", ("dev", "train", "dev")),
        ("output_dir", ".", "a run", "another run", "'one more'", ("a run", "another run", "one more")),
        ("models", None, "'{locale}'", "a b/{locale}", "c/{locale}", ("{locale}", "a b/{locale}", "c/{locale}")),
        ("max_locales", None, "1", "2", "3", (1, 2, 3)),
        ("locales", None, "[sq-AL, nb-NO]", "ja-JP fr-FR", "af-ZA", (["sq-AL", "nb-NO"], ["ja-JP", "fr-FR"], ["af-ZA"])),
        ("variants", ["baseline", "similarity", "average"], "average", "baseline", "average baseline",
         (["average"], ["baseline"], ["average", "baseline"])),
        ("demo", False, "true", "false", "", (True, False, True)),
        ("overwrite", False, "yes", "0", "", (True, False, True)),
    ],
)  # fmt: skip
def test_flags_beat_the_environment_which_beats_the_file_which_beats_defaults(
    name: str,
    default: Any,
    file: str,
    variable: str,
    typed: str,
    values: tuple[Any, Any, Any],
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settled("experiment", capsys).get(name) == default
    line = f"experiment --config {write(f'{name}: {file}')}"
    assert settled(line, capsys)[name] == values[0]
    monkeypatch.setenv(f"SPRACHBUND_EXPERIMENT_{name.upper()}", variable)
    assert settled(line, capsys)[name] == values[1]
    assert settled(f"{line} --{name.replace('_', '-')} {typed}", capsys)[name] == values[2]


@pytest.mark.parametrize("no", ["false", "no", "False", "0"])
def test_what_a_file_or_the_environment_switched_on_a_flag_switches_off(
    no: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"experiment --config {write('demo: true')}"
    assert settled(line, capsys)["demo"] is True
    assert settled(f"{line} --demo={no}", capsys)["demo"] is False
    monkeypatch.setenv("SPRACHBUND_EXPERIMENT_DEMO", "true")
    assert settled(f"{line} --demo={no}", capsys)["demo"] is False


def test_the_environment_speaks_to_one_command_only(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRACHBUND_EXPERIMENT_NUM_LANGUAGES", "3")
    monkeypatch.setenv("SPRACHBUND_TRANSFER_NONSENSE", "3")
    assert settled("experiment", capsys)["num_languages"] == 3
    assert settled("plan", capsys)["num_languages"] == 5


@pytest.mark.parametrize("command", ["experiment", "transfer", "merge --mode average --target-lang sq-AL"])
def test_keys_that_are_commands_too_are_settings(
    command: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    similarity = {} if command == "transfer" else {"similarity": "mine"}
    given = {"data": "massive:here", "demo": True, **similarity}
    found = settled(f"{command} --config {write(yaml.safe_dump(given))}", capsys)
    assert {key: found[key] for key in given} == given
    monkeypatch.setenv(f"SPRACHBUND_{command.split()[0].upper()}_DATA", "cldr")
    assert settled(f"{command} --config {FILE}", capsys)["data"] == "cldr"


@pytest.mark.parametrize(("command", "key"), [("data", "data"), ("similarity sq-AL", "similarity")])
def test_so_are_keys_that_are_the_very_command(command: str, key: str, capsys: Capture) -> None:
    assert settled(f"{command} --config {write(f'{key}: mine')}", capsys)[key] == "mine"


def test_hyphens_do_for_underscores_and_nothing_stands_for_the_default(capsys: Capture) -> None:
    found = settled(f"experiment --config {write('num-languages: 3')}", capsys)
    assert found["num_languages"] == 3
    assert settled(f"experiment --config {write('')}", capsys) == settled("experiment", capsys)
    nothing = write("max_locales:\nlocales: []\nnum_languages: null\nvariants:\n")
    assert settled(f"experiment --config {nothing}", capsys) == settled("experiment", capsys)


def test_what_commands_need_may_stand_in_the_file_or_the_environment(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("mode: average")
    assert "--target-lang is needed" in refused(f"merge --config {FILE}", capsys)
    monkeypatch.setenv("SPRACHBUND_MERGE_TARGET_LANG", "sqi")
    found = settled(f"merge --config {FILE}", capsys)
    assert (found["mode"], found["target_lang"]) == ("average", "sqi")


# --- what is refused ---------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_refused_with_the_nearest_one(capsys: Capture) -> None:
    write("num_languages: 3\nsharpnes: 2")
    assert refused(f"experiment --config {FILE}", capsys) == (
        f"Unknown key in {FILE} 'sharpnes': did you mean sharpness?"
    )
    assert refused(f"merge --mode average --target-lang sq-AL --config {FILE}", capsys).startswith("Unknown key")
    assert "'epochs'" in refused(f"experiment --config {write('epochs: 3')}", capsys), "a flag of another command"
    assert "'lcales'" in refused(f"experiment --config {write('lcales:')}", capsys), "without a value too"


def test_an_unknown_variable_is_refused_with_the_nearest_one(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRACHBUND_EXPERIMENT_SHARPNES", "2")
    assert refused("experiment", capsys) == (
        "Unknown environment variable 'SPRACHBUND_EXPERIMENT_SHARPNES': did you mean SPRACHBUND_EXPERIMENT_SHARPNESS?"
    )
    assert settled("plan", capsys)["sharpness"] == 20.0


def test_the_size_of_the_demo_is_no_unknown_variable(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRACHBUND_DEMO_SIZE", "tiny")
    monkeypatch.setenv("SPRACHBUND_DEMO_OUTPUT_DIR", "elsewhere")
    assert settled("demo", capsys)["output_dir"] == "elsewhere"
    monkeypatch.setenv("SPRACHBUND_DEMO_SIZES", "tiny")
    assert "SPRACHBUND_DEMO_SIZES" in refused("demo", capsys)


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (b"locales: [sq-AL", ("is not YAML", "line 1", "mend it")),
        (b"demo: \xff\xfe", ("is not YAML", "mend it")),
        (b"- sq-AL\n- de-DE\n", ("must hold lines `flag: value`", "--print-config")),
        (b"just words", ("must hold lines `flag: value`", "--print-config")),
        (b"5: 6", ("must hold lines `flag: value`", "--print-config")),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(spoilt: bytes, words: tuple[str, ...], capsys: Capture) -> None:
    Path(FILE).write_bytes(spoilt)
    sentence = refused(f"experiment --config {FILE}", capsys)
    assert sentence.startswith(f"--config {FILE} ")
    for word in words:
        assert word in sentence


def test_a_file_that_is_not_there_is_refused(capsys: Capture) -> None:
    assert refused("experiment --config nowhere.yaml", capsys) == "--config nowhere.yaml: there is no such file."
    assert "Is a directory" in refused("experiment --config .", capsys)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("num_languages", "many", "--num-languages: 'many' is not a whole number."),
        ("num_languages", "0", "--num-languages is 0, but must be at least 1."),
        ("split", "tst", "Unknown --split 'tst': did you mean test?"),
        (
            "demo",
            "maybe",
            "--demo is true or false, not 'maybe'.",
        ),
    ],
)
def test_a_wrong_value_gets_the_same_sentence_wherever_it_stands(
    name: str, value: str, sentence: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(f"{name}: {value}")
    assert refused(f"experiment --config {FILE}", capsys) == sentence
    monkeypatch.setenv(f"SPRACHBUND_EXPERIMENT_{name.upper()}", value)
    assert refused("experiment", capsys) == sentence


def test_a_file_may_not_hold_what_has_no_effect_either(capsys: Capture) -> None:
    line = "similarity sq-AL --sources ro-RO el-GR --selection all"
    refusal = "--num-languages has no effect with --selection all: leave it out."
    assert refused(f"{line} --num-languages 3", capsys) == refusal
    assert refused(f"{line} --config {write('num_languages: 3')}", capsys) == refusal


# --- what every command knows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["--quiet --verbose methods", "methods --verbose --quiet", "experiment --quiet --verbose"]
)
def test_less_and_more_at_once_is_refused(line: str, capsys: Capture) -> None:
    assert "--quiet and --verbose contradict each other" in refused(line, capsys)


def test_a_file_may_say_how_much_is_said_and_flags_win(capsys: Capture) -> None:
    write("json: true")
    assert run(["similarity", "sq-AL", "--config", FILE]) == 0
    assert json.loads(capsys.readouterr().out)["target"] == "sq-AL"
    assert run(["similarity", "sq-AL", "--config", FILE, "--json=false"]) == 0
    assert capsys.readouterr().out.startswith("For sq-AL")
    write("quiet: true\nverbose: true")
    assert "contradict each other" in refused(f"methods --config {FILE}", capsys)
    assert refused(f"methods --config {write('quiet: a bit')}", capsys) == (
        f"quiet in {FILE} is true or false, not 'a bit'."
    )


# --- what is printed is read back --------------------------------------------------------------------------------------


def commands_of(parent: App) -> Iterator[str]:
    """The commands, those of a group with its name before them."""
    for name in (name for name in parent if not name.startswith("-")):
        within = [f"{name} {inner}" for inner in commands_of(parent[name])]
        yield from within or [name]


def test_every_command_is_covered_with_every_flag(capsys: Capture) -> None:
    assert set(commands_of(app)) == COMPLETE.keys()
    for command, line in COMPLETE.items():
        arguments = reduce(getitem, command.split(), app).assemble_argument_collection(parse_docstring=False)
        flags = {argument.name for argument in arguments if argument.show and argument.name not in WITHOUT_THEIR_NAMES}
        assert flags <= set(shlex.split(line)), command
        complete = settled(f"{command} {line}", capsys)
        for key, value in settled(f"{command} {NEEDED.get(command, '')}", capsys).items():
            flag = f"--{key.replace('_', '-')}"
            assert (
                complete[key] != value
                or flag in NEEDED.get(command, "")
                or key in {"a", "b", "target", "out", "base", "data"}
            )


@pytest.mark.parametrize("command", COMPLETE)
def test_the_settings_of_every_command_are_read_back(command: str, capsys: Capture, here: Path) -> None:
    assert run([*command.split(), *shlex.split(COMPLETE[command]), "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert settled(f"{command} --config {write(printed)}", capsys) == yaml.safe_load(printed)
    assert list(here.iterdir()) == [here / FILE], "nothing else was done"


WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8
) | st.sampled_from(
    [
        "no",
        "null",
        "~",
        "1e3",
        "0x1",
        "- a",
        "{locale}",
        "[a]",
        "a: b",
        "# a",
        "2024-01-01",
        " a ",
        "true",
        '"',
        "%",
        "&a",
        "!!x",
    ]
)
SOME_LOCALES = st.lists(st.sampled_from(locales.names()), unique=True, max_size=3).map(tuple)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "data": WORDS,
        "models": WORDS,
        "similarity": WORDS,
        "output_dir": WORDS.map(Path),
        "sources": SOME_LOCALES,
        "locales": SOME_LOCALES,
        "variants": st.lists(WORDS, min_size=1, max_size=3).map(tuple),
        "selection": st.sampled_from(["topk", "original", "all"]),
        "num_languages": st.integers(1, 60),
        "sharpness": st.floats(0, 1e9),
        "max_locales": st.none() | st.integers(1, 60),
        "start_from": st.integers(0, 60),
        **{
            name: st.booleans()
            for name in ("demo", "allow_missing", "include_target", "overwrite", "zero_shot", "skip_baseline")
        },
    },
)


@given(given=SETTINGS)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_any_settings_are_read_back_from_the_yaml_of_a_run(
    given: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = ExperimentConfig(**given)
    path = tmp_path_factory.getbasetemp() / FILE
    path.write_text(as_yaml(dict(config)), encoding="utf-8")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run(["plan", "--config", str(path), "--print-config", "--json"]) == 0
    printed = json.loads(out.getvalue())
    simulated = {name: printed.pop(name) for name in SimulationConfig.model_fields}
    assert not any(simulated.values()), "nobody asked"
    assert ExperimentConfig.model_validate(printed) == config


def test_as_json_they_are_the_same_settings(capsys: Capture) -> None:
    found = settled("experiment --locales sq-AL", capsys)
    assert run(["experiment", "--locales", "sq-AL", "--print-config", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {key: value for key, value in document.items() if value not in (None, [])} == found


@pytest.mark.parametrize(
    "line",
    [
        "similarity sq-AL --sources ro-RO el-GR --selection all",
        "similarity sq-AL --selection original",
        "merge --mode manual --target-lang sq-AL --sources ro-RO el-GR --weights 3 1 --models 'no/{locale}'",
    ],
)
def test_settings_that_commands_refuse_if_they_are_typed_are_no_more_typed_than_before(
    line: str, capsys: Capture
) -> None:
    """All settings stand in the file, those too that have no effect beside the others."""
    direct = run(shlex.split(line)), capsys.readouterr()
    assert "has no effect" not in direct[1].err
    run([*shlex.split(line), "--print-config"])
    write(capsys.readouterr().out)
    assert (run([line.split()[0], "--config", FILE]), capsys.readouterr()) == direct


def test_without_a_command_there_is_nothing_to_print_but_help(capsys: Capture) -> None:
    for line in ("--print-config", "experiment --print-config --help", "--print-config --version"):
        assert run(line.split()) == 0
    out = capsys.readouterr().out
    assert "Usage: sprachbund COMMAND" in out
    assert "Usage: sprachbund experiment" in out
    assert out.endswith("sprachbund 0.1.0\n")


# --- what a run writes -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("sq-AL", "el-GR", "ro-RO")
    return make_workshop(tmp_path_factory.mktemp("workshop"), names, names)


@pytest.mark.parametrize(
    "choice",
    [
        "--num-languages 1 --sharpness 3 --locales sq-AL el-GR --skip-average",
        "--selection all --skip-baseline --start-from 1",
    ],
)
def test_the_configuration_that_a_run_leaves_makes_the_same_plan(
    choice: str, workshop: Path, here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workshop)
    typed = [*INPUTS, "--sources", "sq-AL", "el-GR", "ro-RO", "--output-dir", str(here / "run"), *choice.split()]
    assert run(["experiment", *typed, "--quiet"]) == 0
    written = here / "run" / CONFIGURATION
    capsys.readouterr()
    assert settled(f"plan --config {written}", capsys) == settled(shlex.join(["plan", *typed]), capsys)

    before = content(here)
    assert run(["plan", "--config", str(written), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["finished"] == plan["cells"] == 4, "the very cells that the run has finished"
    assert run(["experiment", "--config", str(written), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["successful_experiments"] == 4
    assert {path for path in content(here) if "results" in path} == {path for path in before if "results" in path}

    assert "holds the result of something else" in refused(f"plan --config {written} --split dev --quiet", capsys)


def test_what_an_experiment_settles_on_is_read_by_plan_and_by_experiment(capsys: Capture) -> None:
    assert run(["experiment", "--locales", "sq-AL", "--num-languages", "2", "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert "dry_run" not in printed
    assert "list_locales" not in printed
    for command in ("plan", "experiment"):
        assert settled(f"{command} --config {write(printed)}", capsys) == yaml.safe_load(printed)
