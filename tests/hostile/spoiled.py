"""Spoiled files, for hypothesis: bytes flipped, cut, doubled, nested without end; JSON with other values in its places."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

__all__ = ["spoiled", "spoiled_bytes", "spoiled_json", "values"]

NASTY = (
    b"[" * 5000, b'{"a":' * 3000, b"9" * 6000, b"-1e999", b"NaN", b"\\ud800", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b'"',
    b"\r", b"&a [*a]", b"<<: *a", b"!!python/object/apply:os.system [id]", b"2001-99-99", b"../", b"null", b"{}", b"[]",
    b"," * 5000, b"18446744073709551616",
)  # fmt: skip
WORDS = ("", "../../x", "/etc/passwd", "a\nb", "\0", "F32", "LABEL_0", "sq-AL", "𝕏", "x" * 3000, "nan", "1e400")


def values() -> st.SearchStrategy[Any]:
    """Anything that JSON can say, and what Python's reader takes for it."""
    plain = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([-1, 2**31, 2**63, 10**30, 10**400]),
        st.floats(),
        st.sampled_from(WORDS),
        st.text(max_size=8),
    )
    return st.recursive(
        plain,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=4)
        ),
        max_leaves=6,
    )


@st.composite
def spoiled_bytes(draw: st.DrawFn, seed: bytes) -> bytes:
    """A good file with up to four things done to it."""
    content = seed
    for _ in range(draw(st.integers(1, 4))):
        content = draw(st.sampled_from(_DONE))(draw, content)
    return content


def _place(draw: st.DrawFn, content: bytes) -> int:
    return draw(st.integers(0, len(content)))


def _flipped(draw: st.DrawFn, content: bytes) -> bytes:
    at = _place(draw, content)
    return (
        content[:at] + bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in content[at : at + 1]) + content[at + 1 :]
    )


def _cut(draw: st.DrawFn, content: bytes) -> bytes:
    return content[: _place(draw, content)]


def _without(draw: st.DrawFn, content: bytes) -> bytes:
    begin, end = sorted((_place(draw, content), _place(draw, content)))
    return content[:begin] + content[end:]


def _doubled(draw: st.DrawFn, content: bytes) -> bytes:
    begin, end = sorted((_place(draw, content), _place(draw, content)))
    return content[:end] + content[begin:]


def _with_nasty(draw: st.DrawFn, content: bytes) -> bytes:
    begin = _place(draw, content)
    end = begin + draw(st.sampled_from([0, 0, 1, 3]))
    return content[:begin] + draw(st.sampled_from(NASTY) | st.binary(max_size=8)) + content[end:]


_DONE: tuple[Callable[[st.DrawFn, bytes], bytes], ...] = (_flipped, _cut, _without, _doubled, _with_nasty)


@st.composite
def spoiled_json(draw: st.DrawFn, seed: bytes) -> bytes:
    """A good JSON file with another value in one to three of its places, or with a key more."""
    value = json.loads(seed)
    for _ in range(draw(st.integers(1, 3))):
        value = _replaced(draw, value)
    return json.dumps(value, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


def _replaced(draw: st.DrawFn, value: Any) -> Any:
    if not value or not isinstance(value, dict | list) or draw(st.integers(0, 4)) == 0:
        return draw(values())
    if isinstance(value, list):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _replaced(draw, value[at]), *value[at + 1 :]]
    key = draw(st.sampled_from([*value, "more"]))
    if key != "more" and draw(st.integers(0, 5)) == 0:
        return {name: inner for name, inner in value.items() if name != key}
    return {**value, key: _replaced(draw, value.get(key))}


def spoiled(seed: bytes) -> st.SearchStrategy[bytes]:
    """What a good file may have become, or any bytes at all."""
    try:
        json.loads(seed)
    except ValueError:
        return st.one_of(spoiled_bytes(seed), spoiled_bytes(seed), st.binary(max_size=64))
    return st.one_of(spoiled_json(seed), spoiled_json(seed), spoiled_bytes(seed), st.binary(max_size=64))
