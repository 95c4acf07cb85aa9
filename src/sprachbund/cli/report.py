"""``sprachbund report``: the results of a folder as one HTML file."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Annotated

from cyclopts import Parameter

from sprachbund.cli.app import app
from sprachbund.cli.console import console, result, say
from sprachbund.cli.results import load_results, texts_of
from sprachbund.config import ReportConfig
from sprachbund.plan import check_file, size
from sprachbund.public import PLACE, public_place, public_zoo
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
        command=_command(config),
        texts=texts,
    )
    weight = path.stat().st_size
    result(
        lambda: {"file": path, "bytes": weight},
        lambda: console.print(f"{path} ({size(weight)})", soft_wrap=True, markup=False),
    )
    return 0


def _command(config: ReportConfig) -> str:
    """Return the line that makes the page again, without where things lie on this machine; filters take a part of a name."""
    places = {"--results-dir": config.results_dir, "--out": config.out}
    words = [
        "sprachbund",
        "report",
        *(word for flag, path in places.items() for word in (flag, public_place(str(path)))),
    ]
    for flag, value in (
        ("--data", config.data),
        ("--zoo", config.zoo and public_zoo(config.zoo).removeprefix(PLACE)),
        ("--split", config.split),
        ("--texts", config.texts and public_place(config.texts)),
    ):
        words += [flag, value] if value is not None else []
    return shlex.join([*words, *(["--demo"] if config.demo else [])])
