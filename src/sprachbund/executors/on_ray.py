"""Tasks of Ray: on this machine, or on all of a cluster that sees the same files.

Ray shares out the tasks, does them again where a worker or a node is lost, and gives each a GPU where there are any. What a
worker has loaded once (the experiment, sources on its GPU) it keeps for the tasks that come after.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, TypeVar
from uuid import uuid4

from sprachbund.errors import UserError
from sprachbund.parallel import Executor, Failed, nothing, outcomes

__all__ = ["on_ray"]

Task = TypeVar("Task")
Result = TypeVar("Result")

SECONDS_TO_ANSWER = 10.0
RETRIES = 2
"""How often a task is done again whose worker or node was lost."""
MEMORY_RETRIES = "RAY_task_oom_retries"
"""The variable of the environment for tasks whose worker Ray killed for its memory; of itself it begins them again for ever."""
OWN = "local"
"""An address: a Ray that is started for the run, and ends with it."""
LESS = "use fewer --jobs, or more --threads, so that a node does less at once, or nodes that have more"
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_kept: dict[str, Any] = {}
"""In a worker: the work that it does, by the run that sent it."""


@contextmanager
def on_ray(address: str | None, threads: int, at_once: int, where: str | None) -> Iterator[Executor]:
    """Give an executor on a cluster, or on a Ray of this machine that ends with the block.

    ``threads`` is how many cores a task computes on; ``at_once`` how many tasks there are at a time, 0 for as many as there is
    room for. ``where`` is the folder that relative paths are meant from, which all nodes have to see; None if there are none.

    Raises:
        UserError: Ray is not installed, the cluster is not to be reached, or no node of it has so many cores.
    """
    if find_spec("ray") is None:
        raise UserError('--executor ray: Ray is not installed: pip install "sprachbund[ray]", or leave it out.')
    os.environ.setdefault(MEMORY_RETRIES, str(RETRIES))
    import ray

    # Of itself Ray would join what was started last on this machine.
    address = address or os.environ.get("RAY_ADDRESS") or OWN
    try:
        _check_reachable(address)
        with _signals_as_they_are():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:  # no answer; another version there; no such address
        said = _first_line(error)
        if address == OWN:
            raise UserError(
                f"--executor ray: a Ray of this machine does not start ({said}): leave --executor out, or name a cluster."
            ) from error
        raise UserError(
            f"--executor ray: the cluster at {address} is not to be used ({said}): "
            "look whether it runs (ray status), and name it with --ray-address HOST:PORT."
        ) from error
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        gpus = any(node.get("GPU") for node in nodes)
        slots = sum(_slots(node, threads, gpus=gpus) for node in nodes)
        if not slots:
            most = max((int(node.get("CPU", 0)) for node in nodes), default=0)
            raise UserError(f"--threads {threads}: no node of this cluster has more than {most} cores: name fewer.")
        yield _Ray(threads, gpus, min(at_once or slots, slots), where)
    finally:
        ray.shutdown()


@contextmanager
def _signals_as_they_are() -> Iterator[None]:
    """Keep what SIGTERM means here: Ray would have it end the program where it stands."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)


def _check_reachable(address: str | None) -> None:
    """Complain of a place where nobody listens; Ray itself would try for minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()


def _slots(node: dict[str, float], threads: int, *, gpus: bool) -> int:
    """Return how many tasks a node does at once."""
    by_cores = int(node.get("CPU", 0)) // threads
    return min(by_cores, int(node.get("GPU", 0))) if gpus else by_cores


@dataclass(frozen=True)
class _Ray:
    threads: int
    gpus: bool
    workers: int
    where: str | None

    def alone(self) -> _Ray:
        return replace(self, workers=1)

    def stream(
        self,
        work: Callable[[Task], Iterable[Result]],
        tasks: Iterable[Task],
        reads: Callable[[Task], Collection[Hashable]] = nothing,
    ) -> Iterator[tuple[Task, Result | Failed]]:
        """Yield each task with what it has yielded, when it is done, as :class:`sprachbund.parallel.Executor` says."""
        import ray
        from ray.exceptions import RayError

        waiting = list(tasks)
        if not waiting:
            return
        run, there = uuid4().hex, ray.put(work)
        # Work that was cut off is done again here, and finds what is done already; an error of ours comes back as a value.
        remote = ray.remote(
            num_cpus=self.threads,
            num_gpus=1 if self.gpus else 0,
            max_retries=RETRIES,
            max_calls=0,  # else a task with a GPU gets a process of its own, which keeps nothing
            scheduling_strategy="SPREAD",
        )(_do)
        under_way: dict[Any, Task] = {}
        try:
            while waiting or under_way:
                while waiting and len(under_way) < self.workers:
                    task = waiting.pop(0)
                    under_way[remote.remote(run, [there], self.where, self.threads, task)] = task
                (ready,), _ = ray.wait(list(under_way), num_returns=1)
                task = under_way.pop(ready)
                try:
                    items, error = ray.get(ready)
                except RayError as met:
                    yield task, _failed(met)
                    continue
                if error is not None:
                    raise error
                for item in items:
                    yield task, item
        finally:
            for ready in under_way:
                ray.cancel(ready, force=True)


def _do(run: str, there: list[Any], where: str | None, threads: int, task: Any) -> tuple[list[Any], Exception | None]:
    """Do a task in a worker; return what it yields and, where no other would fare better, the error that ends them all.

    ``where`` is the current folder of the run, which relative paths are meant from, None where there are none; a worker
    begins in that of its node.
    """
    import ray
    import torch

    try:
        if where is not None:
            os.chdir(where)
    except OSError:
        host = socket.gethostname()
        return [], UserError(
            f"--executor ray: {host} has no folder {where}: work in a folder that all nodes see, "
            "or write all paths absolute."
        )
    torch.set_num_threads(threads)
    if run not in _kept:
        _kept.clear()
        _kept[run] = ray.get(there[0])
    items: list[Any] = []
    try:
        items.extend(outcomes(_kept[run], task))
    except OSError as error:
        return items, error
    return items, None


def _failed(error: Exception) -> Failed:
    """Describe what kept a task from its end, given an error that Ray raises; those of Ray's own hold whole stories."""
    from ray.exceptions import OutOfMemoryError, RayError, RaySystemError, RayTaskError

    if isinstance(error, RayTaskError):  # before the work began: that cannot be read there, say
        cause = error.cause if isinstance(error.cause, Exception) else error
        if not isinstance(cause, RayError):
            return Failed.by(cause)
        # What cannot be read is none the better for another try; what did not arrive may be.
        is_lost = not isinstance(cause, RaySystemError)
        return Failed(f"Ray: {_first_line(cause)}.", _ESCAPES.sub("", str(cause)), killed=is_lost)
    if isinstance(error, OutOfMemoryError):
        return Failed(f"its process was killed, as Ray does when the memory of a node runs out: {LESS}.", killed=True)
    return Failed(
        f"Ray lost it ({_first_line(error)}).", killed=True
    )  # its worker was killed again and again, or its node


def _first_line(error: Exception) -> str:
    return _ESCAPES.sub("", str(error)).strip().partition("\n")[0].rstrip(".")
