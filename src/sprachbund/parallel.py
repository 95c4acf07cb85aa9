"""Independent tasks on several processes: for small models, two processes of one thread beat one process of two.

A task that fails takes no other with it, not even one that kills its process (out of memory, say); and no process outlives
the one that started it, so that after ``kill -9`` nobody goes on to write where the next run already works.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import Connection
from typing import Any, Self, TypeVar

from sprachbund.errors import MixError, SprachbundError, is_no_room

__all__ = [
    "ALONE",
    "Failed",
    "Report",
    "Team",
    "attempts",
    "can_fork",
    "cores",
    "in_order",
    "side_by_side",
    "together",
]

Report = Callable[[str, int, int], None]
"""Told of progress: (stage, done, total); what follows a comma in the stage is what is being done now."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Failed:
    """What a task ended in instead of a result: in words, since not every exception crosses a process border."""

    reason: str
    traceback: str = ""

    @classmethod
    def by(cls, error: BaseException) -> Self:
        """Describe an error; our own speak for themselves, others are told with their type."""
        reason = str(error) if isinstance(error, SprachbundError) else f"{type(error).__name__}: {error}"
        return cls(reason, "".join(traceback.format_exception(error)))


def attempts(
    work: Callable[[Task], Result], tasks: Iterable[Task], jobs: int
) -> Iterator[tuple[Task, Result | Failed]]:
    """Yield each task with ``work(task)``, or with how it failed, as they are done; with one job, here and in order.

    ``work`` and tasks cross process borders, so they must be picklable; each process gets its share of the cores.
    """
    tasks = list(tasks)
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        yield from ((task, _attempt(work, task)) for task in tasks)
        return
    cut_off = []
    for task, outcome in _on_processes(work, tasks, jobs):
        if isinstance(outcome, _CutOff):
            cut_off.append(task)
        else:
            yield task, outcome
    # A process was killed, and the pool with it. By which task? Each now breaks no pool but its own.
    for task in cut_off:
        for _, outcome in _on_processes(work, [task], 1):
            killed = Failed("its process was killed; if memory ran out, fewer --jobs may help.")
            yield task, killed if isinstance(outcome, _CutOff) else outcome


def side_by_side(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    threads: int,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    tick: float = 0.2,
) -> Iterator[tuple[Task, Result | BaseException]]:
    """Yield each task with ``work(task)``, or with the error it ended in, as they are done: on threads, for what waits.

    ``meanwhile`` is called here, at least every ``tick`` seconds. Who stops to read gets rid of the tasks that have not begun,
    and does not wait for those that have.
    """
    pool = ThreadPoolExecutor(threads)
    try:
        under_way: dict[Future[Result], Task] = {pool.submit(work, task): task for task in tasks}
        left = set(under_way)
        while left:
            meanwhile()
            over, left = wait(left, tick)
            for future in over:
                yield under_way[future], future.exception() or future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def in_order(work: Callable[[Task], Result], tasks: Iterable[Task], threads: int) -> Iterator[Result]:
    """Yield ``work(task)`` of each task in the order of the tasks: on threads, for arithmetic that lets others run meanwhile.

    At most two tasks for each thread are begun before their turn. The first error ends it, and those that have begun are
    waited for: nobody goes on to write after it.
    """
    if threads <= 1:
        yield from map(work, tasks)
        return
    with ThreadPoolExecutor(threads) as pool:
        under_way: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                under_way.append(pool.submit(work, task))
                if len(under_way) >= 2 * threads:
                    yield _outcome(under_way.popleft())
            while under_way:
                yield _outcome(under_way.popleft())
        finally:
            for future in under_way:
                future.cancel()


def _outcome(future: Future[Result]) -> Result:
    """Return what came of it; an error has the same traceback whether it was there at once or was waited for."""
    wait([future])
    return future.result()


class Team:
    """Processes that run one program together, each its part of it, and tell each other what they found."""

    def __init__(self, rank: int = 0, size: int = 1, links: Sequence[Connection] = ()) -> None:
        self.rank, self.size = rank, size
        """Which of them this is, from 0, and how many there are."""
        self._links = links

    def mine(self, tasks: Sequence[Task]) -> list[tuple[int, Task]]:
        """Return the tasks of this process, each with its number."""
        return list(enumerate(tasks))[self.rank :: self.size]

    def gather(self, part: Result) -> list[Result]:
        """Return what all of them hand in here, in the order of their ranks.

        Raises:
            SprachbundError: another one met it.
            MixError: another one was killed.
        """
        if self.rank:
            (link,) = self._links
            link.send(part)
            found: list[Result] = link.recv()
            return found
        parts = [part, *map(self._received, self._links)]
        for link in self._links:
            link.send(parts)
        return parts

    def _received(self, link: Connection) -> Any:
        try:
            part = link.recv()
        except EOFError:
            raise MixError(
                "A process was killed in the middle of its work: if memory ran out, close other programs."
            ) from None
        if isinstance(part, BaseException):
            raise part
        return part


ALONE = Team()


def can_fork() -> bool:
    """Return whether processes can be split off this one: where threads of torch run, one of them may hold a lock for ever."""
    return sys.platform == "linux" and "torch" not in sys.modules


def together(program: Callable[[Team], None], size: int) -> None:
    """Run a program in this process and others that are split off it, and wait for all; the first error ends them all.

    For arithmetic that does not let other threads run meanwhile. What they write goes to files; what they have in memory is
    theirs alone.
    """
    if size <= 1:
        program(ALONE)
        return
    context = get_context("fork")
    pipes = [context.Pipe() for _ in range(size - 1)]
    others = [
        context.Process(target=_join_in, args=(program, rank, size, pipes), daemon=True) for rank in range(1, size)
    ]
    for process in others:
        process.start()
    for _, theirs in pipes:
        theirs.close()
    try:
        team = Team(0, size, [ours for ours, _ in pipes])
        program(team)
        team.gather(None)
    finally:
        for process in others:
            process.terminate()
            process.join()
        for ours, _ in pipes:
            ours.close()


def _join_in(
    program: Callable[[Team], None], rank: int, size: int, pipes: Sequence[tuple[Connection, Connection]]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first one has its say
    threading.Thread(target=_die_with_parent, name="die with parent", daemon=True).start()
    for place, (ours, theirs) in enumerate(pipes, start=1):
        ours.close()
        if place != rank:
            theirs.close()
    link = pipes[rank - 1][1]
    try:
        team = Team(rank, size, [link])
        program(team)
        team.gather(None)
    except SprachbundError as error:
        link.send(error)
    except (EOFError, BrokenPipeError):  # the first one has ended
        pass
    except BaseException as error:
        link.send(RuntimeError("".join(traceback.format_exception(error))))


class _CutOff:
    """Stands for what a task would have ended in, had its process lived."""


def _attempt(work: Callable[[Task], Result], task: Task) -> Result | Failed:
    try:
        return work(task)
    except Exception as error:  # whatever it was, it is told to who asked, and the next task gets its turn
        if is_no_room(error):  # which would not fare better
            raise
        return Failed.by(error)


def _on_processes(
    work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int
) -> Iterator[tuple[Task, Result | Failed | _CutOff]]:
    """Yield what came of each task, :class:`_CutOff` for those that were waiting or under way when a process was killed."""
    threads = max(1, cores() // jobs)
    # spawn: forking a process that has run torch's thread pools can hang.
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_start, initargs=(_prepare, threads)) as pool:
        try:
            futures = {pool.submit(_attempt, work, task): task for task in tasks}
            for future in as_completed(futures):
                killed = isinstance(future.exception(), BrokenProcessPool)
                yield futures[future], _CutOff() if killed else future.result()
        except BaseException:  # Ctrl-C, or nobody wants the rest: what is under way is not waited for
            for worker in active_children():
                worker.terminate()
            raise


def _start(prepare: Callable[[int], None], threads: int) -> None:
    # Ctrl-C ends a worker at once and without a word: the parent has its say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, name="die with parent", daemon=True).start()
    prepare(threads)


def _die_with_parent() -> None:
    """End this process as soon as the one that started it is gone: nobody is left to stop it, or to wait for it."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _prepare(threads: int) -> None:
    """Limit a worker to its share of the cores, before anything starts a thread pool, and quieten its libraries."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    import torch

    torch.set_num_threads(threads)
