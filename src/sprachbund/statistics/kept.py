"""Where statistics are kept: in the cache, each under the digest of all that it hangs on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sprachbund import cache, digests, locks
from sprachbund.checkpoints import Checkpoint, TensorFile, TensorInfo, TensorWriter
from sprachbund.errors import CheckpointError, DataError

__all__ = ["DTYPE", "check_texts", "kept", "put", "writer"]

VERSION = 1
"""Raised when a change to this package makes other statistics of the same checkpoint and texts."""
DTYPE = "F32"
"""Of what is kept: sixteen bits have not the range of Fisher informations, or not the precision that Gram matrices need."""


def kept(kind: str, made_of: Mapping[str, Any], make: Callable[[Path], None], names: Sequence[str]) -> list[TensorFile]:
    """Return the files ``{name}.safetensors`` of what is made of these; ``make`` writes them into a folder if need be."""
    place = cache.folder() / "statistics"
    key = digests.of_value({"version": VERSION, "kind": kind, **made_of})
    folder = locks.made_once(place, f"{kind}-{key}", make)
    return [TensorFile(folder / f"{name}.safetensors") for name in names]


def writer(folder: Path, name: str, shapes: Mapping[str, Sequence[int]]) -> TensorWriter:
    """Return a file to be filled; what is not put into it is zero, and takes no room on most disks."""
    infos = [TensorInfo(tensor, DTYPE, tuple(shape)) for tensor, shape in shapes.items()]
    return TensorWriter(folder / f"{name}.safetensors", infos, {"format": "pt"})


def put(out: TensorWriter, source: Checkpoint, info: TensorInfo, values: torch.Tensor, start: int = 0) -> None:
    """Write elements of a tensor from element ``start`` on.

    Raises:
        CheckpointError: they are not finite, which comes of a model that answers with NaN or infinite numbers.
    """
    numbers: npt.NDArray[Any] = values.detach().to("cpu", torch.float32).numpy()
    if not np.isfinite(numbers).all():
        raise CheckpointError(
            f"The statistics of {source.name} for tensor {info.name} are NaN or infinite: "
            "leave this source out, or download or train it again."
        )
    out.put(info, start, numbers)


def check_texts(source: Checkpoint, texts: Sequence[str]) -> None:
    """Complain if there are no texts.

    Raises:
        DataError: says for which source.
    """
    if not texts:
        raise DataError(
            f"There are no texts to find out the statistics of {source.name} on: give some of its own locale."
        )
