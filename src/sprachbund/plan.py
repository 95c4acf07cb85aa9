"""The cells of an experiment, and whether they can run: asked before anything heavy begins.

A cell is one candidate, evaluated on one split of one locale. Its identity is known from its parts alone, so that a finished
cell is recognised without making its model.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from sprachbund import locales
from sprachbund.checkpoints import Zoo
from sprachbund.config import ExperimentConfig, ModelsConfig, PoolConfig
from sprachbund.errors import MixError, StoreError, UserError
from sprachbund.recipe import Variant, variants

__all__ = [
    "Cell",
    "check_disk",
    "check_file",
    "check_room",
    "check_writable",
    "chosen_locales",
    "chosen_variants",
    "existing_parent",
    "groups",
    "memory_for_merges",
    "pool",
    "size",
    "with_pool",
]

Pooled = TypeVar("Pooled", bound=PoolConfig)

TURNS = 3
"""Groups that each of several workers gets at least, if there are so many targets."""
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


def pool(config: PoolConfig, held: Sequence[str] = (), without: Collection[str] = ()) -> tuple[str, ...]:
    """Return the locales whose sources take part: ``--sources``, else those that the file of ``--models`` names, else all.

    All are the 52 or, where the data holds (``held``) locales that are not of the 52, those that it holds. Sources that are
    left out (``without``, see ``--allow-missing``) are not in it.
    """
    everybody = locales.check(config.sources, held) or _named_in_a_file(config)
    if not everybody:
        everybody = tuple(held) if set(held) - set(locales.names()) else locales.names()
    return tuple(source for source in everybody if source not in without)


def _named_in_a_file(config: PoolConfig) -> tuple[str, ...]:
    models = config.models if isinstance(config, ModelsConfig) else None
    return (models and Zoo.parse(models).locales) or ()


def with_pool(config: Pooled, held: Sequence[str] = (), without: Collection[str] = ()) -> Pooled:
    """Return the settings with the :func:`pool` written out as ``--sources``, where it is not simply all 52.

    All that chooses sources then chooses as if users had named these.

    Raises:
        MixError: nobody is left in it.
    """
    settled = pool(config, held, without)
    if not settled:
        everybody = len(pool(config, held))
        raise MixError(f"No source is left: {everybody} of {everybody} are missing; mend or add some.")
    return config if settled == locales.names() else config.model_copy(update={"sources": settled})


def chosen_locales(config: ExperimentConfig, held: Sequence[str]) -> tuple[str, ...]:
    """Return the locales to run: ``--locales`` (by default all that the data holds), ``--start-from``, ``--max-locales``."""
    wanted = locales.check(config.locales, held) or tuple(held)
    if config.start_from >= len(wanted):
        raise UserError(f"--start-from {config.start_from}: the locales to run are numbered 0 to {len(wanted) - 1}.")
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


def groups(
    targets: Sequence[str], bytes_of: Mapping[str, int], memory: float, workers: int = 1
) -> tuple[tuple[str, ...], ...]:
    """Return the targets in groups whose merges are made in one pass: as large as ``memory`` (bytes) allows, in their order.

    ``bytes_of`` says what the merges of each target take. One that takes more than there is stands alone. One of several
    workers holds the merges of a group in its share of the memory, and gets :data:`TURNS` groups or more, so that all of them
    are done at about the same time.
    """
    at_most = max(1, len(targets) // (TURNS * workers)) if workers > 1 else len(targets)
    found: list[list[str]] = []
    left = 0.0
    for target in targets:
        if not found or len(found[-1]) == at_most or bytes_of[target] > max(left, 0):
            found.append([])
            left = memory / workers
        found[-1].append(target)
        left -= bytes_of[target]
    return tuple(map(tuple, found))


def memory_for_merges(config: ExperimentConfig) -> float:
    """Return the bytes that merged models may take in memory: ``--memory``, by default half of what is free."""
    return config.memory * 1e9 if config.memory else psutil.virtual_memory().available / 2


def check_disk(folder: Path, open_cells: Sequence[Cell], bytes_per_model: int, *, keep: bool) -> None:
    """Complain if the merged models of the cells that are still to be done find no room.

    Raises:
        UserError: too little is free; names ``--keep-models none`` where that would do.
    """
    merges = [cell.model_folder for cell in open_cells if cell.model_folder is not None]
    new = [model for model in merges if not model.exists()]
    # A model that is replaced stands beside its successor for a moment.
    models = max(len(new), min(1, len(merges))) if keep else min(1, len(merges))
    needed = models * bytes_per_model
    what = f"{models} merged models need" if models > 1 else "A merged model needs"
    check_room(folder, needed, what, "keep none of them (--keep-models none)" if keep and models > 1 else "make room")


def check_room(folder: Path, needed: float, what: str, advice: str, *, instead: str = "--output-dir") -> None:
    """Complain if so many bytes are not free where a folder is, or will be."""
    existing = existing_parent(folder)
    free = shutil.disk_usage(existing).free
    if needed * SPARE > free:
        raise UserError(
            f"{what} {size(needed)}, but {existing} has {size(free)} free: {advice}, or choose another {instead}."
        )


def check_writable(*folders: Path) -> None:
    """Complain if nothing can be written to one of these folders or, where it is not there yet, to what will hold it.

    Asked by doing it: permissions alone do not tell of disks that are read-only.
    """
    for folder in folders:
        existing = existing_parent(folder)
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            raise UserError(
                f"Nothing can be written to {folder} ({error.strerror}: {existing}): "
                "name another folder, or get the right to write there."
            ) from error


def check_file(path: Path, flag: str = "--out", *, overwrite: bool) -> None:
    """Complain, before any work, if a file cannot be written to a path that ``flag`` has named, or must not be.

    Without ``overwrite`` a file that is there stays: the caller's flag of that name is what the sentence points to.

    Raises:
        UserError: a folder or a device is there, or nothing can be written to its folder.
        StoreError: a file is there, and ``overwrite`` is off.
    """
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no ordinary file"
        raise UserError(f"{flag} {path} is {what}: name a file.")
    if path.exists() and not overwrite:
        raise StoreError(f"{flag} {path} is there already: name another file, or replace it with --overwrite.")
    check_writable(path.parent)


def existing_parent(folder: Path) -> Path:
    """Return the folder itself or, as long as it is not there, the nearest one above it that is."""
    return next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())


def size(count: float) -> str:
    """Write a number of bytes for people."""
    unit, bytes_ = next(((unit, one) for unit, one in (("GB", 1e9), ("MB", 1e6)) if count >= one), ("kB", 1e3))
    return f"{count / bytes_:.1f} {unit}"
