"""Pico models and data: XLM-R classifiers of a few thousand parameters, made in milliseconds and without the network.

All sources of one factory grow from one base and, unless a test asks for another, one head seed, like real ones: base plus a
small change of their own. The data speaks made-up words: three marker words per intent, the same in every locale, so that a
model can learn it in a second.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import (
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    XLMRobertaForSequenceClassification,
    XLMRobertaTokenizer,
)

from sprachbund import inference, locales
from sprachbund.checkpoints import Checkpoint, Zoo, open_checkpoint
from sprachbund.data import DataSet, Row

INTENTS = ("ask", "count", "greet", "leave")
FILLERS = ("bala", "dono", "furi", "keme", "lisu", "mano", "pito", "runa", "sele", "tuvo")
ROWS = {"train": 40, "dev": 16, "test": 24}
MAX_TOKENS = 32

inference.quieten()


def markers(intent: str) -> list[str]:
    """The words that give an intent away: ``aska``, ``aske``, ``asko``."""
    return [f"{intent}{ending}" for ending in "aeo"]


def rows_of(locale: str) -> Iterable[Row]:
    """One marker among fillers; ids, intents and partitions are those of every locale."""
    number = 0
    for partition, count in ROWS.items():
        for _ in range(count):
            intent = INTENTS[number % 4]
            lot = random.Random(f"{locale} {number}")
            words = [lot.choice(markers(intent)), *lot.sample(FILLERS, lot.randrange(1, 5))]
            lot.shuffle(words)
            yield Row(str(number), locale, partition, "made-up", intent, " ".join(words))
            number += 1


@dataclass
class TinyData(DataSet):
    """80 rows in each of the 52 locales; ``source`` may give others."""

    source: Callable[[str], Iterable[Row]] = rows_of

    def rows(self, locale: str) -> Iterable[Row]:
        return self.source(locale)


def tiny_data(name: str = "tiny", source: Callable[[str], Iterable[Row]] = rows_of) -> TinyData:
    return TinyData(
        name=name,
        revision="1",
        licence="none",
        notice="Made-up words.",
        demonstration=True,
        intents=INTENTS,
        locales=locales.names(),
        source=source,
    )


@cache
def tokenizer(suffix: str = "", vocab_size: int = 300) -> Any:
    """A tokenizer trained on the made-up words; another suffix makes another vocabulary."""
    words = [*FILLERS, *(marker for intent in INTENTS for marker in markers(intent))]
    lot = random.Random(0)
    texts = [" ".join(word + suffix for word in lot.sample(words, 4)) for _ in range(200)]
    trained = XLMRobertaTokenizer().train_new_from_iterator(texts, vocab_size=vocab_size)
    trained.model_max_length = MAX_TOKENS
    return trained


def config(hidden: int = 16, layers: int = 1, **more: Any) -> XLMRobertaConfig:
    shape = {
        "vocab_size": 300,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "initializer_range": 1.0,  # so large that logits hang on the words, untrained as the model is
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": MAX_TOKENS + 2,
        "type_vocab_size": 1,
    }
    return XLMRobertaConfig(**{**shape, **more})


class Pico:
    """Makes checkpoints under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def base(self, name: str = "base", **shape: Any) -> Checkpoint:
        """A masked language model: what all sources grew from."""
        return self._save(_grown_from_seed(config(**shape)), name, tokenizer())

    def source(
        self,
        name: str,
        *,
        head_seed: int = 0,
        change: float = 0.05,
        labels: Sequence[str] = INTENTS,
        dtype: torch.dtype = torch.float32,
        words: Any = None,
        **shape: Any,
    ) -> Checkpoint:
        """A classifier: the base, a head from ``head_seed``, and normal noise of size ``change`` from its name."""
        id2label = dict(enumerate(labels))
        named = {
            "num_labels": len(labels),
            "id2label": id2label,
            "label2id": {label: n for n, label in id2label.items()},
        }
        model = XLMRobertaForSequenceClassification(config(**{**named, **shape}))
        model.roberta.load_state_dict(_grown_from_seed(config(**shape)).roberta.state_dict())
        torch.manual_seed(head_seed)
        for layer in (model.classifier.dense, model.classifier.out_proj):
            torch.nn.init.normal_(layer.weight, std=0.5)
            torch.nn.init.zeros_(layer.bias)
        own = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        with torch.no_grad():
            for tensor in model.parameters():
                tensor += change * torch.randn(tensor.shape, generator=own)
        return self._save(model.to(dtype), name, words or tokenizer())

    def zoo(self, locales: Iterable[str], name: str = "zoo", **options: Any) -> Zoo:
        """A source for each locale, under ``{name}/{locale}``."""
        for locale in locales:
            self.source(f"{name}/{locale}", **options)
        return Zoo(f"{self.root}/{name}/{{locale}}")

    def _save(self, model: Any, name: str, words: Any) -> Checkpoint:
        folder = self.root / name
        model.save_pretrained(folder)
        words.save_pretrained(folder)
        return open_checkpoint(folder, name)


def _grown_from_seed(shape: XLMRobertaConfig) -> XLMRobertaForMaskedLM:
    torch.manual_seed(0)
    return XLMRobertaForMaskedLM(shape)


def state(checkpoint: Checkpoint | Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint as the safetensors library reads them."""
    folder = checkpoint if isinstance(checkpoint, Path) else checkpoint.folder
    return load_file(folder / "model.safetensors")


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change the tensors of a checkpoint in place."""
    from safetensors.torch import save_file

    tensors = state(folder)
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def poison(folder: Path, tensor: str = "classifier.out_proj.bias") -> None:
    """Put one NaN into a checkpoint."""

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[tensor].view(-1)[0] = torch.nan

    rewrite(folder, change)


def bits(array: np.ndarray) -> bytes:
    """The bytes of an array: equal if and only if it is equal to the last bit."""
    return np.ascontiguousarray(array).tobytes()
