"""The optimisation loop that pre-training and fine-tuning share: AdamW, linear warm-up and decay, clipped gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from transformers import get_linear_schedule_with_warmup

__all__ = ["Progress", "optimise"]

WARMUP_SHARE = 0.1
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0

Progress = Callable[[str, int, int, float], None]
"""Called after each step with the stage, step (from 1), number of steps, loss."""


def optimise(
    model: torch.nn.Module,
    losses: Iterable[torch.Tensor],
    *,
    stage: str,
    steps: int,
    learning_rate: float,
    progress: Progress | None = None,
) -> None:
    """Descend along ``losses``, an iterator that computes one loss whenever it is asked for the next."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, int(WARMUP_SHARE * steps), steps)  # type: ignore[no-untyped-call]
    model.train()
    for step, loss in enumerate(losses, start=1):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        if progress:
            progress(stage, step, steps, loss.item())
    model.eval()
