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
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from sprachbund.adaptation import DistillationSettings
from sprachbund.checkpoints import HEAD_PREFIXES
from sprachbund.inference import Encoded, Tokenizer, chosen, compact, fixed_tokens, pad, tokenise
from sprachbund.training import batches
from sprachbund.training.loop import Loss, Progress, optimise
from sprachbund.training.saving import save

__all__ = ["distil", "learning_rate_of", "precision_of", "width_of"]

FloatArray = npt.NDArray[np.float64]
WIDE = 512
"""From here on products in bf16 save more than a CPU takes to compile them, which it does anew for each shape of batch."""


def learning_rate_of(width: int) -> float:
    """Return the learning rate for an encoder of a width: 1e-3 for 128, 3e-5 for the 768 of XLM-R-base."""
    return 1e-3 * (128 / width) ** 2


def precision_of(width: int) -> Literal["fp32", "bf16"]:
    """Return the precision of products for an encoder of a width."""
    return "bf16" if width >= WIDE else "fp32"


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
    A row of the embeddings whose token is in no text stays what it is, to the last bit.
    """
    encoded, rows = compact(tokenise(tokenizer, texts), keep=fixed_tokens(model.config))
    wanted = torch.from_numpy(_sharpened(teacher, settings.sharpening).astype(np.float32))
    torch.manual_seed(settings.seed)
    _silence(model)
    if settings.head_only:
        _freeze_all_but_head(model)
    elif settings.freeze_embeddings:
        model.get_input_embeddings().requires_grad_(False)  # type: ignore[operator]
    met = sorted({token for tokens in encoded for token in tokens})
    with (
        _only_rows(model, torch.from_numpy(rows), met),
        _products_in(settings.precision or precision_of(width_of(model))),
    ):
        torch.nn.Module.to(model, chosen())  # that of transformers hides its signature
        optimise(
            model,
            _losses(model, _steps(encoded, settings), wanted),
            stage="distilling",
            steps=settings.epochs * math.ceil(len(encoded) / settings.batch),
            learning_rate=settings.learning_rate or learning_rate_of(width_of(model)),
            progress=progress,
        )
        model.cpu()
    save(model, tokenizer, out)  # type: ignore[arg-type]


def _steps(encoded: Encoded, settings: DistillationSettings) -> Iterator[tuple[list[int], Encoded]]:
    """Yield for each step the numbers of its texts, and what the student sees of them: texts of which it sees as much."""
    lot = random.Random(settings.seed)
    for _ in range(settings.epochs):
        seen = [_thinned(tokens, settings.token_dropout, lot) for tokens in encoded]
        for batch in batches.epoch(seen, settings.batch, lot, whole=settings.token_dropout > 0):
            yield batch, [seen[index] for index in batch]


def _losses(model: torch.nn.Module, steps: Iterator[tuple[list[int], Encoded]], wanted: torch.Tensor) -> Loss:
    """Return what gives the loss of the next step: the mean cross entropy with what is ``wanted`` [texts, labels]."""
    pad_id = int(model.config.pad_token_id)  # type: ignore[union-attr, arg-type]
    device = next(model.parameters()).device
    wanted = wanted.to(device)

    def parts_of(step: int) -> Iterator[torch.Tensor]:
        batch, seen = next(steps)
        ids, mask = (part.to(device) for part in pad(seen, pad_id))
        answers = torch.log_softmax(model(input_ids=ids, attention_mask=mask).logits, dim=-1)
        yield -(wanted[batch] * answers).sum(dim=-1).mean()

    return parts_of


@contextmanager
def _only_rows(model: torch.nn.Module, rows: torch.Tensor, met: Sequence[int]) -> Iterator[None]:
    """Give a model those rows of its token embeddings alone; afterwards, put those of them that it ``met`` into the whole."""
    whole: torch.nn.Parameter = model.get_input_embeddings().weight  # type: ignore[operator]
    few = torch.nn.Parameter(whole.detach()[rows], requires_grad=whole.requires_grad)
    _exchange(model, whole, few)
    yield
    learned: torch.nn.Parameter = model.get_input_embeddings().weight  # type: ignore[operator]
    whole.data[rows[met]] = learned.data[met].to(whole.device)
    _exchange(model, learned, whole)


def _exchange(model: torch.nn.Module, old: torch.nn.Parameter, new: torch.nn.Parameter) -> None:
    """Put one parameter in the place of another, wherever a model has it: encoder and decoder may share their embeddings."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter is old:
                setattr(module, name, new)


@contextmanager
def _products_in(precision: Literal["fp32", "bf16"]) -> Iterator[None]:
    """Let products of matrices be computed in bf16 on a CPU, in TF32 on a GPU, if they are faster so; sums are in fp32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if precision == "bf16" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


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
