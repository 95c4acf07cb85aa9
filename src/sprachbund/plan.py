"""The cells of an experiment, and whether they can run: asked before anything heavy begins.

A cell is one candidate, evaluated on one split of one locale. Its identity is known from its parts alone, so that a finished
cell is recognised without making its model.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sprachbund import locales
from sprachbund.config import ExperimentConfig
from sprachbund.errors import UserError
from sprachbund.recipe import Variant, variants

__all__ = ["Cell", "check_disk", "chosen_locales", "chosen_variants"]

SPARE = 1.1
"""Disk that must be free, as a multiple of what is known to be written."""


@dataclass(frozen=True)
class Cell:
    """One experiment: what to make, where to evaluate it, where the record goes."""

    variant: Variant
    target: str
    candidate: Mapping[str, Any]
    identity: str
    results_folder: Path
    model_folder: Path | None
    """Where the merged model goes; None for a single source, which stays where it is."""


def chosen_locales(config: ExperimentConfig, available: Sequence[str]) -> tuple[str, ...]:
    """Return the locales to run: ``--locales``, then ``--start-from``, then ``--max-locales``."""
    wanted = locales.check(config.locales) if config.locales else tuple(available)
    if config.start_from >= len(wanted):
        raise UserError(
            f"--start-from {config.start_from}: there are {len(wanted)} locales, numbered 0 to {len(wanted) - 1}."
        )
    rest = wanted[config.start_from :]
    return rest[: config.max_locales]


def chosen_variants(config: ExperimentConfig) -> tuple[Variant, ...]:
    """Return the variants to run: ``--variants`` without those that are skipped."""
    skipped = {
        name
        for name, skip in (
            ("baseline", config.skip_baseline),
            ("similarity", config.skip_similarity),
            ("average", config.skip_average),
        )
        if skip
    }
    chosen = tuple(variant for variant in variants(config.variants) if variant.name not in skipped)
    if not chosen:
        raise UserError("Every variant is skipped: leave out one of the --skip flags.")
    return chosen


def check_disk(folder: Path, cells: Sequence[Cell], bytes_per_model: int, *, keep: bool) -> int:
    """Return the bytes that merged models will take; complain if they are not free.

    Raises:
        UserError: too little is free; names ``--keep-models none`` where that would do.
    """
    missing = [cell for cell in cells if cell.model_folder is not None and not cell.model_folder.exists()]
    models = len(missing) if keep else min(1, len(missing))
    needed = models * bytes_per_model
    existing = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if needed * SPARE > free:
        advice = "keep none of them (--keep-models none), or choose" if keep else "choose"
        raise UserError(
            f"{models} merged models need {_gigabytes(needed)}, {existing} has {_gigabytes(free)} free: "
            f"{advice} another --output-dir."
        )
    return needed


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
