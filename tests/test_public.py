"""Names that may leave this machine; see also tests/test_cards.py."""

from __future__ import annotations

import pytest

from sprachbund.checkpoints.zoo_file import ENDINGS
from sprachbund.public import ZOO_FILES, public_place, public_similarity, public_text


def test_files_that_name_a_zoo_are_known_by_the_same_endings() -> None:
    """Else the path of a zoo would stand in what is passed on."""
    assert set(ZOO_FILES) == set(ENDINGS)


@pytest.mark.parametrize(
    ("typed", "public"),
    [
        ("results", "results"),
        (".", "."),
        ("/home/me/runs/full", "path/to/full"),
        ("runs/full", "path/to/full"),
        ("massive:/home/me/data", "massive:path/to/data"),
        ("split:massive", "split:massive"),
    ],
)
def test_what_users_typed_does_not_say_where_it_lies(typed: str, public: str) -> None:
    assert public_place(typed) == public


def test_the_tables_of_a_sum_are_cut_and_measures_are_not() -> None:
    assert public_similarity("uriel:geo+file:/home/me/a b.csv") == "uriel:geo+file:path/to/a b.csv"
    assert public_similarity("agreement:500") == "agreement:500"


def test_a_table_is_cut_in_a_text_as_well() -> None:
    """Its path follows a colon, as those of addresses do."""
    assert public_text("similarity file:/home/me/a.csv, see https://example.org/a") == (
        "similarity file:a.csv, see https://example.org/a"
    )
