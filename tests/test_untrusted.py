"""Text, JSON and YAML of others: each way to be none, or too much, is one reason; what fits is read as by everybody else."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest

from sprachbund import untrusted
from sprachbund.errors import StoreError
from sprachbund.untrusted import Unreadable, lines_of, parse_json, parse_yaml, read_json

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""A billion values in 600 bytes."""
DEEP = untrusted.MOST_DEEP


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "deep"),
        ('{"a":' * 500 + "1" + "}" * 500, "deep"),
        ("[" * (DEEP + 1) + "]" * (DEEP + 1), "deep"),
        ("9" * 5000, "number without end"),
        (r'{"a": ["\ud800"]}', "half a character"),
        ("{'a': 1}", "Expecting property name"),
        ("", "Expecting value"),
    ],
)
def test_what_is_no_json_has_one_reason(text: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse_json(text)


def test_json_within_the_limits_is_what_everybody_reads() -> None:
    for text in ("[" * DEEP + "]" * DEEP, r'["\ud83d\ude00", 1e5, null, {"a": [true]}]', '"x"', "NaN"):
        assert repr(parse_json(text)) == repr(json.loads(text))


def test_more_values_than_fit_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted, "MOST_VALUES", 10)
    assert parse_json("[1,2,3]") == [1, 2, 3]
    with pytest.raises(Unreadable, match="more than 10 values"):
        parse_json("[" + "[]," * 20 + "[]]")


def test_a_larger_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('"123456"')
    assert read_json(tmp_path / "a.json", most=8) == "123456"
    with pytest.raises(Unreadable, match="more than 7 bytes"):
        read_json(tmp_path / "a.json", most=7)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "more than 100,000 values"),
        ("&a [*a]", "deep"),
        ("[" * 5000, "deep"),
        ("2001-99-99", "none"),
        ("!!python/object/apply:os.system ['id']", "could not determine a constructor"),
        ("a: [", "expected the node content"),
        (r'"\ud800"', "half a character"),
        ("- a\n" * 300_000, "bytes"),
    ],
)
def test_what_is_no_yaml_has_one_reason(text: str, reason: str) -> None:
    begun = time.monotonic()
    with pytest.raises(Unreadable, match=reason):
        parse_yaml(text)
    assert time.monotonic() - begun < 10


def test_yaml_may_repeat_itself_within_the_limits() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}
    assert parse_yaml("") is None


def test_a_line_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted, "LONGEST_LINE", 5)
    assert list(lines_of(io.BytesIO(b"1234\n12"))) == [b"1234\n", b"12"]
    with pytest.raises(Unreadable) as caught:
        list(lines_of(io.BytesIO(b"1\n123456")))
    assert caught.value.line == 2


@pytest.mark.parametrize("version", [3, 99, 2.5])
def test_a_newer_version_is_refused_with_advice(version: float, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"newer sprachbund \(schema .+, this one knows 2\): update sprachbund"):
        untrusted.check_version({"schema_version": version}, 2, tmp_path, StoreError)
    for fine in ({"schema_version": 2}, {"schema_version": 1}, {}, [], None):
        untrusted.check_version(fine, 2, tmp_path, StoreError)
