"""Writing: the whole new content, or the old one untouched, and no crumbs."""

from __future__ import annotations

import json
import os
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
        assert folder.parent == out.parent  # one file system: a rename, no copy
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
