"""Tasks on several processes: all of them, once; what fails stops no other, and nobody lives on alone."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import pytest

from sprachbund import files, parallel
from sprachbund.errors import DataError, MixError
from sprachbund.parallel import Failed, Team, in_order, together


def prepare(threads: int) -> None:
    """Instead of the real one, which imports torch: that takes seconds in each process."""
    os.environ["THREADS_OF_THIS_PROCESS"] = str(threads)


def threads_and_process(_: int) -> tuple[str, int]:
    return os.environ["THREADS_OF_THIS_PROCESS"], os.getpid()


def square(number: int) -> tuple[int, int]:
    if number == 13:
        raise ValueError("thirteen")
    return number * number, os.getpid()


def unhappy(number: int) -> int:
    """13 raises what no other process could read; 0 kills the process, as the system does when memory runs out."""
    if number == 13:
        raise Unreadable("thirteen", "times")
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return number


class Unreadable(Exception):
    """Pickled with the one argument that it gives its parent, it cannot be made again."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class Meeting:
    """What takes a process so long to unpickle as it takes another one to be there, too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return meet, (self.folder,)


def meet(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    if not soon(lambda: len(list(folder.iterdir())) == 2):
        raise TimeoutError("nobody else has come")


def among_others(met: Meeting, ballast: bytes, number: int) -> int:
    return number


def good(outcomes: Iterable[tuple[int, Any]]) -> list[Any]:
    results = [outcome for _, outcome in outcomes]
    assert not any(isinstance(outcome, Failed) for outcome in results)
    return results


def test_one_job_works_here_in_order_and_only_as_asked() -> None:
    done: list[int] = []

    def work(task: int) -> int:
        done.append(task)
        return 10 * task

    outcomes = parallel.attempts(work, range(5), jobs=1)
    assert done == []
    assert next(outcomes) == (0, 0)
    assert done == [0]
    assert list(outcomes) == [(1, 10), (2, 20), (3, 30), (4, 40)]


@pytest.mark.parametrize("jobs", [0, 1, 4])
def test_one_task_or_none_needs_no_other_process(jobs: int) -> None:
    assert list(parallel.attempts(square, [3], jobs)) == [(3, (9, os.getpid()))]
    assert list(parallel.attempts(square, [], jobs)) == []


def test_tasks_may_come_from_anywhere() -> None:
    def tasks() -> Iterator[int]:
        yield from (1, 2, 3)

    assert [result for result, _ in good(parallel.attempts(square, tasks(), 1))] == [1, 4, 9]


@pytest.mark.usefixtures("light")
def test_two_jobs_work_elsewhere_on_everything_once() -> None:
    outcomes = list(parallel.attempts(square, range(6), jobs=2))
    assert sorted((task, result) for task, (result, _) in outcomes) == [(n, n * n) for n in range(6)]
    assert os.getpid() not in {process for _, process in good(outcomes)}


@pytest.mark.usefixtures("light")
def test_workers_start_side_by_side_however_much_they_are_told(tmp_path: Path) -> None:
    work = partial(among_others, Meeting(tmp_path), bytes(3_000_000))
    assert sorted(good(parallel.attempts(work, range(4), jobs=2))) == [0, 1, 2, 3]


def first_to_go(_: int) -> int:
    return int(Path("/proc/self/oom_score_adj").read_text())


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="the memory killer of Linux")
@pytest.mark.usefixtures("light")
def test_the_memory_killer_takes_a_worker_before_the_run() -> None:
    assert set(good(parallel.attempts(first_to_go, range(2), jobs=2))) == {min(1000, first_to_go(0) + 500)}


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_that_fails_is_told_of_and_stops_no_other(jobs: int) -> None:
    outcomes = dict(parallel.attempts(unhappy, [13, 1, 2], jobs))
    failed = outcomes.pop(13)
    assert isinstance(failed, Failed)
    assert failed.reason == "Unreadable: thirteen times"
    assert "in unhappy" in failed.traceback
    assert outcomes == {1: 1, 2: 2}


def test_our_own_errors_speak_for_themselves() -> None:
    assert Failed.by(DataError("There is no folder x.")).reason == "There is no folder x."
    assert Failed.by(KeyError("x")).reason == "KeyError: 'x'"


def cut_off_in_the_middle(now: Path, number: int) -> Iterator[bytes]:
    """Be killed while what comes of 0 is on its way, which takes as long as nobody reads."""
    if number == 0:
        assert soon(now.exists)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
        yield bytes(100_000_000)
    else:
        yield b"well"


@pytest.mark.usefixtures("light")
def test_a_worker_that_is_killed_in_the_middle_of_a_word_is_told_of(tmp_path: Path) -> None:
    found = parallel.Processes(2).stream(partial(cut_off_in_the_middle, tmp_path / "now"), [0, 1])
    assert next(found) == (1, b"well")
    (tmp_path / "now").touch()
    time.sleep(1)
    ((task, killed),) = found
    assert task == 0
    assert isinstance(killed, Failed)
    assert killed.killed


class Last:
    """What kills the worker that has sent it, once it is sent: whoever pickles it is soon dead."""

    def __reduce__(self) -> tuple[type[Last], tuple[()]]:
        if parallel.is_worker():
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return Last, ()


def last_word(number: int) -> Any:
    return Last()


def prepare_to_end_slowly(threads: int) -> None:
    parallel._Over = Slow  # type: ignore[assignment,misc]


def test_a_task_whose_worker_is_killed_after_its_last_word_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_prepare", prepare_to_end_slowly)
    found = list(parallel.attempts(last_word, [1, 2], jobs=2))
    assert sorted(task for task, _ in found) == [1, 2]
    good(found)


class Slow:
    """In the place of the word that a task is over: it takes a second to be said."""

    def __reduce__(self) -> tuple[type[Slow], tuple[()]]:
        time.sleep(1)
        return Slow, ()


def killed_by(number: int) -> None:
    """Be ended by a signal, or for none by memory that runs out."""
    if not number:
        raise MemoryError("Unable to allocate 2.00 GiB for an array")
    os.kill(os.getpid(), number)


@pytest.mark.usefixtures("light")
def test_what_ended_a_process_is_told() -> None:
    found = dict(parallel.attempts(killed_by, [signal.SIGKILL, signal.SIGBUS, signal.SIGSEGV, 0], jobs=2))
    said = {number: outcome.reason for number, outcome in found.items() if isinstance(outcome, Failed)}
    assert said[signal.SIGKILL].startswith("its process was killed, as the system does when memory runs out")
    assert said[signal.SIGBUS].startswith("its process was killed (SIGBUS), as happens when a file gets shorter while")
    assert said[signal.SIGSEGV].startswith("its process ended in the middle of its work (signal 11)")
    assert said[0].startswith("Memory ran out when 2.00 GiB more were asked for")


def log(path: str) -> None:
    """Works, and has nothing to say."""
    with Path(path).open("a", encoding="utf-8") as stream:
        stream.write("done\n")


@pytest.mark.usefixtures("light")
def test_a_task_without_a_result_is_done_and_done_once(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("one", "two", "three")]
    assert dict(parallel.attempts(log, paths, 2)) == dict.fromkeys(paths)
    assert [Path(path).read_text(encoding="utf-8") for path in paths] == ["done\n"] * 3


@pytest.mark.usefixtures("light")
def test_a_task_that_kills_its_process_takes_no_other_with_it() -> None:
    outcomes = dict(parallel.attempts(unhappy, [1, 2, 0, 3, 4], jobs=2))
    failed = outcomes.pop(0)
    assert isinstance(failed, Failed)
    assert failed.reason.startswith("its process was killed")
    assert outcomes == {1: 1, 2: 2, 3: 3, 4: 4}


def test_an_interrupt_is_no_failure_of_the_task() -> None:
    def work(task: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(parallel.attempts(work, [1, 2], 1))


@pytest.mark.usefixtures("light")
def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 9)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    results = good(parallel.attempts(threads_and_process, range(8), jobs=2))
    assert {threads for threads, _ in results} == {"4"}


def knows(_: int) -> bool:
    return parallel.is_worker()


@pytest.mark.usefixtures("light")
def test_a_worker_knows_that_it_is_one() -> None:
    assert [good(parallel.attempts(knows, range(2), jobs)) for jobs in (1, 2)] == [[False, False], [True, True]]


@pytest.mark.parametrize(("asked", "threads"), [("3", 3), ("3,1", 3), ("64", 4), ("", 4), ("0", 4), ("all", 4)])
def test_workers_compute_on_no_more_threads_than_this_process_does(
    asked: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a run that goes on with one task, which is done here, would not compute what workers would have computed."""
    monkeypatch.setattr(parallel, "cores", lambda: 9)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert parallel.Processes(2).threads == threads


def dawdle(folder: str) -> None:
    """Say that a process is at work, and be so for longer than a test lasts."""
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)


PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
import test_parallel
from sprachbund import parallel
if __name__ == "__main__":
    parallel._prepare = test_parallel.prepare
    list(parallel.attempts(test_parallel.dawdle, [sys.argv[2]] * 2, jobs=2))
"""


def test_no_process_outlives_the_one_that_started_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PARENT)
    workers = tmp_path / "workers"
    workers.mkdir()
    parent = subprocess.Popen([sys.executable, program, Path(__file__).parent, workers])
    assert soon(lambda: len(list(workers.iterdir())) == 2)
    numbers = [int(path.name) for path in workers.iterdir()]
    assert all(map(files.is_alive, numbers))
    parent.kill()
    parent.wait()
    assert soon(lambda: not any(map(files.is_alive, numbers)))


@pytest.mark.usefixtures("light")
def test_a_worker_begins_with_both_signals_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it may be told to end before it is told to say nothing then."""
    start = SpawnProcess.start
    blocked: list[set[signal.Signals]] = []

    def seen(process: SpawnProcess) -> None:
        blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        start(process)

    monkeypatch.setattr(SpawnProcess, "start", seen)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    worker = parallel._Worker(1, None)
    worker.end()
    assert [mask - before for mask in blocked] == [{signal.SIGINT, signal.SIGTERM} - before]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


WORDS = re.compile("Traceback|KeyboardInterrupt|Terminated")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.3])
def test_who_is_told_to_end_before_the_first_line_of_ours_says_nothing(
    number: signal.Signals, seconds: float, tmp_path: Path
) -> None:
    """On a terminal Ctrl-C goes to all processes, also to those that are only just beginning."""
    program = tmp_path / "program.py"
    program.write_text(PARENT)
    before = f"import os, signal, threading\nsignal.signal({number.value}, lambda *_: os._exit(0))\n"
    later = "from sprachbund.parallel import _Worker\nstart = _Worker.__init__\n"
    shoot = (
        "def then(self, *what):\n    start(self, *what)\n"
        f"    threading.Timer({seconds}, os.killpg, (0, {number.value})).start()\n_Worker.__init__ = then\n"
    )
    program.write_text(before + PARENT.replace("if __name__", f"{later}{shoot}if __name__"))
    (tmp_path / "workers").mkdir()
    command = [sys.executable, program, Path(__file__).parent, tmp_path / "workers"]
    ran = subprocess.run(command, start_new_session=True, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0
    assert not WORDS.search(ran.stderr), ran.stderr


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_prepare", prepare)


def test_cores_are_those_this_process_may_use() -> None:
    assert 1 <= parallel.cores() <= (os.cpu_count() or 1)


def full(number: int) -> int:
    raise OSError(errno.ENOSPC, "No space left on device", f"file {number}")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_stops_all_tasks(jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one would not fare better, and 52 sentences say no more than one."""
    monkeypatch.setattr(parallel, "_prepare", prepare)
    with pytest.raises(OSError, match="No space left on device: 'file [12]'"):
        list(parallel.attempts(full, [1, 2, 3], jobs))


# --- on threads --------------------------------------------------------------------------------------------------------


def test_what_waits_is_done_side_by_side_and_what_fails_is_told() -> None:
    together = threading.Barrier(3, timeout=30)  # passed only if all three are under way at once
    ticks: list[int] = []

    def work(task: int) -> int:
        together.wait()
        time.sleep(0.05)
        if task == 1:
            raise ValueError("one")
        return 10 * task

    found = dict(parallel.side_by_side(work, [0, 1, 2], 3, meanwhile=lambda: ticks.append(0), tick=0.01))
    assert (found[0], found[2]) == (0, 20)
    assert repr(found[1]) == repr(ValueError("one"))
    assert len(ticks) > 2


def test_who_stops_to_read_waits_for_no_thread() -> None:
    begun: list[int] = []
    go_on = threading.Event()

    def work(task: int) -> int:
        begun.append(task)
        assert task == 0 or go_on.wait(30)
        return task

    outcomes = parallel.side_by_side(work, range(100), 2)
    assert next(outcomes) == (0, 0)
    outcomes.close()  # type: ignore[attr-defined]
    go_on.set()
    assert len(begun) < 10


# --- in order, on threads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_in_order_whoever_is_done_first(threads: int) -> None:
    def late_if_even(number: int) -> int:
        time.sleep(0.005 * (number % 2 == 0))
        return number

    assert list(in_order(late_if_even, range(20), threads)) == list(range(20))


@pytest.mark.parametrize("threads", [1, 3])
def test_after_an_error_nobody_goes_on(threads: int) -> None:
    begun: list[int] = []

    def third_fails(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise ValueError("two")
        return number

    found: list[int] = []
    with pytest.raises(ValueError, match="two"):
        found.extend(in_order(third_fails, range(100), threads))
    before = len(begun)
    time.sleep(0.02)
    assert len(begun) == before <= 3 + 2 * threads


# --- together ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5])
def test_all_hear_what_all_found(size: int, tmp_path: Path) -> None:
    def program(team: Team) -> None:
        mine = sum(task for _, task in team.mine(range(100)))
        all_of_them = team.gather(mine)
        (tmp_path / str(team.rank)).write_text(f"{mine} {sum(all_of_them)} {team.gather(team.rank)}")

    together(program, size)
    found = [(tmp_path / str(rank)).read_text() for rank in range(size)]
    assert sum(int(said.split()[0]) for said in found) == 4950
    assert all(said.endswith(f" 4950 {list(range(size))}") for said in found)


@pytest.mark.parametrize("who", [0, 1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_error_of_one_ends_all(who: int, when: str, tmp_path: Path) -> None:
    def program(team: Team) -> None:
        if when == "after":
            team.gather(None)
        if team.rank == who:
            raise DataError("no")
        team.gather(None)
        (tmp_path / f"{team.rank} went on").touch()

    with pytest.raises(DataError, match="no"):
        together(program, 3)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_is_told_of() -> None:
    def program(team: Team) -> None:
        if team.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        team.gather(None)

    with pytest.raises(MixError, match="A process was killed in the middle of its work"):
        together(program, 2)


def test_a_process_that_is_killed_once_it_has_handed_in_its_part_is_told_of() -> None:
    def program(team: Team) -> None:
        if team.rank == 1:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
        else:
            time.sleep(1)
        team.gather(None)

    with pytest.raises(MixError, match="A process was killed in the middle of its work"):
        together(program, 2)


def test_other_errors_bring_their_story() -> None:
    def program(team: Team) -> None:
        if team.rank == 1:
            raise ZeroDivisionError("one by none")
        team.gather(None)

    with pytest.raises(RuntimeError, match="ZeroDivisionError: one by none"):
        together(program, 2)
