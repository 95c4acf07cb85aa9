"""Fine-tune a base into a source: the classifier of one locale, or of several together.

All sources share the seed of the classification head, so that their heads can be averaged; each has its own data order. The
dev accuracy is measured after each epoch. With patience, a training ends when it no longer gets better, and what is saved is
the best epoch (Prechelt 1998, "Early Stopping – But When?"); otherwise it is the last one.

With bf16, products are computed in bfloat16 under torch.autocast, sums and the loss in fp32; weights, their optimizer and the
saved file are fp32 throughout (Micikevicius et al. 2018, arXiv:1710.03740; bfloat16: Kalamkar et al. 2019, arXiv:1905.12322).
"""

from __future__ import annotations

import math
import random
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from sprachbund import inference
from sprachbund.checkpoints import write_token_counts
from sprachbund.checkpoints.foreign import of_transformers
from sprachbund.data import Partition
from sprachbund.errors import CheckpointError, UserError
from sprachbund.inference import Encoded, Tokenizer, config_of, load_tokenizer, pad, tokenise
from sprachbund.training import batches
from sprachbund.training.loop import Loss, Progress, optimise
from sprachbund.training.saving import save
from sprachbund.training.settings import FinetuneSettings
from sprachbund.training.snapshots import Snapshots

__all__ = ["Course", "classifier", "finetune", "settled"]

_DROPOUT = re.compile(r"dropout|pdrop")
"""What the rates of dropout have in their names: hidden_dropout_prob, mlp_dropout, seq_classif_dropout, attn_pdrop."""


@dataclass(frozen=True)
class Course:
    """How a training went: the dev accuracy (a fraction in [0, 1]) after each epoch that was run."""

    dev_accuracies: tuple[float, ...]
    saved_epoch: int
    """From 1."""

    @property
    def dev_accuracy(self) -> float:
        """That of the epoch that was saved."""
        return self.dev_accuracies[self.saved_epoch - 1]


def finetune(
    base: Path,
    train: Partition,
    dev: Partition,
    intents: Sequence[str],
    out: Path,
    settings: FinetuneSettings,
    progress: Progress | None = None,
    snapshots: Callable[[random.Random], Snapshots] | None = None,
    device: torch.device | None = None,
) -> Course:
    """Train a classifier of ``intents`` on a train split and save it, with its tokenizer, in ``out``; return how it went.

    ``snapshots`` makes, for this training's source of chance, the place where it keeps how far it has come. How often it met
    each token is kept beside the model: whoever merges it wants to know which rows of the embedding have learned.

    Raises:
        CheckpointError: nothing says which token stands for padding.
        UserError: a dropout is asked for that the base's architecture does not have.
    """
    settings = settled(settings, base)
    assert settings.learning_rate is not None, "it is settled"
    tokenizer = load_tokenizer(base)
    model = classifier(base, intents, settings)
    _settle_padding(model, tokenizer, base)
    torch.nn.Module.to(model, device or torch.device("cpu"))  # that of transformers hides its signature
    numbers = {intent: number for number, intent in enumerate(intents)}
    encoded = tokenise(tokenizer, train.texts)
    labels = [numbers[intent] for intent in train.intents]

    own_seed = settings.seed + zlib.crc32(train.locale.encode())
    torch.manual_seed(own_seed)
    lot = random.Random(own_seed)
    steps_per_epoch = math.ceil(len(encoded) / (settings.batch * settings.accumulate))
    epochs = _Epochs(model, steps_per_epoch, settings.patience, _hits(model, tokenizer, dev, intents))
    optimise(
        model,
        _losses(model, encoded, labels, settings, lot),
        stage=train.locale,
        steps=settings.epochs * steps_per_epoch,
        learning_rate=settings.learning_rate,
        progress=progress,
        snapshots=snapshots(lot) if snapshots else None,
        watch=epochs,
    )
    epochs.restore_best()
    save(model, tokenizer, out)
    rows = (
        model.get_input_embeddings().num_embeddings
    )  # of which some bases have more than their tokenizer knows tokens
    write_token_counts(out, encoded, int(rows))  # type: ignore[arg-type]
    return epochs.course


def settled(settings: FinetuneSettings, base: Path) -> FinetuneSettings:
    """Return the settings with what a base decides where nobody did: the learning rate."""
    return settings.at_width(int(config_of(base).hidden_size))


def classifier(base: Path, intents: Sequence[str], settings: FinetuneSettings) -> PreTrainedModel:
    """Return the base with a new head of ``intents``, drawn by the seed of the head.

    Raises:
        UserError: a dropout is asked for that the base's architecture does not have.
    """
    torch.manual_seed(settings.head_seed)
    changes: dict[str, Any] = {
        "num_labels": len(intents),
        "id2label": dict(enumerate(intents)),
        "label2id": {intent: number for number, intent in enumerate(intents)},
    }
    if settings.dropout is not None:
        changes |= dict.fromkeys(_dropouts(base), settings.dropout)
    with of_transformers(base, "model"):
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            str(base), dtype=torch.float32, trust_remote_code=False, **changes
        )
    return model


def _dropouts(base: Path) -> list[str]:
    """Return the names of the rates of dropout in a base's config; what is None there follows another of them."""
    config = config_of(base).to_dict()
    names = [name for name, value in config.items() if _DROPOUT.search(name) and isinstance(value, int | float)]
    if not names:
        raise UserError(f"--dropout: the config of {base} has no rate of dropout to set: leave it out.")
    return names


def _settle_padding(model: PreTrainedModel, tokenizer: Tokenizer, base: Path) -> None:
    """See that the model says which token stands for padding, as whoever calls it with several texts has to know."""
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    if model.config.pad_token_id is None:
        raise CheckpointError(
            f"Neither the config nor the tokenizer of {base} names a token for padding: give the config a pad_token_id."
        )


def _losses(
    model: PreTrainedModel,
    encoded: Encoded,
    labels: Sequence[int],
    settings: FinetuneSettings,
    lot: random.Random,
) -> Loss:
    """Return the loss of each step: the mean over the texts of ``accumulate`` batches, batch by batch.

    The texts of a step are drawn as one large batch would be, so that it is the same step however it is cut.
    """
    pad_id = int(model.config.pad_token_id)
    size = settings.batch * settings.accumulate
    order = [texts for _ in range(settings.epochs) for texts in batches.epoch(encoded, size, lot)]

    def parts_of(step: int) -> Iterator[torch.Tensor]:
        texts = order[step]
        for first in range(0, len(texts), settings.batch):
            batch = texts[first : first + settings.batch]
            ids, mask = (part.to(model.device) for part in pad([encoded[index] for index in batch], pad_id))
            wanted = torch.tensor([labels[index] for index in batch], device=model.device)
            with _precision(settings, model.device):
                logits = model(input_ids=ids, attention_mask=mask).logits
            yield functional.cross_entropy(logits.float(), wanted) * (len(batch) / len(texts))

    return parts_of


def _precision(settings: FinetuneSettings, device: torch.device) -> AbstractContextManager[None]:
    return torch.autocast(device.type, torch.bfloat16) if settings.precision == "bf16" else nullcontext()


def _hits(model: PreTrainedModel, tokenizer: Tokenizer, dev: Partition, intents: Sequence[str]) -> Callable[[], float]:
    """Return what measures the share of dev texts that the model, as it is then, answers well; in fp32."""
    encoded = tokenise(tokenizer, dev.texts)

    def measure() -> float:
        winners = inference.logits(model, encoded).argmax(axis=1)
        right: int = sum(intents[winner] == gold for winner, gold in zip(winners, dev.intents, strict=True))
        return right / len(dev)

    return measure


@dataclass
class _Epochs:
    """Measures after each epoch; with patience, keeps the best tensors and says when it has been patient enough."""

    model: torch.nn.Module
    steps: int
    """Of one epoch."""
    patience: int
    measure: Callable[[], float]
    accuracies: list[float] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def course(self) -> Course:
        """How the training went so far."""
        return Course(tuple(self.accuracies), self._best_epoch if self.patience else len(self.accuracies))

    @property
    def _best_epoch(self) -> int:
        """The first of the best, from 1."""
        return 1 + self.accuracies.index(max(self.accuracies))

    @property
    def over(self) -> bool:
        """Whether there was no better epoch for as long as patience lasts."""
        return bool(self.patience and self.accuracies) and len(self.accuracies) - self._best_epoch >= self.patience

    def after(self, step: int) -> None:
        """Measure if an epoch is over."""
        if step % self.steps:
            return
        self.model.eval()
        self.accuracies.append(self.measure())
        self.model.train()
        if self.patience and self._best_epoch == len(self.accuracies):
            self.best = {name: tensor.to("cpu", copy=True) for name, tensor in self.model.state_dict().items()}

    def restore_best(self) -> None:
        """Bring the model back to its best epoch, where that is what is wanted."""
        if self.best:
            self.model.load_state_dict(self.best)

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen so far."""
        return {"accuracies": list(self.accuracies), "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what was seen in an earlier life."""
        self.accuracies, self.best = list(state["accuracies"]), dict(state["best"])
