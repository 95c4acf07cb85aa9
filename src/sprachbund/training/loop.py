"""The optimisation loop that pre-training and fine-tuning share: AdamW, linear warm-up and decay, clipped gradients.

What is measured on the way, and may end the training early, is a :class:`Watch`: it is asked after each step, and what it has
seen is part of a snapshot, so that a killed training that goes on knows it too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from transformers import get_linear_schedule_with_warmup

from sprachbund.errors import Diverged
from sprachbund.training.snapshots import Snapshots

__all__ = ["Loss", "Progress", "Watch", "optimise"]

WARMUP_SHARE = 0.1
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0

Loss = Callable[[int], "Iterable[torch.Tensor]"]
"""From a step (from 0) to the parts of its loss, which add up; none where there is nothing to learn in it.

Each part is asked for when the one before has left its gradient, so that one of them at a time is in memory.
"""
Progress = Callable[[str, int, int, float], None]
"""Called after each step with the stage, step (from 1), number of steps, loss."""


class Watch(Protocol):
    """Looks on, and says when it is enough."""

    @property
    def over(self) -> bool:
        """Whether no step is to be made any more."""

    def after(self, step: int) -> None:
        """Take note that so many steps are done."""

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen so far."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what was seen in an earlier life."""


def optimise(
    model: torch.nn.Module,
    parts_of: Loss,
    *,
    stage: str,
    steps: int,
    learning_rate: float,
    progress: Progress | None = None,
    snapshots: Snapshots | None = None,
    watch: Watch | None = None,
) -> None:
    """Descend along the losses of ``steps`` steps; with ``snapshots``, from where a killed training was.

    The learning rate is that of ``steps`` steps, also where ``watch`` ends the training before: it has then not come to zero.

    Raises:
        Diverged: the loss is no number any more.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, int(WARMUP_SHARE * steps), steps)  # type: ignore[no-untyped-call]
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "schedule": schedule}
    if watch:
        parts["watch"] = watch
    model.train()
    for step in range(snapshots.restore(stage, **parts) if snapshots else 0, steps):
        if watch and watch.over:
            break
        optimizer.zero_grad(set_to_none=True)
        losses = [_descended(part) for part in parts_of(step)]
        if not losses:
            continue
        loss = sum(part.item() for part in losses)
        if not math.isfinite(loss):
            raise Diverged(
                f"The loss of {stage} is {loss} in step {step + 1} of {steps}: choose a lower learning rate."
            )
        torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        if progress:
            progress(stage, step + 1, steps, loss)
        if watch:
            watch.after(step + 1)
        if snapshots:
            snapshots.keep(stage, step + 1, **parts)
    model.eval()


def _descended(part: torch.Tensor) -> torch.Tensor:
    """Add the gradient of a part to those that are there; return the part without what it was made of."""
    part.backward()  # type: ignore[no-untyped-call]
    return part.detach()
