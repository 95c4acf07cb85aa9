"""A checkpoint and texts in, logits out.

Texts are tokenised once per locale and tokenizer, sorted by length and cut into batches of about equal numbers of tokens, so
that little is spent on padding; the logits come back in the order of the texts.

transformers forgives what would make figures that mean nothing: it fills absent tensors with random numbers, and makes a
tokenizer that knows no word where there is none. Such models are refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from sprachbund.checkpoints import counts_after_padding, open_checkpoint
from sprachbund.errors import CheckpointError

__all__ = [
    "Encoded",
    "Tokenizer",
    "check_vocabulary",
    "load_classifier",
    "load_encoder",
    "load_tokenizer",
    "logits",
    "mean_states",
    "pad",
    "quieten",
    "running_tokens",
    "tokenise",
]

Encoded: TypeAlias = "list[list[int]]"
"""Token ids of each text, special tokens included."""
Tokenizer: TypeAlias = Any
"""A transformers tokenizer; its classes are generated and carry no useful type."""

TOKENS_PER_BATCH = 4096
MOST_TOKENS = 512
"""Longer texts are cut, whatever model and tokenizer allow."""


def quieten() -> None:
    """Keep transformers from drawing progress bars and giving advice: our own output says what users need."""
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def load_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a checkpoint, which cuts texts where the positions of its model end.

    Raises:
        CheckpointError: there is none, or none that can be read.
    """
    checkpoint = open_checkpoint(folder)
    checkpoint.check_tokenizer()
    _ = checkpoint.vocabulary_digest  # complains, in words of ours, of what is no tokenizer
    with _naming(folder, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        # The file of the tokenizer need not know the model: it may allow more than there are positions, or anything.
        tokenizer.model_max_length = min(int(tokenizer.model_max_length), _positions(folder), MOST_TOKENS)
    return tokenizer


def _positions(folder: Path) -> int:
    """Return how many tokens of a text a model has positions for, MOST_TOKENS where its config sets no limit."""
    config = AutoConfig.from_pretrained(str(folder))
    positions = getattr(config, "max_position_embeddings", None) or 0
    if positions <= 0:
        return MOST_TOKENS
    after_padding = counts_after_padding(config.model_type)  # of 514 there are 512 for texts
    return int(positions) - (int(config.pad_token_id or 0) + 1 if after_padding else 0)


def load_classifier(folder: Path) -> torch.nn.Module:
    """Return the classifier of a checkpoint in fp32, ready to evaluate.

    Raises:
        CheckpointError: it cannot be read, or not every tensor of a classifier is in it as its config says.
    """
    _ = open_checkpoint(folder).labels  # reads config and header, and complains of either in words of ours
    with _naming(folder, "model"):
        model, found = AutoModelForSequenceClassification.from_pretrained(
            str(folder), dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
        )
    for name, saved, expected in sorted(found["mismatched_keys"]):
        raise CheckpointError(
            f"{folder}: tensor {name} is {_shape(saved)}, where its config.json asks for {_shape(expected)}: "
            "save or download the checkpoint again."
        )
    if found["missing_keys"]:
        raise CheckpointError(
            f"{folder} lacks tensors of a classifier, {', '.join(sorted(found['missing_keys'])[:3])} among them: "
            "fine-tune it, or save it again as what it is."
        )
    unused = sorted(name for name in found["unexpected_keys"] if ".layer." in name or ".layers." in name)
    if unused:  # a head of another kind may be left over, a layer may not
        raise CheckpointError(
            f"{folder} has tensors that its config.json does not tell of, {', '.join(unused[:3])} among them: "
            "save or download the checkpoint again."
        )
    classifier: torch.nn.Module = model.eval()
    return classifier


def load_encoder(folder: Path) -> torch.nn.Module:
    """Return the encoder of a checkpoint without any head, in fp32, ready to be asked for its states.

    Raises:
        CheckpointError: it cannot be read, or not every tensor of an encoder is in it.
    """
    open_checkpoint(folder)
    with _naming(folder, "model"):
        model, found = AutoModel.from_pretrained(str(folder), dtype=torch.float32, output_loading_info=True)
    missing = sorted(name for name in found["missing_keys"] if not name.startswith("pooler."))
    if missing:  # a pooler feeds a head, and no state comes from it
        raise CheckpointError(
            f"{folder} lacks tensors of an encoder, {', '.join(missing[:3])} among them: save it again as what it is."
        )
    encoder: torch.nn.Module = model.eval()
    return encoder


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


@contextmanager
def _naming(folder: Path, what: str) -> Iterator[None]:
    """Let whatever transformers says about a checkpoint's files name the checkpoint.

    Its readers raise what they please: OSError, KeyError, bare Exception. All of it is about the files; what it was is kept.
    """
    try:
        yield
    except Exception as error:
        reason, *_ = re.split(r"[.:]?(?:\s*\n|\. |$)", str(error).strip())
        raise CheckpointError(
            f"The {what} in {folder} cannot be read by transformers{f' ({reason})' if ' ' in reason else ''}: "
            "save or download the checkpoint again, or update transformers."
        ) from error


def tokenise(tokenizer: Tokenizer, texts: Sequence[str]) -> Encoded:
    """Return the token ids of each text, cut where the tokenizer says."""
    longest = min(int(tokenizer.model_max_length), MOST_TOKENS)
    encoded: Encoded = tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]
    return encoded


def running_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Return the tokens of all texts, one after the other, without the special ones."""
    special = set(tokenizer.all_special_ids)
    return [token for text in tokenise(tokenizer, texts) for token in text if token not in special]


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
        CheckpointError: the model has no embedding of a token, or answers with NaN or infinite numbers.
    """
    check_vocabulary(model, encoded)
    pad_id = _pad_id(model)
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


def mean_states(encoder: torch.nn.Module, encoded: Encoded, tokens_per_batch: int = TOKENS_PER_BATCH) -> np.ndarray:
    """Return ``[texts, hidden]`` in fp32: of each text the mean of the last states of its tokens.

    Raises:
        CheckpointError: the encoder has no embedding of a token, or gives NaN or infinite numbers.
    """
    check_vocabulary(encoder, encoded)
    pad_id = _pad_id(encoder)
    device = next(encoder.parameters()).device
    out = np.empty((len(encoded), int(encoder.config.hidden_size)), dtype=np.float32)  # type: ignore[union-attr, arg-type]
    with torch.inference_mode():
        for batch in _batches(encoded, tokens_per_batch):
            ids, mask = pad([encoded[index] for index in batch], pad_id)
            states = encoder(input_ids=ids.to(device), attention_mask=mask.to(device)).last_hidden_state
            shares = (mask / mask.sum(dim=1, keepdim=True)).to(device)
            out[batch] = (states * shares.unsqueeze(-1)).sum(dim=1).float().cpu().numpy()
    if not np.isfinite(out).all():
        raise CheckpointError(f"{_name(encoder)} gives NaN or infinite numbers: download the model again.")
    return out


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
