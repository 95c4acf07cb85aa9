"""``sprachbund card``: the card of a model that was made here, with what a results folder says of this very model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sprachbund.cli.app import app
from sprachbund.cli.console import console, result
from sprachbund.config import CardConfig
from sprachbund.errors import CheckpointError

if TYPE_CHECKING:
    from sprachbund.cards import BlendDetails, MergeDetails

__all__ = ["card", "details_of"]


@app.command
def card(*, config: Annotated[CardConfig, Parameter(name="*")]) -> int:
    """Write the model card of a model anew (README.md), with the results that there are of it."""
    from sprachbund.cards import CARD, records_of, write_card
    from sprachbund.plan import check_writable
    from sprachbund.store import RunStore

    details = details_of(config.model)
    check_writable(config.model)
    records = records_of(config.model, details, RunStore(config.results_dir))
    text = write_card(config.model, details, records)
    path = config.model / CARD
    number = "one result" if len(records) == 1 else f"{len(records)} results"
    found = f"with {number}" if records else f"without a result: {config.results_dir} has none of it"

    result(
        lambda: {"card": path, "results": [record.identity for record in records], "text": text},
        lambda: console.print(f"Model card: {path}, {found}", soft_wrap=True, markup=False),
    )
    return 0


def details_of(folder: Path) -> MergeDetails | BlendDetails:
    """Return how the model in a folder came about.

    Raises:
        CheckpointError: there is no such model, or it was not made here.
    """
    from sprachbund.cards import read_blend, read_details
    from sprachbund.checkpoints import open_checkpoint

    open_checkpoint(folder)
    details = read_details(folder) or read_blend(folder)
    if details is None:
        raise CheckpointError(
            f"{folder} is a model of which nothing says how it was made (merge_details.json or blend.json, written for its "
            "tensors): name one that sprachbund merge, adapt or experiment has made."
        )
    return details
