"""Distillation: a student learns to answer unlabelled texts as a teacher does.

The teacher is a table of probabilities: a source's, an ensemble's. What comes out is one ordinary checkpoint, which costs what
one model costs and has read the target's own texts. The student sees less of each text than its teacher did, so that it has to
find other ways to the same answer: that is how it comes to know more than the teacher.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531); from several source languages to one
target without labels: Wu et al. 2020, "Single-/Multi-Source Cross-Lingual NER via Teacher-Student Learning on Unlabeled Data
in Target Language" (arXiv:2004.12440). A noisy student: Xie et al. 2020 (arXiv:1911.04252); dropped words: Iyyer et al. 2015,
"Deep Unordered Composition Rivals Syntactic Methods for Text Classification" (ACL).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sprachbund.adaptation import DistillationSettings
from sprachbund.checkpoints import HEAD_PREFIXES
from sprachbund.inference import Tokenizer, pad, tokenise
from sprachbund.training import batches
from sprachbund.training.loop import Progress, optimise
from sprachbund.training.saving import save

__all__ = ["distil", "learning_rate_of", "width_of"]

FloatArray = npt.NDArray[np.float64]


def learning_rate_of(width: int) -> float:
    """Return the learning rate for an encoder of a width: 1e-3 for 128, 3e-5 for the 768 of XLM-R-base."""
    return 1e-3 * (128 / width) ** 2


def distil(
    model: torch.nn.Module,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    teacher: FloatArray,
    out: Path,
    settings: DistillationSettings,
    progress: Progress | None = None,
) -> None:
    """Train a classifier towards ``teacher`` [texts, labels] and save it in the folder ``out``; ``model`` is changed.

    Labels are in the order of the student's logits. The only noise is in what the student sees: its layers have no dropout.
    """
    encoded = tokenise(tokenizer, texts)
    lot = random.Random(settings.seed)
    torch.manual_seed(settings.seed)
    _silence(model)
    if settings.head_only:
        _freeze_all_but_head(model)
    elif settings.freeze_embeddings:
        model.get_input_embeddings().requires_grad_(False)  # type: ignore[operator]
    order = [batch for _ in range(settings.epochs) for batch in batches.epoch(encoded, settings.batch, lot)]
    wanted = torch.from_numpy(_sharpened(teacher, settings.sharpening).astype(np.float32))
    pad_id = int(model.config.pad_token_id)  # type: ignore[union-attr, arg-type]

    def parts_of(step: int) -> Iterator[torch.Tensor]:
        ids, mask = pad([_thinned(encoded[index], settings.token_dropout, lot) for index in order[step]], pad_id)
        answers = torch.log_softmax(model(input_ids=ids, attention_mask=mask).logits, dim=-1)
        yield -(wanted[order[step]] * answers).sum(dim=-1).mean()

    optimise(
        model,
        parts_of,
        stage="distilling",
        steps=settings.epochs * math.ceil(len(encoded) / settings.batch),
        learning_rate=settings.learning_rate or learning_rate_of(width_of(model)),
        progress=progress,
    )
    save(model, tokenizer, out)  # type: ignore[arg-type]


def _sharpened(probabilities: FloatArray, power: float) -> FloatArray:
    raised = np.asarray(probabilities, dtype=np.float64) ** power
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _thinned(tokens: Sequence[int], share: float, lot: random.Random) -> list[int]:
    """Leave out each token with probability ``share``, but never the first and the last, which are special ones."""
    inner = tokens[1:-1]
    return [*tokens[:1], *(token for token in inner if lot.random() >= share), *tokens[1:][-1:]]


def _freeze_all_but_head(model: torch.nn.Module) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(HEAD_PREFIXES))


def _silence(model: torch.nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def width_of(model: torch.nn.Module) -> int:
    """Return the width of an encoder."""
    config: Any = model.config
    return int(config.hidden_size)
