"""Where merged numbers go: into a file, into memory, or nowhere. Parts come in any order, from any thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sprachbund.checkpoints import DTYPES, TensorInfo

__all__ = ["Arrays", "Nowhere", "Sink"]


class Sink(Protocol):
    """What takes parts of tensors."""

    def put(self, info: TensorInfo, start: int, part: npt.NDArray[Any]) -> None:
        """Take elements of a tensor, in its dtype, from element ``start`` on; the part's memory is used again."""


class Arrays:
    """Tensors in memory, by name."""

    def __init__(self, infos: Iterable[TensorInfo]) -> None:
        self.tensors: Mapping[str, npt.NDArray[Any]] = {
            info.name: np.empty(info.shape, DTYPES[info.dtype]) for info in infos
        }

    def put(self, info: TensorInfo, start: int, part: npt.NDArray[Any]) -> None:
        """Copy a part to its place."""
        self.tensors[info.name].reshape(-1)[start : start + part.size] = part


class Nowhere:
    """Takes parts and forgets them: for measuring."""

    def put(self, info: TensorInfo, start: int, part: npt.NDArray[Any]) -> None:
        """Do nothing."""
