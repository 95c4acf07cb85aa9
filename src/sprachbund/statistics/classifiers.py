"""Classifiers as statistics need them: texts without padding, tensors under the names that they are saved under."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from sprachbund.checkpoints import Checkpoint, saved_name
from sprachbund.inference import Encoded, check_vocabulary, load_classifier, load_tokenizer, tokenise

__all__ = ["Batch", "answer", "batches", "encoded_for", "load", "saved_names"]

TOKENS_PER_BATCH = 4096


class Batch(NamedTuple):
    """Texts of one length."""

    ids: torch.Tensor
    """[rows, tokens], two rows at least: a text alone comes twice, since a single row is also what hangs on no text."""
    texts: int
    """So many rows count, from the first on."""


def load(checkpoint: Checkpoint) -> torch.nn.Module:
    """Return a classifier whose tensors take no gradient unless somebody says so."""
    return load_classifier(checkpoint.folder).requires_grad_(False)


def encoded_for(model: torch.nn.Module, checkpoint: Checkpoint, texts: Sequence[str]) -> Encoded:
    """Return the tokens of texts.

    Raises:
        CheckpointError: the model has no embedding of a token.
    """
    encoded = tokenise(load_tokenizer(checkpoint.folder), texts)
    check_vocabulary(model, encoded)
    return encoded


def batches(encoded: Encoded) -> Iterator[Batch]:
    """Yield texts as batches, the shortest first: those of one length come together, so that none has any padding."""
    for length, alike in itertools.groupby(sorted(encoded, key=len), key=len):
        texts = list(alike)
        step = max(1, TOKENS_PER_BATCH // max(1, length))
        for start in range(0, len(texts), step):
            ids = torch.tensor(texts[start : start + step])
            yield Batch(ids if len(ids) > 1 else ids.expand(2, -1), len(ids))


def answer(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Return the logits [texts, labels] of texts without padding."""
    logits: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return logits


def saved_names(model: torch.nn.Module, checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Map the names of tensors in a checkpoint to the parameters of its model that they become.

    What the model makes no use of (what is left of another head) is not among them.
    """
    named = model.named_parameters(remove_duplicate=False)
    found = {saved_name(checkpoint, name): parameter for name, parameter in named}
    return {name: parameter for name, parameter in found.items() if name is not None}
