"""Pickled weights (``pytorch_model.bin``) without running what is in them.

A pickle is a program: whoever made it decides what happens when it is read. So it is read only where that was asked for
(``allow_pickle``), and then by torch's ``weights_only``, which reads those that build tensors and plain containers and refuses
all others. Nothing else reads pickles here.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprachbund.checkpoints.foreign import of_transformers
from sprachbund.checkpoints.tensors import TensorInfo, write_tensors
from sprachbund.errors import CheckpointError, is_no_memory

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["read_pickles", "unasked", "without_tied", "write_as_safetensors"]

_NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
"""How torch and safetensors call dtypes."""


def unasked(where: str, pickled: str) -> CheckpointError:
    """Return the complaint of a model whose weights are only there as a pickle, which nobody has asked to read."""
    return CheckpointError(
        f"{where} has its weights only as a pickle ({pickled}), which can hold a program and is not read unasked: have who "
        "made the model save it as safetensors (save_pretrained does), or let its tensors be read with --allow-pickle."
    )


def read_pickles(paths: Iterable[Path]) -> dict[str, Tensor]:
    """Return all tensors of these files by name.

    Raises:
        CheckpointError: a file is no mapping from names to tensors, or cannot be read without running code.
    """
    tensors: dict[str, Tensor] = {}
    for path in paths:
        for name, tensor in _read(path).items():
            if name in tensors:
                raise CheckpointError(
                    f"{path} holds tensor {name}, which another file has, too: download or save the checkpoint again."
                )
            tensors[name] = tensor
    return tensors


def _read(path: Path) -> Mapping[str, Tensor]:
    import torch

    try:
        # Only what torch has saved as an archive can be mapped; before 1.6 it was a bare pickle.
        found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        called = re.search(r"GLOBAL (\S+)", str(error))
        raise CheckpointError(
            f"{path} is a pickle that does more than hold tensors{f' (it asks for {called[1]})' if called else ''} "
            "and was not read: have who made the model save it as safetensors (save_pretrained does)."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        if is_no_memory(error):
            raise
        raise CheckpointError(f"{path} is truncated or corrupt: download or save it again.") from error
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise CheckpointError(f"{path} does not map names to tensors: have the model saved with save_pretrained.")
    for name, tensor in found.items():
        _check(path, name, tensor)
    return found


def _check(path: Path, name: str, tensor: Any) -> None:
    import torch

    if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided or tensor.is_quantized:
        raise CheckpointError(f"{path}: {name} is no plain tensor: have the model saved with save_pretrained.")
    if _dtype(tensor) not in _NAMES:
        raise CheckpointError(
            f"{path}: tensor {name} has dtype {_dtype(tensor)}, which cannot be merged: "
            "convert it to float32, float16 or bfloat16."
        )


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def without_tied(tensors: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """Leave out each tensor that the model in a folder takes from another one, if that is there and the same.

    That is what ``save_pretrained`` leaves out of safetensors: one tensor under two names is written once, and the model ties
    it again. Tensors that merely share memory stay, each under its own name.
    """
    tied = _tied(folder)
    return {
        name: tensor
        for name, tensor in tensors.items()
        if name not in tied or not _same(tensor, tensors.get(tied[name]))
    }


def _tied(folder: Path) -> Mapping[str, str]:
    """Return which tensors a model takes from which others; none where transformers does not know the model."""
    import torch
    import transformers

    try:
        with of_transformers(folder, "config"):
            settings = transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
            architecture = getattr(transformers, (settings.architectures or [""])[0], None)
            if not (isinstance(architecture, type) and issubclass(architecture, transformers.PreTrainedModel)):
                return {}
            with torch.device("meta"):
                return dict(getattr(architecture(settings), "all_tied_weights_keys", {}))
    except CheckpointError:  # what is wrong with the config is said where it is used
        return {}


def _same(one: Tensor, other: Tensor | None) -> bool:
    import torch

    return other is not None and one.dtype == other.dtype and torch.equal(one, other)


def write_as_safetensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as one safetensors file, bit by bit as they are."""
    import torch

    infos = [TensorInfo(name, _NAMES[_dtype(tensor)], tuple(tensor.shape)) for name, tensor in tensors.items()]
    chunks = (tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy() for tensor in tensors.values())
    write_tensors(path, infos, chunks, metadata={"format": "pt"})
