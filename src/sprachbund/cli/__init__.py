"""The command line; importing this package registers every command."""

from sprachbund.cli import (
    adapt,
    aggregate,
    card,
    check,
    demo,
    evaluate,
    experiment,
    export,
    list_methods,
    merge,
    plot,
    predict,
    push,
    show_data,
    similarity,
    train,
    transfer,
)
from sprachbund.cli.app import app, main, run
from sprachbund.cli.scripts import script

__all__ = [
    "adapt",
    "aggregate",
    "app",
    "card",
    "check",
    "demo",
    "evaluate",
    "experiment",
    "export",
    "list_methods",
    "main",
    "merge",
    "plot",
    "predict",
    "push",
    "run",
    "script",
    "show_data",
    "similarity",
    "train",
    "transfer",
]
