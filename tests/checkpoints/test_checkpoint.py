"""What a checkpoint tells without being loaded, and what identifies it."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import pytest
import torch
from pico import INTENTS, Pico, rewrite, state

from sprachbund.checkpoints import Checkpoint, open_checkpoint, unchanged
from sprachbund.errors import CheckpointError


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"text_config": {"num_hidden_layers": 10**9}}, r"num_hidden_layers: 1e\+09"),
        ({"parts": [{"num_labels": 10**7}]}, r"num_labels: 1e\+07, more than the 1,000,000"),
        ({"depth": 10**400}, r"depth: 1e\+300"),
        ({"depths": [3, 10**9]}, r"depths: 1e\+09"),
        ({"block_sizes": [[6_000], [6_000, -(10**9)]]}, "block_sizes: 12000"),
        ({"depths": [math.nan, math.inf]}, r"depths: 1e\+300"),
    ],
)
def test_what_a_config_counts_is_limited_however_deep(config: dict[str, object], said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"config.json says {said}"):
        _ = Checkpoint(tmp_path, "x").config


def test_what_a_config_counts_is_not_what_it_names_so(tmp_path: Path) -> None:
    config = {"label2id": {"heads": 20_000}, "num_query_heads": [6_000] * 3, "depths": [3, 3, 27, 3], "layers": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert Checkpoint(tmp_path, "x").config == config


def test_config_tensors_and_labels(sources: list[Checkpoint]) -> None:
    source = sources[0]
    assert source.labels == INTENTS
    assert source.architecture == "XLMRobertaForSequenceClassification"
    assert source.tensors["classifier.out_proj.weight"].shape == (4, 16)
    assert set(source.head) == {
        f"classifier.{layer}.{part}" for layer in ("dense", "out_proj") for part in ("weight", "bias")
    }


def test_parameters_are_those_that_torch_counts(sources: list[Checkpoint]) -> None:
    from sprachbund.inference import load_classifier

    model = load_classifier(sources[0].folder)
    assert sources[0].parameters == sum(parameter.numel() for parameter in model.parameters())


def test_labels_are_in_the_order_of_the_logits_not_of_the_file(pico: Pico) -> None:
    folder = pico.source("m").folder
    edit_config(folder, id2label={"3": "d", "2": "c", "0": "a", "1": "b"})
    assert open_checkpoint(folder).labels == ("a", "b", "c", "d")


def test_labels_that_nobody_named_are_two_or_as_many_as_the_config_says(pico: Pico) -> None:
    folder = pico.source("m").folder
    edit_config(folder, id2label=None)
    with pytest.raises(CheckpointError, match=r"names 2 labels \(id2label\), but the head has 4"):
        _ = open_checkpoint(folder).labels
    edit_config(folder, id2label=None, num_labels=4)
    assert open_checkpoint(folder).labels == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")


def test_a_model_without_a_head_is_no_classifier(pico: Pico) -> None:
    with pytest.raises(
        CheckpointError, match="holds no classifier, but XLMRoberta.*: name a model that was fine-tuned"
    ):
        _ = open_checkpoint(pico.base().folder).labels


def test_a_bare_encoder_with_a_pooler_is_no_classifier_either(pico: Pico) -> None:
    folder = pico.base().folder
    rewrite(folder, lambda tensors: tensors.update({"pooler.dense.weight": torch.zeros(16, 16)}))
    edit_config(folder, architectures=["BertModel"])
    with pytest.raises(CheckpointError, match="holds no classifier, but BertModel: "):
        _ = open_checkpoint(folder).labels


@pytest.mark.parametrize(
    "absurd",
    [
        {"a": "ask", "b": "count"},
        {"0": "ask", "2": "count"},
        {"1": "ask", "2": "count"},
        {"-1": "ask", "0": "count"},
        {"0": "ask", "00": "count"},
        {"0": "ask", "1": None},
        {"0": 0, "1": 1},
        ["ask", "count"],
        "ask",
        7,
    ],
)
def test_labels_without_numbers_are_refused(absurd: object, pico: Pico) -> None:
    folder = pico.source("m").folder
    edit_config(folder, id2label=absurd)
    with pytest.raises(CheckpointError, match=r"m/config\.json does not name the labels by their numbers from 0"):
        _ = open_checkpoint(folder).labels


def test_absurd_entries_of_a_config_are_no_riddle(pico: Pico) -> None:
    folder = pico.source("m").folder
    edit_config(folder, architectures=7)
    assert open_checkpoint(folder).architecture == "xlm-roberta"
    edit_config(folder, id2label=None, num_labels="many")
    with pytest.raises(CheckpointError, match="does not name the labels by their numbers"):
        _ = open_checkpoint(folder).labels


def test_the_head_has_a_row_for_each_label(pico: Pico) -> None:
    folder = pico.source("m").folder
    edit_config(folder, id2label={"0": "ask", "1": "count"})
    with pytest.raises(CheckpointError, match=r"m/config\.json names 2 labels \(id2label\), but the head has 4: mend"):
        _ = open_checkpoint(folder).labels


def test_a_tokenizer_is_needed_in_any_form(pico: Pico) -> None:
    source = pico.source("m")
    source.check_tokenizer()
    (source.folder / "tokenizer.json").rename(source.folder / "sentencepiece.bpe.model")
    source.check_tokenizer()
    (source.folder / "sentencepiece.bpe.model").unlink()
    with pytest.raises(CheckpointError, match=r"models/m has no tokenizer \(tokenizer\.json\): copy it from the base"):
        source.check_tokenizer()


def test_the_bytes_are_those_of_all_tensors(sources: list[Checkpoint]) -> None:
    assert sources[0].nbytes == sum(4 * tensor.numel() for tensor in state(sources[0]).values())


def test_the_digest_is_that_of_the_content(pico: Pico, tmp_path: Path) -> None:
    source = pico.source("m")
    shutil.copytree(source.folder, tmp_path / "copy")
    assert open_checkpoint(tmp_path / "copy", "another name").digest == source.digest


@pytest.mark.parametrize("what", ["tensor", "label order", "tokenizer", "architecture"])
def test_the_digest_changes_with(what: str, pico: Pico) -> None:
    source = pico.source("m")
    before = source.digest
    if what == "tensor":

        def one_bit(tensors: dict[str, torch.Tensor]) -> None:
            tensors["classifier.dense.bias"].view(torch.int32)[0] ^= 1

        rewrite(source.folder, one_bit)
    elif what == "label order":
        edit_config(source.folder, id2label=dict(enumerate(reversed(INTENTS))))
    elif what == "tokenizer":
        with (source.folder / "tokenizer.json").open("a") as stream:
            stream.write(" ")
    else:
        edit_config(source.folder, architectures=["XLMRobertaForMultipleChoice"])
    assert open_checkpoint(source.folder).digest != before


def spoil(what: str, folder: Path) -> None:
    weights = folder / "model.safetensors"
    if what == "replaced":
        rewrite(folder, lambda tensors: tensors["classifier.dense.bias"].add_(1))
    elif what == "cut short":
        os.truncate(weights, weights.stat().st_size // 2)
    elif what == "gone":
        weights.unlink()
    else:
        edit_config(folder, id2label=dict(enumerate(reversed(INTENTS))))


@pytest.mark.parametrize("what", ["replaced", "cut short", "gone", "another config"])
def test_what_changes_while_it_is_read_is_told_of(what: str, pico: Pico) -> None:
    source = pico.source("m")
    said = r"^m has changed while this run was at work: bring back what was there"
    with pytest.raises(CheckpointError, match=said), unchanged([source]):
        spoil(what, source.folder)


def test_what_is_only_touched_has_not_changed(pico: Pico) -> None:
    source = pico.source("m")
    with unchanged([source]):
        (source.folder / "model.safetensors").touch()


def test_what_is_missing_is_said(pico: Pico, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^There is no folder .*nowhere: check the name\."):
        open_checkpoint(tmp_path / "nowhere", "my model")
    folder = pico.source("m").folder
    (folder / "model.safetensors").rename(folder / "weights.pt")
    with pytest.raises(
        CheckpointError, match=r"no model\.safetensors, but weights\.pt; of pickled weights only pytorch_model\.bin is"
    ):
        open_checkpoint(folder)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b'"text"', b"7", b""])
def test_a_config_that_is_no_config_is_named(content: bytes, pico: Pico) -> None:
    folder = pico.source("m").folder
    (folder / "config.json").write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"m/config\.json is (not valid JSON, perhaps|JSON, but not a model's config)"
    ):
        _ = open_checkpoint(folder).labels
