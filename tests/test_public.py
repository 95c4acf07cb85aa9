"""Names that may leave this machine; see also tests/test_cards.py."""

from __future__ import annotations

from sprachbund.checkpoints.zoo_file import ENDINGS
from sprachbund.public import ZOO_FILES


def test_files_that_name_a_zoo_are_known_by_the_same_endings() -> None:
    """Else the path of a zoo would stand in what is passed on."""
    assert set(ZOO_FILES) == set(ENDINGS)
