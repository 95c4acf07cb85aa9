"""Writing: the whole new content, or the old one untouched, and no crumbs; none of killed processes either."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sprachbund import files


def listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_text_is_written_as_it_is_with_its_folders(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a/b/c.txt", "größe\r\n語\n")
    assert (tmp_path / "a/b/c.txt").read_bytes() == "größe\r\n語\n".encode()
    assert listed(tmp_path / "a/b") == {"c.txt"}


def test_a_write_that_fails_leaves_the_old_content_and_no_crumbs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.txt"
    files.write_text(path, "old")

    def full(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert listed(tmp_path) == {"c.txt"}


def test_the_old_content_stands_until_the_new_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.txt"
    files.write_text(path, "old")
    seen: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append(path.read_text()))
    files.write_text(path, "new")
    assert seen == ["old"]
    assert path.read_text() == "new"


def test_json_is_indented_unescaped_and_without_nan(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    files.write_json(path, {"größe": [1, None]})
    assert path.read_text(encoding="utf-8") == '{\n  "größe": [\n    1,\n    null\n  ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"accuracy": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == {"größe": [1, None]}


def test_files_get_the_rights_that_others_expect(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "file", "")
        with files.atomic_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


def test_a_folder_is_there_when_it_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "deep/model"
    with files.atomic_folder(out) as folder:
        (folder / "weights").write_text("new")
        assert not out.exists()
        assert folder.is_relative_to(out.parent)  # one file system: a rename, no copy
    assert listed(out) == {"weights"}
    assert listed(tmp_path / "deep") == {"model"}


def test_a_new_folder_takes_the_place_of_the_old_as_a_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with files.atomic_folder(tmp_path / "model") as folder:
            (folder / name).touch()
    assert listed(tmp_path / "model") == {"new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_that_fails_leaves_the_old_one_and_no_crumbs(error: type[BaseException], tmp_path: Path) -> None:
    with files.atomic_folder(tmp_path / "model") as folder:
        (folder / "old").touch()

    def half() -> None:
        with files.atomic_folder(tmp_path / "model") as folder:
            (folder / "half").touch()
            raise error

    with pytest.raises(error):
        half()
    assert listed(tmp_path) == {"model"}
    assert listed(tmp_path / "model") == {"old"}


def test_a_folder_that_cannot_take_its_place_gives_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    with files.atomic_folder(out) as folder:
        (folder / "old").touch()
    rename = os.rename

    def interrupted(source: Path, target: Path) -> None:
        if target == out and source.name == "new":
            raise KeyboardInterrupt
        rename(source, target)

    def replace() -> None:
        with files.atomic_folder(out) as folder:
            (folder / "new").touch()

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace()
    assert listed(out) == {"old"}
    assert listed(tmp_path) == {"model"}


def test_the_old_folder_leaves_its_name_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks before any rename sees the old folder, the new one, or none: never a part of one."""
    out = tmp_path / "model"
    seen: list[set[str] | None] = []
    rename = os.rename

    def look(source: Path, target: Path) -> None:
        seen.append(listed(out) if out.exists() else None)
        rename(source, target)

    monkeypatch.setattr(os, "rename", look)
    for names in ({"a", "b"}, {"c", "d"}):
        with files.atomic_folder(out) as folder:
            for name in names:
                (folder / name).touch()
    assert seen == [None, {"a", "b"}, None]
    assert listed(out) == {"c", "d"}


def test_a_link_gives_way_to_a_folder_and_what_it_points_to_stays(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/precious").touch()
    (tmp_path / "model").symlink_to(tmp_path / "theirs")
    with files.atomic_folder(tmp_path / "model") as folder:
        (folder / "new").touch()
    assert not (tmp_path / "model").is_symlink()
    assert listed(tmp_path / "theirs") == {"precious"}


def test_a_temporary_folder_is_gone_afterwards(tmp_path: Path) -> None:
    with files.temporary_folder(tmp_path / "deep", "merging") as folder:
        (folder / "inside").touch()
        assert folder.name.startswith(f".merging.{os.getpid()}-")
    assert listed(tmp_path / "deep") == set()


@pytest.mark.parametrize("name", ["x" * 255, "語" * 85, "ü" * 127 + "x"])
def test_the_longest_names_can_be_written(name: str, tmp_path: Path) -> None:
    files.write_text(tmp_path / name, "text")
    assert listed(tmp_path) == {name}
    (tmp_path / name).unlink()
    with files.atomic_folder(tmp_path / name):
        pass
    assert listed(tmp_path) == {name}


# --- what killed processes leave ---------------------------------------------------------------------------------------

DIE = """
import os, signal, sys
from pathlib import Path
from sprachbund import files
folder = Path(sys.argv[1])
os.replace = lambda source, target: os.kill(os.getpid(), signal.SIGKILL)
with files.atomic_folder(folder / "model") as new:
    (new / "half").touch()
    files.write_text(folder / "record.json", "{}")
"""


def killed(folder: Path) -> set[str]:
    """Let a process be killed while it writes a folder and a file; return the names that it leaves."""
    subprocess.run([sys.executable, "-c", DIE, str(folder)], check=False)
    return listed(folder)


def test_what_a_killed_process_leaves_is_under_no_name_that_counts_and_is_cleared_away(tmp_path: Path) -> None:
    left = killed(tmp_path)
    assert [name.split(".")[1] for name in sorted(left)] == ["model", "record"]
    assert all(name.startswith(".") and name.endswith(".partial") and socket.gethostname() in name for name in left)
    files.remove_leftovers(tmp_path / "nowhere", tmp_path)
    assert listed(tmp_path) == set()


def test_what_living_processes_and_other_hosts_are_writing_stays(tmp_path: Path) -> None:
    with files.temporary_folder(tmp_path, "mine") as mine:
        elsewhere = tmp_path / mine.name.replace(f"@{socket.gethostname()}.", "@elsewhere.")
        neighbour = tmp_path / mine.name.replace(f".{os.getpid()}-", f".{os.getppid()}-")
        for path in (elsewhere, neighbour):
            path.mkdir()
        theirs = [tmp_path / ".hidden.partial", tmp_path / "download.partial", tmp_path / ".config"]
        for path in theirs:
            path.touch()
        files.remove_leftovers(tmp_path)
        assert listed(tmp_path) == {path.name for path in (mine, elsewhere, neighbour, *theirs)}


def test_a_predecessor_with_our_process_number_is_dead_all_the_same(tmp_path: Path) -> None:
    """In a container that is started again, a program often gets the number it had before."""
    with files.temporary_folder(tmp_path, "model") as mine:
        process, _, token = mine.name.removeprefix(".model.").partition("@")[0].partition("-")
        assert process == str(os.getpid())
        before = tmp_path / mine.name.replace(f"-{token}@", "-0@")
        before.mkdir()
        files.remove_leftovers(tmp_path)
        assert listed(tmp_path) == {mine.name}


def test_processes_live_until_they_die() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert files.is_alive(process.pid)
    assert files.is_alive(1)  # somebody else's, most often
    process.communicate(b"\n")
    assert not files.is_alive(process.pid)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux says who is a zombie")
def test_who_is_dead_and_not_yet_buried_does_not_live() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not files.is_alive(process.pid)
    process.wait()
