"""``sprachbund export --onnx``: what onnxruntime answers is what the model answers."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pico import Pico
from transformers import AutoTokenizer

from sprachbund import inference
from sprachbund.checkpoints import open_checkpoint
from sprachbund.cli import run
from sprachbund.inference import onnx

Capture = pytest.CaptureFixture[str]
TEXTS = ["bala aska dono furi keme lisu mano pito", "greeta", "leavo sele"]


@pytest.fixture
def model(here: Path) -> Path:
    return Pico(here).source("model", layers=2).folder


def refused(line: str, capsys: Capture) -> str:
    assert run(shlex.split(line)) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("error: ")) == ("", 1)
    assert not Path("out").exists()
    return err


def logits_of(folder: Path, texts: list[str]) -> np.ndarray:
    """What onnxruntime says, by the tokenizer beside the model."""
    onnxruntime = pytest.importorskip("onnxruntime")
    encoded = AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True, return_tensors="np")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    return np.asarray(session.run(["logits"], {name: encoded[name] for name in ("input_ids", "attention_mask")})[0])


def test_onnxruntime_gives_the_logits_of_the_model(model: Path, capsys: Capture) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not here: pip install 'sprachbund[onnx]'")
    assert run(["export", "--onnx", "--model", "model", "--out", "out", "--json"]) == 0, capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)
    assert found["apart"] < 1e-4
    classifier = inference.load_classifier(model)
    for texts in (TEXTS, TEXTS[1:2]):
        expected = inference.logits(classifier, inference.encode(model, texts))
        np.testing.assert_allclose(logits_of(Path("out"), texts), expected, atol=1e-4 * np.abs(expected).max())
    assert not [name for name in (path.name for path in Path("out").iterdir()) if name.endswith(".safetensors")]
    line = ["export", "--onnx", "--model", "model", "--out", "out"]
    assert run(line) == 2
    assert "out holds an ONNX model: choose another --out, or replace it with --overwrite." in capsys.readouterr().err
    assert run([*line, "--overwrite"]) == 0
    Path("out/notes.txt").write_text("mine", encoding="utf-8")
    assert run([*line, "--overwrite"]) == 2
    assert Path("out/notes.txt").exists()


def test_a_wide_head_is_written_too(here: Path, capsys: Capture) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not here: pip install 'sprachbund[onnx]'")
    for locale in ("ro-RO", "el-GR"):
        Pico(here / "models").source(locale)
    line = "merge --mode manual --target-lang sq-AL --models models/{locale} --sources ro-RO el-GR --head-policy wide"
    assert run(shlex.split(line)) == 0
    folder = Path("merged_models/manual_merge_sq-AL")
    assert run(["export", "--onnx", "--model", str(folder), "--out", "out"]) == 0, capsys.readouterr().err
    expected = inference.logits(inference.load_classifier(folder), inference.encode(folder, TEXTS))
    np.testing.assert_allclose(logits_of(Path("out"), TEXTS), expected, atol=1e-4 * np.abs(expected).max())


def test_what_answers_otherwise_is_not_written(model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not here: pip install 'sprachbund[onnx]'")
    monkeypatch.setattr(
        onnx._Logits, "forward", lambda self, i, m: self.model(input_ids=i, attention_mask=m).logits + 1
    )
    monkeypatch.setattr(onnx, "INPUTS", ("i", "m"))
    assert "answers otherwise as ONNX" in refused("export --onnx --model model --out out", capsys)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("export --onnx --model model", "--out is needed"),
        ("export --onnx --mergekit --model model --out out", "two exports: leave one out"),
        ("export --onnx --model model --out model", "model is there already, and is no ONNX model"),
        ("export --onnx --model model --out model --overwrite", "model is there already, and is no ONNX model"),
        ("export --onnx --model model --overwrite", "--overwrite has no effect without --out"),
        ("export --mergekit --model model --out model", "--out model is a folder: name a file"),
    ],
)
def test_a_wrong_call_gets_one_sentence(line: str, words: str, model: Path, capsys: Capture) -> None:
    assert words in refused(line, capsys)


@pytest.mark.parametrize("name", ["onnxscript", "onnxruntime"])
def test_what_is_not_installed_is_named(
    name: str, model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", torch)  # as if it were there
    monkeypatch.setitem(sys.modules, name, None)
    err = refused("export --onnx --model model --out out", capsys)
    assert f"--onnx needs {name}, which is not installed: pip install 'sprachbund[onnx]'." in err
    assert open_checkpoint(model).labels
