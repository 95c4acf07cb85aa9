"""A checkpoint: a Hugging Face model folder with config, safetensors and tokenizer, looked at without loading the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sprachbund import digests
from sprachbund.checkpoints.tensors import TensorFile, TensorInfo
from sprachbund.errors import CheckpointError

__all__ = ["CONFIG", "HEAD_PREFIXES", "TOKENIZER", "WEIGHTS", "Checkpoint", "open_checkpoint"]

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
_SAYS_NOTHING = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
"""Entries of a config that change without the model computing anything else."""
HEAD_PREFIXES = ("classifier.", "score.")
"""How transformers names the tensors of a sequence classification head."""


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint: its config is read, its tensors are mapped when they are first needed."""

    folder: Path
    name: str
    """As the user named it, for messages and records."""

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        path = self.folder / CONFIG
        try:
            config: Any = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise CheckpointError(
                f"{path} is not valid JSON ({error}): save or download the checkpoint again."
            ) from error
        if not isinstance(config, dict):
            raise CheckpointError(
                f"{path} is not a config but a {type(config).__name__}: save or download the checkpoint again."
            )
        return config

    @cached_property
    def file(self) -> TensorFile:
        """The tensors."""
        return TensorFile(self.folder / WEIGHTS)

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        """All tensors by name."""
        return dict(self.file.tensors)

    @property
    def head(self) -> dict[str, TensorInfo]:
        """The tensors of the classification head."""
        return {name: info for name, info in self.file.tensors.items() if name.startswith(HEAD_PREFIXES)}

    @property
    def architecture(self) -> str:
        """The transformers class that the checkpoint was saved from."""
        return str((self.config.get("architectures") or [self.config.get("model_type", "unknown")])[0])

    @property
    def parameters(self) -> int:
        """Number of elements of all floating-point tensors."""
        return sum(info.size for info in self.file.tensors.values() if info.is_float)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Label names in the order of the logits; ``LABEL_n`` where nobody named them."""
        named = self.config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
        return tuple(named[key] for key in sorted(named, key=int))

    @cached_property
    def tokenizer_digest(self) -> str:
        """Of the tokenizer's file; empty if there is none."""
        path = self.folder / TOKENIZER
        return digests.of_file(path) if path.exists() else ""

    @property
    def vocabulary_digest(self) -> str:
        """Of which token has which row of the embedding; empty if there is no tokenizer.

        Two tokenizers of one vocabulary may be saved as different files: how it was last told to cut and pad is in them.
        """
        path = self.folder / TOKENIZER
        return _vocabulary_digest(path, self.tokenizer_digest) if self.tokenizer_digest else ""

    @cached_property
    def digest(self) -> str:
        """Identifies what the checkpoint computes: tensors, config, tokenizer."""
        config = {key: value for key, value in self.config.items() if key not in _SAYS_NOTHING}
        return digests.of_value([digests.of_file(self.folder / WEIGHTS), config, self.tokenizer_digest])


def open_checkpoint(folder: Path, name: str | None = None) -> Checkpoint:
    """Return the checkpoint in a folder.

    Raises:
        CheckpointError: there is no folder, or something that a checkpoint needs is not in it.
    """
    name = name or str(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{name}: there is no folder {folder}.")
    for needed in (CONFIG, WEIGHTS):
        if not (folder / needed).is_file():
            raise CheckpointError(f"{name}: {folder} has no {needed}{_instead(folder)}.")
    return Checkpoint(folder, name)


_vocabularies: dict[str, str] = {}
"""Digests of vocabularies by those of their files: 52 sources have one tokenizer of 17 MB."""


def _vocabulary_digest(path: Path, file_digest: str) -> str:
    if file_digest not in _vocabularies:
        try:
            _vocabularies[file_digest] = digests.of_value(_vocabulary(json.loads(path.read_text(encoding="utf-8"))))
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path} is no tokenizer ({error!r}): save or download the checkpoint again."
            ) from error
    return _vocabularies[file_digest]


def _vocabulary(tokenizer: Any) -> dict[str, int]:
    """Return the number of each token. Unigram models list pieces with scores, all others map tokens to numbers."""
    known = tokenizer["model"]["vocab"]
    numbers = known if isinstance(known, dict) else {piece: number for number, (piece, _) in enumerate(known)}
    return {**numbers, **{token["content"]: token["id"] for token in tokenizer.get("added_tokens", ())}}


def _instead(folder: Path) -> str:
    """Say what is there in place of what was looked for."""
    inside = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}"))
    if inside:
        return f"; checkpoints in its subfolders: {', '.join(inside)} (name one with --model-dir, or as {folder}:{inside[0]})"
    if any(folder.glob("*.index.json")):
        return "; sharded weights are not read yet: save the model with one shard"
    if any(folder.glob("*.bin")):
        return "; pickled weights (.bin) are not read: save the model with safe_serialization"
    return ""
