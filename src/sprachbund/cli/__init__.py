"""The command line; importing this package registers every command."""

from sprachbund.cli import (
    adapt,
    aggregate,
    check,
    compare,
    demo,
    evaluate,
    experiment,
    list_methods,
    merge,
    plot,
    report,
    show_data,
    similarity,
    train,
    transfer,
    watch,
)
from sprachbund.cli.app import app, main, run
from sprachbund.cli.scripts import script

__all__ = [
    "adapt",
    "aggregate",
    "app",
    "check",
    "compare",
    "demo",
    "evaluate",
    "experiment",
    "list_methods",
    "main",
    "merge",
    "plot",
    "report",
    "run",
    "script",
    "show_data",
    "similarity",
    "train",
    "transfer",
    "watch",
]
