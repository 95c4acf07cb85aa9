"""Where sources come from: a template with ``{locale}``, so that one line names 52 checkpoints, or a file with a row for each.

    haryoaw/xlm-roberta-base_massive_k_{locale}:alpha_0.5_{locale}_epoch-9    the published ones (repository:subfolder)
    my-org/xlmr-massive-{locale}@v2                                           repositories at a branch, a tag or a commit
    my-models/xlmr-{locale}                                                   local folders

One grammar for all names of models: ``MODEL[@REVISION][:SUBFOLDER]``. MODEL is a local folder, which wins, or ``owner/name``
(for some old ones ``name`` alone) on the hub. A subfolder may be several folders deep. :func:`split_subfolder` and
:func:`on_the_hub` are the only places that read names, :func:`locate` the one that resolves them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sprachbund import locales
from sprachbund.checkpoints import hub
from sprachbund.checkpoints.checkpoint import (
    ADAPTER_CONFIG,
    CONFIG,
    TRAINING_CARD,
    ZOO_CARD,
    Checkpoint,
    open_checkpoint,
)
from sprachbund.checkpoints.hub import HubModel
from sprachbund.checkpoints.zoo_file import ENDINGS, read_zoo_file
from sprachbund.errors import CheckpointError, UserError, nearest
from sprachbund.parallel import Report
from sprachbund.untrusted import check_version, read_json
from sprachbund.uses import check_uses

__all__ = [
    "EMBEDDED_ZOO",
    "PUBLISHED",
    "ZOO_CARD_VERSION",
    "Zoo",
    "as_template",
    "locate",
    "models_in",
    "on_the_hub",
    "source_locale",
    "split_subfolder",
    "sub_checkpoints",
    "zoo_name",
    "zoo_uses",
]

PUBLISHED = "haryoaw/xlm-roberta-base_massive_k_{locale}:alpha_0.5_{locale}_epoch-9"
"""The sources of the original experiment."""
EMBEDDED_ZOO = "embedded-"
"""How the names of all zoos of embedded models begin."""
ZOO_CARD_VERSION = 1
"""Of zoo.json; a card that names no version is of the first."""
_ON_HUB = re.compile(r"(?P<repository>\w[\w.-]*(?:/\w[\w.-]*)?)(?:@(?P<revision>[^@:\s]+))?")


@dataclass(frozen=True)
class Zoo:
    """A family of sources, one per locale."""

    template: str
    """With ``{locale}`` in it; of a zoo that a file names, the path of the file."""
    rows: Mapping[str, str] | None = None
    """The name of each locale's source, where a file has them."""
    allow_pickle: bool = False
    """Whether weights that are only there as pickles are read; whoever works on the sources elsewhere is told with them."""

    def __post_init__(self) -> None:
        if self.rows is None and "{locale}" not in self.template:
            raise UserError(
                f"--models {self.template!r} has no {{locale}} in it: write it where the locale stands in the names, "
                f"or name a file with a row per locale ({', '.join(ENDINGS)})."
            )

    def __getstate__(self) -> dict[str, Any]:
        """Take along what is known of repositories, so that workers, who may have no network, ask nobody."""
        return {**self.__dict__, "listings": hub.listings()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        hub.take_over(state["listings"])
        self.__dict__.update({name: value for name, value in state.items() if name != "listings"})

    @classmethod
    def parse(cls, text: str, *, allow_pickle: bool = False) -> Zoo:
        """Return the zoo that users mean by a template, or by a file.

        Raises:
            UserError: it is neither, or the file names no zoo.
        """
        path = Path(text).expanduser()
        is_file = "{locale}" not in text and path.suffix.lower() in ENDINGS
        return cls(text, read_zoo_file(path) if is_file else None, allow_pickle)

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
        """Return the source of a locale; one on the hub is fetched, where that has not been done."""
        checkpoint = locate(*split_subfolder(self.source(locale)), allow_pickle=self.allow_pickle)
        return checkpoint if self.rows is None else replace(checkpoint, zoo=self.template)

    def missing(self, locales: Iterable[str]) -> dict[str, str]:
        """Return the locales without a source, each with the reason; of sources on the hub nothing is fetched yet."""
        locales = list(locales)
        on_hub = self.on_the_hub(locales)
        absent = hub.look_up(on_hub.values())
        reasons = {locale: str(absent[model]) for locale, model in on_hub.items() if model in absent}
        for locale in locales:
            try:
                if locale not in on_hub:
                    self.checkpoint(locale)
            except CheckpointError as error:
                reasons[locale] = str(error)
        return {locale: reasons[locale] for locale in locales if locale in reasons}

    def fetch(self, locales: Iterable[str], report: Report) -> dict[str, str]:
        """Fetch the sources on the hub, all together; return the locales whose sources did not arrive, each with the reason.

        ``report`` is told of bytes. Ask for what is :meth:`missing` before.
        """
        on_hub = self.on_the_hub(locales)
        failures = hub.fetch(on_hub.values(), report)
        return {locale: str(failures[model]) for locale, model in on_hub.items() if model in failures}

    def on_the_hub(self, locales: Iterable[str]) -> dict[str, HubModel]:
        """Return the sources that are on the hub; a file may have no row for a locale."""
        named = [locale for locale in locales if self.rows is None or locale in self.rows]
        places = {locale: on_the_hub(self.source(locale), allow_pickle=self.allow_pickle) for locale in named}
        return {locale: place for locale, place in places.items() if place}


def split_subfolder(spec: str) -> tuple[str, str]:
    """Split ``model:subfolder``, a revision stays with the model; a folder that exists under the whole name wins."""
    if Path(spec).is_dir() or ":" not in spec:
        return spec, ""
    model, _, subfolder = spec.rpartition(":")
    return model, subfolder


def on_the_hub(spec: str, *, allow_pickle: bool = False) -> HubModel | None:
    """Return the place on the hub that a name stands for; None if it can only be a local folder.

    ``allow_pickle`` is what that place allows: without it, a model that is only there as a pickle is none.
    """
    model, subfolder = split_subfolder(spec)
    found = _ON_HUB.fullmatch(model)
    if found is None or Path(model).expanduser().exists():
        return None
    return HubModel(found["repository"], found["revision"] or "", subfolder.strip("/"), allow_pickle)


def locate(
    model: str,
    subfolder: str = "",
    report: Report = lambda stage, done, total: None,
    *,
    allow_pickle: bool = False,
) -> Checkpoint:
    """Return the checkpoint that a name stands for: a local folder, or a hub repository, which is fetched if need be.

    With ``allow_pickle``, its weights may be read from a pickle, if there are no others.

    Raises:
        CheckpointError: there is none; says what was looked for.
    """
    root = Path(model).expanduser()
    name = f"{model}:{subfolder}" if subfolder else model
    if place := on_the_hub(name, allow_pickle=allow_pickle):
        found = hub.find(place, report)
        return open_checkpoint(found.folder, name, found.commit, allow_pickle=allow_pickle)
    if not root.is_dir():
        raise CheckpointError(f"There is no folder {root}: check the name.")
    if subfolder and not (root / subfolder).is_dir():
        there = [path.name for path in sub_checkpoints(root)]
        hint = nearest(subfolder, there) if there else "none of its subfolders holds a model, check the name."
        raise CheckpointError(f"{root} has no subfolder {subfolder}: {hint}")
    return open_checkpoint(root / subfolder, name, allow_pickle=allow_pickle)


def models_in(name: str) -> tuple[bool, list[str]]:
    """Return whether a folder or repository is itself a model, and the names of its subfolders that hold one.

    Raises:
        CheckpointError: there is neither of that name.
    """
    root = Path(name).expanduser()
    if place := on_the_hub(name, allow_pickle=True):  # to list it is not to read it
        there = hub.subfolders(place)
        return not hub.look_up([place]), there
    if not root.is_dir():
        raise CheckpointError(f"There is no folder {root}: check the name.")
    return (root / CONFIG).is_file(), [path.name for path in sub_checkpoints(root)]


def sub_checkpoints(root: Path) -> list[Path]:
    """Return the folders directly under ``root`` that hold a checkpoint, sorted by name."""
    return sorted({path.parent for name in (CONFIG, ADAPTER_CONFIG) for path in root.glob(f"*/{name}")})


def zoo_name(checkpoint: Checkpoint, locale: str) -> str:
    """Return the name of the zoo that a source belongs to: what its root says, else its name with ``{locale}`` in it.

    A file that names the source as one of its zoo is the zoo's name itself.

    Of a folder, that is its path. Links are not followed: 52 links into a cache of snapshots are one zoo, their targets look
    like 52. Of a source on the hub it is what users call it, wherever the cache is.
    """
    if checkpoint.zoo:
        return checkpoint.zoo
    card = _card(checkpoint)
    if card:
        return str(card["name"])
    where = checkpoint.name if checkpoint.commit else os.path.abspath(checkpoint.origin)
    return as_template(where, locale)


def as_template(text: str, locale: str) -> str:
    """Return a text with ``{locale}`` for a locale where its whole name stands: the "ha" in "alpha" is no Hausa."""
    return re.sub(rf"(?<![^\W_]){re.escape(locale)}(?![^\W_])", "{locale}", text)


def zoo_uses(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return what every source of a zoo has seen of every locale, through the base that they share.

    The card of the zoo says it or, for sources that were trained here, their own.

    Raises:
        UnknownName: a card says it in a word that there is not.
    """
    own = checkpoint.origin / TRAINING_CARD
    trained = _read_uses(own) if own.is_file() else ()
    return tuple(sorted({*_card(checkpoint).get("uses", ()), *trained}))


def source_locale(checkpoint: Checkpoint) -> str | None:
    """Return the locale whose name stands in a checkpoint's path, on the hub in its name; None if none or several do."""
    parts = re.split("[/:]", checkpoint.name) if checkpoint.commit else checkpoint.origin.absolute().parts[-2:]
    named = {locale for locale in locales.names() if any(locale in part for part in parts)}
    return named.pop() if len(named) == 1 else None


def _card(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the card at the root of a checkpoint's zoo, empty if it has none."""
    folder = checkpoint.origin.absolute()
    if checkpoint.commit:  # the root is that of the repository, whether this is a zoo or one source of it
        places = [place for place in (folder, *folder.parents) if place.name == checkpoint.commit]
    else:
        places = list(folder.parents)[:2]
    for place in places:
        path = place / ZOO_CARD
        if path.is_file() and not _is_zoo_file(path, checkpoint):
            return _read_card(path)
    return {}


def _is_zoo_file(path: Path, checkpoint: Checkpoint) -> bool:
    """Return whether what could be a card is the file that names the source, which users may call what they like."""
    return bool(checkpoint.zoo) and path.samefile(Path(checkpoint.zoo).expanduser())


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = read_json(path)
        check_version(card, ZOO_CARD_VERSION, path, CheckpointError)
        return {"name": str(card["name"]), "uses": check_uses(map(str, card.get("uses", ())), str(path))}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} does not name its zoo (JSON with a name, and what its sources have seen): mend it or remove it."
        ) from error


def _read_uses(path: Path) -> tuple[str, ...]:
    """Return what a training card says that all sources of its base have seen; cards of other programs say nothing."""
    try:
        card = read_json(path)
    except ValueError:
        return ()
    uses = card.get("uses", ()) if isinstance(card, dict) else ()
    return tuple(use for use in uses if isinstance(use, str)) if isinstance(uses, list) else ()
