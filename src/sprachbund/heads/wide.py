"""The wide head: Σ wᵢ headᵢ(h), the heads of all sources side by side, exactly.

What averaging loses where heads were initialised independently is kept: each head reads the merged body by itself, and the
weighted sum of their logits is the answer. Of linear heads that is their weighted mean; of heads with a hidden layer it is one
that is as wide as all of them, see :mod:`sprachbund.checkpoints.modeling_wide`, which is written beside the tensors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sprachbund import files
from sprachbund.checkpoints import CONFIG, WEIGHTS, WIDE_HEAD, Checkpoint, TensorFile, TensorInfo, write_tensors
from sprachbund.heads.layout import layout_of

__all__ = ["MODELING", "WideHead", "replace_tensors", "wide_head", "write_wide_head"]

FloatArray = npt.NDArray[np.float64]
MODELING = "modeling_wide.py"
"""The file that lets transformers load such a model."""
_CLASS = "WideHeadForSequenceClassification"


@dataclass(frozen=True)
class WideHead:
    """The numbers of a wide head in float64, by the names of the tensors."""

    hidden: str | None
    """The layer before the last; None where heads are linear, and their sum is an ordinary head."""
    last: str
    tensors: Mapping[str, FloatArray]

    @property
    def width(self) -> int:
        """How many features the last layer reads."""
        return int(self.tensors[f"{self.last}.weight"].shape[1])


def wide_head(sources: Sequence[Checkpoint], weights: Sequence[float]) -> WideHead:
    """Put the heads of sources side by side, each with its weight.

    Raises:
        IncompatibleError: how their heads are made is not known.
    """
    layout = layout_of(sources[0])
    last, hidden = layout.last, layout.hidden
    matrices = [w * _read(source, f"{last}.weight") for source, w in zip(sources, weights, strict=True)]
    tensors = {f"{last}.weight": sum(matrices, np.zeros(1)) if hidden is None else np.concatenate(matrices, axis=1)}
    if f"{last}.bias" in sources[0].tensors:
        biases = [w * _read(source, f"{last}.bias") for source, w in zip(sources, weights, strict=True)]
        tensors[f"{last}.bias"] = sum(biases, np.zeros(1))
    for name in (f"{hidden}.weight", f"{hidden}.bias") if hidden else ():
        if name in sources[0].tensors:
            tensors[name] = np.concatenate([_read(source, name) for source in sources])
    return WideHead(hidden, last, tensors)


def write_wide_head(head: WideHead, folder: Path) -> None:
    """Give the model in a folder a wide head; one that is linear makes it no other model than transformers knows."""
    replace_tensors(folder, head.tensors)
    if head.hidden is None:
        return
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config["architectures"] = [_CLASS]
    config["auto_map"] = {"AutoModelForSequenceClassification": f"{Path(MODELING).stem}.{_CLASS}"}
    config[WIDE_HEAD] = {"hidden": head.hidden, "last": head.last, "width": head.width}
    files.write_json(folder / CONFIG, config)
    files.write_text(
        folder / MODELING, package_files("sprachbund.checkpoints").joinpath(MODELING).read_text(encoding="utf-8")
    )


def replace_tensors(folder: Path, replaced: Mapping[str, np.ndarray]) -> None:
    """Write the tensors of the model in a folder anew, some of them replaced, in the dtypes that are there."""
    file = TensorFile(folder / WEIGHTS)
    shapes = {name: tensor.shape for name, tensor in replaced.items()}
    infos = [TensorInfo(name, info.dtype, shapes.get(name, info.shape)) for name, info in file.tensors.items()]
    tensors = (
        np.asarray(replaced[name], dtype=file.read(name).dtype) if name in replaced else file.read(name)
        for name in file.tensors
    )
    new = folder / f"{WEIGHTS}.new"
    write_tensors(new, infos, tensors, metadata=file.metadata)
    os.replace(new, folder / WEIGHTS)


def _read(source: Checkpoint, name: str) -> FloatArray:
    return np.asarray(source.file.read(name), dtype=np.float64)
