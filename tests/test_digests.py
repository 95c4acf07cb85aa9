"""Digests of values and files: the same for the same content, remembered as long as nothing changed."""

from __future__ import annotations

import hashlib
import os
import shutil
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


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    first = digests.of_file(path)

    def read(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(hashlib, "file_digest", read)
    assert digests.of_file(path) == first
    assert digests.of_file(tmp_path / "." / "a") == first
