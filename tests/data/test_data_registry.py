"""Data sets by name."""

from __future__ import annotations

import pytest

from sprachbund.data import DATA_SETS, load
from sprachbund.errors import UnknownName


def test_known_data_sets() -> None:
    assert list(DATA_SETS) == ["cldr", "massive", "table", "split"]


def test_an_unknown_one_gets_did_you_mean() -> None:
    with pytest.raises(UnknownName, match="Unknown data set 'masive': did you mean massive"):
        load("masive:somewhere")
    with pytest.raises(UnknownName, match="Unknown data set 'imdb': known: cldr, massive"):
        load("imdb")
