"""Fine-tune a base into the source of one locale.

All locales share the seed of the classification head, so that their heads can be averaged; each has its own data order.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from sprachbund.checkpoints import write_token_counts
from sprachbund.data import Partition
from sprachbund.inference import Encoded, load_tokenizer, pad, tokenise
from sprachbund.training import batches
from sprachbund.training.loop import Loss, Progress, optimise
from sprachbund.training.saving import save
from sprachbund.training.settings import FinetuneSettings

__all__ = ["classifier", "finetune"]


def finetune(
    base: Path,
    train: Partition,
    intents: Sequence[str],
    out: Path,
    settings: FinetuneSettings,
    progress: Progress | None = None,
) -> None:
    """Train a classifier of ``intents`` on one locale's train split and save it, with its tokenizer, in ``out``.

    How often it met each token is kept beside it: whoever merges it wants to know which rows of the embedding have learned.
    """
    tokenizer = load_tokenizer(base)
    model = classifier(base, intents, settings)
    numbers = {intent: number for number, intent in enumerate(intents)}
    encoded = tokenise(tokenizer, train.texts)
    labels = [numbers[intent] for intent in train.intents]

    own_seed = settings.seed + zlib.crc32(train.locale.encode())
    torch.manual_seed(own_seed)
    steps = settings.epochs * math.ceil(len(encoded) / settings.batch)
    loss_of = _losses(model, encoded, labels, settings, random.Random(own_seed))
    optimise(model, loss_of, stage=train.locale, steps=steps, learning_rate=settings.learning_rate, progress=progress)
    save(model, tokenizer, out)
    rows = (
        model.get_input_embeddings().num_embeddings
    )  # of which some bases have more than their tokenizer knows tokens
    write_token_counts(out, encoded, int(rows))  # type: ignore[arg-type]


def classifier(base: Path, intents: Sequence[str], settings: FinetuneSettings) -> PreTrainedModel:
    """Return the base with a new head of ``intents``, drawn by the seed of the head."""
    torch.manual_seed(settings.head_seed)
    changes: dict[str, Any] = {
        "num_labels": len(intents),
        "id2label": dict(enumerate(intents)),
        "label2id": {intent: number for number, intent in enumerate(intents)},
    }
    if settings.dropout is not None:
        changes |= dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), settings.dropout)
    model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
        str(base), dtype=torch.float32, **changes
    )
    return model


def _losses(
    model: torch.nn.Module,
    encoded: Encoded,
    labels: Sequence[int],
    settings: FinetuneSettings,
    lot: random.Random,
) -> Loss:
    pad_id = int(model.config.pad_token_id)  # type: ignore[union-attr, arg-type]
    order = [batch for _ in range(settings.epochs) for batch in batches.epoch(encoded, settings.batch, lot)]

    def loss_of(step: int) -> torch.Tensor:
        ids, mask = pad([encoded[index] for index in order[step]], pad_id)
        wanted = torch.tensor([labels[index] for index in order[step]])
        loss: torch.Tensor = model(input_ids=ids, attention_mask=mask, labels=wanted).loss
        return loss

    return loss_of
