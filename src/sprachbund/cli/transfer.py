"""``sprachbund transfer``: every source on every locale, cached source by source."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from sprachbund import locales
from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console, say
from sprachbund.config import TransferConfig
from sprachbund.store import RunStore, Transfer

__all__ = ["print_correlation", "transfer"]


@app.command
def transfer(*, config: Annotated[TransferConfig, Parameter(name="*")] = TransferConfig()) -> int:
    """Evaluate every source, as it is, on every locale; an interrupted run goes on."""
    from sprachbund import inference
    from sprachbund.inputs import open_inputs
    from sprachbund.zero_shot import run_zero_shot

    inference.quieten()
    everywhere = locales.names()
    targets = locales.check(config.locales) or everywhere
    with Reporter() as report:
        inputs = open_inputs(config, everywhere, report)
        say(inputs.data.notice)
        rows = run_zero_shot(
            RunStore(config.results_dir),
            inputs.zoo,
            inputs.data,
            config.split,
            everywhere,
            targets,
            jobs=config.jobs,
            report=report,
            overwrite=config.overwrite,
        )
    foreign = [row.cells[target].accuracy for row in rows for target in targets if target != row.source]
    console.print(
        f"{len(rows)} sources × {len(targets)} locales on {config.split}; "
        f"mean zero-shot accuracy {sum(foreign) / len(foreign):.4f} ({inputs.data.name})"
    )
    print_correlation(rows, config.split)
    console.print(f"Results: {config.results_dir}/transfer/{config.split}/", soft_wrap=True)
    return 0


def print_correlation(rows: list[Transfer], split: str) -> None:
    """Print how far transfer follows similarity."""
    from sprachbund import similarity
    from sprachbund.report import transfer_similarity_correlation

    matrix = similarity.load("uriel:syntax_knn")
    correlation = transfer_similarity_correlation(rows, matrix)
    if correlation:
        console.print(
            f"Transfer on {split} follows {matrix.name} with rank correlation {correlation.rho:.2f} "
            f"(Spearman, {correlation.pairs} pairs)"
        )
