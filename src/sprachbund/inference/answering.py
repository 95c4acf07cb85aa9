"""Models answer to token ids, in batches; what comes out is in the order of the texts.

Texts are sorted by length and cut into batches of about equal numbers of tokens, so that little is spent on padding. What a
batch gives stays on the model's device until all are through: a GPU is not waited for in between.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from sprachbund.errors import CheckpointError
from sprachbund.inference.tokens import Encoded, pad

__all__ = ["batches", "check_vocabulary", "logits", "mean_states", "tokens_per_batch"]

TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 32768}
"""By type of device. More is slower on a CPU, int8 by half at 4096: docs/experiments/precision.md. That of a GPU is a guess."""


def tokens_per_batch(device: torch.device) -> int:
    """Return how many tokens are read at a time on a device."""
    return TOKENS_PER_BATCH.get(device.type, TOKENS_PER_BATCH["cpu"])


def logits(model: torch.nn.Module, encoded: Encoded, budget: int | None = None) -> np.ndarray:
    """Return the logits ``[texts, labels]`` in fp32; ``budget`` is the number of tokens in a batch, padding included.

    Raises:
        CheckpointError: the model has no embedding of a token, or answers with NaN or infinite numbers.
    """
    if not encoded:
        raise ValueError("there are no texts to classify")
    check_vocabulary(model, encoded)
    out = _gathered(
        encoded,
        (
            (batch, model(input_ids=ids, attention_mask=mask).logits)
            for batch, ids, mask in _padded(model, encoded, budget)
        ),
    )
    if not np.isfinite(out).all():  # the largest of NaNs would be the first label, and look like an answer
        raise CheckpointError(
            f"{_name(model)} answers with NaN or infinite numbers: download the model again, or train it again."
        )
    return out


def mean_states(encoder: torch.nn.Module, encoded: Encoded, budget: int | None = None) -> np.ndarray:
    """Return ``[texts, hidden]`` in fp32: of each text the mean of the last states of its tokens.

    Raises:
        CheckpointError: the encoder has no embedding of a token, or gives NaN or infinite numbers.
    """
    check_vocabulary(encoder, encoded)
    out = _gathered(
        encoded,
        (
            (batch, _mean(encoder(input_ids=ids, attention_mask=mask).last_hidden_state, mask))
            for batch, ids, mask in _padded(encoder, encoded, budget)
        ),
    )
    if not np.isfinite(out).all():
        raise CheckpointError(f"{_name(encoder)} gives NaN or infinite numbers: download the model again.")
    return out


def _mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean ``[texts, hidden]`` of those states ``[texts, longest, hidden]`` that are no padding."""
    shares = mask / mask.sum(dim=1, keepdim=True)
    return (states * shares.unsqueeze(-1)).sum(dim=1)


def _gathered(encoded: Encoded, answers: Iterator[tuple[list[int], torch.Tensor]]) -> np.ndarray:
    """Return what the batches gave, [texts, …] in fp32 and in the order of the texts."""
    with torch.inference_mode():
        by_batch = list(answers)
        sorted_rows = torch.cat([rows for _, rows in by_batch]).float().cpu().numpy()
    out = np.empty_like(sorted_rows)
    out[[index for batch, _ in by_batch for index in batch]] = sorted_rows
    return out


def _padded(
    model: torch.nn.Module, encoded: Encoded, budget: int | None
) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Yield each batch as indices of texts, with ids and mask on the model's device."""
    pad_id = _pad_id(model)
    device = next(model.parameters()).device
    for batch in batches(encoded, budget or tokens_per_batch(device)):
        ids, mask = pad([encoded[index] for index in batch], pad_id)
        if device.type == "cuda":  # from pinned memory the copy runs beside the batch before
            ids, mask = ids.pin_memory(), mask.pin_memory()
        yield batch, ids.to(device, non_blocking=True), mask.to(device, non_blocking=True)


def batches(encoded: Encoded, budget: int) -> Iterator[list[int]]:
    """Yield indices of texts of like length, each batch at most ``budget`` tokens with its padding."""
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    batch: list[int] = []
    for index in order:
        if batch and len(encoded[index]) * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _pad_id(model: torch.nn.Module) -> int:
    pad_id = model.config.pad_token_id  # type: ignore[union-attr]
    if pad_id is None:
        raise CheckpointError(f"The config of {_name(model)} names no token for padding: give it a pad_token_id.")
    return int(pad_id)  # type: ignore[arg-type]


def check_vocabulary(model: torch.nn.Module, encoded: Encoded) -> None:
    """Complain if a model has no embedding of a token.

    Raises:
        CheckpointError: names model and token.
    """
    rows = int(model.get_input_embeddings().num_embeddings)  # type: ignore[operator]
    largest = max((token for tokens in encoded for token in tokens), default=0)
    if largest >= rows:
        raise CheckpointError(
            f"{_name(model)} has the embeddings of {rows} tokens, but its tokenizer gave number {largest}: "
            "they do not belong together, copy the tokenizer of its base."
        )


def _name(model: torch.nn.Module) -> str:
    return str(getattr(model, "name_or_path", "") or type(model).__name__)
