"""Where sources come from: a template with ``{locale}``, so that one line names 52 checkpoints, or a file with a row for each.

    haryoaw/xlm-roberta-base_massive_k_{locale}:alpha_0.5_{locale}_epoch-9    the published ones (repository:subfolder)
    my-models/xlmr-{locale}                                                   local folders

Only local folders can be read so far; :func:`locate` is the place where the hub will be asked.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sprachbund import locales
from sprachbund.checkpoints.checkpoint import ADAPTER_CONFIG, CONFIG, Checkpoint, open_checkpoint
from sprachbund.checkpoints.zoo_file import ENDINGS, read_zoo_file
from sprachbund.errors import CheckpointError, UserError, nearest

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
    """With ``{locale}`` in it; of a zoo that a file names, the path of the file."""
    rows: Mapping[str, str] | None = None
    """The name of each locale's source, where a file has them."""

    def __post_init__(self) -> None:
        if self.rows is None and "{locale}" not in self.template:
            raise UserError(
                f"--models {self.template!r} has no {{locale}} in it: write it where the locale stands in the names, "
                f"or name a file with a row per locale ({', '.join(ENDINGS)})."
            )

    @classmethod
    def parse(cls, text: str) -> Zoo:
        """Return the zoo that users mean by a template, or by a file.

        Raises:
            UserError: it is neither, or the file names no zoo.
        """
        path = Path(text).expanduser()
        is_file = "{locale}" not in text and path.suffix.lower() in ENDINGS
        return cls(text, read_zoo_file(path)) if is_file else cls(text)

    @property
    def locales(self) -> tuple[str, ...] | None:
        """The locales that have a source, in the order of the file; None for a template, which says nothing of that."""
        return None if self.rows is None else tuple(self.rows)

    def source(self, locale: str) -> str:
        """Return the name of a locale's source; a folder that stands beside the file is named from here.

        Raises:
            CheckpointError: the file has no row for it.
        """
        if self.rows is None:
            return self.template.replace("{locale}", locale)
        if locale not in self.rows:
            raise CheckpointError(f"{self.template} has no row for {locale}: add one.")
        named, beside = self.rows[locale], Path(self.template).expanduser().parent
        model, _ = (named, "") if (beside / named).is_dir() else split_subfolder(named)
        relative = named.startswith(".") or (beside / model).is_dir()
        return str(beside / named) if relative else named

    def checkpoint(self, locale: str) -> Checkpoint:
        """Return the source of a locale."""
        checkpoint = locate(*split_subfolder(self.source(locale)))
        return checkpoint if self.rows is None else replace(checkpoint, zoo=self.template)

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
    return sorted({path.parent for name in (CONFIG, ADAPTER_CONFIG) for path in root.glob(f"*/{name}")})


def zoo_name(checkpoint: Checkpoint, locale: str) -> str:
    """Return the name of the zoo that a source belongs to: what its root says, else its path with ``{locale}`` in it.

    A file that names the source as one of its zoo is the zoo's name itself.

    Links are not followed: 52 links into a cache of snapshots are one zoo, their targets look like 52.
    """
    if checkpoint.zoo:
        return checkpoint.zoo
    card = _card(checkpoint)
    return str(card["name"]) if card else os.path.abspath(checkpoint.origin).replace(locale, "{locale}")


def zoo_uses(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return what every source of a zoo has seen of every locale, through the base that they share."""
    return tuple(_card(checkpoint).get("uses", ()))


def source_locale(checkpoint: Checkpoint) -> str | None:
    """Return the locale whose name stands in a checkpoint's path; None if there is none or more than one."""
    parts = checkpoint.origin.absolute().parts[-2:]
    named = {locale for locale in locales.names() if any(locale in part for part in parts)}
    return named.pop() if len(named) == 1 else None


def _card(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the card at the root of a checkpoint's zoo, empty if it has none."""
    for parent in list(checkpoint.origin.absolute().parents)[:2]:
        path = parent / ZOO_CARD
        if path.is_file() and not _is_zoo_file(path, checkpoint):
            return _read_card(path)
    return {}


def _is_zoo_file(path: Path, checkpoint: Checkpoint) -> bool:
    """Return whether what could be a card is the file that names the source, which users may call what they like."""
    return bool(checkpoint.zoo) and path.samefile(Path(checkpoint.zoo).expanduser())


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        return {"name": str(card["name"]), "uses": [str(use) for use in card.get("uses", ())]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} does not name its zoo (JSON with a name, and what its sources have seen): mend it or remove it."
        ) from error
