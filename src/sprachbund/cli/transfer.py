"""``sprachbund transfer``: every source on every locale, cached source by source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sprachbund import locales
from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console, result, say
from sprachbund.config import InputsConfig, Precision, TransferConfig
from sprachbund.errors import CellsFailed
from sprachbund.report import Correlation, transfer_similarity_correlation
from sprachbund.store import RunStore, Transfer

if TYPE_CHECKING:
    from sprachbund.inputs import Needed, Targets

__all__ = ["evaluate_sources", "follows_similarity", "transfer"]


@app.command
def transfer(*, config: Annotated[TransferConfig, Parameter(name="*")] = TransferConfig()) -> int:
    """Evaluate every source, as it is, on every locale; an interrupted run goes on."""
    from sprachbund.plan import pool

    rows, failures = evaluate_sources(
        config,
        RunStore(config.results_dir),
        config.split,
        lambda held, without: pool(config, held, without),
        lambda held: locales.check(config.locales, held) or held,
        precision=config.precision,
        jobs=config.jobs,
        overwrite=config.overwrite,
        instead="--results-dir",
    )
    result(lambda: _values(rows, failures), lambda: _show(rows, config) if rows else None)
    if failures:
        raise CellsFailed("sources", len(rows) + len(failures), failures)
    return 0


def evaluate_sources(
    config: InputsConfig,
    store: RunStore,
    split: str,
    wanted_sources: Needed,
    targets: Targets,
    *,
    precision: Precision,
    jobs: int,
    overwrite: bool,
    instead: str = "--output-dir",
) -> tuple[Sequence[Transfer], dict[str, str]]:
    """Evaluate sources in targets, both chosen from what the data holds; return the rows, and why sources failed."""
    from sprachbund import inference
    from sprachbund.inputs import open_inputs
    from sprachbund.plan import check_writable
    from sprachbund.zero_shot import run_zero_shot

    inference.quieten()
    inference.check_precision(precision)
    check_writable(store.root)
    with Reporter() as report:
        # What the data lacks is said before anything is written.
        inputs = open_inputs(config, wanted_sources, report, targets=targets, split=split)
        say(inputs.data.notice)
        for note in inputs.notes:
            say(note)
        held = inputs.data.locales
        sources = wanted_sources(held, inputs.left_out)
        with store.exclusive(instead=instead):
            found = run_zero_shot(
                store,
                inputs.zoo,
                inputs.data,
                split,
                sources,
                targets(held),
                precision=precision,
                jobs=jobs,
                report=report,
                overwrite=overwrite,
            )
    return found.rows, dict(found.failures)


def follows_similarity(rows: Sequence[Transfer]) -> Correlation | None:
    """Return how far transfer follows the similarity that sources are chosen by."""
    from sprachbund import similarity

    return transfer_similarity_correlation(rows, similarity.load("uriel:syntax_knn"))


def _values(rows: Sequence[Transfer], failures: Mapping[str, str]) -> dict[str, object]:
    return {
        "mean": _mean(rows),
        "follows_similarity": follows_similarity(rows),
        "sources": rows,
        "failed_sources": failures,
    }


def _mean(rows: Sequence[Transfer]) -> float | None:
    """Return the mean accuracy of foreign sources; None where every source was evaluated in its own locale only."""
    foreign = [cell.accuracy for row in rows for target, cell in row.cells.items() if target != row.source]
    return sum(foreign) / len(foreign) if foreign else None


def _show(rows: Sequence[Transfer], config: TransferConfig) -> None:
    targets = {target for row in rows for target in row.cells}
    mean = _mean(rows)
    said = "" if mean is None else f"; mean zero-shot accuracy {mean:.4f}"
    console.print(f"{len(rows)} sources × {len(targets)} locales on {config.split}{said} ({rows[0].dataset})")
    if correlation := follows_similarity(rows):
        console.print(correlation.sentence(config.split))
    console.print(f"Results: {config.results_dir}/transfer/{config.split}/", soft_wrap=True)
