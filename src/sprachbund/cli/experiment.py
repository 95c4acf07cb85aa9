"""``sprachbund experiment``: all locales × variants (``run_large_scale_experiment.py``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from sprachbund import locales
from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console, say
from sprachbund.cli.results import load_results, print_table
from sprachbund.config import ExperimentConfig
from sprachbund.errors import CellsFailed
from sprachbund.store import Record

__all__ = ["experiment", "print_locales", "run_experiment", "warn_of_heads"]


@app.command
def experiment(
    *,
    list_locales: Annotated[bool, Parameter(help="List all locales with their indices, and stop.")] = False,
    config: Annotated[ExperimentConfig, Parameter(name="*")] = ExperimentConfig(),
) -> int:
    """Evaluate baseline, similarity merge and average merge for every locale.

    An interrupted run goes on with the same command: finished cells are not done again.
    """
    if list_locales:
        print_locales()
        return 0
    run_experiment(config)
    return 0


def run_experiment(config: ExperimentConfig) -> None:
    """Run an experiment and print its table.

    Raises:
        CellsFailed: the run went through, but some cells did not.
    """
    from sprachbund import inference
    from sprachbund.experiment import FINAL, needed_sources, prepare
    from sprachbund.inputs import open_inputs

    inference.quieten()
    everywhere = locales.names()
    with Reporter() as report:
        inputs = open_inputs(config, needed_sources(config, everywhere), report)
        say(inputs.data.notice)
        prepared = prepare(config, inputs, everywhere)
        for note in prepared.notes:
            say(note)
        outcome = prepared.run(report)
    if outcome.records:
        print_table(load_results(prepared.store.root, data=inputs.data.name, zoo=prepared.zoo, split=config.split))
    warn_of_heads(outcome.records.values())
    total, failed = len(prepared.cells), len(outcome.failures)
    console.print(
        f"{total - failed} of {total} results ({outcome.reused} of them from before), in {config.output_dir / FINAL}",
        soft_wrap=True,
    )
    if failed:
        reasons = "".join(f"\n  {f.locale} {f.variant}: {f.reason}" for f in outcome.failures)
        raise CellsFailed(f"{failed} of {total} experiments failed; the same command tries them again.{reasons}")


def warn_of_heads(records: Iterable[Record]) -> None:
    """Say how many merges averaged heads that do not fit together."""
    from sprachbund.heads import TOO_LOW

    agreements = [agreement for record in records if (agreement := record.model_info.head_agreement) is not None]
    strangers = [agreement for agreement in agreements if agreement < TOO_LOW]
    if strangers:
        say(
            f"warning: in {len(strangers)} of {len(agreements)} merges the classification heads do not fit together "
            f"(smallest cosine {min(strangers):.2f}): they were initialised independently, and averaging cancels them. "
            "Expect weak merges; sources trained with one head seed (sprachbund train) do not have this problem."
        )


def print_locales() -> None:
    """Print the locale table, numbered as ``--start-from`` counts."""
    table = Table(box=None, pad_edge=False)
    for column in ("", "locale", "language", "script", "family"):
        table.add_column(column, justify="right" if not column else "left")
    for index, row in enumerate(locales.LOCALES):
        table.add_row(str(index), row.name, row.language, row.script, row.family)
    console.print(table)
