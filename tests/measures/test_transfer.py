"""Transfer as a similarity: rows are targets, columns are sources."""

from __future__ import annotations

from sprachbund.measures import transfer_matrix
from sprachbund.selection import select
from sprachbund.store import Transfer, TransferCell

CORRECT = {
    "de-DE": {"de-DE": 9, "fr-FR": 5, "sq-AL": 1},
    "fr-FR": {"de-DE": 6, "fr-FR": 8, "sq-AL": 4},
    "sq-AL": {"de-DE": 2, "fr-FR": 3, "sq-AL": 7},
}
"""source → target → how many of ten."""


def rows() -> list[Transfer]:
    return [
        Transfer(
            source=source,
            digest="x",
            zoo="z",
            split="dev",
            dataset="tiny",
            cells={
                target: TransferCell(data_digest="d", correct=correct, total=10, majority_rate=0.1)
                for target, correct in cells.items()
            },
        )
        for source, cells in CORRECT.items()
    ]


def test_a_row_is_a_target_and_a_column_a_source() -> None:
    matrix = transfer_matrix(rows())
    for source, cells in CORRECT.items():
        for target, correct in cells.items():
            assert matrix.score(target, source) == correct / 10
    assert matrix.values.tolist() == [[0.9, 0.6, 0.2], [0.5, 0.8, 0.3], [0.1, 0.4, 0.7]]


def test_the_best_source_is_the_one_that_does_well_there_not_the_one_that_the_target_s_model_does_well_at() -> None:
    # The German source gets 1 of 10 in Albanian, the French one 4; the Albanian source would do better in French, too.
    assert select("topk", transfer_matrix(rows()), "sq-AL", k=1).sources == ("fr-FR",)
    # The French source gets 6 in German, while the German source gets 5 in French and the Albanian 2 and 3.
    assert select("topk", transfer_matrix(rows()), "de-DE", k=2).sources == ("fr-FR", "sq-AL")


def test_it_says_what_it_has_seen() -> None:
    matrix = transfer_matrix(rows())
    assert matrix.uses == {"target-dev"}
    assert "dev of tiny" in matrix.provenance
