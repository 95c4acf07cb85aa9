"""Tasks on several processes: all of them, once, and an error is not lost."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sprachbund import parallel


def prepare(threads: int) -> None:
    """Instead of the real one, which imports torch: that takes seconds in each process."""
    os.environ["THREADS_OF_THIS_PROCESS"] = str(threads)


def threads_and_process(_: int) -> tuple[str, int]:
    return os.environ["THREADS_OF_THIS_PROCESS"], os.getpid()


def square(number: int) -> tuple[int, int]:
    if number == 13:
        raise ValueError("thirteen")
    return number * number, os.getpid()


def test_one_job_works_here_in_order_and_only_as_asked() -> None:
    done: list[int] = []

    def work(task: int) -> int:
        done.append(task)
        return task

    results = parallel.unordered(work, range(5), jobs=1)
    assert done == []
    assert next(results) == 0
    assert done == [0]
    assert list(results) == [1, 2, 3, 4]


@pytest.mark.parametrize("jobs", [0, 1, 4])
def test_one_task_or_none_needs_no_other_process(jobs: int) -> None:
    assert list(parallel.unordered(square, [3], jobs)) == [(9, os.getpid())]
    assert list(parallel.unordered(square, [], jobs)) == []


def test_tasks_may_come_from_anywhere() -> None:
    def tasks() -> Iterator[int]:
        yield from (1, 2, 3)

    assert [result for result, _ in parallel.unordered(square, tasks(), 1)] == [1, 4, 9]


@pytest.mark.usefixtures("light")
def test_two_jobs_work_elsewhere_on_everything_once() -> None:
    results = list(parallel.unordered(square, range(6), jobs=2))
    assert sorted(result for result, _ in results) == [0, 1, 4, 9, 16, 25]
    assert os.getpid() not in {process for _, process in results}


@pytest.mark.usefixtures("light")
def test_an_error_in_another_process_comes_back() -> None:
    with pytest.raises(ValueError, match="thirteen"):
        list(parallel.unordered(square, [13, 1], jobs=2))


@pytest.mark.usefixtures("light")
def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 9)
    results = list(parallel.unordered(threads_and_process, range(8), jobs=2))
    assert {threads for threads, _ in results} == {"4"}


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_prepare", prepare)


def test_cores_are_those_this_process_may_use() -> None:
    assert 1 <= parallel.cores() <= (os.cpu_count() or 1)
