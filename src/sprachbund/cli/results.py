"""What several commands do with a results folder: load the family they are about, print it."""

from __future__ import annotations

from pathlib import Path

from sprachbund.cli.console import console
from sprachbund.report import Results, load, print_results, summarise

__all__ = ["EMBEDDED_ZOO", "load_results", "print_table"]

EMBEDDED_ZOO = "embedded-"
"""How the names of all embedded zoos begin."""


def load_results(
    results_dir: Path,
    *,
    data: str | None = None,
    zoo: str | None = None,
    split: str | None = None,
    demo: bool = False,
) -> Results:
    """Return the results of one setup; ``demo`` stands for the embedded models."""
    return load(results_dir, data=data, zoo=zoo or (EMBEDDED_ZOO if demo else None), split=split)


def print_table(results: Results) -> None:
    """Print the final table."""
    print_results(console, summarise(results))
