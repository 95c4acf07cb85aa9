"""One run at a time in a folder: the second is told who is there, waits if it is to, and is never stopped by the dead."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sprachbund import files, locks
from sprachbund.errors import StoreError

HOLD = """
import sys, time
from pathlib import Path
from sprachbund import locks
with locks.exclusive(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def hold(folder: Path, name: str = "") -> subprocess.Popen[str]:
    """A process that has the lock, and keeps it until it gets a line or is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = hold(tmp_path / "results")
    yield process
    end(process)


def listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_who_looks_on_learns_who_is_at_work_and_keeps_nobody_out(
    other: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "results"
    found = locks.holder(folder)
    assert found is not None
    assert (found.process, found.host) == (other.pid, socket.gethostname())
    assert locks.holder(tmp_path / "elsewhere") is None
    assert not (tmp_path / "elsewhere").exists()
    end(other)
    assert locks.holder(folder) is None, "who is dead is not at work"
    with monkeypatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "another host")
        assert locks.holder(folder) == found, "of a process on another host nobody here can tell"
    with locks.exclusive(folder):
        mine = locks.holder(folder)
        assert mine is not None
        assert mine.process == os.getpid()
    assert locks.holder(folder) is None


def test_whether_a_folder_is_free_can_be_asked_and_nothing_is_made_for_it(
    other: subprocess.Popen[str], tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=f"is in use by process {other.pid} .* or choose another --output-dir"):
        locks.check_free(tmp_path / "results")
    (tmp_path / "free").mkdir()
    locks.check_free(tmp_path / "free")
    locks.check_free(tmp_path / "nowhere")
    assert listed(tmp_path) == {"results", "free"}
    assert listed(tmp_path / "free") == set()
    end(other)
    locks.check_free(tmp_path / "results")


def test_the_second_is_told_who_is_there_since_when_and_what_to_do(
    other: subprocess.Popen[str], tmp_path: Path
) -> None:
    with pytest.raises(StoreError) as caught, locks.exclusive(tmp_path / "results", instead="--out"):
        pass
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path / 'results'} is in use by process {other.pid} on {socket.gethostname()}, at work since "
    )
    assert message.endswith(": wait until it is done, or choose another --out.")
    assert "\n" not in message
    since = datetime.fromisoformat(json.loads((tmp_path / "results/.lock.holder").read_text())["started"])
    assert since.isoformat() in message
    assert 0 <= (datetime.now(UTC) - since).total_seconds() < 60
    assert caught.value.exit_status == 2


def test_when_the_first_is_done_nothing_is_in_the_way(other: subprocess.Popen[str], tmp_path: Path) -> None:
    other.communicate("done\n")
    assert listed(tmp_path / "results") == {".lock"}
    with locks.exclusive(tmp_path / "results"):
        assert listed(tmp_path / "results") == {".lock", ".lock.holder"}


def test_a_process_that_is_killed_leaves_no_lock(other: subprocess.Popen[str], tmp_path: Path) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / "results/.lock.holder").exists()
    with locks.exclusive(tmp_path / "results"):
        assert json.loads((tmp_path / "results/.lock.holder").read_text())["process"] == os.getpid()
    assert listed(tmp_path / "results") == {".lock"}


def test_who_is_to_wait_waits_and_knows_for_whom(other: subprocess.Popen[str], tmp_path: Path) -> None:
    waited: list[str] = []

    def wait(holder: str) -> None:
        waited.append(holder)
        other.communicate("done\n")

    with locks.exclusive(tmp_path / "results", wait=wait):
        assert other.poll() == 0
    (holder,) = waited
    assert holder.startswith(f"process {other.pid} on ")


def test_waiting_ends_with_the_death_of_the_other(other: subprocess.Popen[str], tmp_path: Path) -> None:
    with locks.exclusive(tmp_path / "results", wait=lambda holder: other.kill()):
        other.wait()
        assert other.returncode == -signal.SIGKILL


def test_a_note_of_somebody_else_is_not_believed(other: subprocess.Popen[str], tmp_path: Path) -> None:
    """The first has the lock, but has not yet said so; what is read is what a dead one said, or nothing."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    note = tmp_path / "results/.lock.holder"
    said = json.loads(note.read_text())
    for content in (json.dumps({**said, "process": dead.pid}), "{", "[]", None):
        note.unlink() if content is None else note.write_text(content)
        with pytest.raises(StoreError, match="in use by another process: wait"), locks.exclusive(tmp_path / "results"):
            pass
    files.write_json(note, {**said, "host": "elsewhere", "process": dead.pid})
    with pytest.raises(StoreError, match=f"process {dead.pid} on elsewhere"), locks.exclusive(tmp_path / "results"):
        pass


def test_one_process_may_take_it_twice_and_has_it_until_the_outer_end(tmp_path: Path) -> None:
    with locks.exclusive(tmp_path):
        with locks.exclusive(tmp_path):
            pass
        assert (tmp_path / ".lock.holder").exists()
        beaten = subprocess.run(
            [sys.executable, "-c", HOLD, str(tmp_path), ""], input="", capture_output=True, text=True, check=False
        )
        assert f"is in use by process {os.getpid()} on" in beaten.stderr
    end(hold(tmp_path))


def test_an_error_inside_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locks.exclusive(tmp_path):
        raise KeyboardInterrupt
    assert listed(tmp_path) == {".lock"}
    end(hold(tmp_path))


def test_a_refusal_inside_a_lock_leaves_that_lock_alone(other: subprocess.Popen[str], tmp_path: Path) -> None:
    with locks.exclusive(tmp_path):
        with pytest.raises(StoreError), locks.exclusive(tmp_path / "results"):
            pass
        assert (tmp_path / ".lock.holder").exists()


def test_names_in_one_folder_have_locks_of_their_own(tmp_path: Path) -> None:
    process = hold(tmp_path, "base")
    assert listed(tmp_path) == {".base.lock", ".base.lock.holder"}
    with locks.exclusive(tmp_path), locks.exclusive(tmp_path, "other"):
        pass
    with pytest.raises(StoreError, match=f"base is in use by process {process.pid}"), locks.exclusive(tmp_path, "base"):
        pass
    end(process)


def test_of_many_at_once_one_works_at_a_time(tmp_path: Path) -> None:
    """Each reads a number, dawdles, writes one more: with two at once, one of them would be lost."""
    count = """
import sys, time
from pathlib import Path
from sprachbund import locks
folder = Path(sys.argv[1])
for _ in range(5):
    with locks.exclusive(folder, wait=lambda holder: None):
        number = int((folder / "count").read_text())
        time.sleep(0.01)
        (folder / "count").write_text(str(number + 1))
"""
    (tmp_path / "count").write_text("0")
    workers = [subprocess.Popen([sys.executable, "-c", count, str(tmp_path)]) for _ in range(3)]
    deadline = time.monotonic() + 60
    for worker in workers:
        assert worker.wait(timeout=deadline - time.monotonic()) == 0
    assert (tmp_path / "count").read_text() == "15"
