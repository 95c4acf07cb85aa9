"""Processes of this machine: one for each GPU or, without any, for each group of cores; ``--jobs`` says how many."""

from __future__ import annotations

import os

import psutil
import torch

from sprachbund import inference
from sprachbund.parallel import Processes, cores

__all__ = ["for_asking", "for_working"]

CORES_PER_WORKER = 4
MODELS_PER_WORKER = 4
"""What a worker on a CPU holds at least: a model that answers, two that are being made of others, and room."""
LIBRARIES = 1.5e9
"""Bytes."""


def for_working(jobs: int, bytes_per_model: int) -> Processes:
    """Return who works on cells: by default a process for each GPU, if there are several, or for each four cores."""
    gpus = _gpus()
    if jobs or len(gpus) > 1:
        return Processes(jobs or len(gpus), gpus if len(gpus) > 1 else (), apart=True)
    if gpus:
        return Processes(1)
    room = psutil.virtual_memory().total // int(MODELS_PER_WORKER * bytes_per_model + LIBRARIES)
    return Processes(max(1, min(cores() // CORES_PER_WORKER, int(room))), apart=True)


def for_asking(jobs: int) -> Processes:
    """Return who asks sources, one by one: by default a process for each GPU or core, but none for a single source."""
    gpus = _gpus()
    return Processes(jobs or len(gpus) or cores(), gpus if len(gpus) > 1 else (), apart=jobs > 1)


def _gpus() -> tuple[str, ...]:
    """Return the names of the GPUs that this process sees."""
    if inference.chosen().type != "cuda":
        return ()
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(seen.split(",")) if seen else tuple(map(str, range(torch.cuda.device_count())))
