"""Tensors in several files: read like one, known by all of them, and refused as soon as they do not add up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pico import Pico, bits, state
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from sprachbund import inference
from sprachbund.checkpoints import SHARDS, Checkpoint, check_mergeable, learned_tokens, open_checkpoint
from sprachbund.errors import CheckpointError
from sprachbund.heads import head_agreement
from sprachbund.merging import merge
from sprachbund.training.jobs import _is_whole

BIAS = "classifier.out_proj.bias"


def sharded(whole: Checkpoint, folder: Path) -> Checkpoint:
    """The same model as transformers saves it in shards of 8 kB."""
    model = AutoModelForSequenceClassification.from_pretrained(whole.folder)
    model.save_pretrained(folder, max_shard_size="8KB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((whole.folder / name).read_bytes())
    assert not (folder / "model.safetensors").exists()
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    return open_checkpoint(folder)


@pytest.fixture
def whole(pico: Pico) -> Checkpoint:
    return pico.source("whole")


@pytest.fixture
def shards(whole: Checkpoint, pico: Pico) -> Checkpoint:
    return sharded(whole, pico.root / "shards")


def test_every_tensor_is_that_of_the_single_file(whole: Checkpoint, shards: Checkpoint) -> None:
    assert shards.tensors == whole.tensors
    assert (shards.nbytes, shards.parameters) == (whole.nbytes, whole.parameters)
    assert (shards.labels, shards.head) == (whole.labels, whole.head)
    for name in whole.tensors:
        assert bits(shards.file.read(name)) == bits(whole.file.read(name))
        assert not shards.file.read(name).flags.writeable


def test_it_is_merged_like_a_single_file(
    whole: Checkpoint, shards: Checkpoint, sources: list[Checkpoint], tmp_path: Path
) -> None:
    check_mergeable([shards, *sources])
    for name, first in (("from-whole", whole), ("from-shards", shards)):
        (tmp_path / name).mkdir()
        merge([first, *sources], (0.4, 0.3, 0.2, 0.1), tmp_path / name)
    expected = state(tmp_path / "from-whole")
    merged = state(tmp_path / "from-shards")
    assert merged.keys() == expected.keys()
    assert all((merged[name] == expected[name]).all() for name in merged)


def test_it_is_loaded_compared_and_looked_into(
    whole: Checkpoint, shards: Checkpoint, sources: list[Checkpoint], base: Checkpoint
) -> None:
    encoded = [[0, 5, 6, 2], [0, 9, 2]]
    answers = [inference.logits(inference.load_classifier(each.folder), encoded) for each in (whole, shards)]
    np.testing.assert_array_equal(*answers)
    assert head_agreement([shards, sources[0]]).cosine == head_agreement([whole, sources[0]]).cosine  # type: ignore[union-attr]
    np.testing.assert_array_equal(learned_tokens([shards], base), learned_tokens([whole], base))
    assert _is_whole(shards.folder)
    next(shards.folder.glob("model-*.safetensors")).unlink()
    assert not _is_whole(shards.folder)


def test_the_digest_is_of_all_shards_and_of_the_index(shards: Checkpoint) -> None:
    digests = {shards.digest}
    index = shards.folder / SHARDS
    content = json.loads(index.read_text())
    content["weight_map"] = dict(reversed(content["weight_map"].items()))
    content["metadata"] = {"total_size": 1}
    index.write_text(json.dumps(content))
    assert open_checkpoint(shards.folder).digest in digests, (
        "another order, and what describes it, compute nothing else"
    )
    for shard in sorted(shards.folder.glob("model-*.safetensors")):
        tensors = load_file(shard)
        save_file({name: tensor + 1 for name, tensor in tensors.items()}, shard, metadata={"format": "pt"})
        digests.add(open_checkpoint(shards.folder).digest)
    assert len(digests) == 1 + len(list(shards.folder.glob("model-*.safetensors")))


def reindexed(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Change what the index says."""

    def spoil(folder: Path) -> None:
        content = json.loads((folder / SHARDS).read_text())
        change(content["weight_map"])
        (folder / SHARDS).write_text(json.dumps(content))

    return spoil


def in_two(folder: Path) -> None:
    """Put the tensor of one shard into another one, too."""
    place = json.loads((folder / SHARDS).read_text())["weight_map"]
    tensor = load_file(folder / place[BIAS])[BIAS]
    other = folder / next(name for name in place.values() if name != place[BIAS])
    save_file({**load_file(other), BIAS: tensor}, other, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: next(folder.glob("model-00002-*")).unlink(), r"it names model-00002-.*, which is not there"),
        (
            reindexed(lambda place: place.update(extra=place[BIAS])),
            "it says that tensor extra is in model-.*, where it is not",
        ),
        (reindexed(lambda place: place.pop(BIAS)), f"it does not name tensor {BIAS}, which is in model-"),
        (in_two, f"tensor {BIAS} is in two files, model-.* and model-"),
        (
            reindexed(lambda place: place.update(x="../x.safetensors")),
            r"it names \.\./x.safetensors, which is not a file",
        ),
        (
            reindexed(lambda place: place.update(x="/x.safetensors")),
            "it names /x.safetensors, which is not a file beside",
        ),
        (reindexed(lambda place: place.update(x=7)), "it names no shards"),
        (reindexed(lambda place: place.clear()), "it names no shards"),
        (lambda folder: (folder / SHARDS).write_text("{"), "it is no index of shards"),
        (lambda folder: (folder / SHARDS).write_text("[]"), "it is no index of shards"),
        (lambda folder: (folder / SHARDS).write_bytes(b"\xff\xfe{"), "it is no index of shards"),
    ],
)
def test_what_does_not_add_up_is_one_sentence(spoil: Callable[[Path], None], reason: str, shards: Checkpoint) -> None:
    spoil(shards.folder)
    with pytest.raises(
        CheckpointError, match=rf"{SHARDS} and its shards do not add up \({reason}.*\): download or save"
    ):
        _ = open_checkpoint(shards.folder).tensors


def test_a_shard_that_is_cut_off_is_named(shards: Checkpoint) -> None:
    shard = sorted(shards.folder.glob("model-*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match=f"{shard.name} is truncated or corrupt"):
        _ = open_checkpoint(shards.folder).tensors
