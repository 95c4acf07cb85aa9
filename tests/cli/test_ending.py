"""How commands end that are told to: with a word, a status, and everything as it was before."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from sprachbund.cli import run
from sprachbund.cli.ending import Terminated, told_to_end
from sprachbund.errors import UserError

Capture = pytest.CaptureFixture[str]
Command = Callable[[Callable[[], object]], None]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Lets ``run`` do something instead of any command."""

    class Meta:
        config = None

        def __init__(self, what: Callable[[], object]) -> None:
            self.what = what

        def __call__(self, *words: Any, **how: Any) -> int:
            self.what()
            return 0

    module = import_module("sprachbund.cli.app")  # the package shows the app itself under this name
    return lambda what: monkeypatch.setattr(module, "app", SimpleNamespace(meta=Meta(what), config=()))


def send(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGTERM, 143, "Terminated"), (signal.SIGINT, 130, "Interrupted")]
)
def test_a_word_and_a_status(number: signal.Signals, status: int, word: str, command: Command, capsys: Capture) -> None:
    if number == signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("Ctrl-C is ignored here, in a shell's background")
    before = signal.getsignal(number)
    command(send(number))
    assert run(["experiment"]) == status
    assert capsys.readouterr().err == f"error: {word}. What is finished is kept: the same command goes on from here.\n"
    assert signal.getsignal(number) is before


def test_sigterm_is_told_from_ctrl_c_where_a_library_makes_one_of_the_other(command: Command, capsys: Capture) -> None:
    """As Ray's core does, which a signal finds waiting."""

    def wait() -> None:
        try:
            send(signal.SIGTERM)()
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None

    def interrupt() -> None:
        raise KeyboardInterrupt

    command(wait)
    assert run(["experiment"]) == 143
    assert capsys.readouterr().err.startswith("error: Terminated. ")
    command(interrupt)
    assert run(["experiment"]) == 130
    assert capsys.readouterr().err.startswith("error: Interrupted. ")


def test_who_is_told_twice_puts_away_what_is_under_way() -> None:
    done: list[str] = []

    def work() -> None:
        try:
            send(signal.SIGTERM)()
        finally:
            send(signal.SIGTERM)()
            done.append("put away")

    with pytest.raises(Terminated), told_to_end():
        work()
    assert done == ["put away"]


def test_who_is_told_while_it_complains_says_all_of_it(
    command: Command, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def fail() -> None:
        raise UserError("There is no such thing.")

    def say(*words: object, file: object = None) -> None:
        send(signal.SIGTERM)()
        print(*words, file=sys.stderr)

    command(fail)
    monkeypatch.setattr(import_module("sprachbund.cli.app"), "print", say, raising=False)
    assert run(["experiment"]) == 2
    assert capsys.readouterr().err == "error: There is no such thing.\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_to_be_ignored_is() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with told_to_end():
            send(signal.SIGTERM)()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_nothing_is_said_of_signals() -> None:
    found: list[object] = []

    def look() -> None:
        with told_to_end():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


def test_memory_that_runs_out_is_one_sentence(command: Command, capsys: Capture) -> None:
    def fail() -> None:
        raise MemoryError("Unable to allocate 2.00 GiB for an array")

    command(fail)
    assert run(["merge"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: Memory ran out when 2.00 GiB more were asked for: close other programs")
    assert said.endswith("What is finished is kept, and the same command goes on from here.\n")


def test_what_is_no_fault_of_the_world_is_shown_as_it_is(command: Command) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    command(fail)
    with pytest.raises(ZeroDivisionError):
        run(["merge"])
