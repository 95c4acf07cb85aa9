"""Sixteen bits to thirty-two and back, in the speed of memory.

A bfloat16 is the upper half of a float32, so that both ways are a few operations on integers that numpy does for whole arrays
at once; the casts of ml_dtypes go number by number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sprachbund.checkpoints import DTYPES, TensorInfo
from sprachbund.errors import MixError

__all__ = ["OVERFLOW", "narrow", "rounded", "too_large", "widen"]

_BF16 = DTYPES["BF16"]
OVERFLOW = np.errstate(over="ignore", invalid="ignore")
"""For arithmetic whose results are :func:`rounded`, which refuses what is no number."""


def widen(raw: npt.NDArray[Any], out: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Write numbers of any float dtype into ``out``, float32 or float64 of the same length, and return it; exact."""
    if raw.dtype == _BF16 and out.dtype == np.float32:
        np.left_shift(raw.view(np.uint16), 16, out=out.view(np.uint32), dtype=np.uint32)
    else:
        np.copyto(out, raw)
    return out


def narrow(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return float32 or float64 values in another dtype, rounded to the nearest, to even where two are as near.

    Values have to be finite, or infinite after rounding; the engine has seen to it that there is no NaN.
    """
    if values.dtype == dtype:
        return values
    if dtype != _BF16 or values.dtype != np.float32:
        with np.errstate(over="ignore"):  # what is too large for fp16 is infinite there
            return values.astype(dtype)
    bits = values.view(np.uint32)
    odd = np.bitwise_and(np.right_shift(bits, 16), 1)
    odd += np.uint32(0x7FFF)
    odd += bits
    return np.right_shift(odd, 16, out=odd).astype(np.uint16).view(_BF16)


def rounded(values: npt.NDArray[Any], info: TensorInfo) -> npt.NDArray[Any]:
    """Return the numbers of a merged tensor in its dtype.

    Raises:
        MixError: one is no number, or too large for the dtype.
    """
    narrowed = narrow(values, DTYPES[info.dtype])
    with np.errstate(all="ignore"):  # what is not finite, the sum isn't either
        seems_fine = info.dtype in ("F32", "F64") and np.isfinite(np.add.reduce(narrowed, axis=None))
    if not seems_fine and not _are_finite(narrowed):
        raise too_large(info)
    return narrowed


def too_large(info: TensorInfo) -> MixError:
    """Return the complaint about a merged tensor that does not fit into its dtype."""
    return MixError(
        f"Tensor {info.name} of the merge holds what is no number in {info.dtype}: check weights and options, "
        "or write wider numbers (--dtype)."
    )


def _are_finite(values: npt.NDArray[Any]) -> bool:
    if values.dtype == _BF16:
        return bool(((values.view(np.uint16) & 0x7F80) != 0x7F80).all())
    return bool(np.isfinite(values).all())
