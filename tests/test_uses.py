"""What was seen: the words there are, and their union."""

from __future__ import annotations

import pytest

from sprachbund.errors import UnknownName
from sprachbund.uses import USES, check_uses, sentences_of_uses, union_of_uses


def test_the_union_is_sorted_and_has_nothing_only_by_itself() -> None:
    assert union_of_uses(["unlabelled"], ["target-dev", "nothing"]) == ("target-dev", "unlabelled")
    assert union_of_uses(["nothing"], ["nothing"], []) == union_of_uses() == ("nothing",)


def test_what_is_written_down_is_one_of_the_words() -> None:
    assert check_uses(USES, "mine") == tuple(sorted(set(USES) - {"nothing"}))
    with pytest.raises(UnknownName, match="Unknown use in mine 'labels'"):
        check_uses(["unlabelled", "labels"], "mine")


def test_those_that_have_seen_the_same_stand_together() -> None:
    seen = {"baseline": "target-train", "similarity": "nothing", "auto": "unlabelled", "average": "nothing"}
    assert sentences_of_uses(seen) == [
        "has seen target-train: baseline",
        "has seen nothing: similarity, average",
        "has seen unlabelled: auto",
    ]
