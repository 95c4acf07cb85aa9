"""Merge fine-tuned checkpoints, one per language, into the best single checkpoint for the language you need.

    made = sprachbund.merge(["models/de-DE", "models/fr-FR"], "merged")     any checkpoints, by any method
    made = sprachbund.merge_for("sq-AL", models="models/{locale}")          chosen and weighted for a target
    record = sprachbund.evaluate(made.folder, "table:texts.csv", "sq-AL")   accuracy, macro-F1, predictions
    results = sprachbund.Experiment(models="models/{locale}", data="table:texts.csv").run()
    results = sprachbund.load_results("results")                            what a run left, as tables

They are in :mod:`sprachbund.api`, which is imported when one of them is asked for: to import the package costs nothing.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sprachbund.api import Experiment, evaluate, load_results, merge, merge_for

__all__ = ["Experiment", "__version__", "evaluate", "load_results", "merge", "merge_for"]

try:
    __version__ = version("sprachbund")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    """Return what the package shows, imported now."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sprachbund import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
