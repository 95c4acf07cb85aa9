"""A checkpoint and texts in, logits out.

Texts are tokenised once per locale and tokenizer, sorted by length and cut into batches of about equal numbers of tokens, so
that little is spent on padding; the logits come back in the order of the texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sprachbund.errors import CheckpointError

__all__ = ["Encoded", "Tokenizer", "load_classifier", "load_tokenizer", "logits", "pad", "quieten", "tokenise"]

Encoded: TypeAlias = "list[list[int]]"
"""Token ids of each text, special tokens included."""
Tokenizer: TypeAlias = Any
"""A transformers tokenizer; its classes are generated and carry no useful type."""

TOKENS_PER_BATCH = 4096


def quieten() -> None:
    """Keep transformers from drawing progress bars and giving advice: our own output says what users need."""
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def load_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a checkpoint."""
    return AutoTokenizer.from_pretrained(str(folder))


def load_classifier(folder: Path) -> torch.nn.Module:
    """Return the classifier of a checkpoint in fp32, ready to evaluate.

    Raises:
        CheckpointError: tensors are missing, which transformers would fill with random numbers.
    """
    model, found = AutoModelForSequenceClassification.from_pretrained(
        str(folder), dtype=torch.float32, output_loading_info=True
    )
    if found["missing_keys"]:
        raise CheckpointError(
            f"{folder} lacks tensors of a classifier, {', '.join(sorted(found['missing_keys'])[:3])} among them: "
            "fine-tune it, or save it again as what it is."
        )
    classifier: torch.nn.Module = model.eval()
    return classifier


def tokenise(tokenizer: Tokenizer, texts: Sequence[str]) -> Encoded:
    """Return the token ids of each text, cut where the model's positions end."""
    longest = min(int(tokenizer.model_max_length), 512)
    encoded: Encoded = tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]
    return encoded


def pad(encoded: Encoded, pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and attention mask, both ``[texts, longest]``."""
    ids = np.full((len(encoded), max(map(len, encoded))), pad_id, dtype=np.int64)
    for row, tokens in zip(ids, encoded, strict=True):
        row[: len(tokens)] = tokens
    mask = np.arange(ids.shape[1]) < np.array([len(tokens) for tokens in encoded])[:, None]
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def logits(model: torch.nn.Module, encoded: Encoded, tokens_per_batch: int = TOKENS_PER_BATCH) -> np.ndarray:
    """Return the logits ``[texts, labels]`` in fp32, in the order of the texts.

    Raises:
        CheckpointError: the model answers with NaN or infinite numbers.
    """
    pad_id = int(model.config.pad_token_id)  # type: ignore[union-attr, arg-type]
    device = next(model.parameters()).device
    out: np.ndarray | None = None
    with torch.inference_mode():
        for batch in _batches(encoded, tokens_per_batch):
            ids, mask = pad([encoded[index] for index in batch], pad_id)
            scores = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits.float().cpu().numpy()
            if out is None:
                out = np.empty((len(encoded), scores.shape[1]), dtype=np.float32)
            out[batch] = scores
    if out is None:
        raise ValueError("there are no texts to classify")
    if not np.isfinite(out).all():  # the largest of NaNs would be the first label, and look like an answer
        raise CheckpointError(
            f"{_name(model)} answers with NaN or infinite numbers: download the model again, or train it again."
        )
    return out


def _name(model: torch.nn.Module) -> str:
    return str(getattr(model, "name_or_path", "") or type(model).__name__)


def _batches(encoded: Encoded, tokens_per_batch: int) -> Iterator[list[int]]:
    """Yield indices of texts of like length, each batch at most ``tokens_per_batch`` tokens with its padding."""
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    batch: list[int] = []
    for index in order:
        if batch and len(encoded[index]) * (len(batch) + 1) > tokens_per_batch:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
