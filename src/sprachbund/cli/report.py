"""``sprachbund report``: the results of a folder as one HTML file."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from cyclopts import Parameter

from sprachbund.cli.app import app
from sprachbund.cli.console import console, result, say
from sprachbund.cli.results import line_of, load_results, texts_of
from sprachbund.config import ReportConfig
from sprachbund.plan import check_file, size
from sprachbund.report import read_and_analyse, summarise, write_html

__all__ = ["report"]


@app.command
def report(*, config: Annotated[ReportConfig, Parameter(name="*")] = ReportConfig()) -> int:
    """Write all results as one page with tables, pictures and examples, which opens from disk."""
    check_file(config.out, overwrite=True)
    results = load_results(config)
    texts = texts_of(results, config.texts)
    say(f"Computing intervals of {len(results.records)} results, then drawing.")
    answers, analysis = read_and_analyse(config.results_dir, results)
    path = write_html(
        config.out,
        results,
        summarise(results),
        answers,
        analysis,
        when=datetime.now(),
        command=line_of("report", config),
        texts=texts,
    )
    weight = path.stat().st_size
    result(
        lambda: {"file": path, "bytes": weight},
        lambda: console.print(f"{path} ({size(weight)})", soft_wrap=True, markup=False),
    )
    return 0
