"""Training that resumes: what is finished, and was trained in the same way, is not trained again.

Each finished checkpoint carries ``training.json`` with the digest of everything that decided what it is. It is written in a
temporary folder together with the model, so that a checkpoint is there with its card or not at all. A training that was killed
goes on from its snapshot, which lies beside where its checkpoint will stand. A source that cannot be trained does not stop the
others. Two processes never train under one root.

A source is trained on one locale, on a few together, or on all but one: each stands in the published layout under its name,

    de-DE               the locale
    de-DE+fr-FR, all    a joint model of these locales, of all that the data holds
    all-but-de-DE       left out: how well de-DE does with every source but its own, in one model
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from sprachbund import digests, files, inference, locks, parallel
from sprachbund.cards import JOINED, labels_met
from sprachbund.checkpoints import CONFIG, TRAINING_CARD, Checkpoint, open_checkpoint, zoo_uses
from sprachbund.data import DataSet, Partition
from sprachbund.errors import CellsFailed, CheckpointError, UserError
from sprachbund.parallel import Failed
from sprachbund.training.finetune import Course, finetune, settled
from sprachbund.training.loop import Progress
from sprachbund.training.pretrain import pretrain
from sprachbund.training.settings import CODE_VERSION, LAYOUT, FinetuneSettings, PretrainSettings
from sprachbund.training.snapshots import Snapshots
from sprachbund.untrusted import check_version, read_json
from sprachbund.uses import UNLABELLED, union_of_uses

__all__ = [
    "ALL",
    "Group",
    "TrainingCard",
    "all_but",
    "joint",
    "source_folder",
    "train_base",
    "train_groups",
    "train_sources",
]

ALL, ALL_BUT = "all", "all-but-"
"""How models of all locales, and of all but one, are named: 52 names side by side are no file name."""
MOST_JOINED = 24
"""Locales whose names fit into one file name, with room for what is written beside it."""
STATE = ".training"
"""Ending of the file in which a model keeps, while it is being made, how far it has come."""


@dataclass(frozen=True)
class Group:
    """What one model is trained on."""

    name: str
    """Stands where the published layout has the locale."""
    locales: tuple[str, ...]

    @property
    def locale(self) -> str:
        """The locales, joined: what the card of the model says."""
        return JOINED.join(self.locales)


def joint(locales: Sequence[str], held: Sequence[str]) -> Group:
    """Return the group of several locales together, each once and in the order of the table, of ``held`` by the data.

    Raises:
        UserError: it is one locale, or so many that their names make no file name.
    """
    group = tuple(sorted(set(locales)))
    if len(group) < 2:
        raise UserError(
            f"--joint {','.join(locales)}: a group is two locales or more with commas between, as in de-DE,fr-FR."
        )
    if set(group) == set(held):
        return Group(ALL, group)
    if len(group) > MOST_JOINED:
        raise UserError(
            f"--joint of {len(group)} locales: their names make no file name, at most {MOST_JOINED} do; "
            f"name fewer, or {ALL} for all {len(held)} of the data."
        )
    return Group(JOINED.join(group), group)


def all_but(locale: str, locales: Sequence[str]) -> Group:
    """Return the group of all ``locales`` other than one, in their order.

    Raises:
        UserError: no other is left.
    """
    others = tuple(other for other in locales if other != locale)
    if not others:
        raise UserError(f"--leave-one-out: {locale} is the only locale, and nothing is left to train on: name more.")
    return Group(f"{ALL_BUT}{locale}", others)


CARD_VERSION = 1
"""Of training.json."""


class TrainingCard(BaseModel):
    """How a checkpoint was trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = CARD_VERSION
    digest: str
    """Of settings, data, base and code version."""
    locale: str | None
    """None for a base; ``de-DE+fr-FR`` for a model of two locales."""
    data: str
    settings: dict[str, Any]
    dev_accuracy: float | None
    """Fraction in [0, 1], of what was saved; None for a base."""
    dev_accuracies: tuple[float, ...] = ()
    """After each epoch that was run; empty for a base, and for what was trained before they were kept."""
    saved_epoch: int | None = None
    """From 1: the best one where there was patience, else the last."""
    device: str | None = None
    """Kind of device it was trained on: cpu, cuda."""
    seconds: float
    """Of the process that finished it."""
    uses: tuple[str, ...] = ()
    """What a source has seen of every locale, through its base: ``unlabelled`` where this was pre-trained here."""
    base_locales: tuple[str, ...] = ()
    """Locales whose labels its base had met already."""


def train_base(
    data: DataSet,
    locales: Sequence[str],
    out: Path,
    settings: PretrainSettings,
    *,
    progress: Progress | None = None,
    overwrite: bool = False,
    device: torch.device | None = None,
) -> TrainingCard:
    """Pre-train a base on the train texts of ``locales``, unless ``out`` holds just that base; a killed training goes on.

    Raises:
        CheckpointError: ``out`` holds another model and ``overwrite`` is off.
        StoreError: another process is making it.
    """
    inference.quieten()
    train = [data.partition(locale, "train") for locale in locales]
    digest = digests.of_value([CODE_VERSION, settings.model_dump(), [partition.digest for partition in train]])
    where, state = device or torch.device("cpu"), _state_of(out)
    with locks.exclusive(out.parent, out.name, instead="--out"):
        files.remove_leftovers(out.parent)
        card = _finished(out, digest, overwrite)
        if card is None:
            start = time.monotonic()
            with files.atomic_folder(out) as folder:
                pretrain(train, folder, settings, progress, partial(Snapshots, state, digest, device=where), where)
                card = _write_card(
                    folder,
                    TrainingCard(
                        digest=digest,
                        locale=None,
                        data=data.name,
                        settings=settings.model_dump(),
                        dev_accuracy=None,
                        device=where.type,
                        seconds=_since(start),
                    ),
                )
        state.unlink(missing_ok=True)
        return card


def train_sources(
    base: Path,
    data: DataSet,
    locales: Sequence[str],
    root: Path,
    settings: FinetuneSettings,
    *,
    jobs: int = 1,
    done: Callable[[TrainingCard], None] = lambda card: None,
    overwrite: bool = False,
    device: torch.device | None = None,
) -> list[TrainingCard]:
    """Fine-tune ``base`` once for each locale; all else as :func:`train_groups` has it."""
    groups = [Group(locale, (locale,)) for locale in locales]
    return train_groups(base, data, groups, root, settings, jobs=jobs, done=done, overwrite=overwrite, device=device)


def train_groups(
    base: Path,
    data: DataSet,
    groups: Sequence[Group],
    root: Path,
    settings: FinetuneSettings,
    *,
    jobs: int = 1,
    done: Callable[[TrainingCard], None] = lambda card: None,
    progress: Progress | None = None,
    overwrite: bool = False,
    device: torch.device | None = None,
    allow_pickle: bool = False,
) -> list[TrainingCard]:
    """Fine-tune ``base`` on each group into the published layout under ``root``; return the cards in order of ``groups``.

    ``progress`` is told of steps where one process does it all; ``allow_pickle`` says that the base may be read from a pickle.

    Raises:
        CellsFailed: some sources could not be trained, all others are; names each with its reason.
        CheckpointError: another model is in the way of one and ``overwrite`` is off.
        StoreError: another process trains under ``root``.
    """
    checked = _checked(base, allow_pickle=allow_pickle)
    settings = settled(settings, checked.folder)
    where = str(device or torch.device("cpu"))
    tasks = [_task(checked, data, group, root, settings, where) for group in groups]
    reasons: dict[str, str] = {}
    with locks.exclusive(root, instead="--out"):
        _remove_leftovers(root, tasks)
        cards = {task.group: card for task in tasks if (card := _finished(task.out, task.digest, overwrite))}
        for task in tasks:
            if task.group in cards:
                _state_of(task.out).unlink(missing_ok=True)  # killed when all was done but this
                done(cards[task.group])
        missing = [task for task in tasks if task.group not in cards]
        work = partial(_train_source, progress=progress) if min(jobs, len(missing)) <= 1 else _train_source
        try:
            for task, outcome in parallel.attempts(work, missing, jobs):
                if isinstance(outcome, Failed):
                    reasons[task.group.name] = outcome.reason
                else:
                    cards[task.group] = outcome
                    done(outcome)
        finally:  # processes that were ended on the way had no time to clean up
            _remove_leftovers(root, tasks)
    if reasons:
        raise CellsFailed("sources", len(groups), reasons)
    return [cards[group] for group in groups]


def _checked(base: Path, *, allow_pickle: bool) -> Checkpoint:
    """Return the base, or complain of what every source would fail with, in words of ours and once."""
    checkpoint = open_checkpoint(base, allow_pickle=allow_pickle)
    checkpoint.check_tokenizer()
    _ = checkpoint.file
    return checkpoint


def _remove_leftovers(root: Path, tasks: Sequence[_Task]) -> None:
    files.remove_leftovers(root, *(task.out.parent for task in tasks))


def source_folder(root: Path, locale: str) -> Path:
    """Return where the source of a locale stands under a root."""
    return root / LAYOUT.replace("{locale}", locale)


@dataclass(frozen=True)
class _Task:
    """All that a process needs to train one source."""

    base: Path
    group: Group
    train: tuple[Partition, ...]
    """Of each locale; they are put together only where they are trained on."""
    dev: tuple[Partition, ...]
    data_name: str
    intents: tuple[str, ...]
    out: Path
    settings: FinetuneSettings
    digest: str
    device: str
    uses: tuple[str, ...]
    """What its base has seen of every locale."""
    base_locales: tuple[str, ...]
    """Locales whose labels its base has met."""


def _task(base: Checkpoint, data: DataSet, group: Group, root: Path, settings: FinetuneSettings, device: str) -> _Task:
    train, dev = (tuple(data.partitions(name, group.locales)) for name in ("train", "dev"))
    content = [_digest_of(train), _digest_of(dev)]
    digest = digests.of_value([CODE_VERSION, settings.deciding(), base.digest, *content, data.intents])
    out = source_folder(root, group.name)
    return _Task(
        base=base.folder,
        group=group,
        train=train,
        dev=dev,
        data_name=data.name,
        intents=data.intents,
        out=out,
        settings=settings,
        digest=digest,
        device=device,
        uses=_seen_by(base),
        base_locales=labels_met(base.origin),
    )


def _digest_of(partitions: Sequence[Partition]) -> str | list[str]:
    """Return the digest of the partition that stands alone, or those of several."""
    return partitions[0].digest if len(partitions) == 1 else [partition.digest for partition in partitions]


def _together(partitions: Sequence[Partition]) -> Partition:
    """Return the rows of several locales as if they were one locale's."""
    if len(partitions) == 1:
        return partitions[0]
    return Partition(
        JOINED.join(partition.locale for partition in partitions),
        partitions[0].name,
        ids=tuple(f"{partition.locale} {id_}" for partition in partitions for id_ in partition.ids),
        texts=tuple(text for partition in partitions for text in partition.texts),
        intents=tuple(intent for partition in partitions for intent in partition.intents),
    )


def _seen_by(base: Checkpoint) -> tuple[str, ...]:
    """Return what a base has seen of its locales: the train texts, if it was pre-trained here, else what it says itself."""
    card = _card(base.origin)
    pretrained = [UNLABELLED] if card and card.locale is None else []
    seen = union_of_uses(zoo_uses(base), pretrained)
    return () if seen == union_of_uses() else seen


def _train_source(task: _Task, progress: Progress | None = None) -> TrainingCard:
    inference.quieten()
    start, state, device = time.monotonic(), _state_of(task.out), torch.device(task.device)
    with files.atomic_folder(task.out) as folder:
        course = finetune(
            task.base,
            _together(task.train),
            _together(task.dev),
            task.intents,
            folder,
            task.settings,
            progress,
            partial(Snapshots, state, task.digest, device=device),
            device,
        )
        card = _write_card(folder, _card_of(task, course, _since(start)))
    state.unlink(missing_ok=True)
    return card


def _state_of(out: Path) -> Path:
    """Return where the training of a model keeps how far it has come: beside the model."""
    return out.parent / f".{out.name}{STATE}"


def _card_of(task: _Task, course: Course, seconds: float) -> TrainingCard:
    return TrainingCard(
        digest=task.digest,
        locale=task.group.locale,
        data=task.data_name,
        settings=task.settings.model_dump(),
        dev_accuracy=course.dev_accuracy,
        dev_accuracies=course.dev_accuracies,
        saved_epoch=course.saved_epoch,
        device=torch.device(task.device).type,
        seconds=seconds,
        uses=task.uses,
        base_locales=task.base_locales,
    )


def _since(start: float) -> float:
    return round(time.monotonic() - start, 1)


def _write_card(folder: Path, card: TrainingCard) -> TrainingCard:
    files.write_json(folder / TRAINING_CARD, card.model_dump(mode="json"))
    return card


def _finished(out: Path, digest: str, overwrite: bool) -> TrainingCard | None:
    """Return the card of a checkpoint trained just so; refuse to replace any other unasked, and what is no model at all."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    card = _card(out)
    if card and card.digest == digest:
        return card if _is_whole(out) else None
    if not (out / CONFIG).is_file():
        raise CheckpointError(f"{out} is there and is no model: name a new folder, or the folder of the model itself.")
    if overwrite:
        return None
    raise CheckpointError(
        f"{out} holds another model (other settings, data or base): choose another folder, or replace it with --overwrite."
    )


def _card(out: Path) -> TrainingCard | None:
    try:
        told = read_json(out / TRAINING_CARD)
        check_version(told, CARD_VERSION, out / TRAINING_CARD, CheckpointError)
        return TrainingCard.model_validate(told)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # of which pydantic's errors are
        return None


def _is_whole(out: Path) -> bool:
    """Return whether the model that a card speaks of is there, with as many bytes of tensors as their header says."""
    try:
        return bool(open_checkpoint(out).file.tensors)
    except CheckpointError:
        return False
