"""``sprachbund aggregate``: all results of a folder as tables, summary and report (``aggregate_results.py``)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from cyclopts import Parameter

from sprachbund.cli.app import app
from sprachbund.cli.console import console, result
from sprachbund.cli.results import line_of, load_results, texts_of
from sprachbund.config import AggregateConfig
from sprachbund.errors import UserError
from sprachbund.plan import check_writable
from sprachbund.report import (
    print_missing,
    print_results,
    read_and_analyse,
    summarise,
    summary_json,
    write_aggregate,
)

__all__ = ["aggregate"]


@app.command
def aggregate(*, config: Annotated[AggregateConfig, Parameter(name="*")] = AggregateConfig()) -> int:
    """Compare all results of a folder and write them as CSV, JSON, Markdown, Parquet, LaTeX or HTML."""
    if config.long and config.format == "html":
        raise UserError(
            "--long is about tables, and --format html writes a page: name another format, or leave out --long."
        )
    check_writable(config.output_dir)
    results = load_results(config)
    summary = summarise(results)
    answers, analysis = read_and_analyse(config.results_dir, results)
    now = datetime.now()
    as_page, by_gain = config.format == "html", config.sort == "gain"
    written = write_aggregate(
        results,
        summary,
        config.output_dir,
        (config.format,),
        when=now,
        command=line_of("aggregate", config),
        long=config.long,
        by_gain=by_gain,
        analysis=analysis,
        answers=answers,
        texts=texts_of(results, None) if as_page else None,
    )

    def show() -> None:
        print_results(console, summary, analysis, by_gain=by_gain)
        if config.show_missing:
            console.print()
            print_missing(console, summary)
        console.print()
        for path in written:
            console.print(str(path), soft_wrap=True, markup=False)

    result(lambda: {**summary_json(summary, now, analysis), "files": written}, show)
    return 0
