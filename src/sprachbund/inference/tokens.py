"""Texts to token ids: cut where the positions of the model end, once per tokenizer and texts, padded, renumbered.

An experiment asks several models of one vocabulary about the same texts. So token ids are kept in the process, under what
decides them: the files of the tokenizer, the positions of the model, and the texts.

transformers makes a tokenizer that knows no word where there is none. Such checkpoints are refused here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoTokenizer

from sprachbund import digests
from sprachbund.checkpoints import COMPANIONS, CONFIG, counts_after_padding, open_checkpoint
from sprachbund.checkpoints.foreign import of_transformers
from sprachbund.inference.loading import config_of

__all__ = [
    "MOST_TOKENS",
    "Encoded",
    "TokenCache",
    "Tokenizer",
    "compact",
    "encode",
    "load_tokenizer",
    "pad",
    "positions",
    "running_tokens",
    "tokenise",
]

Encoded: TypeAlias = "list[list[int]]"
"""Token ids of each text, special tokens included."""
Tokenizer: TypeAlias = Any
"""A transformers tokenizer; its classes are generated and carry no useful type."""

MOST_TOKENS = 512
"""Longer texts are cut, whatever model and tokenizer allow."""
TOKENS_KEPT = 16_000_000
"""In one process: 64 MB, more than all of MASSIVE."""


def load_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a checkpoint, which cuts texts where the positions of its model end.

    Raises:
        CheckpointError: there is none, or none that can be read.
    """
    checkpoint = open_checkpoint(folder)
    checkpoint.check_tokenizer()
    _ = checkpoint.vocabulary_digest  # complains, in words of ours, of what is no tokenizer
    with of_transformers(folder, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        # The file of the tokenizer need not know the model: it may allow more than there are positions, or anything.
        tokenizer.model_max_length = min(int(tokenizer.model_max_length), positions(folder), MOST_TOKENS)
    return tokenizer


def positions(folder: Path) -> int:
    """Return how many tokens of a text a model has positions for, MOST_TOKENS where its config sets no limit.

    Raises:
        CheckpointError: the config cannot be read.
    """
    return _positions(config_of(folder))


def _positions(config: Any) -> int:
    count = getattr(config, "max_position_embeddings", None) or 0
    if count <= 0:
        return MOST_TOKENS
    after_padding = counts_after_padding(config.model_type)  # of 514 there are 512 for texts
    return int(count) - (int(config.pad_token_id or 0) + 1 if after_padding else 0)


def tokenise(tokenizer: Tokenizer, texts: Sequence[str]) -> Encoded:
    """Return the token ids of each text, cut where the tokenizer says.

    Raises:
        CheckpointError: it can be read, but not used.
    """
    longest = min(int(tokenizer.model_max_length), MOST_TOKENS)
    with of_transformers(Path(tokenizer.name_or_path), "tokenizer"):
        encoded: Encoded = tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]
    return encoded


def running_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Return the tokens of all texts, one after the other, without the special ones."""
    special = set(tokenizer.all_special_ids)
    return [token for text in tokenise(tokenizer, texts) for token in text if token not in special]


@dataclass(frozen=True)
class _Flat:
    """Token ids in one array: a list of lists takes ten times as much."""

    tokens: npt.NDArray[np.int32]
    ends: list[int]

    @classmethod
    def of(cls, encoded: Encoded) -> _Flat:
        ends = np.cumsum([len(text) for text in encoded], dtype=np.int64).tolist()
        return cls(np.array([token for text in encoded for token in text], dtype=np.int32), ends)

    def texts(self) -> Encoded:
        return [self.tokens[start:end].tolist() for start, end in zip([0, *self.ends], self.ends, strict=False)]


@dataclass
class TokenCache:
    """Token ids of the last lots of texts, and the tokenizer that was used last; what was not asked for longest goes first."""

    most: int = TOKENS_KEPT
    _kept: OrderedDict[tuple[str, str], _Flat] = field(default_factory=OrderedDict)
    _tokenizer: tuple[str, Tokenizer] | None = None

    def encode(self, folder: Path, texts: Sequence[str]) -> Encoded:
        """Return the token ids of each text as the tokenizer of a checkpoint gives them.

        Raises:
            CheckpointError: there is no tokenizer, or none that can be read.
        """
        cut_by = _cut_by(folder)
        key = (cut_by, digests.of_value(list(texts)))
        if key not in self._kept:
            if self._tokenizer is None or self._tokenizer[0] != cut_by:
                self._tokenizer = (cut_by, load_tokenizer(folder))
            self._kept[key] = _Flat.of(tokenise(self._tokenizer[1], texts))
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(len(flat.tokens) for flat in self._kept.values()) > self.most:
            self._kept.popitem(last=False)
        return self._kept[key].texts()


def _cut_by(folder: Path) -> str:
    """Return the digest of all that decides how the texts of a checkpoint are cut."""
    open_checkpoint(folder).check_tokenizer()
    files = {
        name: digests.of_file(folder / name) for name in COMPANIONS if name != CONFIG and (folder / name).is_file()
    }
    return digests.of_value([files, *_model_limits(folder)])


def _model_limits(folder: Path) -> tuple[str, int]:
    """Return what the model says: its type, which may choose the tokenizer's class, and its positions."""
    digest = digests.of_file(folder / CONFIG)
    if digest not in _limits:
        config = config_of(folder)
        _limits[digest] = str(config.model_type), _positions(config)
    return _limits[digest]


_limits: dict[str, tuple[str, int]] = {}
"""By the digest of the config: to have transformers read it takes milliseconds, and texts are asked for thousands of times."""


encode = TokenCache().encode
"""Of this process."""


def pad(encoded: Encoded, pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and attention mask, both ``[texts, longest]``."""
    ids = np.full((len(encoded), max(map(len, encoded))), pad_id, dtype=np.int64)
    for row, tokens in zip(ids, encoded, strict=True):
        row[: len(tokens)] = tokens
    mask = np.arange(ids.shape[1]) < np.array([len(tokens) for tokens in encoded])[:, None]
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def compact(encoded: Encoded, keep: int) -> tuple[Encoded, npt.NDArray[np.int64]]:
    """Renumber the tokens to those that occur; the first ``keep`` stay what they are. Return the old number of each new one."""
    rows = [*range(keep), *sorted({token for text in encoded for token in text if token >= keep})]
    numbers = {token: number for number, token in enumerate(rows)}
    return [[numbers[token] for token in text] for text in encoded], np.array(rows, dtype=np.int64)
