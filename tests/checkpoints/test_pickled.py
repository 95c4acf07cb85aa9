"""Pickled weights: read only where asked, running nothing; kept as safetensors; refused if they want more than tensors."""

from __future__ import annotations

import json
import os
import pickle as marshal
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pico import Pico, bits, config, state
from transformers import XLMRobertaForMaskedLM

from sprachbund import files, inference
from sprachbund.checkpoints import Checkpoint, Zoo, check_mergeable, converted, open_checkpoint, zoo_name
from sprachbund.errors import CheckpointError

PICKLED = "pytorch_model.bin"
EMBEDDINGS, DECODER = "roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pickle(folder: Path, shards: int = 1, **options: Any) -> Path:
    """Put pickled weights in the place of safetensors."""
    tensors = state(folder)
    (folder / "model.safetensors").unlink()
    if shards == 1:
        torch.save(tensors, folder / PICKLED, **options)
        return folder
    place = {name: f"pytorch_model-0000{number % shards + 1}.bin" for number, name in enumerate(tensors)}
    for shard in set(place.values()):
        torch.save({name: tensors[name] for name, where in place.items() if where == shard}, folder / shard)
    (folder / f"{PICKLED}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))
    return folder


@pytest.mark.parametrize("shards", [1, 2])
def test_it_is_not_read_unasked(
    shards: int, pico: Pico, own_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = pickle(pico.source("a").folder, shards)
    name = PICKLED if shards == 1 else f"{PICKLED}.index.json"
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
        with pytest.raises(CheckpointError) as complaint:
            open_checkpoint(folder)
    assert str(complaint.value) == (
        f"{folder} has its weights only as a pickle ({name}), which can hold a program and is not read unasked: have who "
        "made the model save it as safetensors (save_pretrained does), or let its tensors be read with --allow-pickle."
    )
    assert not caplog.messages
    assert not own_cache.exists()
    open_checkpoint(folder, allow_pickle=True)
    with pytest.raises(CheckpointError, match="not read unasked"):
        open_checkpoint(folder)  # whatever somebody else has allowed before


@pytest.mark.parametrize("allowed", [False, True])
def test_a_zoo_says_for_all_its_sources_wherever_they_are_opened(allowed: bool, pico: Pico) -> None:
    template = pico.zoo(["de-DE", "fr-FR"]).template
    pickle(Path(template.replace("{locale}", "fr-FR")))
    zoo = marshal.loads(marshal.dumps(Zoo.parse(template, allow_pickle=allowed)))  # as it comes to a worker
    missing = zoo.missing(["de-DE", "fr-FR"])
    if allowed:
        assert missing == {}
        assert "pickled" in zoo.checkpoint("fr-FR").note
    else:
        assert missing.keys() == {"fr-FR"}
        assert "not read unasked" in missing["fr-FR"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=["fp32", "fp16", "bf16"])
@pytest.mark.parametrize(("shards", "zipped"), [(1, True), (1, False), (3, True)])
def test_it_is_the_same_model(dtype: torch.dtype, shards: int, zipped: bool, pico: Pico) -> None:
    safe = pico.source("safe", dtype=dtype)
    shutil.copytree(safe.folder, pico.root / "pickled")
    folder = pickle(pico.root / "pickled", shards, _use_new_zipfile_serialization=zipped)
    found = open_checkpoint(folder, allow_pickle=True)
    check_mergeable([safe, found])
    assert found.tensors == safe.tensors
    for name in safe.tensors:
        assert bits(found.file.read(name)) == bits(safe.file.read(name))
    encoded = [[0, 5, 6, 2], [0, 9, 2]]
    answers = [inference.logits(inference.load_classifier(each.folder), encoded) for each in (safe, found)]
    np.testing.assert_array_equal(*answers)


def test_it_is_said_and_keeps_its_name(pico: Pico, own_cache: Path) -> None:
    source = pico.zoo(["de-DE"]).checkpoint("de-DE")
    pickle(source.folder)
    found = open_checkpoint(source.folder, "mine", allow_pickle=True)
    assert (found.name, found.origin) == ("mine", source.folder)
    assert found.folder.parent == own_cache / "converted"
    assert found.note == (
        "has pickled weights: they were read without running any code (weights_only) "
        f"and are kept as safetensors in {own_cache}/converted."
    )
    assert source.note == ""
    assert zoo_name(found, "de-DE") == zoo_name(source, "de-DE"), "its zoo is where it was found, not in the cache"


def test_it_is_converted_once(pico: Pico, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pickle(pico.source("a").folder)
    found = open_checkpoint(folder, allow_pickle=True)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read again"))
    shutil.copytree(folder, pico.root / "elsewhere")
    again = open_checkpoint(pico.root / "elsewhere", allow_pickle=True)
    assert (again.folder, again.digest) == (found.folder, found.digest)


def test_the_digest_does_not_hang_on_the_cache(pico: Pico, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pickle(pico.source("a").folder)
    digest = open_checkpoint(folder, allow_pickle=True).digest
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "another"))
    assert open_checkpoint(folder, allow_pickle=True).digest == digest
    rewritten = torch.load(folder / PICKLED, weights_only=True)
    rewritten["classifier.out_proj.bias"] += 1
    torch.save(rewritten, folder / PICKLED)
    assert open_checkpoint(folder, allow_pickle=True).digest != digest


def test_what_is_beside_the_tensors_belongs_to_it(pico: Pico) -> None:
    folder = pickle(pico.source("a").folder)
    first = open_checkpoint(folder, allow_pickle=True)
    saved = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**saved, "id2label": {str(n): f"other {n}" for n in range(4)}}))
    assert open_checkpoint(folder, allow_pickle=True).labels[0] == "other 0"
    assert first.labels[0] == "ask"


def test_a_tied_tensor_is_there_once_and_tied_again(pico: Pico) -> None:
    base = pico.base()
    safe = dict(base.tensors)
    model = XLMRobertaForMaskedLM.from_pretrained(base.folder)
    tensors = dict(model.state_dict())
    assert tensors[DECODER].data_ptr() == tensors[EMBEDDINGS].data_ptr()
    (base.folder / "model.safetensors").unlink()
    torch.save(tensors, base.folder / PICKLED)
    found = open_checkpoint(base.folder, allow_pickle=True)
    assert found.tensors.keys() == safe.keys(), "as save_pretrained writes it"
    assert DECODER not in found.tensors
    loaded, info = XLMRobertaForMaskedLM.from_pretrained(found.folder, output_loading_info=True)
    assert not info["missing_keys"]
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name


def test_tensors_that_only_share_memory_are_all_kept(pico: Pico) -> None:
    source = pico.source("a")
    tensors = state(source)
    pair = torch.arange(2 * 16, dtype=torch.float32)
    names = [name for name, tensor in tensors.items() if tensor.shape == (16,)][:3]
    for name, view in zip(names, (pair[:16], pair[16:], pair[:16]), strict=True):
        tensors[name] = view
    (source.folder / "model.safetensors").unlink()
    torch.save(tensors, source.folder / PICKLED)
    found = open_checkpoint(source.folder, allow_pickle=True)
    assert found.tensors.keys() == tensors.keys()
    for name in tensors:
        np.testing.assert_array_equal(found.file.read(name), tensors[name].numpy())


def test_a_tied_tensor_that_differs_is_no_copy(pico: Pico) -> None:
    base = pico.base()
    model = XLMRobertaForMaskedLM(config(tie_word_embeddings=False))
    (base.folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), base.folder / PICKLED)
    assert DECODER in open_checkpoint(base.folder, allow_pickle=True).tensors


class Harmful:
    """A pickle that leaves a file behind where somebody runs it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_runs_code_is_refused_and_not_run(
    zipped: bool, pico: Pico, tmp_path: Path, own_cache: Path
) -> None:
    source = pico.source("a")
    mark = tmp_path / "it ran"
    (source.folder / "model.safetensors").unlink()
    torch.save({"x": Harmful(mark)}, source.folder / PICKLED, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        CheckpointError, match=r"pytorch_model.bin is a pickle that does more .*\(it asks for .*mkdir\) and was"
    ):
        open_checkpoint(source.folder, allow_pickle=True)
    assert not mark.exists()
    assert not [path for path in own_cache.glob("converted/*") if path.suffix != ".lock"], "nothing is left of it"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([torch.zeros(2)], "does not map names to tensors"),
        ({"weights": {"x": torch.zeros(2)}}, "weights is no plain tensor"),
        ({"x": torch.eye(2).to_sparse()}, "x is no plain tensor"),
        ({"x": torch.zeros(2, dtype=torch.complex64)}, "tensor x has dtype complex64, which cannot be merged"),
    ],
)
def test_what_holds_no_tensors_is_refused(content: Any, reason: str, pico: Pico) -> None:
    folder = pico.source("a").folder
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / PICKLED)
    with pytest.raises(CheckpointError, match=reason):
        open_checkpoint(folder, allow_pickle=True)


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04"])
def test_what_is_no_pickle_is_refused(content: bytes, pico: Pico) -> None:
    folder = pico.source("a").folder
    (folder / "model.safetensors").unlink()
    (folder / PICKLED).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{PICKLED} is "):
        open_checkpoint(folder, allow_pickle=True)


def test_shards_that_do_not_add_up_are_refused(pico: Pico) -> None:
    folder = pickle(pico.source("a").folder, shards=2)
    index = folder / f"{PICKLED}.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["extra"] = "pytorch_model-00001.bin"
    index.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"index.json and its shards do not add up \(tensor extra is only in one"):
        open_checkpoint(folder, allow_pickle=True)
    (folder / "pytorch_model-00002.bin").unlink()
    with pytest.raises(CheckpointError, match=r"it names pytorch_model-00002.bin, which is not there"):
        open_checkpoint(folder, allow_pickle=True)


def test_safetensors_win_over_pickles(pico: Pico) -> None:
    source = pico.source("a")
    (source.folder / PICKLED).write_bytes(b"whatever")
    assert open_checkpoint(source.folder).folder == source.folder


def test_half_a_conversion_is_not_believed(pico: Pico, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pickle(pico.source("a").folder)

    def fails(folder: Path, names: Sequence[str], out: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(converted, "copy_files", fails)
        with pytest.raises(OSError, match="No space"):
            open_checkpoint(folder, allow_pickle=True)
    assert not [path for path in (own_cache / "converted").iterdir() if path.suffix != ".lock"]
    assert open_checkpoint(folder, allow_pickle=True).labels[0] == "ask"
    files.remove_leftovers(own_cache / "converted")


def test_it_may_stand_among_safetensors(pico: Pico, sources: list[Checkpoint]) -> None:
    found = open_checkpoint(pickle(pico.source("a").folder), allow_pickle=True)
    check_mergeable([*sources, found])


def test_it_is_said_before_it_is_read(pico: Pico, caplog: pytest.LogCaptureFixture) -> None:
    folder = pico.source("named").folder
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"no pickle at all")
    with pytest.raises(CheckpointError, match="pytorch_model.bin"):
        open_checkpoint(folder, "named", allow_pickle=True)
    assert caplog.messages == ["named has pickled weights: they are read without running any code (weights_only)."]
