"""``sprachbund plot``: the picture of a results folder, a dumbbell per locale."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from sprachbund.cli.app import app
from sprachbund.cli.console import console, result
from sprachbund.cli.results import load_results
from sprachbund.config import PlotConfig
from sprachbund.plan import check_file
from sprachbund.report import check_format, dumbbell, summarise

__all__ = ["plot"]


@app.command
def plot(*, config: Annotated[PlotConfig, Parameter(name="*")] = PlotConfig()) -> int:
    """Draw baseline, similarity, average, mean and best zero-shot accuracy of every locale."""
    check_format(config.out)
    check_file(config.out, overwrite=True)
    path = dumbbell(summarise(load_results(config)), config.out)
    result(lambda: {"file": path}, lambda: console.print(str(path), soft_wrap=True, markup=False))
    return 0
