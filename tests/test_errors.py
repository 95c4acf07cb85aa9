"""Errors: one tree, an exit status each, and names that help."""

from __future__ import annotations

import pytest

from sprachbund import errors
from sprachbund.errors import CellsFailed, SprachbundError, UnknownName, UserError


def test_what_the_user_can_mend_exits_with_2_and_what_went_wrong_with_1() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert issubclass(kind, SprachbundError)
        assert kind.exit_status == (2 if issubclass(kind, UserError) else 1)
    assert CellsFailed.exit_status == 1


def test_incompatible_checkpoints_are_unreadable_ones_of_a_kind() -> None:
    assert issubclass(errors.IncompatibleError, errors.CheckpointError)


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("liner", ["linear", "ties"], "Unknown method 'liner': did you mean linear?"),
        ("LINEAR", ["linear", "ties"], "Unknown method 'LINEAR': did you mean linear?"),
        ("xyz", ["linear", "ties"], "Unknown method 'xyz': known: linear, ties."),
        ("xyz", [f"m{n:02}" for n in range(20)], "Unknown method 'xyz': 20 are known, m00 to m19."),
        ("avg", ["average", "Average"], "Unknown method 'avg': did you mean average or Average?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, known: list[str], message: str) -> None:
    assert str(UnknownName("method", name, known)) == message


def test_advice_comes_last() -> None:
    assert (
        str(UnknownName("method", "xyz", ["linear"], "See the docs."))
        == "Unknown method 'xyz': known: linear. See the docs."
    )
