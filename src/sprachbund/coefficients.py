"""Merge coefficients that are learned on unlabelled texts: the merged model runs, and the gradient reaches the coefficients.

For each group of tensors (all, a layer, a single tensor) the K sources share a softmax, so that every merge on the way is a
weighted mean. A step puts the model together from its sources inside the graph and calls it with those tensors; nothing but
K numbers per group is trained, which is why a few hundred texts are enough.

- ``entropy``: the merged model should be sure (Yang et al. 2024, "AdaMerging", arXiv:2310.02575, after Wang et al. 2021,
  "Tent", arXiv:2006.10726). Being sure of one and the same label for all texts would do, too.
- ``infomax``: sure of each text, and of many labels over all of them (Krause et al. 2010; Liang et al. 2020, "SHOT",
  arXiv:2002.08546).
- ``teacher``: the merged model should answer as the teacher does, an ensemble of its sources.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.func import functional_call

from sprachbund.adaptation import CoefficientSettings, Groups
from sprachbund.checkpoints import Checkpoint, check_one_vocabulary, part_of
from sprachbund.inference import as_tensor, chosen, compact, encode, fixed_tokens, load_classifier, pad
from sprachbund.training import batches
from sprachbund.training.loop import Progress

__all__ = ["Coefficients", "group_of", "learn_coefficients"]

FloatArray = npt.NDArray[np.float64]
TINY = 1e-6


@dataclass(frozen=True)
class Coefficients:
    """What was learned: K numbers for each group of tensors, each row ≥ 0 with sum 1."""

    groups: Groups
    by_group: Mapping[str, FloatArray]

    def of(self, tensor: str) -> FloatArray:
        """Return the coefficients of a tensor, [K]."""
        return self.by_group[group_of(tensor, self.groups)]


def group_of(tensor: str, groups: Groups) -> str:
    """Return the group that a tensor belongs to."""
    if groups == "model":
        return "model"
    if groups == "tensor":
        return tensor
    return part_of(tensor)


def learn_coefficients(
    sources: Sequence[Checkpoint],
    start: Sequence[float],
    texts: Sequence[str],
    settings: CoefficientSettings,
    teacher: FloatArray | None = None,
    progress: Progress | None = None,
) -> Coefficients:
    """Learn the coefficients of sources, from the weights ``start`` [K]; ``teacher`` is [texts, labels].

    Sources stay in memory in the dtype of their files, of their embeddings only the rows that occur in the texts.

    Raises:
        IncompatibleError: a token has not the same number in all of them.
    """
    check_one_vocabulary(sources, "learning coefficients")
    device = chosen()
    model = load_classifier(sources[0].folder).requires_grad_(False)
    pad_id = int(model.config.pad_token_id)  # type: ignore[union-attr, arg-type]
    encoded, rows = compact(encode(sources[0].folder, texts), keep=fixed_tokens(model.config))
    stacks = {name: stack.to(device) for name, stack in _stacks(sources, model, rows).items()}
    torch.nn.Module.to(model, device)  # that of transformers hides its signature
    names = list(dict.fromkeys(group_of(name, settings.groups) for name in stacks))
    first = torch.log(torch.tensor(start, dtype=torch.float32).clamp_min(TINY))
    scores = first.repeat(len(names), 1).to(device).requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=settings.learning_rate)
    lot = random.Random(settings.seed)
    loss_of = OBJECTIVES[settings.objective]
    wanted = None if teacher is None else torch.from_numpy(teacher.astype(np.float32)).to(device)
    queue: list[list[int]] = []
    for step in range(settings.steps):
        queue = queue or batches.epoch(encoded, settings.batch, lot)
        batch = queue.pop()
        weights = dict(zip(names, torch.softmax(scores, dim=1), strict=True))
        of_tensor = {name: weights[group_of(name, settings.groups)] for name in stacks}
        logits = _merged_logits(model, stacks, of_tensor, pad([encoded[index] for index in batch], pad_id))
        loss = loss_of(logits, None if wanted is None else wanted[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if progress:
            progress("learning coefficients", step + 1, settings.steps, loss.item())
    learned = torch.softmax(scores.detach().double(), dim=1).cpu().numpy()
    return Coefficients(settings.groups, dict(zip(names, learned, strict=True)))


def _merged_logits(
    model: torch.nn.Module,
    stacks: Mapping[str, torch.Tensor],
    weights: Mapping[str, torch.Tensor],
    padded: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Return what the merge by ``weights``, [K] for each tensor, answers to token ids and their mask; the gradient flows."""
    tensors = {name: torch.tensordot(weights[name], stack.float(), dims=1) for name, stack in stacks.items()}
    ids, mask = (part.to(next(iter(stacks.values())).device) for part in padded)
    logits: torch.Tensor = functional_call(model, tensors, (), {"input_ids": ids, "attention_mask": mask}).logits
    return logits


def _stacks(
    sources: Sequence[Checkpoint], model: torch.nn.Module, rows: npt.NDArray[np.int64]
) -> dict[str, torch.Tensor]:
    """Return each parameter of all sources, [K, *shape]; of the token embeddings the rows of ``rows`` alone."""
    embeddings = model.get_input_embeddings().weight  # type: ignore[operator]
    stacks = {}
    for name, parameter in model.named_parameters():
        parts = [source.file.read(name) for source in sources]
        if parameter is embeddings:
            parts = [part[rows] for part in parts]
        stacks[name] = torch.stack([as_tensor(part) for part in parts])
    return stacks


def _entropy(probabilities: torch.Tensor) -> torch.Tensor:
    return -(probabilities * probabilities.clamp_min(TINY).log()).sum(dim=-1)


def _sure(logits: torch.Tensor, wanted: torch.Tensor | None) -> torch.Tensor:
    return _entropy(logits.softmax(dim=-1)).mean()


def _sure_and_varied(logits: torch.Tensor, wanted: torch.Tensor | None) -> torch.Tensor:
    probabilities = logits.softmax(dim=-1)
    return _entropy(probabilities).mean() - _entropy(probabilities.mean(dim=0))


def _as_taught(logits: torch.Tensor, wanted: torch.Tensor | None) -> torch.Tensor:
    if wanted is None:
        raise ValueError("this objective needs a teacher")
    return -(wanted * logits.log_softmax(dim=-1)).sum(dim=-1).mean()


OBJECTIVES: Mapping[str, Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]] = {
    "entropy": _sure,
    "infomax": _sure_and_varied,
    "teacher": _as_taught,
}
