"""Classifiers and encoders of checkpoints, from their folders or with tensors from memory.

transformers forgives what would make figures that mean nothing: it fills absent tensors with random numbers. Such models are
refused here, whichever way their tensors come. It also asks at the terminal whether code of a folder may be run, and takes what
comes through a pipe for the answer, unless it is told with each call that it may not (``trust_remote_code=False``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from sprachbund import digests
from sprachbund.checkpoints import CONFIG, WIDE_HEAD, Checkpoint, open_checkpoint
from sprachbund.checkpoints.foreign import of_transformers
from sprachbund.checkpoints.modeling_wide import WideHeadForSequenceClassification
from sprachbund.errors import CheckpointError

__all__ = [
    "as_tensor",
    "config_of",
    "fixed_tokens",
    "live_classifier",
    "load_classifier",
    "load_encoder",
    "quieten",
]


MOST_TIMES, SPARE = 2, 10_000_000
"""A model may ask for twice as many numbers as there are, and some more; what is missing is named one by one then."""


def quieten() -> None:
    """Keep transformers from drawing progress bars and giving advice: our own output says what users need."""
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def load_classifier(folder: Path) -> torch.nn.Module:
    """Return the classifier of a checkpoint in fp32, ready to evaluate.

    Raises:
        CheckpointError: it cannot be read, or not every tensor of a classifier is in it as its config says.
    """
    checkpoint = open_checkpoint(folder)
    _ = checkpoint.labels  # reads config and header, and complains of either in words of ours
    # What a wide head is, this package knows by itself.
    kind = WideHeadForSequenceClassification if WIDE_HEAD in checkpoint.config else AutoModelForSequenceClassification
    _check_size(kind, config_of(folder), sum(info.size for info in checkpoint.tensors.values()), folder)
    with of_transformers(folder, "model"):
        model, found = kind.from_pretrained(
            str(folder),
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
        )
    return _complete(model, found, str(folder))


def live_classifier(
    folder: Path,
    tensors: Mapping[str, np.ndarray] | Mapping[str, torch.Tensor],
    *,
    vocabulary_rows: npt.NDArray[np.int64] | None = None,
    name: str = "",
) -> torch.nn.Module:
    """Return a classifier that has the config of a checkpoint and tensors from memory, in fp32, ready to evaluate.

    Arrays of numpy make a model on the CPU, tensors of torch one on the device where they are. Nothing is copied that is fp32
    and may be written to: who reuses the numbers for another model changes this one. To build it takes a few hundredths of a
    second, so that each candidate gets one of its own.

    With ``vocabulary_rows``, sorted, what has a row for each token has those rows only, and the model takes the token ids that
    :func:`~sprachbund.inference.compact` gives; answers are those of the whole model to the last bit. ``name`` is what
    messages call it.

    Raises:
        CheckpointError: not every tensor of a classifier is there as the config says.
    """
    config = config_of(folder)
    if vocabulary_rows is not None:
        fixed = fixed_tokens(config)
        if not np.array_equal(vocabulary_rows[:fixed], np.arange(fixed)):
            raise ValueError(f"the first {fixed} tokens have to stay where they are")
        config.vocab_size = len(vocabulary_rows)
    name = name or str(folder)
    there = {tensor: numbers for tensor, numbers in tensors.items() if isinstance(numbers, torch.Tensor)}
    arrays = {tensor: as_tensor(numbers) for tensor, numbers in tensors.items() if isinstance(numbers, np.ndarray)}
    return _built_there(folder, config, there, name) if there else _built(folder, config, arrays, name)


def _built(folder: Path, config: Any, tensors: Mapping[str, torch.Tensor], name: str) -> torch.nn.Module:
    """Return the classifier of a config with tensors that are on the CPU."""
    there = sum(tensor.numel() for tensor in tensors.values())
    kind: Any = _check_size(AutoModelForSequenceClassification, config, there, folder)
    with of_transformers(folder, "model"):
        model, found = kind.from_pretrained(
            None,
            config=config,
            state_dict=dict(tensors),
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
        )
    model.name_or_path = name
    return _complete(model, found, name)


def _built_there(folder: Path, config: Any, tensors: Mapping[str, torch.Tensor], name: str) -> torch.nn.Module:
    """Do the same on the device of the tensors.

    transformers takes what it is given to the CPU. So it builds a model of placeholders, memory that nobody ever writes to and
    that costs nothing, and the tensors take their places. Where it makes one layer of several tensors there is no such place.
    """
    places = {
        tensor: torch.empty(numbers.shape, dtype=torch.float32 if numbers.is_floating_point() else numbers.dtype)
        for tensor, numbers in tensors.items()
    }
    model = _built(folder, config, places, name)
    by_place = {places[tensor].data_ptr(): numbers for tensor, numbers in tensors.items() if numbers.numel()}
    parts = [part for part in model.state_dict(keep_vars=True).values() if part.numel()]
    found = [(part, by_place.get(part.data_ptr())) for part in parts]
    if all(numbers is not None and numbers.shape == part.shape for part, numbers in found):
        for part, numbers in found:
            assert numbers is not None
            part.data = numbers.float() if numbers.is_floating_point() else numbers
    else:
        model = _built(folder, config, {tensor: numbers.cpu() for tensor, numbers in tensors.items()}, name)
    return model.to(next(iter(tensors.values())).device)


def config_of(folder: Path) -> Any:
    """Return the config of a checkpoint as transformers reads it.

    Raises:
        CheckpointError: it cannot.
    """
    _ = Checkpoint(folder, str(folder)).config  # within limits, and in words of ours
    with of_transformers(folder, "model"):
        return AutoConfig.from_pretrained(str(folder), trust_remote_code=False)


def _check_size(kind: Any, config: Any, there: int, folder: Path) -> type[torch.nn.Module]:
    """Return the class that a config asks for, if that has not far more numbers than ``there`` are.

    Raises:
        CheckpointError: it has, and would fill the memory.
    """
    with of_transformers(folder, "model"):
        told = {**json.loads(config.to_json_string(use_diff=False), parse_constant=str), "_name_or_path": ""}
        key = (kind, type(config), digests.of_value(told))
        if key not in _sizes:
            _sizes[key] = _size(kind, config)
    made, asked = _sizes[key]
    if asked > MOST_TIMES * there + SPARE:
        raise CheckpointError(
            f"{folder / CONFIG} asks for {asked:,} numbers, where the tensors beside it have {there:,}: "
            "save or download the checkpoint again."
        )
    return made


_sizes: dict[tuple[Any, type, str], tuple[type[torch.nn.Module], int]] = {}
"""By kind of model, class of its config and the digest of that: even without numbers, XLM-R base takes 0.3 s to build."""


def _size(kind: Any, config: Any) -> tuple[type[torch.nn.Module], int]:
    """Return the class that a config asks for, and how many numbers it has."""
    with torch.device("meta"):  # shapes without numbers
        model = kind.from_config(config, trust_remote_code=False)
    return type(model), sum(part.numel() for part in (*model.parameters(), *model.buffers()))


def as_tensor(array: np.ndarray) -> torch.Tensor:
    """Return an array as a tensor that shares its memory; a copy where that is read-only, which torch does not know."""
    if not array.flags.writeable:
        array = array.copy()
    if array.dtype.name == "bfloat16":  # which numpy has from elsewhere, and torch does not take
        return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def fixed_tokens(config: Any) -> int:
    """Return how many of the first token numbers a model knows by number, and have to stay when tokens are renumbered.

    Models tell padding by its number, and some count positions from it; BART looks for the end of a text.
    """
    named = [getattr(config, name, None) for name in ("pad_token_id", "eos_token_id")]
    return 1 + max(int(number or 0) for found in named for number in (found if isinstance(found, list) else [found]))


def _complete(model: Any, found: Mapping[str, Any], name: str) -> torch.nn.Module:
    """Return the model for evaluation, if all its tensors and no other layers were there.

    Raises:
        CheckpointError: names what is missing, of another shape, or too much.
    """
    for tensor, saved, expected in sorted(found["mismatched_keys"]):
        raise CheckpointError(
            f"{name}: tensor {tensor} is {_shape(saved)}, where its config.json asks for {_shape(expected)}: "
            "save or download the checkpoint again."
        )
    if found["missing_keys"]:
        raise CheckpointError(
            f"{name} lacks tensors of a classifier, {', '.join(sorted(found['missing_keys'])[:3])} among them: "
            "fine-tune it, or save it again as what it is."
        )
    unused = sorted(tensor for tensor in found["unexpected_keys"] if ".layer." in tensor or ".layers." in tensor)
    if unused:  # a head of another kind may be left over, a layer may not
        raise CheckpointError(
            f"{name} has tensors that its config.json does not tell of, {', '.join(unused[:3])} among them: "
            "save or download the checkpoint again."
        )
    classifier: torch.nn.Module = model.eval()
    return classifier


def load_encoder(folder: Path) -> torch.nn.Module:
    """Return the encoder of a checkpoint without any head, in fp32, ready to be asked for its states.

    Raises:
        CheckpointError: it cannot be read, or not every tensor of an encoder is in it.
    """
    there = sum(info.size for info in open_checkpoint(folder).tensors.values())
    _check_size(AutoModel, config_of(folder), there, folder)
    with of_transformers(folder, "model"):
        model, found = AutoModel.from_pretrained(
            str(folder), dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )
    missing = sorted(name for name in found["missing_keys"] if not name.startswith("pooler."))
    if missing:  # a pooler feeds a head, and no state comes from it
        raise CheckpointError(
            f"{folder} lacks tensors of an encoder, {', '.join(missing[:3])} among them: save it again as what it is."
        )
    encoder: torch.nn.Module = model.eval()
    return encoder


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
