"""All bad input that there is a test of, as one table: what is wrong, what is typed, how it is spoiled, what must be said.

``tests/test_bad_input.py`` runs the cases, each in a copy of the :func:`workshop`, and docs/reliability.md lists them.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import shlex
import shutil
import struct
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pyarrow
import pytest
import torch
from hub import Hub, asked
from pico import FILLERS, Pico, rewrite, tokenizer
from pyarrow import parquet

from sprachbund import locales
from sprachbund.checkpoints.hub import _listings
from sprachbund.cli import run
from sprachbund.data.massive import INTENTS

TARGET, SOURCES = "sq-AL", ("el-GR", "ro-RO")
"""The two sources are the nearest of the target by uriel:syntax_knn."""
MODELS = '--models "models/{locale}"'
INPUTS = f"{MODELS} --data massive:data"
EXPERIMENT = f"experiment {INPUTS} --locales {TARGET} --num-languages 2"
ONE_SOURCE = f"transfer {INPUTS} --sources el-GR --locales {TARGET} --jobs 1"
MERGE = f"merge {MODELS} --mode manual --target-lang {TARGET} --sources el-GR ro-RO"
SLURM = "cluster slurm --nodes 2 --"
BLEND = "merge --source models/el-GR models/ro-RO --out merged"
BY_RECIPE = "merge recipe.yml --out merged"
EVALUATE = f"evaluate --base-model models/{TARGET} --locale {TARGET} --data massive:data --prefix baseline"
ZOO = "transfer --models zoo.csv --data massive:data"
ON_HUB = f"evaluate --locale {TARGET} --data massive:data --base-model"
TRAIN = "train --base base --out trained --data massive:data --locales sq-AL"
TRAIN_ALL = TRAIN.removesuffix(" --locales sq-AL")
PREDICT = f"predict --model models/{TARGET}"
NEWS, DESCRIBED = "data --data table:news.csv", "data --data table:news.yaml"
RECORD = f"results/baseline_{TARGET}/results.json"
WEIGHTS = f"models/{TARGET}/model.safetensors"
HEAD = "classifier.out_proj.weight"
CONFIG = f"models/{TARGET}/config.json"

Spoil = Callable[[Path], None]


def nothing(folder: Path) -> None:
    """The command line itself is what is wrong."""


@dataclass(frozen=True)
class Case:
    """One bad input."""

    what: str
    """As the page names it."""
    line: str
    """What is typed after ``sprachbund``."""
    words: tuple[str, ...]
    """What the sentence must have in it: what is wrong, where, what next."""
    spoil: Spoil = nothing
    """Done to the folder before."""
    during: Callable[[], AbstractContextManager[None]] = nullcontext
    """What the machine is like while the line runs."""
    leaves: frozenset[str] = frozenset()
    """Files that may be new afterwards, where a run had begun already."""


# --- the folder in which a line is typed -------------------------------------------------------------------------------


def workshop(folder: Path) -> None:
    """Make a target, its two sources, their base, and data for them."""
    Pico(folder).base()
    for locale in (TARGET, *SOURCES):
        Pico(folder / "models").source(locale, labels=INTENTS)
        write(f"data/{locale}.jsonl", "".join(rows_of(locale)))(folder)


def rows_of(locale: str) -> Iterator[str]:
    """60 rows for training, 6 each for dev and test."""
    for number, partition in enumerate(["train"] * 60 + ["dev"] * 6 + ["test"] * 6):
        texts = {"scenario": "made-up", "intent": INTENTS[number % 60], "utt": f"{FILLERS[0]} {FILLERS[number % 10]}"}
        yield json.dumps({"id": str(number), "locale": locale, "partition": partition, **texts}) + "\n"


# --- how things are spoiled --------------------------------------------------------------------------------------------


def remove(*paths: str) -> Spoil:
    def spoil(folder: Path) -> None:
        for path in paths:
            whole = folder / path
            shutil.rmtree(whole) if whole.is_dir() else whole.unlink()

    return spoil


def write(path: str, content: str | bytes) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def tensors(locale: str, change: Callable[[dict[str, torch.Tensor]], Any]) -> Spoil:
    return lambda folder: rewrite(folder / "models" / locale, change)


def put(tensor: str, number: float) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[tensor].view(-1)[0] = number

    return change


def as_json(path: str, **changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        content = json.loads((folder / path).read_text(encoding="utf-8"))
        (folder / path).write_text(json.dumps({**content, **changes}), encoding="utf-8")

    return spoil


def header(claimed: int | None, text: str) -> Spoil:
    """A safetensors file that is nothing but a header, which claims to be so many bytes long."""
    length = len(text) if claimed is None else claimed
    return write(WEIGHTS, struct.pack("<Q", length) + text.encode())


def cut_off(path: str, share: float = 0.5) -> Spoil:
    def spoil(folder: Path) -> None:
        content = (folder / path).read_bytes()
        (folder / path).write_bytes(content[: int(len(content) * share)])

    return spoil


class Program:
    """What a pickle may hold: a call of whatever its maker likes."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch harm",)


def pickled(content: Any) -> Spoil:
    """Pickled weights in the place of safetensors."""

    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        torch.save(content, (folder / WEIGHTS).with_name("pytorch_model.bin"))

    return spoil


def sharded(change: Callable[[dict[str, str]], Any] = len, twice: str = "") -> Spoil:
    """The target's weights in two files, with an index that says something else, or a tensor that is in both."""

    def spoil(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        whole = load_file(folder / WEIGHTS)
        place = {name: f"shard-{1 + name.startswith('classifier')}.safetensors" for name in whole}
        for shard in set(place.values()):
            tensors = {name: tensor for name, tensor in whole.items() if shard == place[name] or name == twice}
            save_file(tensors, folder / f"models/{TARGET}" / shard, metadata={"format": "pt"})
        change(place)
        write(f"{WEIGHTS}.index.json", json.dumps({"weight_map": place}))(folder)
        (folder / WEIGHTS).unlink()

    return spoil


def adapter(**config: Any) -> Spoil:
    """An adapter without weights in the place of the target's model."""
    usual = {"peft_type": "LORA", "base_model_name_or_path": "base"}
    return together(remove(WEIGHTS), write(f"models/{TARGET}/adapter_config.json", json.dumps({**usual, **config})))


def recipe(method: str, *more: str, weights: bool = True) -> Spoil:
    """A mergekit recipe of two models, with other lines."""
    models = [f"- model: models/{source}" for source in SOURCES]
    listed = [f"{model}\n  parameters: {{weight: 1}}" if weights else model for model in models]
    return write("recipe.yml", "\n".join([f"merge_method: {method}", "models:", *listed, *more]))


def zoo(text: str, name: str = "zoo.csv") -> Spoil:
    return write(name, text)


def other_labels(labels: list[str]) -> Spoil:
    def spoil(folder: Path) -> None:
        Pico(folder / "models").source(TARGET, labels=labels)

    return spoil


def other_base(folder: Path) -> None:
    Pico(folder).base("other", hidden=8)


def other_vocabulary(folder: Path) -> None:
    tokenizer("x").save_pretrained(folder / "models" / SOURCES[0])


def stranger(folder: Path) -> None:
    """A model with a vocabulary of its own."""
    Pico(folder).source("other", labels=INTENTS, words=tokenizer("x"))


def reordered(change: Callable[[dict[str, Any]], Any]) -> Spoil:
    """A source with two tokens in each other's place, and something else."""

    def spoil(folder: Path) -> None:
        path = folder / "models" / SOURCES[0] / "tokenizer.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        pieces = content["model"]["vocab"]
        pieces[10], pieces[11] = pieces[11], pieces[10]
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    return spoil


def another_piece(content: dict[str, Any]) -> None:
    content["model"]["vocab"][20][0] = "zzz"


def no_more(content: dict[str, Any]) -> None:
    """Two tokens in each other's place are enough."""


def row(number: int, **changes: Any) -> Spoil:
    """One row of the target's file changed; None takes a column out."""

    def spoil(folder: Path) -> None:
        path = folder / f"data/{TARGET}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines()
        changed = {**json.loads(lines[number - 1]), **changes}
        lines[number - 1] = json.dumps({column: value for column, value in changed.items() if value is not None})
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    return spoil


def table(line: str, text: str = "text") -> Spoil:
    """A table of one row."""
    return write("news.csv", f"locale,split,{text},label\n{line}\n")


def in_hub_layout(content: bytes | None) -> Spoil:
    """One file where the hub's layout has it: these bytes or, for None, a Parquet file of something else."""

    def spoil(folder: Path) -> None:
        path = folder / f"hub/{TARGET}/test/0000.parquet"
        write(str(path.relative_to(folder)), content or b"")(folder)
        if content is None:
            parquet.write_table(pyarrow.table({"id": ["1"], "text": ["bala"]}), path)

    return spoil


def recode(encoding: str) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / f"data/{TARGET}.jsonl"
        path.write_text(path.read_text(encoding="utf-8").replace("bala", "größe"), encoding=encoding)

    return spoil


def packed(share: float) -> Spoil:
    """The data as a tarball of which only a part has arrived."""

    def spoil(folder: Path) -> None:
        with tarfile.open(folder / "massive.tar.gz", "w:gz") as archive:
            archive.add(folder / "data", "1.1/data")
        cut_off("massive.tar.gz", share)(folder)

    return spoil


def finished(*arguments: str) -> Spoil:
    """Results of another run, in the folder where this one wants to write."""

    def spoil(folder: Path) -> None:
        assert run([*shlex.split(EXPERIMENT), *arguments]) == 0

    return spoil


def blended(folder: Path) -> None:
    """A merge that was made before."""
    assert run(shlex.split(BLEND)) == 0


def evaluated(folder: Path) -> None:
    """What one source answers is there already."""
    assert run(shlex.split(ONE_SOURCE)) == 0


def read_only(path: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / path).mkdir(parents=True)
        (folder / path).chmod(0o555)

    return spoil


def unreadable(path: str) -> Spoil:
    return lambda folder: (folder / path).chmod(0)


def together(*spoils: Spoil) -> Spoil:
    def spoil(folder: Path) -> None:
        for one in spoils:
            one(folder)

    return spoil


# --- what the machine is like ------------------------------------------------------------------------------------------


@contextmanager
def as_anybody() -> Iterator[None]:
    """Root may write wherever it likes; without this right (CAP_DAC_OVERRIDE) permissions bind it as everybody else."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root may write anywhere")
    kernel = ctypes.CDLL(None)
    version, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    kernel.capget(version, sets)
    effective = sets[0]
    sets[0] &= ~(1 << 1 | 1 << 2)
    kernel.capset(version, sets)
    try:
        yield
    finally:
        sets[0] = effective
        kernel.capset(version, sets)


@contextmanager
def little_room() -> Iterator[None]:
    """A disk with a kilobyte free."""
    with patch("shutil.disk_usage", lambda path: SimpleNamespace(total=1 << 30, used=1 << 30, free=1000)):
        yield


@contextmanager
def full_disk() -> Iterator[None]:
    """A disk that is full before a model of 36 kB is written."""
    pwrite = os.pwrite

    def writes(file: int, data: Any, offset: int) -> int:
        if offset + len(memoryview(data).cast("B")) > 10_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(file, data, offset)

    with patch("os.pwrite", writes):
        yield


@contextmanager
def small_files(most: int = 20_000) -> Iterator[None]:
    """A system that lets no file grow above a size; this one is no play, the system itself refuses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def a_hub(change: Callable[[Hub], None] = lambda hub: None) -> Iterator[None]:
    """A hub that can be reached; a repository that holds a model in a subfolder, and one that is gated."""
    model = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"{}"}
    with (
        Hub() as hub,
        tempfile.TemporaryDirectory() as home,
        asked(hub, Path(home)),
        patch.dict(_listings, clear=True),
    ):
        hub.add("org/model", {f"epoch-9/{path}": content for path, content in model.items()})
        hub.add("org/gated", model, gated=True)
        change(hub)
        yield


@contextmanager
def a_hub_and_little_room() -> Iterator[None]:
    """A model of 5 kB on the hub, and a kilobyte free here."""
    with (
        a_hub(
            lambda hub: hub.model("org/gated").commit("main", {"config.json": b"{}", "model.safetensors": bytes(5000)})
        ),
        little_room(),
    ):
        yield


def wrong_size(hub: Hub) -> None:
    hub.model("org/model").lies["epoch-9/model.safetensors"] = 12


@contextmanager
def cache_of_its_own() -> Iterator[None]:
    """What is kept for the next time is kept from it."""
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, SPRACHBUND_CACHE=folder):
        yield


@contextmanager
def without_lang2vec() -> Iterator[None]:
    """A machine without the extra that knows other languages."""
    with patch("sprachbund.similarity.uriel.installed", lambda: None):
        yield


# --- the cases ---------------------------------------------------------------------------------------------------------


CASES = {
    "Names": (
        Case("unknown locale", "experiment --locales sq-LA", ("'sq-LA'", "did you mean sq-AL?", "--list-locales")),
        Case("unknown target language", "merge --mode average --target-lang xx", ("'xx'", "--list-locales")),
        Case("a language code of two locales", "similarity zh", ("'zh'", "zh-CN or zh-TW")),
        Case("unknown variant", f"{EXPERIMENT} --variants simlarity", ("'simlarity'", "did you mean similarity?")),
        Case("unknown similarity", "similarity sq-AL --similarity uriel:syntax", ("did you mean uriel:syntax_knn",)),
        Case("unknown split", f"{EXPERIMENT} --split tests", ("--split", "'tests'", "did you mean test?")),
        Case("unknown selection", f"{EXPERIMENT} --selection topp", ("--selection", "did you mean topk?")),
        Case("unknown mode", "merge --mode manul --target-lang sq-AL", ("--mode", "did you mean manual?")),
        Case("unknown format", "aggregate --format markdwn", ("--format", "did you mean markdown?")),
        Case("unknown data set", "data --data masive:data", ("'masive'", "did you mean massive?")),
        Case("unknown flag", f"{EXPERIMENT} --num-language 3", ("'--num-language'", "did you mean --num-languages?")),
        Case("unknown command", "experimnt", ("'experimnt'", "did you mean experiment?")),
        Case("a word without a flag", "experiment sq-AL", ("'sq-AL'", "flag")),
        Case("a flag without its value", "experiment --split", ("--split", "value")),
        Case("a flag that is needed", "merge --mode average", ("--target-lang is needed",)),
        Case("a flag for lists without an entry", f"{EXPERIMENT} --variants", ("--variants", "value")),
        Case("a number that is too small", f"{TRAIN} --epochs 0", ("--epochs is 0", "at least 1")),
        Case(
            "a number that there is no locale for",
            f"{EXPERIMENT} --start-from 7",
            ("--start-from 7", "numbered 0 to 0"),
        ),
        Case("a word in place of a number", f"{EXPERIMENT} --max-locales all", ("--max-locales", "'all'", "number")),
    ),
    "Clusters": (
        Case("no experiment for the job", "cluster slurm --nodes 2", ("experiment", "behind --", "as in")),
        Case("another command for the job", f"{SLURM} {MERGE}", ("experiment", "behind --")),
        Case(
            "a wrong flag of the job's experiment", f"{SLURM} {EXPERIMENT} --varaints x", ("did you mean --variants?",)
        ),
        Case("a wrong variant of it", f"{SLURM} {EXPERIMENT} --variants averge", ("'averge'", "did you mean average?")),
        Case("a wrong option of its method", f"{SLURM} {EXPERIMENT} --set densty=1", ("linear has no option densty",)),
        Case(
            "an experiment that says where it is done",
            f"{SLURM} {EXPERIMENT} --executor local",
            ("--executor", "leave it out"),
        ),
        Case(
            "the address of another Ray",
            f"{SLURM} {EXPERIMENT} --ray-address h:1",
            ("--ray-address h:1", "leave it out"),
        ),
        Case("what no job is needed for", f"{SLURM} {EXPERIMENT} --dry-run", ("--dry-run", "leave it out")),
        Case("help in place of an experiment", f"{SLURM} {EXPERIMENT} --help", ("--help", "leave them out")),
        Case(
            "more threads than a node has",
            f"cluster slurm --nodes 2 --cpus-per-task 2 -- {EXPERIMENT} --threads 4",
            ("--threads 4", "--cpus-per-task 2", "raise"),
        ),
        Case(
            "a time that sbatch does not read",
            f"cluster slurm --nodes 2 --time 4h -- {EXPERIMENT}",
            ("--time '4h'", "04:00:00"),
        ),
        Case(
            "a second option in one of sbatch",
            f"cluster slurm --nodes 2 --partition 'gpu --exclusive' -- {EXPERIMENT}",
            ("--partition", "one word"),
        ),
        Case(
            "no whole line of shell", f"cluster slurm --nodes 2 --setup 'a\nb' -- {EXPERIMENT}", ("--setup", "one line")
        ),
        Case(
            "another file in the way of the job's",
            f"{SLURM} {EXPERIMENT}",
            ("run.sbatch is there already", "--out", "--overwrite"),
            write("run.sbatch", "mine"),
        ),
    ),
    "Models": (
        Case(
            "a missing folder of a model",
            EVALUATE,
            ("models/sq-AL is not a folder", "HF_HUB_OFFLINE", "check the name"),
            remove(f"models/{TARGET}"),
        ),
        Case(
            "missing folders of sources",
            EXPERIMENT,
            ("2 of 3 sources are missing", "models/el-GR", "--sources"),
            remove("models/el-GR", "models/ro-RO"),
        ),
        Case(
            "a missing subfolder",
            "evaluate --base-model models --model-dir sq-LA --locale sq-AL --data massive:data",
            ("models", "sq-LA", "did you mean sq-AL?"),
        ),
        Case(
            "a folder of models in place of a model",
            "evaluate --base-model models --locale sq-AL --data massive:data",
            ("no config.json", "el-GR, ro-RO, sq-AL", "--model-dir"),
        ),
        Case(
            "a repository that the hub does not show",
            f"{ON_HUB} org/modle",
            ("org/modle", "taken off", "misspelt", "private", "hf auth login"),
            during=a_hub,
        ),
        Case(
            "published sources that are gone",
            f"experiment --data massive:data --locales {TARGET} --num-languages 2",
            ("3 of 3 sources are missing", "taken off", "--models TEMPLATE", "--demo"),
            during=a_hub,
        ),
        Case("a gated repository", f"{ON_HUB} org/gated", ("org/gated", "ask for access", "log in"), during=a_hub),
        Case("an unknown revision", f"{ON_HUB} org/model@v9:epoch-9", ("org/model", "v9", "check"), during=a_hub),
        Case(
            "an unknown subfolder of a repository",
            f"{ON_HUB} org/model --model-dir epoch-8",
            ("org/model", "epoch-8", "did you mean epoch-9?"),
            during=a_hub,
        ),
        Case(
            "a repository of models in place of a model",
            f"{ON_HUB} org/model",
            ("org/model", "no config.json", "epoch-9", "--model-dir"),
            during=a_hub,
        ),
        Case(
            "a hub that cannot be reached",
            f"{ON_HUB} org/model:epoch-9",
            ("org/model:epoch-9", "cannot be reached", "the network", "goes on"),
            during=partial(a_hub, Hub.stop),
        ),
        Case(
            "no room for a download",
            f"{ON_HUB} org/gated",
            ("The download needs 5.0 kB", "1.0 kB free", "make room", "HF_HOME"),
            during=a_hub_and_little_room,
        ),
        Case(
            "a file of another size than the hub says",
            f"{ON_HUB} org/model:epoch-9",
            ("org/model:epoch-9", "size", "try again"),
            during=partial(a_hub, wrong_size),
        ),
        Case("models without a place for the locale", "experiment --models models --data massive:data", ("{locale}",)),
        Case("a truncated model", EVALUATE, (WEIGHTS, "truncated or corrupt", "download or save"), cut_off(WEIGHTS)),
        Case(
            "a corrupt header",
            MERGE,
            ("models/el-GR/model.safetensors", "corrupt", "again"),
            cut_off("models/el-GR/model.safetensors", 0.01),
        ),
        Case("a header that is no JSON", EVALUATE, (WEIGHTS, "header", "again"), header(None, "{no JSON" + " " * 32)),
        Case("an oversized header", EVALUATE, (WEIGHTS, "its header claims", "again"), header(1 << 62, "{}")),
        Case("a header nested without end", EVALUATE, (WEIGHTS, "header", "again"), header(None, "[" * 99_999)),
        Case("an empty file of a model", EVALUATE, (WEIGHTS, "it is empty", "again"), write(WEIGHTS, "")),
        Case(
            "a missing tensor",
            MERGE,
            ("classifier.dense.bias", "models/el-GR", "models/ro-RO", "one architecture"),
            tensors("el-GR", lambda tensors: tensors.pop("classifier.dense.bias")),
        ),
        Case(
            "a tensor of another shape",
            MERGE,
            ("classifier.dense.bias", "8 in models/el-GR", "16 in models/ro-RO", "one size"),
            tensors("el-GR", lambda tensors: tensors.update({"classifier.dense.bias": torch.zeros(8)})),
        ),
        Case(
            "a tensor of another shape than the config says",
            EVALUATE,
            ("models/sq-AL", "classifier.dense.bias", "8", "16", "again"),
            tensors(TARGET, lambda tensors: tensors.update({"classifier.dense.bias": torch.zeros(8)})),
        ),
        Case(
            "a model that is no classifier",
            "evaluate --base-model base --locale sq-AL --data massive:data",
            ("base", "no classifier", "fine-tuned"),
        ),
        Case(
            "another vocabulary", MERGE, ("models/el-GR", "models/ro-RO", "vocabular", "Merge only"), other_vocabulary
        ),
        Case(
            "a vocabulary with another token",
            MERGE,
            ("models/el-GR", "models/ro-RO", "models/el-GR 'zzz'", "Merge only"),
            reordered(another_piece),
        ),
        Case(
            "a vocabulary whose texts are normalised otherwise",
            MERGE,
            ("models/el-GR", "models/ro-RO", "do not normalise texts alike", "Merge only"),
            reordered(lambda content: content.update(normalizer={"type": "Lowercase"})),
        ),
        Case(
            "a vocabulary with padding in another place",
            MERGE,
            ("models/el-GR", "models/ro-RO", "padding", "7 and 1", "Merge only"),
            together(reordered(no_more), as_json("models/el-GR/config.json", pad_token_id=7)),
        ),
        Case(
            "an adaptation that goes by numbers of tokens, for two vocabularies",
            f"adapt --target {TARGET} --out adapted --models models/{{locale}} --sources el-GR ro-RO --base base "
            "--unlabelled texts.txt --method pick-overlap --jobs 1",
            ("models/el-GR", "models/ro-RO", "different vocabularies", "another method"),
            together(reordered(no_more), write("texts.txt", "bala dono\nfuri keme\n")),
            cache_of_its_own,
        ),
        Case("a missing base to check with", f"check {MODELS} --base bse", ("bse is not a folder here", "check")),
        Case(
            "a truncated base to check with",
            f"check {MODELS} --base base",
            ("base/model.safetensors", "truncated"),
            cut_off("base/model.safetensors"),
        ),
        Case("models beside the embedded ones", f"check --demo {MODELS}", ("--demo", "leave out --models")),
        Case(
            "no tokenizer",
            EVALUATE,
            ("models/sq-AL", "tokenizer", "copy it"),
            remove(f"models/{TARGET}/tokenizer.json"),
        ),
        Case(
            "a source without a tokenizer",
            MERGE,
            ("models/el-GR", "tokenizer", "copy it"),
            remove("models/el-GR/tokenizer.json"),
        ),
        Case(
            "a tokenizer that is none",
            EVALUATE,
            ("models/sq-AL", "tokenizer", "again"),
            write(f"models/{TARGET}/tokenizer.json", "{}"),
        ),
        Case(
            "a tokenizer with more tokens than the model",
            EVALUATE,
            ("models/sq-AL", "tokenizer", "do not belong together"),
            together(
                as_json(CONFIG, vocab_size=6),
                tensors(
                    TARGET,
                    lambda tensors: tensors.update(
                        {
                            name: tensor[:6].clone()
                            for name, tensor in tensors.items()
                            if name.endswith("word_embeddings.weight")
                        }
                    ),
                ),
            ),
        ),
        Case("a config that is no JSON", EVALUATE, (CONFIG, "not valid JSON", "again"), cut_off(CONFIG)),
        Case(
            "a config of an unknown model",
            EVALUATE,
            ("models/sq-AL", "xlm-robert", "again"),
            as_json(CONFIG, model_type="xlm-robert"),
        ),
        Case(
            "labels without numbers",
            EVALUATE,
            (CONFIG, "id2label", "mend"),
            as_json(CONFIG, id2label={"a": "alarm_set"}),
        ),
        Case(
            "more or fewer labels than the head",
            EVALUATE,
            (CONFIG, "2 labels", "60", "mend"),
            as_json(CONFIG, id2label={"0": "a", "1": "b"}),
        ),
        Case(
            "labels that do not fit the data",
            EVALUATE,
            ("models/sq-AL", "other labels", "massive", "4 labels against 60", "--data"),
            other_labels(["ask", "count", "greet", "leave"]),
        ),
        Case(
            "numbered labels that do not fit the data",
            EVALUATE,
            ("models/sq-AL", "other labels", "59 labels against 60", "--data"),
            other_labels([f"LABEL_{number}" for number in range(59)]),
        ),
        Case(
            "sources with their labels in two orders",
            f"merge {MODELS} --mode manual --target-lang sq-AL --sources sq-AL ro-RO",
            ("models/sq-AL", "models/ro-RO", "another order", "one order"),
            other_labels(sorted(INTENTS, reverse=True)),
        ),
        Case("a folder without weights", EVALUATE, ("models/sq-AL has no model.safetensors", "again"), remove(WEIGHTS)),
        Case(
            "an index of shards that is none",
            EVALUATE,
            (f"{WEIGHTS}.index.json", "no index", "again"),
            together(remove(WEIGHTS), write(f"{WEIGHTS}.index.json", "{}")),
        ),
        Case(
            "a missing shard",
            EVALUATE,
            (f"{WEIGHTS}.index.json", "shard-3.safetensors, which is not there", "again"),
            sharded(lambda place: place.update(more="shard-3.safetensors")),
        ),
        Case(
            "a shard elsewhere",
            EVALUATE,
            ("../shard.safetensors", "not a file beside it", "again"),
            sharded(lambda place: place.update(more="../shard.safetensors")),
        ),
        Case(
            "a tensor that its shard lacks",
            EVALUATE,
            ("tensor more is in shard-1.safetensors, where it is not", "again"),
            sharded(lambda place: place.update(more="shard-1.safetensors")),
        ),
        Case(
            "a tensor that the index does not name",
            EVALUATE,
            ("does not name tensor classifier.dense.bias", "again"),
            sharded(lambda place: place.pop("classifier.dense.bias")),
        ),
        Case(
            "a tensor in two shards",
            EVALUATE,
            ("tensor classifier.dense.bias is in two files", "again"),
            sharded(twice="classifier.dense.bias"),
        ),
        Case(
            "pickled weights that nobody asked to read",
            EVALUATE,
            ("models/sq-AL", "only as a pickle (pytorch_model.bin)", "safetensors", "--allow-pickle"),
            pickled({"x": Program()}),
        ),
        Case(
            "pickled weights that run a program",
            f"{EVALUATE} --allow-pickle",
            ("pytorch_model.bin", "does more than hold tensors", "system", "safetensors"),
            pickled({"x": Program()}),
        ),
        Case(
            "pickled weights that are none",
            f"{EVALUATE} --allow-pickle",
            ("pytorch_model.bin", "names to tensors", "save_pretrained"),
            pickled([1, 2]),
        ),
        Case(
            "pickled weights cut off",
            f"{EVALUATE} --allow-pickle",
            ("pytorch_model.bin", "truncated or corrupt", "again"),
            together(pickled({"x": torch.zeros(99)}), cut_off(f"models/{TARGET}/pytorch_model.bin")),
        ),
        Case(
            "pickled weights under another name",
            EVALUATE,
            ("models/sq-AL has no model.safetensors", "weights.pt", "only pytorch_model.bin is read", "safetensors"),
            lambda folder: (folder / WEIGHTS).rename((folder / WEIGHTS).with_name("weights.pt")),
        ),
        Case(
            "an adapter without weights", EVALUATE, ("models/sq-AL", "adapter without its weights", "again"), adapter()
        ),
        Case(
            "an adapter of a missing base",
            EVALUATE,
            ("base of the adapter models/sq-AL", "nowhere", "base_model_name_or_path"),
            adapter(base_model_name_or_path="./nowhere"),
        ),
        Case(
            "an adapter that is no LoRA",
            EVALUATE,
            ("adapter_config.json", "IA3", "only LORA", "merge it"),
            adapter(peft_type="IA3"),
        ),
        Case(
            "a config of an adapter that is none",
            EVALUATE,
            ("adapter_config.json", "does not say what it adapts", "again"),
            write(f"models/{TARGET}/adapter_config.json", "{}"),
        ),
        Case("a missing file of sources", ZOO, ("no file zoo.csv", "check the name")),
        Case("a file of sources without a row", ZOO, ("zoo.csv", "no source", "row"), zoo("locale,model\n")),
        Case("an unknown column", ZOO, ("zoo.csv", "'modell'", "did you mean model?"), zoo("locale,modell\nsq-AL,a\n")),
        Case("a column that is missing", ZOO, ("zoo.csv", "'model'", "first line"), zoo("locale\nsq-AL\n")),
        Case(
            "a locale with two sources",
            ZOO,
            ("zoo.csv, line 3", "sq-AL", "twice", "leave one"),
            zoo("locale,model\nsq-AL,a\nsq-AL,b\n"),
        ),
        Case("a row without a model", ZOO, ("zoo.csv, line 2", "no model", "give"), zoo("locale,model\nsq-AL,\n")),
        Case(
            "a source of an unknown locale",
            ZOO,
            ("'sq-LA'", "did you mean sq-AL?", "zoo.csv"),
            zoo("locale,model\nsq-LA,models/sq-AL\n"),
        ),
        Case(
            "a locale without a row",
            f"{ZOO} --sources el-GR",
            ("zoo.csv has no row for el-GR", "add one"),
            zoo("locale,model\nsq-AL,models/sq-AL\n"),
        ),
        Case(
            "a file of sources that is no YAML",
            ZOO.replace("csv", "yaml"),
            ("zoo.yaml, line 2", "not YAML", "mend"),
            zoo("sq-AL: a\n b: [\n", "zoo.yaml"),
        ),
        Case(
            "no source that can be used",
            f"transfer {INPUTS} --sources fr-FR --allow-missing",
            ("none of the sources", "models/fr-FR", "check the name"),
        ),
        Case(
            "too few sources without the missing ones",
            f"{EXPERIMENT} --sources el-GR ro-RO sq-AL --allow-missing",
            ("2 sources are asked for sq-AL", "pool has 1", "el-GR is left out", "models/el-GR"),
            remove("models/el-GR"),
        ),
        Case(
            "NaN in a source",
            MERGE,
            ("models/el-GR", "classifier.out_proj.weight", "NaN", "leave this source out"),
            tensors("el-GR", put("classifier.out_proj.weight", float("nan"))),
        ),
        Case(
            "infinity in a source",
            MERGE,
            ("models/ro-RO", "embeddings", "infinite", "leave this source out"),
            tensors("ro-RO", put("roberta.embeddings.word_embeddings.weight", float("inf"))),
        ),
        Case(
            "NaN in the base",
            f"{MERGE} --base base",
            ("base", "NaN"),
            lambda folder: rewrite(folder / "base", put("roberta.embeddings.word_embeddings.weight", float("nan"))),
        ),
        Case(
            "NaN in a model to evaluate",
            EVALUATE,
            ("models/sq-AL", "NaN", "again"),
            tensors(TARGET, put("classifier.out_proj.bias", float("nan"))),
        ),
        Case(
            "a base that is another one's",
            f"{MERGE} --base other",
            ("other", "not the base of models/el-GR", "16"),
            other_base,
        ),
        Case("a base without a tokenizer", TRAIN, ("base has no tokenizer", "download"), remove("base/tokenizer.json")),
        Case(
            "a truncated base",
            TRAIN,
            ("base/model.safetensors", "truncated", "again"),
            cut_off("base/model.safetensors"),
        ),
        Case("a missing base", TRAIN, ("base is not a folder here", "check the name"), remove("base")),
        Case("a device that is none", f"{TRAIN} --device gpu", ("--device 'gpu'", "cpu, cuda, cuda:1")),
        Case("a device that is not there", f"{TRAIN} --device cuda:99", ("--device cuda:99", "leave --device out")),
        Case("an unknown precision", f"{TRAIN} --precision fp16", ("--precision", "did you mean bf16?")),
        Case(
            "patience that never ends a training",
            f"{TRAIN} --epochs 3 --patience 3",
            ("--patience 3", "3 epochs", "less of it"),
        ),
        Case(
            "a group of one locale",
            f"{TRAIN_ALL} --joint sq-AL el-GR,ro-RO",
            ("--joint sq-AL", "two locales or more", "commas"),
        ),
        Case("an unknown locale in a group", f"{TRAIN_ALL} --joint sq-AL,el-RG", ("'el-RG'", "did you mean el-GR?")),
        Case(
            "a group that is too large",
            f"{TRAIN_ALL} --joint {','.join(locales.names()[:30])}",
            ("--joint of 30 locales", "at most 24", "all"),
        ),
        Case(
            "groups and locales",
            f"{TRAIN} --joint sq-AL,ro-RO",
            ("--locales has no effect with --joint", "leave it out"),
        ),
        Case(
            "groups, and one left out",
            f"{TRAIN_ALL} --joint sq-AL,ro-RO --leave-one-out",
            ("--joint and --leave-one-out", "leave one out"),
        ),
        Case("nothing but what is left out", f"{TRAIN} --leave-one-out", ("--leave-one-out", "name more")),
        Case("a zoo card that is none", EVALUATE, ("zoo.json", "mend it or remove it"), write("models/zoo.json", "[]")),
    ),
    "Data": (
        Case("no data", f"evaluate --base-model models/{TARGET} --locale sq-AL", ("MASSIVE", "--data massive:PATH")),
        Case("missing data", EXPERIMENT.replace("massive:data", "massive:dta"), ("no dta", "check the path")),
        Case(
            "a folder without data",
            "data --data massive:models",
            ("massive:models", "sq-AL.jsonl", "folder or tarball"),
        ),
        Case("a truncated tarball", "data --data massive:massive.tar.gz", ("massive.tar.gz", "again"), packed(0.6)),
        Case("a file that is no tarball", f"data --data massive:data/{TARGET}.jsonl", ("sq-AL.jsonl", "tar archive")),
        Case("an empty data file", EVALUATE, ("data/sq-AL.jsonl", "empty", "again"), write(f"data/{TARGET}.jsonl", "")),
        Case(
            "a data file cut off",
            EVALUATE,
            ("data/sq-AL.jsonl, line", "not JSON", "again"),
            cut_off(f"data/{TARGET}.jsonl", 0.52),
        ),
        Case("a data file in UTF-16", EVALUATE, ("data/sq-AL.jsonl", "not UTF-8", "again"), recode("utf-16")),
        Case("a data file in Latin-1", EXPERIMENT, ("data/sq-AL.jsonl", "not UTF-8", "again"), recode("latin-1")),
        Case("a row without a column", EVALUATE, ("data/sq-AL.jsonl, line 3", "'intent'", "mend"), row(3, intent=None)),
        Case("a row with a number for a text", EVALUATE, ("line 3", "'utt'", "mend"), row(3, utt=7)),
        Case(
            "an unknown intent",
            EXPERIMENT,
            ("sq-AL, id 2", "'alarm_sett'", "did you mean alarm_set?"),
            row(3, intent="alarm_sett"),
        ),
        Case(
            "an unknown partition", EVALUATE, ("sq-AL, id 2", "'valid'", "train, dev, test"), row(3, partition="valid")
        ),
        Case("an id that stands there twice", EVALUATE, ("sq-AL, id 0", "twice", "remove"), row(3, id="0")),
        Case(
            "rows of another locale", EVALUATE, ("sq-AL, id 2", "of de-DE", "file of its own"), row(3, locale="de-DE")
        ),
        Case(
            "ids that differ between locales",
            f"transfer {INPUTS} --sources sq-AL --jobs 1",
            ("id 66", "el-GR", "not in sq-AL", "one source"),
            row(67, id="99"),
        ),
        Case(
            "labels of one id that differ",
            "pretrain --out new-base --data massive:data",
            ("id 2", "el-GR", "sq-AL", "alarm_set"),
            row(3, intent="alarm_set"),
        ),
        Case(
            "a Parquet file that is none",
            "data --data massive:hub",
            ("0000.parquet", "Parquet", "again"),
            in_hub_layout(b""),
        ),
        Case(
            "a Parquet file of other columns",
            "data --data massive:hub",
            ("0000.parquet", "'scenario'"),
            in_hub_layout(None),
        ),
        Case(
            "a locale that the data lacks",
            EVALUATE.replace("--locale sq-AL", "--locale ro-RO"),
            ("ro-RO", "massive"),
            remove("data/ro-RO.jsonl"),
        ),
        Case(
            "a split without rows",
            f"{EVALUATE} --split dev",
            ("no dev rows for sq-AL", "another split"),
            together(*(row(number, partition="train") for number in range(61, 67))),
        ),
    ),
    "Tables": (
        Case("no table", "data --data table", ("--data table:PATH",)),
        Case("a missing table", "data --data table:nws.csv", ("no file nws.csv", "check the path")),
        Case(
            "a table of another kind",
            "data --data table:news.xlsx",
            ("'.xlsx'", ".csv", "convert"),
            write("news.xlsx", ""),
        ),
        Case("an empty table", NEWS, ("news.csv", "no rows"), write("news.csv", "")),
        Case("a table in Latin-1", NEWS, ("news.csv", "not UTF-8"), write("news.csv", "größe".encode("latin-1"))),
        Case(
            "a table without a column",
            NEWS,
            ("line 2", "'text' or 'utt'", "columns:"),
            table("yo,test,a,b", text="txt"),
        ),
        Case("a row with too few columns", NEWS, ("line 2", "fewer columns", "mend it"), table("yo,test,a")),
        Case("a row without a text", NEWS, ("line 2", "nothing in it for the text", "remove"), table("yo,test,,b")),
        Case("a quote in the wrong place", NEWS, ("line 2", "not CSV", "mend it"), table('yo,test,"a"b,c')),
        Case("a split of an unknown name", NEWS, ("line 2", "'tst'", "did you mean test?"), table("yo,tst,a,b")),
        Case(
            "a line of a table cut off",
            "data --data table:news.jsonl",
            ("line 1", "not JSON"),
            write("news.jsonl", "{"),
        ),
        Case(
            "a line that is no row",
            "data --data table:news.jsonl",
            ("line 1", "object of columns", "mend"),
            write("news.jsonl", "7"),
        ),
        Case(
            "an unknown key in a description",
            DESCRIBED,
            ("news.yaml", "'file'", "did you mean files?"),
            write("news.yaml", "file: news.csv"),
        ),
        Case(
            "a description that is no YAML",
            DESCRIBED,
            ("news.yaml", "not YAML", "mend it"),
            write("news.yaml", "files: ["),
        ),
        Case("a description that is a list", DESCRIBED, ("news.yaml", "key: value"), write("news.yaml", "- news.csv")),
        Case(
            "a description without files",
            DESCRIBED,
            ("news.yaml", "files", "mend it"),
            write("news.yaml", "name: news"),
        ),
        Case(
            "a description of files that are missing",
            DESCRIBED,
            ("nws.csv", "check"),
            write("news.yaml", "files: nws.csv"),
        ),
        Case(
            "a description of no file",
            DESCRIBED,
            ("files: names none", "at least one"),
            write("news.yaml", "files: []"),
        ),
        Case(
            "a column of ours that there is none of",
            DESCRIBED,
            ("news.yaml", "'txt'", "did you mean text?"),
            write("news.yaml", "files: news.csv\ncolumns: {txt: text}"),
        ),
        Case(
            "a locale that no row has",
            DESCRIBED,
            ("news.yaml", "'yor'", "did you mean yo?"),
            together(table("yo,test,a,b"), write("news.yaml", "files: news.csv\nlocales: {yor: yo}")),
        ),
        Case(
            "a label besides those that are listed",
            DESCRIBED,
            ("yo, id yo-0", "'b'", "a"),
            together(table("yo,test,a,b"), write("news.yaml", "files: news.csv\nlabels: [a]")),
        ),
        Case(
            "a language that a similarity does not know",
            f"experiment {MODELS} --data table:news.csv",
            ("uriel:syntax_knn", "yo is none of them", "pip install lang2vec", "--similarity file:"),
            table("yo,test,a,b"),
            during=without_lang2vec,
        ),
    ),
    "Merges of any checkpoints": (
        Case("nothing to merge", "merge", ("--mode", "--target-lang", "--source", "recipe")),
        Case("no source", "merge --method linear --out merged", ("--source is needed",)),
        Case("no folder for the merge", "merge --source models/el-GR", ("--out is needed",)),
        Case(
            "a merge for a target, and of any checkpoints",
            f"{BLEND} --mode average",
            ("--mode", "--source", "leave one out"),
        ),
        Case("a missing source", "merge --source models/el-RG --out merged", ("models/el-RG", "check the name")),
        Case("one source twice", f"{BLEND} --source models/el-GR", ("models/el-GR", "twice", "once")),
        Case(
            "one source twice, spelled in two ways",
            f"{BLEND} --source models/ro-RO/../el-GR/",
            ("models/ro-RO/../el-GR/", "twice", "once"),
        ),
        Case(
            "a base that is one of the sources",
            f"{BLEND} --method ties --base ./models/el-GR/",
            ("./models/el-GR/", "one of the sources", "another base"),
        ),
        Case(
            "a merge in the place of a source",
            "merge --source models/el-GR models/ro-RO --out models/../models/ro-RO --overwrite",
            ("models/../models/ro-RO", "would destroy", "another --out"),
        ),
        Case(
            "a merge in the place of its base",
            "merge --source models/el-GR models/ro-RO --method ties --base base --out base --overwrite",
            ("base", "would destroy", "another --out"),
        ),
        Case(
            "a merge in a folder around its sources",
            "merge --source models/el-GR models/ro-RO --out models --overwrite",
            ("models would destroy models/el-GR", "would destroy", "another --out"),
        ),
        Case("an unknown method", f"{BLEND} --method task_arithmetik", ("'task_arithmetik'", "did you mean task_a")),
        Case("a method that needs a base", f"{BLEND} --method ties", ("ties", "base", "--base")),
        Case("a base that has no effect", f"{BLEND} --base base", ("base", "no effect", "linear", "leave it out")),
        Case("a seed that has no effect", f"{BLEND} --seed 7", ("--seed", "no effect", "linear", "leave it out")),
        Case("an unknown option", f"{BLEND} --method ties --base base --set densty=1", ("no option densty", "density")),
        Case("an option out of bounds", f"{BLEND} --method ties --base base --set density=2", ("density", "2", "1")),
        Case(
            "more values of an option than sources",
            f"{BLEND} --method ties --base base --set density=[1,1,1]",
            ("density", "3 values for 2 sources", "one each"),
        ),
        Case("an option without a value", f"{BLEND} --set density", ("--set density", "NAME=VALUE")),
        Case("an option whose value is none", f"{BLEND} --set density=[", ("--set density=[", "number")),
        Case("an option that is set twice", f"{BLEND} --set a=1 a=2", ("--set a", "twice", "once")),
        Case("weights for other sources", f"{BLEND} --weights 1 2 3", ("--weights", "3 numbers for 2", "one each")),
        Case("weights that cannot be normalised", f"{BLEND} --weights 1 -1", ("sum to 0", "--no-normalize")),
        Case(
            "a negative weight of what was measured",
            f"{BLEND} --weights -1 3 --method fisher --text texts.txt texts.txt",
            ("fisher", "no negative weights", "-1 in place 1 of 2", "0 or more"),
        ),
        Case("a weight of any source that is no number", f"{BLEND} --weights 1 nan", ("finite", "nan in place 2 of 2")),
        Case(
            "a scale by depth of what has none",
            f"{BLEND} --lines 0 1",
            ("--lines", "no effect on the method linear", "leave it out", "task_arithmetic"),
        ),
        Case(
            "a scale by depth that is one number",
            f"{BLEND} --method ties --base base --lines 1",
            ("--lines", "two numbers", "got 1"),
        ),
        Case(
            "a scale by depth that is no number",
            f"{BLEND} --method ties --base base --lines nan 1",
            ("finite numbers", "alpha nan"),
        ),
        Case(
            "layers beside merged ones",
            f"{BLEND} --method regmean --layerwise --layers rest=1,2 --text texts.txt texts.txt",
            ("--layerwise", "the same weights", "--layers"),
        ),
        Case(
            "layers and weights", f"{BLEND} --weights 1 2 --layers rest=1,2", ("--weights", "--layers", "leave one out")
        ),
        Case("layers without weights", f"{BLEND} --layers 0-5", ("--layers 0-5", "PART=NUMBER,NUMBER", "0-5=1,0")),
        Case("layers for other sources", f"{BLEND} --layers rest=1,2,3", ("rest=1,2,3", "3 numbers for 2", "one each")),
        Case("layers that are named twice", f"{BLEND} --layers 0=1,2 0=2,1", ("--layers 0", "twice", "once")),
        Case("layers that are not there", f"{BLEND} --layers 0-5=1,0 rest=0,1", ("no layer 1", "layers 0 to 0")),
        Case("layers that are not all", f"{BLEND} --layers 0=1,0", ("No part has weights", "head", "'rest'")),
        Case(
            "layers for a method without weights",
            f"{BLEND} --method model_stock --base base --layers rest=1,2",
            ("model_stock", "the same", "leave out the weights"),
        ),
        Case("no weights to take as they are", f"{BLEND} --no-normalize", ("--no-normalize", "--weights")),
        Case(
            "weights for a method without",
            f"{BLEND} --method model_stock --base base --weights 1 2",
            ("model_stock", "the same", "leave out the weights"),
        ),
        Case(
            "more sources than a method takes",
            f"{BLEND} --source models/{TARGET} --method slerp",
            ("slerp", "at most 2", "got 3"),
        ),
        Case("a method that needs texts", f"{BLEND} --method fisher", ("fisher", "one file for each", "--text")),
        Case("texts that have no effect", f"{BLEND} --text texts.txt", ("--text", "no effect", "linear")),
        Case("missing texts", f"{BLEND} --method fisher --text a.txt b.txt", ("no file a.txt", "one text a line")),
        Case(
            "a method that needs texts, for a target",
            f"{MERGE} --method fisher",
            ("fisher", "texts", "--source", "--text"),
        ),
        Case("a method that needs a base, for a target", f"{MERGE} --method ties", ("ties", "base", "--base")),
        Case("NaN in one of any sources", BLEND, ("models/el-GR", "NaN"), tensors("el-GR", put(HEAD, float("nan")))),
        Case(
            "another merge in the way",
            f"{BLEND} --weights 1 2",
            ("merged holds another model", "--out", "--overwrite"),
            lambda folder: run(shlex.split(BLEND)),
        ),
        Case(
            "something else in the way of a merge",
            BLEND,
            ("merged is there and is no model", "--out"),
            write("merged/notes.txt", "mine"),
        ),
        Case("no room for a merge", BLEND, ("A merged model needs", "--out"), during=little_room),
    ),
    "Recipes of mergekit": (
        Case("a missing recipe", BY_RECIPE, ("no file recipe.yml", "mergekit recipe")),
        Case("a folder in place of a recipe", "merge models --out merged", ("models is a folder", "--source")),
        Case("a recipe that is no YAML", BY_RECIPE, ("recipe.yml", "not YAML", "mend"), write("recipe.yml", "a: [")),
        Case("a recipe that is a list", BY_RECIPE, ("recipe.yml", "merge_method"), write("recipe.yml", "- a")),
        Case("a recipe and a flag of its own", f"{BY_RECIPE} --dtype float16", ("--dtype", "recipe", "leave one out")),
        Case("a recipe for a target", f"{BY_RECIPE} --target-lang sqi", ("--target-lang", "recipe.yml", "leave")),
        Case("a recipe without a method", BY_RECIPE, ("recipe.yml", "merge_method"), write("recipe.yml", "models: []")),
        Case("an unknown merge_method", BY_RECIPE, ("'linea'", "did you mean linear?"), recipe("linea")),
        Case("a recipe without models", BY_RECIPE, ("models", "- model"), write("recipe.yml", "merge_method: linear")),
        Case(
            "a recipe of a missing model",
            BY_RECIPE,
            ("models/el-GR", "check the name"),
            together(recipe("linear"), remove("models/el-GR")),
        ),
        Case(
            "an unknown key", BY_RECIPE, ("'dtpye'", "recipe.yml", "did you mean dtype?"), recipe("linear", "dtpye: a")
        ),
        Case(
            "a key that is not honoured",
            BY_RECIPE,
            ("chat_template", "not honoured", "leave it out"),
            recipe("linear", "chat_template: auto"),
        ),
        Case("slices of layers", BY_RECIPE, ("slices", "not honoured"), recipe("linear", "slices: []")),
        Case(
            "a parameter that is not honoured",
            BY_RECIPE,
            ("int8_mask", "not honoured", "ties"),
            recipe("ties", "base_model: base", "parameters: {int8_mask: true}"),
        ),
        Case(
            "a parameter of another method",
            BY_RECIPE,
            ("density", "not honoured", "linear"),
            recipe("linear", "parameters: {density: 0.2}"),
        ),
        Case(
            "a density for each layer",
            BY_RECIPE,
            ("density", "between tensors", "one number"),
            recipe("ties", "base_model: base", "parameters: {density: [0.2, 0.8]}"),
        ),
        Case(
            "signs elected, and a sum over those that agree",
            BY_RECIPE,
            ("normalize: false", "dare_ties", "write normalize: true"),
            recipe("dare_ties", "base_model: base"),
        ),
        Case("a recipe without weights", BY_RECIPE, ("models/el-GR", "no weight"), recipe("linear", weights=False)),
        Case(
            "a weight that is a word",
            BY_RECIPE,
            ("weight", "'many'"),
            recipe("linear", "- {model: a, parameters: {weight: many}}"),
        ),
        Case(
            "a weight in a recipe that is no number",
            BY_RECIPE,
            ("weight", "finite number", "nan"),
            recipe("linear", "- {model: a, parameters: {weight: [0, .nan]}}"),
        ),
        Case(
            "a tokenizer in the place of which the merge goes",
            f"merge recipe.yml --out models/{TARGET} --overwrite",
            (f"models/{TARGET}", "would destroy", "another --out"),
            recipe("linear", f"tokenizer_source: models/{TARGET}"),
        ),
        Case("a recipe without a base", BY_RECIPE, ("ties", "add base_model"), recipe("ties")),
        Case(
            "slerp of more than two", BY_RECIPE, ("slerp", "base_model and one other"), recipe("slerp", weights=False)
        ),
        Case(
            "a base with a weight",
            BY_RECIPE,
            ("base", "no effect", "leave them out"),
            recipe("ties", "- {model: base, parameters: {weight: 1}}", "base_model: base"),
        ),
        Case(
            "an adapter added in a recipe",
            BY_RECIPE,
            ("base+adapter", "not honoured", "folder"),
            recipe("linear", "base_model: base+adapter"),
        ),
        Case("an unknown dtype", BY_RECIPE, ("dtype", "did you mean", "float16"), recipe("linear", "dtype: flot16")),
        Case(
            "a tokenizer of a base that is not named",
            BY_RECIPE,
            ("tokenizer_source", "no base_model"),
            recipe("linear", "tokenizer_source: base"),
        ),
        Case(
            "a tokenizer of another vocabulary",
            BY_RECIPE,
            ("the tokenizer of other", "models/el-GR", "another vocabulary"),
            together(recipe("linear", "tokenizer_source: other"), stranger),
        ),
        Case("a seed that a recipe has no use for", f"{BY_RECIPE} --seed 1", ("--seed", "no effect"), recipe("linear")),
    ),
    "Sources and weights": (
        Case(
            "more sources than there are", "similarity sq-AL --num-languages 60", ("60 sources", "sq-AL", "at most 51")
        ),
        Case(
            "more sources than are named",
            f"merge {INPUTS} --mode average --target-lang sq-AL --sources el-GR ro-RO",
            ("5 sources", "2", "at most 2"),
        ),
        Case(
            "more sources than take part",
            f"{EXPERIMENT.replace('languages 2', 'languages 3')} --sources el-GR ro-RO",
            ("3 sources", "sq-AL", "at most 2"),
        ),
        Case("fewer sources than one", "similarity sq-AL --num-languages 0", ("--num-languages is 0", "at least 1")),
        Case("no sources", f"merge {MODELS} --mode manual --target-lang sq-AL", ("--sources",)),
        Case("a source named twice", f"{MERGE} el-GR --weights 1 2 3", ("--sources", "el-GR twice", "once")),
        Case("more weights than sources", f"{MERGE} --weights 1 2 3", ("--weights", "3 numbers for 2", "one each")),
        Case("weights that are all 0", f"{MERGE} --weights 0 0", ("Weights", "above 0", "all 2 are 0")),
        Case("a negative weight", f"{MERGE} --weights 2 -1", ("negative", "-1 in place 2 of 2")),
        Case("a weight that is no number", f"{MERGE} --weights 1 nan", ("finite number", "nan in place 2 of 2")),
        Case(
            "weights where the mode decides",
            f"merge {MODELS} --mode average --target-lang sq-AL --weights 1 2",
            ("--weights", "--mode manual"),
        ),
    ),
    "Similarities": (
        Case("no target and nothing else to do", "similarity", ("TARGET is needed", "--list", "--out", "--plot")),
        Case(
            "a sum with an empty part",
            "similarity sq-AL --similarity uriel:geo+",
            ("'uriel:geo+'", "two different names"),
        ),
        Case(
            "a number of texts that is none",
            "similarity sq-AL --similarity overlap:many",
            ("'overlap:many'", "overlap:500"),
        ),
        Case(
            "a number of texts for what reads none",
            "similarity sq-AL --similarity transfer:500",
            ("transfer reads no texts", "say transfer"),
        ),
        Case(
            "a missing table of similarities",
            "similarity sq-AL --similarity file:m.csv",
            ("file:m.csv", "no such file"),
        ),
        Case("a folder in place of a table", "similarity sq-AL --similarity file:data", ("file:data", "is a folder")),
        Case(
            "a table that is not UTF-8",
            "similarity sq-AL --similarity file:m.csv",
            ("file:m.csv", "not UTF-8", "save it"),
            write("m.csv", "# provenance: größe".encode("latin-1")),
        ),
        Case(
            "a table that does not say what it has seen",
            "similarity sq-AL --similarity file:m.csv",
            ("file:m.csv", "what it has seen", "`# uses: nothing`"),
            write("m.csv", ",el-GR\nsq-AL,1\n"),
        ),
        Case(
            "a table that says it in another word",
            "similarity sq-AL --similarity file:m.csv",
            ("'target-deb'", "file:m.csv", "did you mean target-dev or target-few?"),
            write("m.csv", "# uses: target-deb\n,el-GR\nsq-AL,1\n"),
        ),
        Case(
            "a table without rows",
            "similarity sq-AL --similarity file:m.csv",
            ("file:m.csv", "no table", "first column the targets"),
            write("m.csv", "# uses: nothing\n,el-GR\n"),
        ),
        Case(
            "a table with a hole",
            "similarity sq-AL --similarity file:m.csv",
            ("row sq-AL", "column el-GR", "not a number"),
            write("m.csv", "# uses: nothing\n,el-GR\nsq-AL,\n"),
        ),
        Case(
            "a table without the target",
            "similarity sq-AL --similarity file:m.csv",
            ("'sq-AL'", "file:m.csv"),
            write("m.csv", "# uses: nothing\n,el-GR\nro-RO,1\n"),
        ),
        Case(
            "a measure of the base without one",
            f"{EXPERIMENT} --sources el-GR ro-RO sq-AL --similarity embedding",
            ("needs the pre-trained model", "--base FOLDER"),
        ),
        Case(
            "a greedy soup with the target's own source",
            f"{EXPERIMENT} --variants greedy-soup --sources el-GR ro-RO --include-target",
            ("greedy soup", "no label of its target", "leave out --include-target"),
        ),
        Case(
            "a greedy soup with other heads",
            f"{EXPERIMENT} --variants greedy-soup --sources el-GR ro-RO --head-policy wide",
            ("greedy soup", "averaged heads", "--head-policy wide", "leave one out"),
        ),
        Case(
            "a greedy soup without data in the language of a source",
            f"{EXPERIMENT} --variants greedy-soup --sources el-GR ro-RO",
            ("greedy soup", "none of ro-RO", "--sources"),
            remove("data/ro-RO.jsonl"),
        ),
        Case(
            "a greedy soup with an option for each source",
            f"{EXPERIMENT} --variants greedy-soup --sources el-GR ro-RO --method ties --base base --set density=[0.2,0.3]",
            ("greedy soup", "density", "one value for all", "--set density=NUMBER"),
        ),
        Case(
            "a greedy soup of nobody",
            f"{EXPERIMENT} --variants greedy-soup --sources {TARGET}",
            ("No source is left for sq-AL", "--sources"),
        ),
        Case(
            "a base that nobody needs",
            f"{EXPERIMENT} --base base",
            ("--base has no effect", "uriel:syntax_knn", "leave it out"),
        ),
        Case(
            "too few sources to centre over",
            f"merge {INPUTS} --base base --mode average --target-lang sq-AL --sources el-GR --similarity embedding",
            ("embedding", "2 or more", "--sources"),
        ),
        Case(
            "another model's base to measure by",
            f"{EXPERIMENT} --sources el-GR ro-RO --skip-baseline --base other --similarity task-vector",
            ("other is not the base of", "fine-tuned from"),
            other_base,
        ),
        Case(
            "a measure of the target's own source, which is left out",
            f"similarity {TARGET} {INPUTS} --sources el-GR ro-RO --base base --similarity task-vector --allow-missing",
            ("own source, which sq-AL has not", "another similarity", "sq-AL is left out (models/sq-AL"),
            remove(f"models/{TARGET}"),
        ),
        Case("a picture of another format", "similarity --plot map.jpg", ("picture format", "'.jpg'", "did you mean")),
    ),
    "Results": (
        Case(
            "results of another experiment",
            f"{EXPERIMENT} --split dev",
            ("results/baseline_sq-AL", "--overwrite"),
            finished(),
        ),
        Case(
            "a merged model in the way",
            f"{EXPERIMENT} --sharpness 3 --variants similarity",
            ("similarity_merge_sq-AL", "--overwrite", "--output-dir"),
            together(finished("--variants", "similarity"), remove("results")),
        ),
        Case(
            "something else in place of a merged model",
            MERGE,
            ("merged_models/manual_merge_sq-AL", "is no model", "move it away"),
            write(f"merged_models/manual_merge_{TARGET}/notes.txt", "mine"),
        ),
        Case(
            "results of a newer version",
            EXPERIMENT,
            (RECORD, "newer", "update sprachbund"),
            together(finished(), as_json(RECORD, schema_version=99)),
        ),
        Case(
            "a result that is no JSON",
            "aggregate",
            (RECORD, "not a record", "move it away"),
            together(finished(), cut_off(RECORD)),
        ),
        Case(
            "what a source answers, cut off",
            ONE_SOURCE,
            ("results/transfer/test/el-GR.parquet", "damaged", "delete it"),
            together(evaluated, cut_off("results/transfer/test/el-GR.parquet")),
        ),
        Case(
            "a result that is something else", EVALUATE, (RECORD, "not a record", "move it away"), write(RECORD, "{}")
        ),
        Case("no results", "aggregate", ("results", "run_large_scale_experiment.py")),
        Case(
            "merge details that are none",
            f"{EXPERIMENT} --variants similarity",
            ("merge_details.json", "merge"),
            together(
                finished("--variants", "similarity"),
                cut_off(f"merged_models/similarity_merge_{TARGET}/merge_details.json"),
            ),
        ),
    ),
    "Watching, comparing, reporting": (
        Case("nothing to watch", "watch --output-dir nowhere", ("nowhere", "nothing of a run yet", "--output-dir")),
        Case(
            "a file to watch",
            "watch --output-dir notes.txt",
            ("notes.txt is a file", "--output-dir"),
            write("notes.txt", ""),
        ),
        Case(
            "a run of which nothing can be read",
            "watch",
            (RECORD, "move it away"),
            write(RECORD, "{"),
        ),
        Case("no seconds between two looks", "watch --interval 0", ("--interval is 0", "above 0")),
        Case("a folder that is not there, to compare", "compare nowhere results", ("nowhere", "does not exist")),
        Case(
            "a run where its results are meant",
            "compare . results",
            ("is the folder of a run", "results"),
            finished(),
        ),
        Case(
            "a variant that was not run, to compare",
            "compare results results --variants wide",
            ("'wide'", "ONE_IN_A:OTHER_IN_B"),
            finished(),
        ),
        Case(
            "a folder in place of the rows of a comparison",
            "compare results results --out data",
            ("--out data is a folder", "name a file"),
            finished(),
        ),
        Case("a report of nothing", "report", ("results", "run_large_scale_experiment.py")),
        Case("a folder in place of a report", "report --out data", ("--out data is a folder",), finished()),
        Case(
            "a report below a file",
            "report --out notes.txt/report.html",
            ("notes.txt", "Not a directory"),
            together(finished(), write("notes.txt", "mine")),
        ),
        Case(
            "a report with other sentences",
            "report --texts table:news.csv",
            ("table:news.csv", "not those that were answered", "leave --texts out"),
            together(finished(), table(f"{TARGET},test,bala,politics")),
        ),
        Case(
            "a folder in place of a picture", "plot --out map.svg", ("map.svg is a folder",), write("map.svg/x", "mine")
        ),
        Case(
            "a folder in place of a heat map",
            "similarity --plot map.svg",
            ("--plot map.svg is a folder",),
            write("map.svg/x", ""),
        ),
        Case(
            "a folder in place of a table to write", "similarity --out data", ("--out data is a folder", "name a file")
        ),
    ),
    "Using and sharing a model": (
        Case("a card of what was not made here", "card --model base", ("base", "how it was made")),
        Case("a card of nothing", "card --model nowhere", ("nowhere",)),
        Case("a repository without an owner", "push --model merged --repo model", ("'model'", "OWNER/NAME"), blended),
        Case(
            "to the hub what was not made here", "push --model base --repo me/it --dry-run", ("base", "how it was made")
        ),
        Case(
            "no text to classify",
            f"{PREDICT} --file empty.txt",
            ("no text to classify", "--file"),
            write("empty.txt", "\n"),
        ),
        Case("texts that are not there", f"{PREDICT} --file nowhere.txt", ("no file nowhere.txt",)),
        Case("texts that are no text", f"{PREDICT} --file {WEIGHTS}", (WEIGHTS, "one text a line")),
        Case(
            "a table without a column of texts",
            f"{PREDICT} --file news.csv",
            ("news.csv, line 2", "'text' or 'utt'", "did you mean texts?", "--column"),
            table(f"{TARGET},test,bala,politics", "texts"),
        ),
        Case(
            "a table with a row without text",
            f"{PREDICT} --file news.csv",
            ("news.csv, line 2", "no text", "remove the row"),
            table(f"{TARGET},test,,politics"),
        ),
        Case(
            "answers in place of the texts",
            f"{PREDICT} --file news.csv --out news.csv --overwrite",
            ("news.csv", "would be lost"),
            table(f"{TARGET},test,bala,politics"),
        ),
        Case(
            "answers that are there already",
            f"{PREDICT} bala --out answers.csv",
            ("answers.csv is there already", "--overwrite"),
            write("answers.csv", "mine"),
        ),
        Case("answers of another format", f"{PREDICT} bala --out answers.txt", ("answers.txt", ".csv or .jsonl")),
        Case(
            "a folder in place of answers",
            f"{PREDICT} bala --out x.csv",
            ("x.csv is a folder",),
            write("x.csv/mine", ""),
        ),
        Case("a classifier that is none", "predict --model base bala", ("base", "no classifier")),
        Case("an export to nothing", "export --model merged", ("--mergekit or --onnx", "--help"), blended),
        Case("a recipe of what was not made here", "export --mergekit --model base", ("base", "how it was made")),
        Case(
            "a recipe that is there already",
            "export --mergekit --model merged --out recipe.yml",
            ("recipe.yml is there already", "--overwrite"),
            together(blended, write("recipe.yml", "mine")),
        ),
        Case(
            "a folder in place of a recipe to write",
            "export --mergekit --model merged --out data",
            ("--out data is a folder", "name a file"),
            blended,
        ),
        Case(
            "a recipe of a source that has changed",
            "export --mergekit --model merged",
            ("models/el-GR", "changed since", "merge again"),
            together(blended, tensors("el-GR", put(HEAD, 3.0))),
        ),
        Case(
            "a source in place of an ONNX model",
            "export --onnx --model models/el-GR --out models/el-GR --overwrite",
            ("models/el-GR is there already", "no ONNX model", "--out"),
        ),
    ),
    "The disk": (
        Case(
            "no room for the merged models",
            EXPERIMENT,
            ("2 merged models need", "1.0 kB free", "--keep-models none", "--output-dir"),
            during=little_room,
        ),
        Case(
            "no room for one merged model",
            MERGE,
            ("A merged model needs", "1.0 kB free", "--output-dir"),
            during=little_room,
        ),
        Case(
            "a disk that fills up during a merge",
            MERGE,
            ("No space left on device: merged_models.", "Make room"),
            during=full_disk,
        ),
        Case(
            "a disk that fills up during an experiment",
            f"{EXPERIMENT} --variants similarity",
            ("No space left on device: merged_models.", "Make room", "goes on from here"),
            during=full_disk,
            leaves=frozenset({"experiment_config.yaml", "experiment_progress.json"}),
        ),
        Case("a file that may not grow", MERGE, ("File too large: merged_models.", "Make room"), during=small_files),
        Case(
            "a disk that fills up in training",
            f"{TRAIN} --epochs 1",
            ("File too large: trained", "Make room"),
            during=small_files,
        ),
        Case(
            "a read-only output folder",
            f"{EXPERIMENT} --output-dir safe",
            ("safe", "Permission denied", "name another folder"),
            read_only("safe"),
            as_anybody,
        ),
        Case(
            "a read-only folder for a merged model",
            f"{MERGE} --output-dir safe",
            ("safe/merged_models", "Permission denied", "name another folder"),
            read_only("safe"),
            as_anybody,
        ),
        Case(
            "a read-only results folder",
            f"{EVALUATE} --results-dir safe",
            ("safe", "Permission denied", "name another folder"),
            read_only("safe"),
            as_anybody,
        ),
        Case(
            "a read-only folder for models",
            f"{TRAIN.replace('trained', 'safe')}",
            ("safe", "Permission denied", "name another folder"),
            read_only("safe"),
            as_anybody,
        ),
        Case(
            "a read-only folder for tables",
            "aggregate --output-dir safe",
            ("safe", "Permission denied", "name another folder"),
            together(finished(), read_only("safe")),
            as_anybody,
        ),
        Case(
            "a read-only folder of one result",
            EVALUATE,
            ("results/baseline_sq-AL", "Permission denied", "name another folder"),
            read_only(f"results/baseline_{TARGET}"),
            as_anybody,
        ),
        Case(
            "a file that nobody may read",
            EVALUATE,
            (CONFIG, "Permission denied", "Get the right to read"),
            unreadable(CONFIG),
            as_anybody,
        ),
        Case(
            "a file in place of the output folder",
            f"{EXPERIMENT} --output-dir notes.txt",
            ("notes.txt", "Not a directory", "name another folder"),
            write("notes.txt", "mine"),
        ),
        Case(
            "an output folder below a file",
            f"{MERGE} --output-dir notes.txt/run",
            ("notes.txt/run", "name another folder"),
            write("notes.txt", "mine"),
        ),
    ),
}

EVERY = tuple(case for cases in CASES.values() for case in cases)
