"""Registries: in order of registration, no name twice, unknown ones answered."""

from __future__ import annotations

import pytest

from sprachbund.errors import UnknownName
from sprachbund.registry import Registry


def test_names_and_entries_in_the_order_of_registration() -> None:
    registry: Registry[int] = Registry("number")
    registry.add("two", 2)
    registry.add("one", 1)
    assert list(registry.items()) == [("two", 2), ("one", 1)]
    assert len(registry) == 2
    assert "one" in registry
    assert "three" not in registry


def test_a_function_registers_itself_and_stays_what_it_is() -> None:
    registry: Registry[object] = Registry("function")

    @registry.register("f")
    def f() -> int:
        return 1

    assert registry["f"] is f
    assert f() == 1


def test_a_name_twice_is_a_programming_error() -> None:
    registry: Registry[int] = Registry("number")
    registry.add("one", 1)
    with pytest.raises(ValueError, match="number 'one' is registered twice"):
        registry.add("one", 2)
    assert registry["one"] == 1


def test_an_unknown_name_is_answered() -> None:
    registry: Registry[int] = Registry("number")
    registry.add("seven", 7)
    with pytest.raises(UnknownName, match=r"Unknown number 'sevn': did you mean seven\?"):
        registry["sevn"]
