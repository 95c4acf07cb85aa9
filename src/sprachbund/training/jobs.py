"""Training that resumes: what is finished, and was trained in the same way, is not trained again.

Each finished checkpoint carries ``training.json`` with the digest of everything that decided what it is. It is written in a
temporary folder together with the model, so that a checkpoint is there with its card or not at all. A source that cannot be
trained does not stop the others. Two processes never train under one root.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sprachbund import digests, files, inference, locks, parallel
from sprachbund.checkpoints import CONFIG, TRAINING_CARD, Checkpoint, open_checkpoint, zoo_uses
from sprachbund.data import DataSet, Partition
from sprachbund.errors import CellsFailed, CheckpointError
from sprachbund.parallel import Failed
from sprachbund.recipe import UNLABELLED, union_of_uses
from sprachbund.training.finetune import finetune
from sprachbund.training.loop import Progress
from sprachbund.training.pretrain import pretrain
from sprachbund.training.settings import CODE_VERSION, LAYOUT, FinetuneSettings, PretrainSettings
from sprachbund.training.snapshots import Snapshots

__all__ = [
    "JOINED",
    "TrainingCard",
    "source_folder",
    "train_base",
    "train_joint",
    "train_sources",
    "trained_on",
]

JOINED = "+"
"""Between the names of locales that a model was trained on together."""
STATE = ".training"
"""Ending of the file in which a base keeps, while it is being made, how far it has come."""


class TrainingCard(BaseModel):
    """How a checkpoint was trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    digest: str
    """Of settings, data, base and code version."""
    locale: str | None
    """None for a base; ``de-DE+fr-FR`` for a model of two locales."""
    data: str
    settings: dict[str, Any]
    dev_accuracy: float | None
    """Fraction in [0, 1]; None for a base."""
    seconds: float
    uses: tuple[str, ...] = ()
    """What a source has seen of every locale, through its base: ``unlabelled`` where this was pre-trained here."""


def train_base(
    data: DataSet,
    locales: Sequence[str],
    out: Path,
    settings: PretrainSettings,
    *,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> TrainingCard:
    """Pre-train a base on the train texts of ``locales``, unless ``out`` holds just that base; a killed training goes on.

    Raises:
        CheckpointError: ``out`` holds another model and ``overwrite`` is off.
        StoreError: another process is making it.
    """
    train = [data.partition(locale, "train") for locale in locales]
    digest = digests.of_value([CODE_VERSION, settings.model_dump(), [partition.digest for partition in train]])
    state = out.parent / f".{out.name}{STATE}"
    with locks.exclusive(out.parent, out.name, instead="--out"):
        files.remove_leftovers(out.parent)
        card = _finished(out, digest, overwrite)
        if card is None:
            start = time.monotonic()
            with files.atomic_folder(out) as folder:
                pretrain(train, folder, settings, progress, lambda lot: Snapshots(state, digest, lot))
                card = _write_card(folder, digest, None, data.name, settings, None, start)
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
) -> list[TrainingCard]:
    """Fine-tune ``base`` for each locale into the published layout under ``root``; return the cards in order of ``locales``.

    Raises:
        CellsFailed: some sources could not be trained, all others are; names each with its reason.
        CheckpointError: another model is in the way of one and ``overwrite`` is off.
        StoreError: another process trains under ``root``.
    """
    base_digest = _checked(base).digest
    tasks = [_task(base, base_digest, data, locale, root, settings) for locale in locales]
    reasons: dict[str, str] = {}
    with locks.exclusive(root, instead="--out"):
        _remove_leftovers(root, tasks)
        cards = {task.locale: card for task in tasks if (card := _finished(task.out, task.digest, overwrite))}
        for card in cards.values():
            done(card)
        missing = [task for task in tasks if task.locale not in cards]
        try:
            for task, outcome in parallel.attempts(_train_source, missing, jobs):
                if isinstance(outcome, Failed):
                    reasons[task.locale] = outcome.reason
                else:
                    cards[task.locale] = outcome
                    done(outcome)
        finally:  # processes that were ended on the way had no time to clean up
            _remove_leftovers(root, tasks)
    if reasons:
        raise CellsFailed("sources", len(locales), reasons)
    return [cards[locale] for locale in locales]


def train_joint(
    base: Path, data: DataSet, locales: Sequence[str], out: Path, settings: FinetuneSettings, *, overwrite: bool = False
) -> TrainingCard:
    """Fine-tune ``base`` once, on the labelled data of all ``locales`` together, into the folder ``out``.

    Raises:
        CheckpointError: ``out`` holds another model and ``overwrite`` is off.
        StoreError: another process is making it.
    """
    task = _task(base, _checked(base).digest, _Together(data, locales), JOINED.join(locales), out.parent, settings)
    task = replace(task, out=out)
    with locks.exclusive(out.parent, out.name, instead="--out"):
        files.remove_leftovers(out.parent)
        return _finished(out, task.digest, overwrite) or _train_source(task)


@dataclass(frozen=True)
class _Together:
    """Several locales of a data set as if they were one."""

    data: DataSet
    locales: Sequence[str]

    @property
    def name(self) -> str:
        return self.data.name

    @property
    def intents(self) -> tuple[str, ...]:
        return self.data.intents

    def partition(self, locale: str, name: str) -> Partition:
        parts = [self.data.partition(each, name) for each in self.locales]
        return Partition(
            locale,
            name,
            ids=tuple(f"{part.locale} {id_}" for part in parts for id_ in part.ids),
            texts=tuple(text for part in parts for text in part.texts),
            intents=tuple(intent for part in parts for intent in part.intents),
        )


def _checked(base: Path) -> Checkpoint:
    """Return the base, or complain of what every source would fail with, in words of ours and once."""
    checkpoint = open_checkpoint(base)
    checkpoint.check_tokenizer()
    _ = checkpoint.file
    return checkpoint


def _remove_leftovers(root: Path, tasks: Sequence[_Task]) -> None:
    files.remove_leftovers(root, *(task.out.parent for task in tasks))


def trained_on(folder: Path) -> tuple[str, ...]:
    """Return the locales whose labelled data the model in a folder was trained on, as far as its card says; else nothing."""
    card = _card(folder)
    return tuple(card.locale.split(JOINED)) if card and card.locale else ()


def source_folder(root: Path, locale: str) -> Path:
    """Return where the source of a locale stands under a root."""
    return root / LAYOUT.replace("{locale}", locale)


@dataclass(frozen=True)
class _Task:
    """All that a process needs to train one source."""

    base: Path
    train: Partition
    dev: Partition
    data_name: str
    intents: tuple[str, ...]
    out: Path
    settings: FinetuneSettings
    digest: str
    uses: tuple[str, ...]
    """What its base has seen of every locale."""

    @property
    def locale(self) -> str:
        """The locale of the source."""
        return self.train.locale


def _task(
    base: Path, base_digest: str, data: DataSet | _Together, locale: str, root: Path, settings: FinetuneSettings
) -> _Task:
    train, dev = data.partition(locale, "train"), data.partition(locale, "dev")
    digest = digests.of_value(
        [CODE_VERSION, settings.model_dump(), base_digest, train.digest, dev.digest, data.intents]
    )
    out = source_folder(root, locale)
    return _Task(base, train, dev, data.name, data.intents, out, settings, digest, _seen_by(base))


def _seen_by(base: Path) -> tuple[str, ...]:
    """Return what a base has seen of its locales: the train texts, if it was pre-trained here, else what it says itself."""
    card = _card(base)
    pretrained = [UNLABELLED] if card and card.locale is None else []
    seen = union_of_uses(zoo_uses(open_checkpoint(base)), pretrained)
    return () if seen == union_of_uses() else seen


def _train_source(task: _Task) -> TrainingCard:
    inference.quieten()
    start = time.monotonic()
    with files.atomic_folder(task.out) as folder:
        finetune(task.base, task.train, task.intents, folder, task.settings)
        accuracy = _dev_accuracy(folder, task)
        return _write_card(folder, task.digest, task.locale, task.data_name, task.settings, accuracy, start, task.uses)


def _dev_accuracy(folder: Path, task: _Task) -> float:
    model, tokenizer = inference.load_classifier(folder), inference.load_tokenizer(folder)
    winners = inference.logits(model, inference.tokenise(tokenizer, task.dev.texts)).argmax(axis=1)
    hits: int = sum(task.intents[winner] == gold for winner, gold in zip(winners, task.dev.intents, strict=True))
    return hits / len(task.dev)


def _write_card(
    folder: Path,
    digest: str,
    locale: str | None,
    data: str,
    settings: PretrainSettings | FinetuneSettings,
    dev_accuracy: float | None,
    start: float,
    uses: tuple[str, ...] = (),
) -> TrainingCard:
    card = TrainingCard(
        digest=digest,
        locale=locale,
        data=data,
        settings=settings.model_dump(),
        dev_accuracy=dev_accuracy,
        seconds=round(time.monotonic() - start, 1),
        uses=uses,
    )
    files.write_json(folder / TRAINING_CARD, card.model_dump())
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
        return TrainingCard.model_validate_json((out / TRAINING_CARD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError, ValidationError):
        return None


def _is_whole(out: Path) -> bool:
    """Return whether the model that a card speaks of is there, with as many bytes of tensors as their header says."""
    try:
        return bool(open_checkpoint(out).file.tensors)
    except CheckpointError:
        return False
