"""One contract over all merge methods, and the formula of each."""

from __future__ import annotations

import pytest

from sprachbund.errors import UnknownName
from sprachbund.methods import METHODS

WEIGHTS = (0.5, 0.3, 0.2)
EXPECTED = {"linear": (0.5, 0.3, 0.2)}
"""Coefficients for WEIGHTS, worked out by hand."""


def test_every_method_has_its_numbers_here() -> None:
    assert set(EXPECTED) == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_coefficients(name: str) -> None:
    assert tuple(METHODS[name].coefficients(WEIGHTS)) == EXPECTED[name]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_is(name: str) -> None:
    method = METHODS[name]
    assert method.name == name
    assert "θ" in method.formula
    assert method.paper.startswith("arXiv:")


def test_an_unknown_method_is_no_linear_in_disguise() -> None:
    with pytest.raises(UnknownName, match="Unknown method 'liner': did you mean linear"):
        METHODS["liner"]
