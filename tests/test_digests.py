"""Digests of values and files: the same for the same content, remembered as long as nothing changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest

from sprachbund import digests


def test_known_values() -> None:
    assert digests.of_value({"b": [1, 2.5], "a": "ü"}) == hashlib.sha256('{"a":"ü","b":[1,2.5]}'.encode()).hexdigest()
    assert digests.of_value(["x"]) == hashlib.sha256(b'["x"]').hexdigest()


def test_the_order_of_keys_does_not_count_that_of_lists_does() -> None:
    assert digests.of_value({"a": 1, "b": 2}) == digests.of_value({"b": 2, "a": 1})
    assert digests.of_value([1, 2]) != digests.of_value([2, 1])
    assert digests.of_value((1, 2)) == digests.of_value([1, 2])


def test_nan_has_no_digest() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digests.of_value(float("nan"))


def test_a_file_is_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    shutil.copy(tmp_path / "a", tmp_path / "b")
    assert digests.of_file(tmp_path / "a") == digests.of_file(tmp_path / "b") == hashlib.sha256(b"content").hexdigest()


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_change_is_noticed_by_size_or_time(change: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    os.utime(path, ns=(10**9, 10**9))
    digests.of_file(path)
    path.write_bytes(b"CONTENT" if change == "time" else b"contents")
    os.utime(path, ns=(10**9, 2 * 10**9 if change == "time" else 10**9))
    assert digests.of_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_copy_that_takes_a_file_s_place_is_another_file(tmp_path: Path) -> None:
    """With its size and its time of modification, as ``cp -p`` and ``rsync -t`` leave them."""
    path, other = tmp_path / "here", tmp_path / "there"
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    shutil.copystat(path, other)
    before = digests.of_file(path)
    other.replace(path)
    assert digests.of_file(path) != before
    times = path.stat()
    path.write_bytes(b"six")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digests.of_file(path) == hashlib.sha256(b"six").hexdigest()


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    first = digests.of_file(path)

    def read(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(hashlib, "file_digest", read)
    assert digests.of_file(path) == first
    assert digests.of_file(tmp_path / "." / "a") == first


def test_a_large_file_in_the_hub_s_cache_has_its_digest_as_a_name(tmp_path: Path) -> None:
    said, snapshot = "ab" * 32, tmp_path / "models--org--name/snapshots/1234/epoch-9"
    (tmp_path / "models--org--name/blobs").mkdir(parents=True)
    (tmp_path / "models--org--name/blobs" / said).write_bytes(b"not what was hashed: so nobody has read it")
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(f"../../../blobs/{said}")
    (tmp_path / "zoo").symlink_to(snapshot)
    assert digests.of_file(snapshot / "model.safetensors") == said
    assert digests.of_file(tmp_path / "zoo/model.safetensors") == said


@pytest.mark.parametrize(
    "target",
    ["blobs/" + "ab" * 32, "models--org--name/blobs/" + "ab" * 20, "models--org--name/other/" + "ab" * 32],
    ids=["elsewhere", "SHA-1", "another folder"],
)
def test_any_other_link_is_read(target: str, tmp_path: Path) -> None:
    (tmp_path / target).parent.mkdir(parents=True)
    (tmp_path / target).write_bytes(b"content")
    link = tmp_path / "models--org--name/snapshots/1234/config.json"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / target)
    assert digests.of_file(link) == hashlib.sha256(b"content").hexdigest()


def large(path: Path, content: bytes, seconds: int) -> Path:
    path.write_bytes(content)
    os.utime(path, (seconds, seconds))
    digests._known_files.clear()
    return path


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(digests, "LARGE", 4)
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "digests"


def test_a_large_file_is_read_once_on_a_machine(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = large(tmp_path / "a", b"content", 1_000_000)
    first = digests.of_file(path)
    assert [entry.read_text() for entry in kept.iterdir()] == [first]
    digests._known_files.clear()  # as in another process
    with monkeypatch.context() as patched:
        patched.setattr(hashlib, "file_digest", None)
        assert digests.of_file(path) == first
    for content, seconds in ((b"CONTENT", 1_000_001), (b"contents", 1_000_000)):
        assert digests.of_file(large(path, content, seconds)) == hashlib.sha256(content).hexdigest()


def test_what_was_just_written_is_not_kept(kept: Path, tmp_path: Path) -> None:
    assert (
        digests.of_file(large(tmp_path / "a", b"content", int(time.time()))) == hashlib.sha256(b"content").hexdigest()
    )
    assert not kept.exists()


def test_what_is_kept_has_to_be_a_digest(kept: Path, tmp_path: Path) -> None:
    path = large(tmp_path / "a", b"content", 1_000_000)
    first = digests.of_file(path)
    (entry,) = kept.iterdir()
    entry.write_text(first[:20])
    digests._known_files.clear()
    assert digests.of_file(path) == first
