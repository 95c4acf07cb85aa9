"""A classifier as ONNX: the same logits by another engine, without torch or transformers.

What comes out is a folder: ``model.onnx`` (large tensors beside it), which takes ``input_ids`` and ``attention_mask`` [texts,
tokens] of any size and gives ``logits`` [texts, labels], with config and tokenizer. It is asked at once what the model itself
is asked, one text alone and several together, and believed only if it answers alike.

torch writes it (``torch.export``, by onnxscript); optimum, whose exporter is the usual one, does not go with transformers 5.
"""

from __future__ import annotations

import importlib
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sprachbund.checkpoints import COMPANIONS, open_checkpoint
from sprachbund.errors import CheckpointError, StoreError, UserError
from sprachbund.inference.loading import load_classifier
from sprachbund.inference.tokens import Encoded, load_tokenizer, pad, tokenise

__all__ = ["ONNX", "check_onnx", "check_place", "write_onnx"]

ONNX = "model.onnx"
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "logits"
MOST_APART = 1e-4
"""Of two logits, as a share of the largest one: what another order of sums in fp32 comes to, and no more."""
QUESTIONS = ("wake me up at nine tomorrow", "çfarë moti do të bëjë nesër në Tiranë", "明日の天気は", "no")
"""Of several lengths; what they mean does not matter."""


def check_onnx() -> None:
    """Complain if what is needed for it is not installed.

    Raises:
        UserError: says what, and how to install it.
    """
    for name in ("onnxscript", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(f"--onnx needs {name}, which is not installed: pip install 'sprachbund[onnx]'.") from error


def check_place(out: Path, *, overwrite: bool) -> None:
    """Complain of what is in the way of a folder for an ONNX model; with ``overwrite`` another ONNX model is not.

    Only what was written here is ever replaced: a folder that holds anything else is somebody's.

    Raises:
        StoreError: says what is there, and what to do.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    ours = {ONNX, f"{ONNX}.data", *COMPANIONS}
    if not out.is_dir() or not (out / ONNX).is_file() or not all(path.name in ours for path in out.iterdir()):
        raise StoreError(f"{out} is there already, and is no ONNX model that was written here: choose another --out.")
    if not overwrite:
        raise StoreError(f"{out} holds an ONNX model: choose another --out, or replace it with --overwrite.")


def write_onnx(folder: Path, out: Path) -> float:
    """Write the classifier of a checkpoint into the existing folder ``out``; return how far apart the logits are at most.

    Raises:
        CheckpointError: it is no classifier, cannot be read, or answers otherwise as ONNX.
    """
    model, tokenizer = load_classifier(folder), load_tokenizer(folder)
    encoded = tokenise(tokenizer, QUESTIONS)
    pad_id = int(model.config.pad_token_id or 0)  # type: ignore[union-attr, arg-type]
    sizes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
    with _silence():
        torch.onnx.export(
            _Logits(model),
            pad(encoded, pad_id),
            str(out / ONNX),
            input_names=INPUTS,
            output_names=[OUTPUT],
            dynamic_shapes=dict.fromkeys(INPUTS, sizes),
            dynamo=True,
            verbose=False,
        )
    for name in COMPANIONS:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)
    apart = max(_apart(model, out / ONNX, texts, pad_id) for texts in (encoded, *([one] for one in encoded)))
    if not apart <= MOST_APART:
        raise CheckpointError(
            f"{open_checkpoint(folder).name} answers otherwise as ONNX (logits up to {apart:.1e} apart): nothing was written."
        )
    return apart


class _Logits(torch.nn.Module):
    """The model as a function of two tensors."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        """Return the logits."""
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def _apart(model: torch.nn.Module, path: Path, encoded: Encoded, pad_id: int) -> float:
    """Return the largest difference of two logits, as a share of the largest logit."""
    ids, mask = pad(encoded, pad_id)
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits.numpy()
    session: Any = importlib.import_module("onnxruntime").InferenceSession(str(path))
    (found,) = session.run([OUTPUT], dict(zip(INPUTS, (ids.numpy(), mask.numpy()), strict=True)))
    return float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter from telling of its own affairs."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
