"""Where the cells of an experiment are worked on: processes of this machine, or tasks of Ray.

A cell is an idempotent function of its recipe, and done when its record exists. So an executor has nothing to remember:
whatever was lost on the way is a cell without a record, which the same command does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sprachbund.config import ExperimentConfig
from sprachbund.executors.local import for_asking, for_working
from sprachbund.parallel import Executor

__all__ = ["Executors", "executors_of", "stands_anywhere"]


@dataclass(frozen=True)
class Executors:
    """Who does the work of an experiment."""

    working: Executor
    """On cells: merges in memory, and what adaptations train."""
    asking: Executor
    """Asks sources, one by one: zero-shot, and about unlabelled texts."""


@contextmanager
def executors_of(config: ExperimentConfig, bytes_per_model: int) -> Iterator[Executors]:
    """Give those that the settings name; ``bytes_per_model`` is what one of the models takes.

    Raises:
        UserError: they are not to be had.
    """
    if config.executor == "ray":
        from sprachbund.executors.on_ray import on_ray  # an extra

        where = None if stands_anywhere(config) else os.getcwd()
        with on_ray(config.ray_address, config.threads, config.jobs, where) as executor:
            yield Executors(executor, executor)
    else:
        yield Executors(for_working(config.jobs, bytes_per_model), for_asking(config.jobs))


def stands_anywhere(config: ExperimentConfig) -> bool:
    """Return whether all paths that work needs are absolute, so that it may be done in any current folder.

    What may be a relative path or a name on the hub counts as a path, and so do the rows of a file of models.
    """
    template = config.models is None or ("{locale}" in config.models and Path(config.models).is_absolute())
    _, named, data = (config.data or "").rpartition(":")
    others: list[str | Path] = [config.output_dir, *([config.base] if config.base else []), *([data] if named else [])]
    return template and all(Path(path).is_absolute() for path in others)
