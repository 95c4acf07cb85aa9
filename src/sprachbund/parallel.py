"""Independent tasks on several processes: for small models, two processes of one thread beat one process of two."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

__all__ = ["Report", "cores", "unordered"]

Report = Callable[[str, int, int], None]
"""Told of progress: (stage, done, total); what follows a comma in the stage is what is being done now."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def unordered(work: Callable[[Task], Result], tasks: Iterable[Task], jobs: int) -> Iterator[Result]:
    """Yield ``work(task)`` of each task as it is done; with one job, here and in order.

    ``work`` and tasks cross process borders, so they must be picklable; each process gets its share of the cores.
    """
    tasks = list(tasks)
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        yield from map(work, tasks)
        return
    threads = max(1, cores() // jobs)
    # spawn: forking a process that has run torch's thread pools can hang.
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_prepare, initargs=(threads,)) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _prepare(threads: int) -> None:
    """Limit a worker to its share of the cores, before anything starts a thread pool, and quieten its libraries."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    import torch

    torch.set_num_threads(threads)
