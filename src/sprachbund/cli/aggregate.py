"""``sprachbund aggregate``: all results of a folder as tables, summary and report (``aggregate_results.py``)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from cyclopts import Parameter

from sprachbund.cli.app import app
from sprachbund.cli.console import console
from sprachbund.cli.results import load_results
from sprachbund.config import AggregateConfig
from sprachbund.report import print_missing, print_results, summarise, write_aggregate

__all__ = ["aggregate"]


@app.command
def aggregate(*, config: Annotated[AggregateConfig, Parameter(name="*")] = AggregateConfig()) -> int:
    """Compare all results of a folder and write them as CSV, JSON and Markdown."""
    results = load_results(config.results_dir, data=config.data, zoo=config.zoo, split=config.split, demo=config.demo)
    summary = summarise(results)
    print_results(console, summary)
    if config.show_missing:
        console.print()
        print_missing(console, summary)
    console.print()
    command = f"sprachbund aggregate --results-dir {config.results_dir}"
    for path in write_aggregate(
        results, summary, config.output_dir, (config.format,), when=datetime.now(), command=command
    ):
        console.print(str(path), soft_wrap=True, markup=False)
    return 0
