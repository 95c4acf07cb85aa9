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
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar, cast

from sprachbund.errors import MixError, SprachbundError, is_no_memory, is_no_room, of_memory

__all__ = [
    "ALONE",
    "Executor",
    "Failed",
    "Processes",
    "Report",
    "Team",
    "attempts",
    "can_fork",
    "cores",
    "in_order",
    "is_worker",
    "nothing",
    "outcomes",
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


def is_worker() -> bool:
    """Return whether this process was started by another one of ours, to do its tasks."""
    return parent_process() is not None


@dataclass(frozen=True)
class Failed:
    """What a task ended in instead of a result: in words, since not every exception crosses a process border."""

    reason: str
    traceback: str = ""
    killed: bool = False
    """Whether its process died under it, which is not always its own fault."""

    @classmethod
    def by(cls, error: BaseException) -> Self:
        """Describe an error; our own speak for themselves, others are told with their type."""
        if is_no_memory(error):
            reason = of_memory(error)
        else:
            reason = str(error) if isinstance(error, SprachbundError) else f"{type(error).__name__}: {error}"
        return cls(reason, "".join(traceback.format_exception(error)))


def nothing(task: Any) -> tuple[()]:
    """Say of a task that it reads nothing that another one does."""
    return ()


class Executor(Protocol):
    """Where tasks are done, and whoever hands them in sees what comes of them as it comes."""

    @property
    def workers(self) -> int:
        """How many tasks are done at once."""

    def stream(
        self,
        work: Callable[[Task], Iterable[Result]],
        tasks: Iterable[Task],
        reads: Callable[[Task], Collection[Hashable]] = nothing,
    ) -> Iterator[tuple[Task, Result | Failed]]:
        """Yield each task with everything that ``work(task)`` yields and, if it fails, with how, as it comes.

        ``work`` and tasks cross process borders, so they must be picklable. ``reads`` names what a task reads: whoever has read
        it already is the best one to do the task.
        """

    def alone(self) -> Executor:
        """Return what does one task at a time, each on its own: nobody else is harmed, or to blame, when it is killed."""


@dataclass(frozen=True)
class Processes:
    """Worker processes of this machine; for one job, and where tasks need not be apart for one task, none but this one."""

    jobs: int
    """How many share the cores, and the memory: each gets its share of both, however many tasks there are."""
    gpus: tuple[str, ...] = ()
    """Where there are any: those that a worker sees, each another one."""
    at_once: int | None = None
    """Fewer workers than jobs."""
    apart: bool = False
    """Whether, of two jobs or more, even a single task (the last one of a run, say) has a process of its own, whose end this
    one can tell of."""

    @property
    def workers(self) -> int:
        """How many tasks are done at once."""
        return self.at_once or max(1, self.jobs)

    @property
    def threads(self) -> int:
        """How many cores each worker computes on: its share, or what ``OMP_NUM_THREADS`` says if that is less."""
        share = max(1, cores() // max(1, self.jobs))
        asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        return min(share, int(asked)) if asked.isdecimal() and int(asked) else share

    def alone(self) -> Processes:
        """Return one worker that shares the machine as these do."""
        return replace(self, at_once=1)

    def stream(
        self,
        work: Callable[[Task], Iterable[Result]],
        tasks: Iterable[Task],
        reads: Callable[[Task], Collection[Hashable]] = nothing,
    ) -> Iterator[tuple[Task, Result | Failed]]:
        """Yield each task with what it yields, as :class:`Executor` says; with one worker in this process, in order."""
        tasks = tasks if self.jobs <= 1 else list(tasks)
        is_one = isinstance(tasks, list) and len(tasks) <= 1
        if self.at_once is None and (self.jobs <= 1 or (is_one and not self.apart)):
            with _on_threads(self.threads):
                for task in tasks:
                    for item in outcomes(work, task):
                        yield task, item
            return
        yield from _on_processes(work, list(tasks), self, reads)


def attempts(
    work: Callable[[Task], Result], tasks: Iterable[Task], jobs: Executor | int
) -> Iterator[tuple[Task, Result | Failed]]:
    """Yield each task with ``work(task)``, or with how it failed, as they are done, on an executor or so many processes.

    A task whose process was killed is tried once more, alone: it may have been another's memory that was too much.
    """
    executor = Processes(jobs) if isinstance(jobs, int) else jobs
    once = partial(_once, work)
    done: set[int] = set()
    cut_off: list[tuple[int, Task]] = []
    for numbered, outcome in executor.stream(once, enumerate(tasks)):
        number, task = numbered
        if not (isinstance(outcome, Failed) and outcome.killed):
            done.add(number)
            yield task, outcome
        elif number not in done:  # else it was killed after its last word
            cut_off.append(numbered)
    for (number, task), outcome in executor.alone().stream(once, cut_off):
        if number not in done:
            done.add(number)
            yield task, outcome


def _once(work: Callable[[Task], Result], numbered: tuple[int, Task]) -> Iterator[Result]:
    yield work(numbered[1])


def outcomes(work: Callable[[Task], Iterable[Result]], task: Task) -> Iterator[Result | Failed]:
    """Yield what a task yields and, if it fails, how; for whoever does the tasks of an executor.

    Raises:
        OSError: there is no room on the disk, so that no other task would fare better.
    """
    try:
        yield from work(task)
    except Exception as error:  # whatever it was, it is told to who asked, and the next task gets its turn
        if is_no_room(error):
            raise
        yield Failed.by(error)


@contextmanager
def _on_threads(threads: int) -> Iterator[None]:
    """Compute on as many threads as a worker would: sums of floating-point numbers hang on how many there are."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else threads
    if torch is None or before <= threads:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
        with _all_alive():
            for link in self._links:
                link.send(parts)
        return parts

    def _received(self, link: Connection) -> Any:
        with _all_alive():
            part = link.recv()
        if isinstance(part, BaseException):
            raise part
        return part


@contextmanager
def _all_alive() -> Iterator[None]:
    """Say it in words where nobody is at the other end of a line any more.

    Raises:
        MixError: nobody is.
    """
    try:
        yield
    except (EOFError, OSError):
        raise MixError(
            "A process was killed in the middle of its work: if memory ran out, close other programs."
        ) from None


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
    with _put_off(signal.SIGINT, signal.SIGTERM):  # which a copy of this process would take for its own
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
    _hear()  # the first one has its say
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
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the first one has ended
        pass
    except BaseException as error:
        link.send(RuntimeError("".join(traceback.format_exception(error))))


SECONDS_TO_DIE = 10.0
"""For a process that is about to be gone."""


def _how_it_ended(status: int | None) -> str:
    """Return how a process ended that was not to end, and what to do; ``status`` is as of :mod:`subprocess`."""
    if status == -signal.SIGKILL:
        return "its process was killed, as the system does when memory runs out: close other programs, or use fewer --jobs."
    if status == -signal.SIGBUS:
        return (
            "its process was killed (SIGBUS), as happens when a file gets shorter while it is read: "
            "leave models and data alone as long as a run reads them."
        )
    how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
    return f"its process ended in the middle of its work ({how}); if memory ran out, fewer --jobs may help."


@contextmanager
def _put_off(*signals: signal.Signals) -> Iterator[None]:
    """Put off signals while processes are started, which begin with them put off until they :func:`_hear`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hear() -> None:
    """Let Ctrl-C and SIGTERM end this process at once and without a word: the one that started it has its say."""
    ends = (signal.SIGINT, signal.SIGTERM)
    for number in ends:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)


class _Over:
    """Says that a task has been done."""


@dataclass(frozen=True)
class _Stop:
    """Says that no task would fare better."""

    error: Exception


class _Worker:
    """A process that does one task after the other, and the line to it.

    What is done with tasks it is told when it has begun: that may be large, and takes libraries to be unpickled, so that who
    starts several would wait for one after the other.
    """

    def __init__(self, threads: int, gpu: str | None) -> None:
        # spawn: forking a process that has run torch's thread pools can hang.
        context = get_context("spawn")
        self.link, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, _prepare, threads, gpu), daemon=True)
        self.gpu = gpu
        self.has_read: Collection[Hashable] = ()
        resource_tracker.ensure_running()  # else it is started in between, and hears of everything again
        with _put_off(signal.SIGINT, signal.SIGTERM):  # before its first line of ours it would say where it was
            self.process.start()
        theirs.close()

    def learn(self, work: Callable[[Any], Iterable[Any]]) -> None:
        self._tell(work)

    def begin(self, task: Any, reads: Collection[Hashable]) -> None:
        self._tell(task)
        self.has_read = reads

    def _tell(self, what: Any) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # it was killed: whoever listens to it hears of that
            self.link.send(what)

    def said(self) -> Any:
        """Return what it says, :class:`Failed` if it has died."""
        try:
            return self.link.recv()
        except (EOFError, OSError):  # before a word, or in the middle of one
            self.process.join(SECONDS_TO_DIE)
            return Failed(_how_it_ended(self.process.exitcode), killed=True)

    def end(self) -> None:
        self.process.terminate()
        self.process.join()
        self.link.close()


def _on_processes(
    work: Callable[[Task], Iterable[Result]],
    tasks: Sequence[Task],
    executor: Processes,
    reads: Callable[[Task], Collection[Hashable]],
) -> Iterator[tuple[Task, Result | Failed]]:
    """Yield what comes of each task; who is free takes, of those that wait, the first that reads most of what it has read."""
    waiting = list(tasks)
    gpus = [executor.gpus[place % len(executor.gpus)] if executor.gpus else None for place in range(executor.workers)]
    idle: list[_Worker] = []
    busy: dict[Connection, tuple[_Worker, Task]] = {}
    try:
        while waiting or busy:
            while waiting and (idle or gpus):
                begun = len(idle)
                idle.extend(_Worker(executor.threads, gpus.pop(0)) for _ in range(min(len(gpus), len(waiting) - begun)))
                for worker in idle[begun:]:
                    worker.learn(work)
                worker = idle.pop()
                known = set(worker.has_read)
                place = max(range(len(waiting)), key=lambda place: (len(known & set(reads(waiting[place]))), -place))
                task = waiting.pop(place)
                busy[worker.link] = worker, task
                worker.begin(task, reads(task))
            for link in wait_for_any(list(busy)):
                worker, task = busy[cast(Connection, link)]
                said = worker.said()
                if isinstance(said, _Stop):
                    raise said.error
                if isinstance(said, _Over):
                    del busy[worker.link]
                    idle.append(worker)
                    continue
                if isinstance(said, Failed) and said.killed:
                    del busy[worker.link]
                    worker.end()
                    gpus.append(worker.gpu)
                yield task, said
    finally:  # also on Ctrl-C, or if nobody wants the rest: what is under way is not waited for
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.end()


def _serve(link: Connection, prepare: Callable[[int], None], threads: int, gpu: str | None) -> None:
    _hear()
    _go_first()
    threading.Thread(target=_die_with_parent, name="die with parent", daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    prepare(threads)
    messages = _messages(link)
    work = next(messages, nothing)
    for task in messages:
        try:
            for item in work(task):
                link.send(item)
        except Exception as error:  # whatever it was, it is told to who asked, and the next task gets its turn
            link.send(_Stop(error) if is_no_room(error) else Failed.by(error))
        link.send(_Over())


def _go_first() -> None:
    """Let the memory killer of Linux take this process rather than the one that started it, which can say so and go on."""
    score = Path("/proc/self/oom_score_adj")
    with suppress(OSError):  # another system
        score.write_text(str(min(1000, int(score.read_text()) + 500)))


def _messages(link: Connection) -> Iterator[Any]:
    """Yield what is sent, until nobody is there any more who could."""
    with suppress(EOFError, ConnectionResetError):
        while True:
            yield link.recv()


def _die_with_parent() -> None:
    """End this process as soon as the one that started it is gone: nobody is left to stop it, or to wait for it."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _prepare(threads: int) -> None:
    """Limit a worker to its share of the cores, before anything starts a thread pool."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    import torch

    torch.set_num_threads(threads)
