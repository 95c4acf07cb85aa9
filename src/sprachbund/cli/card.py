"""``sprachbund card``: the card of a model that was made here, with what a results folder says of this very model."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from sprachbund.cli.app import app
from sprachbund.cli.console import console, result
from sprachbund.config import CardConfig

__all__ = ["card"]


@app.command
def card(*, config: Annotated[CardConfig, Parameter(name="*")]) -> int:
    """Write the model card of a model anew (README.md), with the results that there are of it."""
    from sprachbund.cards import CARD, details_of, records_of, write_card
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
