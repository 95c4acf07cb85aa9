"""``sprachbund card``: the card of a model that was made here, with what a results folder says of this very model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sprachbund.cli.app import app
from sprachbund.cli.console import console, result
from sprachbund.config import CardConfig
from sprachbund.errors import StoreError, UserError

__all__ = ["card"]

DEFAULT_RESULTS = Path("results")


@app.command
def card(*, config: Annotated[CardConfig, Parameter(name="*")]) -> int:
    """Write the model card of a model anew (README.md), with the results that there are of it."""
    from sprachbund.cards import CARD, details_of, is_changed, records_of, write_card
    from sprachbund.plan import check_writable
    from sprachbund.store import RunStore

    details = details_of(config.model)
    check_writable(config.model)
    if config.results_dir and not config.results_dir.is_dir():
        raise UserError(f"There is no folder {config.results_dir}: name the one with the results (--results-dir).")
    path = config.model / CARD
    if is_changed(config.model) and not config.overwrite:
        raise StoreError(
            f"{path} is not as sprachbund wrote it, so that what somebody wrote there would be lost: move it away, or replace "
            "it with --overwrite."
        )
    results = config.results_dir or DEFAULT_RESULTS
    records = records_of(config.model, details, RunStore(results))
    text = write_card(config.model, details, records)
    number = "one result" if len(records) == 1 else f"{len(records)} results"
    found = f"with {number}" if records else f"without a result: {results} has none of it"

    result(
        lambda: {"card": path, "results": [record.identity for record in records], "text": text},
        lambda: console.print(f"Model card: {path}, {found}", soft_wrap=True, markup=False),
    )
    return 0
