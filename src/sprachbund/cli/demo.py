"""``sprachbund demo``: the whole main job on embedded models and data, with one command and no download."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sprachbund import locales
from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console
from sprachbund.cli.experiment import run_experiment
from sprachbund.cli.results import load_results
from sprachbund.cli.transfer import print_correlation
from sprachbund.config import ExperimentConfig
from sprachbund.report import dumbbell, summarise, write_aggregate
from sprachbund.store import RunStore

__all__ = ["demo"]

PICTURE = "dumbbell.png"


@app.command
def demo(
    *,
    output_dir: Annotated[Path, Parameter(help="Where everything goes.")] = Path("sprachbund-demo"),
    overwrite: Annotated[bool, Parameter(help="Replace what other models or data have left there.")] = False,
) -> int:
    """Run 52 locales × baseline, similarity, average on embedded models and data, and report: no download.

    The models are made on first use (minutes on two cores) and kept; a second run starts at once. The data is Unicode CLDR:
    the figures show that the program works, not how languages help each other.
    """
    config = ExperimentConfig(demo=True, output_dir=output_dir, overwrite=overwrite)
    run_experiment(config)
    _print_transfer_on_dev(config)
    results_dir = output_dir / "results"
    results = load_results(results_dir, demo=True)
    summary = summarise(results)
    written = write_aggregate(
        results, summary, output_dir, when=datetime.now(), command=f"sprachbund aggregate --results-dir {results_dir}"
    )
    for path in (*written, dumbbell(summary, output_dir / PICTURE)):
        console.print(str(path), soft_wrap=True, markup=False)
    return 0


def _print_transfer_on_dev(config: ExperimentConfig) -> None:
    """Measure transfer on dev, where nothing that is reported is decided, and say how far it follows similarity."""
    from sprachbund.inputs import open_inputs
    from sprachbund.zero_shot import run_zero_shot

    everywhere = locales.names()
    with Reporter() as report:
        inputs = open_inputs(config, everywhere, report)
        store = RunStore(config.output_dir / "results")
        rows = run_zero_shot(
            store,
            inputs.zoo,
            inputs.data,
            "dev",
            everywhere,
            everywhere,
            jobs=config.jobs,
            report=report,
            overwrite=config.overwrite,
        )
    print_correlation(rows, "dev")
