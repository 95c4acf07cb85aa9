"""``sprachbund demo``: the whole main job on embedded models and data, with one command and no download."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sprachbund.cli.app import app
from sprachbund.cli.console import console, result
from sprachbund.cli.experiment import complain_of_failures, run_experiment
from sprachbund.cli.results import line_of, load_results
from sprachbund.cli.transfer import evaluate_sources, follows_similarity
from sprachbund.config import AggregateConfig, ExperimentConfig
from sprachbund.errors import CellsFailed
from sprachbund.recipe import SEED_VARIANTS
from sprachbund.report import analysis_of, dumbbell, print_results, summarise, summary_json, write_aggregate

__all__ = ["demo"]

PICTURE = "dumbbell.png"
VARIANTS = (*SEED_VARIANTS, "auto")


@app.command
def demo(
    *,
    locales: Annotated[tuple[str, ...], Parameter(help="Locales to run, for a quick look. Default: all 52.")] = (),
    output_dir: Annotated[Path, Parameter(help="Where everything goes.")] = Path("sprachbund-demo"),
    overwrite: Annotated[bool, Parameter(help="Replace what other models or data have left there.")] = False,
) -> int:
    """Run all locales × baseline, similarity, average, auto on embedded models and data, and report: no download.

    The models are made on first use (minutes on two cores) and kept; a second run starts at once. The data is Unicode CLDR:
    the figures show that the program works, not how languages help each other.
    """
    config = ExperimentConfig(demo=True, locales=locales, variants=VARIANTS, output_dir=output_dir, overwrite=overwrite)
    prepared, outcome = run_experiment(config)
    # On dev, where nothing that is reported is decided: does transfer follow similarity?
    rows, failures = evaluate_sources(
        config,
        prepared.store,
        "dev",
        lambda held, without: prepared.sources,
        lambda held: prepared.targets,
        precision=config.precision,
        jobs=config.jobs,
        overwrite=overwrite,
    )
    if not outcome.records:
        complain_of_failures(prepared, outcome)
    results_dir = prepared.store.root
    reported = AggregateConfig(results_dir=results_dir, demo=True, split=config.split, output_dir=output_dir)
    results = load_results(reported)
    summary = summarise(results)
    analysis = analysis_of(results_dir, results)
    now = datetime.now()
    command = line_of("aggregate", reported)
    written = [
        *write_aggregate(results, summary, output_dir, when=now, command=command, analysis=analysis),
        dumbbell(summary, output_dir / PICTURE),
    ]

    def show() -> None:
        print_results(console, summary, analysis)
        console.print(f"{outcome.reused} of {len(prepared.cells)} results are from before.")
        if correlation := follows_similarity(rows):
            console.print(correlation.sentence("dev"))
        for path in written:
            console.print(str(path), soft_wrap=True, markup=False)

    document = {"transfer_on_dev": follows_similarity(rows), "files": written}
    result(lambda: {**summary_json(summary, now, analysis), **document}, show)
    complain_of_failures(prepared, outcome)
    if failures:
        raise CellsFailed("sources", len(rows) + len(failures), failures)
    return 0
