"""One contract over all merge methods."""

from __future__ import annotations

import numpy as np
import pytest
from methods.whole import apply

from sprachbund.errors import MixError, UnknownName
from sprachbund.methods import METHODS

WEIGHTS = (0.5, 0.3, 0.2)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_is(name: str) -> None:
    method = METHODS[name]
    assert method.name == name
    assert "θ" in method.formula
    assert method.paper
    assert method.reference


def test_linear_is_the_weighted_sum() -> None:
    thetas = np.random.default_rng(0).normal(size=(3, 4, 5))
    expected = 0.5 * thetas[0] + 0.3 * thetas[1] + 0.2 * thetas[2]
    np.testing.assert_allclose(apply("linear", thetas, WEIGHTS), expected)
    np.testing.assert_allclose(apply("task_arithmetic", thetas, WEIGHTS, scale=0.5), expected / 2)


def test_an_unknown_method_is_no_linear_in_disguise() -> None:
    with pytest.raises(UnknownName, match="Unknown method 'liner': did you mean linear"):
        METHODS["liner"]


def test_an_option_that_is_none() -> None:
    with pytest.raises(MixError, match="The method linear has no option density; it has: none"):
        METHODS["linear"].settle({"density": 0.2}, 3)


def test_an_option_of_another_type() -> None:
    with pytest.raises(
        MixError, match="The option scale of the method task_arithmetic cannot be 'much': input should be"
    ):
        METHODS["task_arithmetic"].settle({"scale": "much"}, 3)
