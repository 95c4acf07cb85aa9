"""Every parser of files that somebody else may have written: a file that it reads, and the call that reads it.

`tests/hostile/test_parsers.py` gives each of them files that hypothesis has spoiled, `tools/fuzz.py` those that atheris comes
up with. What comes of it is a value, or one sentence that names the file.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import tokenizers
from pico import Pico
from pyarrow import parquet

from sprachbund import cards, inference, store
from sprachbund.cards import origins
from sprachbund.checkpoints import Checkpoint, Zoo, sharded, tensors, vocabulary
from sprachbund.checkpoints.checkpoint import name_labels, open_checkpoint
from sprachbund.checkpoints.token_counts import read_token_counts
from sprachbund.checkpoints.zoo import _read_card
from sprachbund.cli.settings import SettingsFile
from sprachbund.data import few, layouts, massive_archive, table, unlabelled
from sprachbund.errors import SprachbundError
from sprachbund.mergekit import read_recipe
from sprachbund.scale import read_costs
from sprachbund.similarity.tables import read_file
from sprachbund.store import columns
from sprachbund.training.jobs import _card

FIXTURES = Path(__file__).parents[1] / "fixtures"
LONGEST = 400
"""Words of a complaint, at most."""


@dataclass(frozen=True)
class Parser:
    """How a file is called, what is in a good one, and what reads it."""

    name: str
    seed: bytes
    read: Callable[[Path], Any]
    beside: Mapping[str, bytes] = ()  # type: ignore[assignment]
    slow: bool = False
    """Whether transformers reads it, which takes some hundredths of a second."""

    def feed(self, folder: Path, content: bytes) -> str | None:
        """Read a file with this content; return the complaint, None where there is none.

        Raises:
            AssertionError: the complaint is no single sentence that names the file.
        """
        for other, there in dict(self.beside).items():
            (folder / other).write_bytes(there)
        path = folder / self.name
        path.write_bytes(content)
        try:
            self.read(path)
        except SprachbundError as error:
            said = str(error)
            assert "\n" not in said, said
            assert len(said.split()) <= LONGEST, said
            assert str(folder) in said, said
            return said
        return None


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _safetensors(name: str = "classifier.weight", *shape: int) -> bytes:
    entry = {"dtype": "F32", "shape": shape or (2, 3), "data_offsets": [0, 24]}
    header = _json({"__metadata__": {"format": "pt"}, name: entry})
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + np.arange(6, dtype=np.float32).tobytes()


def _read_tensors(path: Path) -> None:
    file = tensors.TensorFile(path)
    assert isinstance(file.metadata, Mapping)
    for name in file.tensors:
        assert file.read(name).nbytes == file.locate(name).info.nbytes


CONFIG = _json(
    {
        "architectures": ["XLMRobertaForSequenceClassification"],
        "model_type": "xlm-roberta",
        "id2label": {"0": "a", "1": "b"},
        "layer_norm_eps": 1e-5,
    }
)
UNIGRAM = _json(
    {
        "version": "1.0",
        "added_tokens": [{"id": 0, "content": "<pad>", "special": True}],
        "normalizer": None,
        "pre_tokenizer": {"type": "Metaspace"},
        "model": {"type": "Unigram", "unk_id": 1, "vocab": [["<pad>", 0.0], ["<unk>", 0.0], ["▁a", -1.5], ["b", -2.0]]},
    }
)
BPE = _json({"added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})


def _in_use(model: Any) -> bytes:
    """A tokenizer as its library writes it: with all entries that it insists on."""
    made = tokenizers.Tokenizer(model)
    made.normalizer = tokenizers.normalizers.NFC()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    made.add_special_tokens(["<pad>", "<s>"])
    return _json(json.loads(made.to_str()))


UNIGRAM_IN_USE = _in_use(tokenizers.models.Unigram([("<pad>", 0.0), ("<unk>", 0.0), ("▁a", -1.5), ("b", -2.0)], 1))
BPE_IN_USE = _in_use(tokenizers.models.BPE({"<unk>": 0, "a": 1, "b": 2, "ab": 3}, [("a", "b")], unk_token="<unk>"))


def _checkpoint(path: Path) -> Checkpoint:
    return Checkpoint(path.parent, str(path.parent))


def _read_config(path: Path) -> None:
    checkpoint = open_checkpoint(path.parent)
    _ = checkpoint.labels, checkpoint.architecture, checkpoint.digest
    name_labels(path.parent, ("x", "y"))


def _read_tokenizer(path: Path) -> None:
    checkpoint = _checkpoint(path)
    _ = checkpoint.vocabulary_digest
    found = vocabulary.read_vocabulary(checkpoint)
    assert found is not None
    assert all(row >= 0 for row in found.rows.values())


@cache
def model_files() -> Mapping[str, bytes]:
    """The files of a classifier of a few thousand numbers, its tokenizer among them."""
    with tempfile.TemporaryDirectory() as folder:
        Pico(Path(folder)).source("a", labels=("a", "b"), vocab_size=8)
        return {path.name: path.read_bytes() for path in (Path(folder) / "a").iterdir()} | {
            "tokenizer.json": UNIGRAM_IN_USE
        }


def _use_tokenizer(path: Path) -> None:
    tokenizer = inference.load_tokenizer(path.parent)
    encoded = inference.tokenise(tokenizer, ["ab b", "", "\0 zgjohu " * 99])
    assert all(isinstance(token, int) and token >= 0 for text in encoded for token in text)


def _use_model(path: Path) -> None:
    checkpoint = open_checkpoint(path.parent)
    model = inference.load_classifier(path.parent)
    assert {name: tuple(part.shape) for name, part in model.named_parameters()} == {
        name: info.shape for name, info in checkpoint.tensors.items()
    }


def _parquet(content: Mapping[str, Any], metadata: Mapping[bytes, bytes] | None = None) -> bytes:
    out = io.BytesIO()
    parquet.write_table(pyarrow.table(dict(content)).replace_schema_metadata(metadata), out)
    return out.getvalue()


def _hub_file() -> bytes:
    names = {"intent": {"names": ["alarm_set", "call"]}, "scenario": {"names": ["alarm"]}}
    rows = {"id": ["1", "2"], "locale": ["sq-AL"] * 2, "scenario": [0, 0], "intent": [0, 1], "utt": ["a", "b"]}
    return _parquet(rows, {b"huggingface": _json({"info": {"features": names}})})


ROW = _json(
    {"id": "1", "locale": "sq-AL", "partition": "test", "scenario": "alarm", "intent": "alarm_set", "utt": "zgjohu"}
)


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("1.1/data/sq-AL.jsonl")
        member.size = len(ROW)
        archive.addfile(member, io.BytesIO(ROW))
    return out.getvalue()


def _read_archive(path: Path) -> None:
    with massive_archive.files.temporary_folder(path.parent, "kept") as folder:
        massive_archive._keep(path, folder / "rows")


def _answers() -> bytes:
    rows = columns.Columns(["1"], ["a"], ["b"], np.array([0.5], np.float32), np.array([0.25], np.float32))
    with tempfile.TemporaryDirectory() as folder:
        columns.write(Path(folder) / "a.parquet", {"sq-AL": rows})
        return (Path(folder) / "a.parquet").read_bytes()


def _read_answers(path: Path) -> None:
    columns.read(path, columns.digests_in(path))


def _npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.arange(3))
    return out.getvalue()


RECIPE = b"""merge_method: ties
base_model: base
parameters: {density: 0.5, normalize: true}
models:
  - {model: a, parameters: {weight: 1}}
  - {model: b, parameters: {weight: [{filter: mlp, value: 0.5}, {value: 1e-1}]}}
dtype: float32
"""
SIMILARITY = b"# similarity: mine\n# uses: nothing\n,sq-AL,el-GR\nsq-AL,1,0.5\nel-GR,0.5,1\n"
CSV = b"locale,split,text,label\nsw-KE,train,Amani leo,politics\nyo,test,\xc3\x8cr\xc3\xb2y\xc3\xacn,sports\n"
ZOO = "locale,model\nsq-AL,org/xlmr@v2:best\nel-GR,greek\n"
TRAINING = {
    "schema_version": 1, "digest": "d", "locale": "sq-AL", "data": "massive", "settings": {}, "dev_accuracy": 0.5,
    "seconds": 1.0, "uses": ["unlabelled"], "base_locales": [],
}  # fmt: skip
PROGRESS = {
    "schema_version": 2, "started": "x", "updated": "x", "total_locales": 1, "completed_locales": [],
    "remaining_locales": ["sq-AL"], "total_experiments": 1, "successful_experiments": 0, "failed_experiments": 0,
    "results": {},
}  # fmt: skip
TRANSFER = {
    "schema_version": 2, "source": "el-GR", "digest": "d", "zoo": "z", "split": "test", "dataset": "massive",
    "cells": {"sq-AL": {"data_digest": "d", "correct": 1, "total": 2, "majority_rate": 0.5}},
}  # fmt: skip
FAILURE = {
    "schema_version": 2, "variant": "average", "locale": "sq-AL", "dataset": "massive", "split": "test", "zoo": "z",
    "identity": "i", "reason": "r", "traceback": "t", "timestamp": "t",
}  # fmt: skip
CARD = b"---\nlicense: mit\ndatasets:\n- AmazonScience/massive\n---\n# A model\n"
BESIDE = {"model.safetensors": _safetensors()}

PARSERS: Mapping[str, Parser] = {
    "safetensors": Parser("model.safetensors", _safetensors(), _read_tensors),
    "index of shards": Parser(
        "model.safetensors.index.json",
        _json({"weight_map": {"classifier.weight": "model.safetensors"}}),
        sharded.ShardedTensors,
        BESIDE,
    ),
    "config": Parser("config.json", CONFIG, _read_config, BESIDE),
    "tokenizer (unigram)": Parser("tokenizer.json", UNIGRAM, _read_tokenizer),
    "tokenizer (BPE)": Parser("tokenizer.json", BPE, _read_tokenizer),
    "word pieces": Parser(
        "vocab.txt", b"[PAD]\n[UNK]\na\n##b\n", lambda path: vocabulary.read_vocabulary(_checkpoint(path))
    ),
    "tokenizer (unigram) in use": Parser("tokenizer.json", UNIGRAM_IN_USE, _use_tokenizer, model_files(), slow=True),
    "tokenizer (BPE) in use": Parser(
        "tokenizer.json",
        BPE_IN_USE,
        _use_tokenizer,
        {**model_files(), "tokenizer_config.json": b'{"tokenizer_class": "PreTrainedTokenizerFast"}'},
        slow=True,
    ),
    "settings of a tokenizer": Parser(
        "tokenizer_config.json", model_files()["tokenizer_config.json"], _use_tokenizer, model_files(), slow=True
    ),
    "special tokens": Parser(
        "special_tokens_map.json",
        _json({"unk_token": "<unk>", "pad_token": {"content": "<pad>", "lstrip": False}, "extra": ["a", "b"]}),
        _use_tokenizer,
        model_files(),
        slow=True,
    ),
    "word pieces in use": Parser(
        "vocab.txt",
        b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n",
        _use_tokenizer,
        {"model.safetensors": _safetensors(), "config.json": _json({"model_type": "bert"})},
        slow=True,
    ),
    "config of a tokenizer": Parser(
        "config.json", model_files()["config.json"], _use_tokenizer, model_files(), slow=True
    ),
    "config in use": Parser("config.json", model_files()["config.json"], _use_model, model_files(), slow=True),
    "token counts": Parser(
        "token_counts.npy",
        _npy(),
        lambda path: read_token_counts(_checkpoint(path)),
        {"model.safetensors": _safetensors("roberta.embeddings.word_embeddings.weight", 3, 2), "config.json": CONFIG},
    ),
    "zoo (CSV)": Parser("zoo.csv", ZOO.encode(), lambda path: Zoo.parse(str(path))),
    "zoo (JSON)": Parser("zoo.json", b'{"sq-AL": "org/a", "el-GR": "b"}', lambda path: Zoo.parse(str(path))),
    "zoo (JSON Lines)": Parser("zoo.jsonl", b'{"locale": "sq-AL", "model": "a"}\n', lambda path: Zoo.parse(str(path))),
    "zoo (YAML)": Parser("zoo.yaml", b"sq-AL: org/a\nno: b\n", lambda path: Zoo.parse(str(path))),
    "card of a zoo": Parser("zoo.json", b'{"schema_version": 1, "name": "mine", "uses": ["unlabelled"]}', _read_card),
    "training card": Parser("training.json", _json(TRAINING), lambda path: _card(path.parent)),
    "model card": Parser("README.md", CARD, origins.front_matter),
    "recipe": Parser("recipe.yaml", RECIPE, read_recipe),
    "settings": Parser("settings.yaml", b"split: test\nvariants: [baseline]\nquiet: true\n", SettingsFile.read),
    "costs": Parser(
        "costs.yaml",
        b"start: {value: 15, how: assumed, why: imports}\nnode: {value: 5.0e+9, how: measured, why: a}\n",
        read_costs,
    ),
    "rows of MASSIVE": Parser(
        "sq-AL.jsonl", ROW + b"\n", lambda path: list(layouts.JsonlFolder(path.parent).rows("sq-AL"))
    ),
    "rows of the hub": Parser("0000.parquet", _hub_file(), lambda path: list(layouts.hub_rows(path, "sq-AL", "test"))),
    "archive of MASSIVE": Parser("massive.tar.gz", _tar(), _read_archive),
    "table (CSV)": Parser("news.csv", CSV, lambda path: table.load(str(path))),
    "table (JSON Lines)": Parser(
        "news.jsonl",
        b'{"locale": "yo", "split": "test", "text": "a", "label": 3}\n',
        lambda path: table.load(str(path)),
    ),
    "table (Parquet)": Parser(
        "news.parquet",
        _parquet({"locale": ["yo"], "split": ["test"], "text": ["a"], "label": ["b"]}),
        lambda path: table.load(str(path)),
    ),
    "table (described)": Parser(
        "news.yaml",
        b'files: ["*.csv"]\ncolumns: {text: headline}\nsplits: {validation: dev}\nlocales: {yo: yo}\nlabels: [a]\n',
        lambda path: table.load(str(path)),
        {"a.csv": b"locale,split,headline,label\nyo,test,x,a\n"},
    ),
    "similarity": Parser("matrix.csv", SIMILARITY, lambda path: read_file(str(path))),
    "labelled texts": Parser("few.csv", b"intent,text\nalarm_set,zgjohu\n", few.read_labelled),
    "unlabelled texts": Parser("texts.txt", b"zgjohu\nndal\n", unlabelled.read_texts),
    "record": Parser(
        "results.json",
        (FIXTURES / "record_v2" / "results.json").read_bytes(),
        lambda path: store.read_record(path.parent),
    ),
    "predictions": Parser(
        "predictions.csv",
        b"id,gold,predicted,confidence,gold_probability\n1,a,b,0.5,0.25\n",
        lambda path: store.read_predictions(path.parent),
    ),
    "failure": Parser("failure.json", _json(FAILURE), lambda path: store.read_failure(path.parent)),
    "progress": Parser("experiment_progress.json", _json(PROGRESS), lambda path: store.read_progress(path.parent)),
    "zero-shot row": Parser("el-GR.json", _json(TRANSFER), lambda path: store.records._parse(store.Transfer, path)),
    "zero-shot answers": Parser("el-GR.parquet", _answers(), _read_answers),
    "details of a merge": Parser(
        "merge_details.json",
        (FIXTURES / "details_v1" / "merge_details.json").read_bytes(),
        lambda path: cards.details._read(path, cards.MergeDetails),
    ),
    "details of a blend": Parser(
        "blend.json",
        (FIXTURES / "details_v1" / "blend.json").read_bytes(),
        lambda path: cards.details._read(path, cards.details.BlendDetails),
    ),
}
