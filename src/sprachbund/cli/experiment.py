"""``sprachbund experiment`` and ``plan``: all locales × variants (``run_large_scale_experiment.py``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table

from sprachbund import locales
from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console, detail, duration, result, say
from sprachbund.cli.results import load_results
from sprachbund.cli.simulated import print_scale, scale_document
from sprachbund.config import ExperimentConfig, ResultsConfig, SimulationConfig
from sprachbund.errors import CellsFailed, UserError
from sprachbund.plan import size
from sprachbund.report import analysis_of, print_results, summarise
from sprachbund.store import Record

if TYPE_CHECKING:
    from sprachbund.estimate import Estimate
    from sprachbund.experiment import Experiment, Outcome

__all__ = ["complain_of_failures", "experiment", "plan", "print_locales", "run_experiment", "show_experiment"]


@app.command
def experiment(
    *,
    list_locales: Annotated[bool, Parameter(help="List all locales with their indices, and stop.")] = False,
    dry_run: Annotated[bool, Parameter(help="Say what would be done and what it takes, and stop.")] = False,
    config: Annotated[ExperimentConfig, Parameter(name="*")] = ExperimentConfig(),
) -> int:
    """Evaluate baseline, similarity merge and average merge for every locale.

    An interrupted run goes on with the same command: finished cells are not done again.
    """
    if list_locales:
        result(lambda: [asdict(place) for place in locales.LOCALES], print_locales)
    elif dry_run:
        return plan(config=config)
    else:
        prepared, outcome = run_experiment(config)
        show_experiment(prepared, outcome)
        complain_of_failures(prepared, outcome)
    return 0


@app.command
def plan(
    *,
    simulate: Annotated[bool, Parameter(help="Say how it would go on 1, 8, 64 workers, and what binds there.")] = False,
    simulation: Annotated[SimulationConfig, Parameter(name="*")] = SimulationConfig(),
    config: Annotated[ExperimentConfig, Parameter(name="*")] = ExperimentConfig(),
) -> int:
    """Say what an experiment would do and what it takes: cells, sources, bytes, memory, time. Nothing is written.

    A similarity that has to be measured is, and a greedy soup is found, since the plan depends on them; both are kept in the
    cache folder.
    """
    from sprachbund.commands import NOT_MADE, plan_experiment, simulate_experiment

    idle = [name for name, value in simulation if value]
    if idle and not simulate:
        raise UserError(f"--{idle[0]} has no effect without --simulate: leave it out.")
    with Reporter() as report:
        found = None if simulate else plan_experiment(config, report, say)
        simulated = simulate_experiment(config, simulation, report, say) if simulate else None
    if simulated is not None:
        result(lambda: scale_document(simulated), lambda: print_scale(simulated))
    elif found is not None:
        result(lambda: {**asdict(found), "total_seconds": found.total_seconds}, lambda: _print_estimate(found))
    else:
        result(lambda: {"embedded_models": "not made yet"}, lambda: console.print(NOT_MADE))
    return 0


def run_experiment(config: ExperimentConfig) -> tuple[Experiment, Outcome]:
    """Run an experiment; what failed is in the outcome."""
    from sprachbund import commands

    with Reporter() as report:
        return commands.run_experiment(config, report, say, detail, report.expect)


def show_experiment(prepared: Experiment, outcome: Outcome) -> None:
    """Give the result of a run: the final table for people, the final file for programs."""
    from sprachbund.experiment import FINAL

    warn_of_heads(outcome.records.values())
    result(lambda: prepared.final(outcome), lambda: _print_outcome(prepared, outcome, FINAL))


def complain_of_failures(prepared: Experiment, outcome: Outcome) -> None:
    """End with status 1 where a run went through, but some cells did not.

    Raises:
        CellsFailed: lists them.
    """
    if outcome.reasons:
        zero_shot = len(prepared.sources) if prepared.config.wants_zero_shot else 0
        raise CellsFailed("experiments", len(prepared.cells) + zero_shot, outcome.reasons)


def _print_outcome(prepared: Experiment, outcome: Outcome, name: str) -> None:
    config = prepared.config
    if outcome.records:
        wanted = ResultsConfig(
            results_dir=prepared.store.root, data=prepared.inputs.data.name, zoo=prepared.zoo, split=config.split
        )
        results = load_results(wanted)
        analysis = analysis_of(prepared.store.root, results, macro_f1_resamples=0)  # of which the table shows nothing
        print_results(console, summarise(results), analysis, by_gain=config.sort == "gain")
    total, failed = len(prepared.cells), len(outcome.failures)
    console.print(
        f"{total - failed} of {total} results ({outcome.reused} of them from before), in {config.output_dir / name}",
        soft_wrap=True,
    )


def warn_of_heads(records: Iterable[Record]) -> None:
    """Say how many merges averaged heads that do not fit together."""
    from sprachbund.heads import AVERAGE, TOO_LOW

    made = (record.model_info for record in records)
    averaged = (model for model in made if (model.recipe or {}).get("head_policy", AVERAGE) == AVERAGE)
    agreements = [model.head_agreement for model in averaged if model.head_agreement is not None]
    strangers = [agreement for agreement in agreements if agreement < TOO_LOW]
    if strangers:
        say(
            f"warning: in {len(strangers)} of {len(agreements)} merges the classification heads do not fit together "
            f"(smallest cosine {min(strangers):.2f}): they were initialised independently, and averaging cancels them. "
            "Expect weak merges, or keep all heads (--head-policy wide; refit makes an ordinary head of them); sources "
            "trained with one head seed (sprachbund train) do not have this problem."
        )


def print_locales() -> None:
    """Print the locale table, numbered as ``--start-from`` counts."""
    table = Table(box=None, pad_edge=False)
    for column in ("", "locale", "language", "script", "family"):
        table.add_column(column, justify="right" if not column else "left")
    for index, row in enumerate(locales.LOCALES):
        table.add_row(str(index), row.name, row.language, row.script, row.family)
    console.print(table)


def _print_estimate(found: Estimate) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column()
    for name, value in _lines(found):
        table.add_row(name, value)
    console.print(table)


def _lines(found: Estimate) -> list[tuple[str, str]]:
    missing = found.cells - found.finished
    lines = [
        ("cells", f"{missing} of {found.cells} to do{_bracketed(found.by_variant) if missing else ''}"),
        ("sources", f"{found.sources}, {size(found.source_bytes)}"),
        (
            "to read",
            f"{size(found.bytes_read)}: sources once to know them, and in {_passes(found.passes)} to merge them",
        ),
        ("to write", f"{size(found.bytes_written)} of merged models; {size(found.bytes_free)} free"),
    ]
    if found.zero_shot:
        lines.insert(1, ("zero-shot", f"{found.zero_shot} evaluations of a source in a locale to do"))
    if found.similarity:
        lines.insert(0, ("similarity", f"{found.similarity}; has seen: {', '.join(found.similarity_uses)}"))
    if found.rates is None:
        return [*lines, ("time", "nothing is left to do")]
    rates = found.rates
    return [
        *lines,
        ("memory", f"about {size(found.memory)}"),
        ("time", f"about {duration(found.total_seconds)}{_bracketed(_durations(found.seconds))}"),
        (
            "measured",
            f"{rates.texts:.0f} texts/s, {rates.load:.2f} s to load a model, {size(rates.merge)}/s of sources merged",
        ),
    ]


def _passes(count: int) -> str:
    return "1 pass" if count == 1 else f"{count} passes"


def _durations(seconds: Mapping[str, float]) -> dict[str, str]:
    return {stage: duration(time) for stage, time in seconds.items()}


def _bracketed(parts: Mapping[str, object]) -> str:
    return f" ({', '.join(f'{name} {value}' for name, value in parts.items())})" if len(parts) > 1 else ""
