"""The optimisation loop that pre-training and fine-tuning share: AdamW, linear warm-up and decay, clipped gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import get_linear_schedule_with_warmup

from sprachbund.training.snapshots import Snapshots

__all__ = ["Loss", "Progress", "optimise"]

WARMUP_SHARE = 0.1
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0

Loss = Callable[[int], "torch.Tensor | None"]
"""From a step (from 0) to its loss; None where there is nothing to learn in it."""
Progress = Callable[[str, int, int, float], None]
"""Called after each step with the stage, step (from 1), number of steps, loss."""


def optimise(
    model: torch.nn.Module,
    loss_of: Loss,
    *,
    stage: str,
    steps: int,
    learning_rate: float,
    progress: Progress | None = None,
    snapshots: Snapshots | None = None,
) -> None:
    """Descend along the losses of ``steps`` steps; with ``snapshots``, from where a killed training was."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, int(WARMUP_SHARE * steps), steps)  # type: ignore[no-untyped-call]
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    model.train()
    for step in range(snapshots.restore(stage, **parts) if snapshots else 0, steps):
        loss = loss_of(step)
        if loss is None:
            continue
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        if progress:
            progress(stage, step + 1, steps, loss.item())
        if snapshots:
            snapshots.keep(stage, step + 1, **parts)
    model.eval()
