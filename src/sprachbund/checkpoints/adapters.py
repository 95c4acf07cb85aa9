"""A LoRA adapter as a checkpoint: its base plus what it adds, θ = θ₀ + (α / r) B A (Hu et al. 2022, arXiv:2106.09685).

The library that adapters are made with (peft) adds them, so that its variants (α / √r, a rank of its own per layer, DoRA) are
what it says they are. The sum is made and kept in fp32: an addition to sixteen bits would round away what was learned.

peft and transformers forgive what would make figures that mean nothing: tensors that find no place in the model, and a head
that neither base nor adapter holds. Both are refused here.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprachbund.checkpoints import converted
from sprachbund.checkpoints.checkpoint import (
    ADAPTER_CONFIG,
    COMPANIONS,
    CONFIG,
    LAST_OF_HEAD,
    TOKEN_COUNTS,
    TOKENIZERS,
    Checkpoint,
)
from sprachbund.checkpoints.foreign import of_transformers
from sprachbund.checkpoints.pickled import read_pickles, unasked
from sprachbund.checkpoints.tensors import TensorFile
from sprachbund.errors import CheckpointError, is_no_memory
from sprachbund.untrusted import read_json

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["add_adapter"]

ADAPTER_WEIGHTS, PICKLED_ADAPTER = "adapter_model.safetensors", "adapter_model.bin"
_WRAPPING = re.compile(
    r"^base_model\.model\.|(?<=lora_magnitude_vector)(?:\.default)?(?:\.weight)?$|\.modules_to_save\b|\.default\b"
)
"""What peft puts around the names of a model's tensors; how much of it stands in the file depends on its version."""
_UNSAID = "save the adapter again (save_pretrained of peft does)"


def add_adapter(folder: Path, name: str, commit: str = "", *, allow_pickle: bool = False) -> Checkpoint:
    """Return base plus adapter as a checkpoint, kept in the cache; ``commit`` tells that the adapter is one of the hub.

    With ``allow_pickle``, the weights of both may be read from pickles.

    Raises:
        CheckpointError: the adapter is no LoRA one, it or its base is not whole, they do not fit, or peft is not installed; or
            weights are only there as a pickle and nobody has asked to read it.
    """
    config = _read_config(folder)
    if not allow_pickle and not (folder / ADAPTER_WEIGHTS).is_file() and (folder / PICKLED_ADAPTER).is_file():
        raise unasked(name if commit else str(folder), PICKLED_ADAPTER)
    base = _base(folder, config, allow_pickle=allow_pickle)
    shapes = _shapes(folder)
    labels = _labels(folder, base, shapes)
    tokenizer = folder if any((folder / file).is_file() for file in TOKENIZERS) else base.folder

    def make(out: Path) -> None:
        _sum(folder, base, labels, shapes).save_pretrained(str(out), max_shard_size="1TB")  # type: ignore[operator]
        converted.copy_files(tokenizer, [file for file in COMPANIONS if file != CONFIG], out)
        converted.copy_files(folder, [TOKEN_COUNTS], out)  # what its base has met in training is another matter

    made_of = {
        "adapter": converted.file_digests(folder, (ADAPTER_CONFIG, ADAPTER_WEIGHTS, PICKLED_ADAPTER)),
        "base": base.digest,
        "labels": list(labels),
        "tokenizer": converted.file_digests(tokenizer, COMPANIONS),
        "counts": converted.file_digests(folder, [TOKEN_COUNTS]),
    }
    pickled = "" if (folder / ADAPTER_WEIGHTS).is_file() else ", pickled, read without running any code (weights_only),"
    note = f"is an adapter{pickled} of {base.name}: their sum is kept in {converted.place()}."
    if base.note:
        note = f"{note} {base.name} {base.note}"
    return Checkpoint(converted.kept(made_of, make), name, commit, converted_from=folder, note=note)


def _read_config(folder: Path) -> Mapping[str, Any]:
    path = folder / ADAPTER_CONFIG
    try:
        config: Any = read_json(path)
        kind, base = config["peft_type"], config["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} does not say what it adapts, and how: {_UNSAID}.") from error
    if kind != "LORA":
        raise CheckpointError(f"{path} is a {kind} adapter, only LORA ones are read: merge it into its base with peft.")
    if not isinstance(base, str) or not base:
        raise CheckpointError(f"{path} names no base (base_model_name_or_path): write there which model it adapts.")
    return dict(config)


def _base(folder: Path, config: Mapping[str, Any], *, allow_pickle: bool) -> Checkpoint:
    """Return the base that an adapter names: as anybody would be understood here, or else beside or in its folder."""
    from sprachbund.checkpoints.zoo import locate, split_subfolder

    named, revision = str(config["base_model_name_or_path"]), config.get("revision")
    places = [Path(named).expanduser(), folder.parent / named, folder / named]
    found = next((place for place in places if place.is_dir()), None)
    if found is not None and found.resolve() == folder.resolve():
        raise CheckpointError(
            f"{folder / ADAPTER_CONFIG} names the adapter itself as its base: write there which model it adapts."
        )
    spec = f"{named}@{revision}" if revision and found is None else str(found or named)
    try:
        return locate(*split_subfolder(spec), allow_pickle=allow_pickle)
    except CheckpointError as error:
        raise CheckpointError(
            f"The base of the adapter {folder} cannot be used ({str(error).rstrip('.')}); "
            f"its {ADAPTER_CONFIG} names it (base_model_name_or_path)."
        ) from error


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the adapter's tensors, under the names of the model's."""
    safe, pickled = folder / ADAPTER_WEIGHTS, folder / PICKLED_ADAPTER
    if safe.is_file():
        return {_WRAPPING.sub("", name): info.shape for name, info in TensorFile(safe).tensors.items()}
    if not pickled.is_file():
        raise CheckpointError(
            f"{folder} is an adapter without its weights ({ADAPTER_WEIGHTS}): download or save it again."
        )
    return {_WRAPPING.sub("", name): tuple(tensor.shape) for name, tensor in read_pickles([pickled]).items()}


def _labels(folder: Path, base: Checkpoint, shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Return the label names: as many as the adapter's head has, named by its config, or as those of the base."""
    count = next((shape[0] for name, shape in shapes.items() if name in LAST_OF_HEAD), None)
    if count is None:
        return base.labels  # the head is that of the base, or there is none, which it says
    own = Checkpoint(folder, str(folder)).config if (folder / CONFIG).is_file() else {}
    for config in (own, base.config):
        named = config.get("id2label") or {}
        if isinstance(named, dict) and set(named) == {str(number) for number in range(count)}:
            return tuple(str(named[str(number)]) for number in range(count))
    return tuple(f"LABEL_{number}" for number in range(count))


def _sum(folder: Path, base: Checkpoint, labels: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]]) -> Module:
    """Return base plus adapter, in fp32."""
    try:
        from peft import PeftModel
    except ImportError as error:
        raise CheckpointError(f'{folder} is an adapter, which takes peft: pip install "sprachbund[peft]".') from error
    import torch
    import transformers

    with of_transformers(base.folder, "model"):
        model, found = transformers.AutoModelForSequenceClassification.from_pretrained(
            str(base.folder),
            dtype=torch.float32,
            output_loading_info=True,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
            ignore_mismatched_sizes=True,  # the head of the base, where the adapter has one of its own
            trust_remote_code=False,
        )
    absent = {*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])} - shapes.keys()
    if absent:
        raise CheckpointError(
            f"Neither {folder} nor its base {base.name} has tensor {min(absent)}: "
            "save the adapter with its head (modules_to_save of peft)."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of is refused below
            adapted = PeftModel.from_pretrained(model, str(folder))
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        if is_no_memory(error):
            raise
        raise CheckpointError(f"{folder} does not fit its base {base.name}, or is incomplete: {_UNSAID}.") from error
    places = {_WRAPPING.sub("", name) for name in adapted.state_dict()}
    for name in sorted(shapes.keys() - places):
        raise CheckpointError(f"{folder} does not fit its base {base.name}, which has no place for {name}: {_UNSAID}.")
    for name in sorted({name for name in places if "lora_" in name} - shapes.keys()):
        raise CheckpointError(f"{folder} lacks its tensor {name}: download or save it again.")
    merged: Module = adapted.merge_and_unload()
    return merged
