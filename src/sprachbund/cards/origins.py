"""Where a model's sources come from: licence and data, as the sources' own model cards say, and what follows for a merge.

A model card is a ``README.md`` whose front matter (YAML between two lines ``---``) is for programs. Of a source that was
trained here ``training.json`` names the data instead.

A merge is a derivative of all of its sources. One licence of all is its licence. Where two differ, nobody but their owners can
say which would hold: it is ``other``, and who has which is said. Where one is not known, nothing is claimed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sprachbund.cards.details import read_blend, read_details
from sprachbund.checkpoints import TRAINING_CARD, Checkpoint, split_subfolder
from sprachbund.data.massive_hub import REPOSITORY as MASSIVE
from sprachbund.untrusted import Unreadable, parse_json, parse_yaml

__all__ = [
    "JOINED",
    "MASSIVE",
    "ON_HUB",
    "OTHER",
    "Licence",
    "Origin",
    "dataset_id",
    "front_matter",
    "labels_met",
    "licence_of_all",
    "origin_of",
    "trained_on",
]

CARD = "README.md"
JOINED = "+"
"""Between the locales in the name of a joint model."""
OTHER, UNKNOWN = "other", "unknown"
"""How the hub calls licences that it has no word for, whose name stands beside it, and those that nobody knows."""
_FRONT = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", re.DOTALL)
ON_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_DATASET = re.compile(r"[\w.-]+(?:/[\w.-]+)?")


@dataclass(frozen=True)
class Origin:
    """What is known of one source."""

    licence: str | None
    """The hub's word for it; ``other: NAME`` where the hub has none."""
    datasets: tuple[str, ...]
    """Names on the hub, or those that data sets have here."""
    met: tuple[str, ...] = ()
    """Locales whose labels it has met: it was trained on them, or made of what was; as far as the files beside it tell."""


def origin_of(checkpoint: Checkpoint) -> Origin:
    """Return what the model card of a source says of it, and what its training card does."""
    found = [front_matter(place / CARD) for place in _places(checkpoint)]
    licences = [licence for front in found if (licence := _licence(front))]
    named = [name for front in found for name in _names(front.get("datasets"))]
    data = _training(checkpoint.origin).get("data")
    datasets = [*named, *([dataset_id(data)] if isinstance(data, str) else [])]
    return Origin(
        licence=licences[0] if licences else None,
        datasets=tuple(dict.fromkeys(datasets)),
        met=labels_met(checkpoint.origin),
    )


def _places(checkpoint: Checkpoint) -> list[Path]:
    """Return the folders whose card speaks of a checkpoint: its own, and the repository's where it stands in a subfolder."""
    _, subfolder = split_subfolder(checkpoint.name)
    depth = len(Path(subfolder).parts)
    return [checkpoint.origin, *([checkpoint.origin.absolute().parents[depth - 1]] if depth else [])]


def front_matter(path: Path) -> Mapping[str, Any]:
    """Return the front matter of a model card; nothing where there is no card, or none that can be read."""
    found = _FRONT.match(_read(path) or "")
    try:
        content = parse_yaml(found[1]) if found else None
    except Unreadable:
        return {}
    return content if isinstance(content, dict) else {}


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _licence(front: Mapping[str, Any]) -> str | None:
    licence, name = front.get("license"), front.get("license_name")
    if not isinstance(licence, str) or not licence.strip():
        return None
    word = " ".join(licence.split()).lower()
    if word == UNKNOWN:
        return None
    return f"{OTHER}: {' '.join(name.split())}" if word == OTHER and isinstance(name, str) and name.strip() else word


def _names(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [name for name in listed if isinstance(name, str) and _DATASET.fullmatch(name)]


def _training(folder: Path) -> Mapping[str, Any]:
    """Return what a training card of ours says; one that cannot be read says nothing."""
    try:
        card = parse_json(_read(folder / TRAINING_CARD) or "{}")
    except Unreadable:
        return {}
    return card if isinstance(card, dict) else {}


def trained_on(folder: Path) -> tuple[str, ...]:
    """Return the locales whose labelled data the model in a folder was trained on, as far as its card says; else nothing.

    Those that its base was trained on before, if it was a source itself, come last.
    """
    training = _training(folder)
    locale, before = training.get("locale"), training.get("base_locales")
    joined = locale.split(JOINED) if isinstance(locale, str) else []
    return tuple(
        dict.fromkeys(
            [*joined, *(name for name in (before if isinstance(before, list) else []) if isinstance(name, str))]
        )
    )


def labels_met(folder: Path) -> tuple[str, ...]:
    """Return the locales whose labels the model in a folder has met: in its training, or through what it was made of.

    A base counts as well: a method on task vectors adds to it, a student may start from it.
    """
    return tuple(dict.fromkeys([*trained_on(folder), *_made_of(folder)]))


def _made_of(folder: Path) -> list[str]:
    """Return the locales whose labels the sources of a merge, an adaptation or a blend have met, and theirs, and so on."""
    details, blend = read_details(folder), read_blend(folder)
    asked = details.asked if details else ()
    merged = [name for source in (details.sources if details else ()) for name in (source.locale, *source.met)]
    blended = [name for source in (blend.sources if blend else ()) for name in source.met]
    bases = [made.base for made in (details, blend) if made and made.base]
    return [*merged, *asked, *blended, *(name for base in bases for name in base.met)]


def dataset_id(name: str) -> str:
    """Return what the hub calls a data set; those that it does not have keep the name that they have here."""
    return MASSIVE if name.removeprefix("split:").partition(":")[0] == "massive" else name


@dataclass(frozen=True)
class Licence:
    """The licence of what is made of several sources."""

    front: Mapping[str, str]
    """For the front matter; empty where nothing can be claimed."""
    sentence: str
    """What there is to say of it."""
    conflict: bool = False


def licence_of_all(sources: Sequence[tuple[str, str | None]]) -> Licence:
    """Return what follows of the licences of all that a model was made of, each with its name."""
    sources = [(name, None if licence == UNKNOWN else licence) for name, licence in sources]
    known = {licence for _, licence in sources if licence}
    silent = [name for name, licence in sources if not licence]
    # Two licences without a name may be two, or one.
    unnamed = [name for name, licence in sources if licence == OTHER]
    if len(known) > 1 or len(unnamed) > 1:
        differ = "different licences" if len(known) > 1 else "licences without a name, which may be different ones"
        return Licence(
            {"license": OTHER, "license_name": "several"},
            f"The models that this one is made of have {differ}, and whoever uses it has to keep to all of them: "
            f"{_who_has_which(sources)}.",
            conflict=True,
        )
    if silent or not known:
        told = f" {_who_has_which([each for each in sources if each[1]])} by their cards." if known else ""
        who = "no source has" if not known else f"{_listed(silent)} {'has' if len(silent) == 1 else 'have'} not"
        said = "a model card that names one" if not known else "a model card that names its licence"
        return Licence({}, f"No licence is claimed: {who} {said}.{told}")
    (licence,) = known
    word, _, name = licence.partition(": ")
    return Licence(
        {"license": word} | ({"license_name": name} if name else {}),
        f"{'All sources have' if len(sources) > 1 else 'The source has'} the licence {name or word}, "
        "and so has what is made of them.",
    )


def _who_has_which(sources: Iterable[tuple[str, str | None]]) -> str:
    owners: dict[str, list[str]] = {}
    for name, licence in sources:
        owners.setdefault(licence or "not known", []).append(name)
    return "; ".join(f"{licence}: {_listed(names)}" for licence, names in owners.items())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
