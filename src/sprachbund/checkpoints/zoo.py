"""Where sources come from: a template with ``{locale}``, so that one line names 52 checkpoints.

    haryoaw/xlm-roberta-base_massive_k_{locale}:alpha_0.5_{locale}_epoch-9    the published ones (repository:subfolder)
    my-models/xlmr-{locale}                                                   local folders

Only local folders can be read so far; :func:`locate` is the place where the hub will be asked.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sprachbund import locales
from sprachbund.checkpoints.checkpoint import CONFIG, Checkpoint, open_checkpoint
from sprachbund.errors import CheckpointError, UserError, nearest
from sprachbund.uses import check_uses

__all__ = [
    "PUBLISHED",
    "ZOO_CARD",
    "Zoo",
    "locate",
    "source_locale",
    "split_subfolder",
    "sub_checkpoints",
    "zoo_name",
    "zoo_uses",
]

PUBLISHED = "haryoaw/xlm-roberta-base_massive_k_{locale}:alpha_0.5_{locale}_epoch-9"
"""The sources of the original experiment."""
ZOO_CARD = "zoo.json"
"""Stands at the root of a zoo that has a name of its own."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Zoo:
    """A family of sources, one per locale."""

    template: str

    def __post_init__(self) -> None:
        if "{locale}" not in self.template:
            raise UserError(
                f"--models {self.template!r} has no {{locale}} in it: write it where the locale stands in the names."
            )

    def checkpoint(self, locale: str) -> Checkpoint:
        """Return the source of a locale."""
        return locate(*split_subfolder(self.template.replace("{locale}", locale)))

    def missing(self, locales: Iterable[str]) -> dict[str, str]:
        """Return the locales without a source, each with the reason."""
        reasons = {}
        for locale in locales:
            try:
                self.checkpoint(locale)
            except CheckpointError as error:
                reasons[locale] = str(error)
        return reasons


def split_subfolder(spec: str) -> tuple[str, str]:
    """Split ``repository:subfolder``; a folder that exists under the whole name wins."""
    if Path(spec).is_dir() or ":" not in spec:
        return spec, ""
    model, _, subfolder = spec.rpartition(":")
    return model, subfolder


def locate(model: str, subfolder: str = "") -> Checkpoint:
    """Return the checkpoint that a name stands for: a local folder, or (not yet) a hub repository.

    Raises:
        CheckpointError: there is none; says what was looked for.
    """
    root = Path(model).expanduser()
    name = f"{model}:{subfolder}" if subfolder else model
    if not root.exists() and _HUB_ID.fullmatch(model):
        raise CheckpointError(
            f"{name} is not a folder on this machine, and checkpoints cannot be fetched from the hub yet: check the name."
        )
    if not root.is_dir():
        raise CheckpointError(f"There is no folder {root}: check the name.")
    if subfolder and not (root / subfolder).is_dir():
        there = [path.name for path in sub_checkpoints(root)]
        hint = nearest(subfolder, there) if there else "none of its subfolders holds a model, check the name."
        raise CheckpointError(f"{root} has no subfolder {subfolder}: {hint}")
    return open_checkpoint(root / subfolder, name)


def sub_checkpoints(root: Path) -> list[Path]:
    """Return the folders directly under ``root`` that hold a checkpoint, sorted by name."""
    return sorted(path.parent for path in root.glob(f"*/{CONFIG}"))


def zoo_name(checkpoint: Checkpoint, locale: str) -> str:
    """Return the name of the zoo that a source belongs to: what its root says, else its path with ``{locale}`` in it.

    Links are not followed: 52 links into a cache of snapshots are one zoo, their targets look like 52.
    """
    card = _card(checkpoint)
    return str(card["name"]) if card else os.path.abspath(checkpoint.folder).replace(locale, "{locale}")


def zoo_uses(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return what every source of a zoo has seen of every locale, through the base that they share.

    Raises:
        UnknownName: the zoo's card says it in a word that there is not.
    """
    return tuple(_card(checkpoint).get("uses", ()))


def source_locale(checkpoint: Checkpoint) -> str | None:
    """Return the locale whose name stands in a checkpoint's path; None if there is none or more than one."""
    parts = checkpoint.folder.absolute().parts[-2:]
    named = {locale for locale in locales.names() if any(locale in part for part in parts)}
    return named.pop() if len(named) == 1 else None


def _card(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the card at the root of a checkpoint's zoo, empty if it has none."""
    for parent in list(checkpoint.folder.absolute().parents)[:2]:
        path = parent / ZOO_CARD
        if path.is_file():
            return _read_card(path)
    return {}


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        return {"name": str(card["name"]), "uses": check_uses(map(str, card.get("uses", ())), str(path))}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} does not name its zoo (JSON with a name, and what its sources have seen): mend it or remove it."
        ) from error
