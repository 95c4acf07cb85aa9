"""The embedded models: what the demonstration merges, made on this machine from the embedded data set.

A base and 52 sources in the published layout under one cache folder, whose name carries the digest of everything that decides
what they are. Made once (some minutes on two cores), found again for ever: the zoo's card is written last, and who comes while
another process makes them waits, and finds them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sprachbund import cache, data, digests, files, locks, parallel
from sprachbund.checkpoints import EMBEDDED_ZOO, PUBLISHED, ZOO_CARD, ZOO_CARD_VERSION
from sprachbund.errors import UnknownName
from sprachbund.parallel import Report
from sprachbund.training.settings import CODE_VERSION, LAYOUT, FinetuneSettings, PretrainSettings
from sprachbund.uses import UNLABELLED

__all__ = ["SIZES", "SIZE_VARIABLE", "Embedded", "Size", "chosen_data", "chosen_size", "ensure", "is_made"]

SIZE_VARIABLE = "SPRACHBUND_DEMO_SIZE"


@dataclass(frozen=True)
class Size:
    """One size of the demonstration."""

    data: str
    pretrain: PretrainSettings
    finetune: FinetuneSettings


SIZES = {
    "full": Size("cldr", PretrainSettings(), FinetuneSettings(dropout=0.0, learning_rate=1.5e-3)),
    # Everything runs, nothing means anything: for tests, and to see the files in under two minutes.
    "tiny": Size(
        "cldr:15",
        PretrainSettings(
            vocabulary=4000,
            hidden=16,
            layers=1,
            heads=2,
            intermediate=16,
            mlm_steps=20,
            ranking_steps=20,
            ranking_batch=32,
        ),
        FinetuneSettings(epochs=1, dropout=0.0, learning_rate=1.5e-3),
    ),
}


@dataclass(frozen=True)
class Embedded:
    """Where the embedded models stand, and the data they were made for."""

    size: str
    root: Path
    data: str

    @property
    def base(self) -> Path:
        """The base's folder."""
        return self.root / "base"

    @property
    def template(self) -> str:
        """The template of the sources."""
        return f"{self.root}/{PUBLISHED.rpartition('/')[2]}"

    def local_name(self, model: str) -> str:
        """Map a published repository to the embedded model of the same name; other names stay as they are."""
        owner = PUBLISHED.rpartition("/")[0]
        return str(self.root / model.removeprefix(f"{owner}/")) if model.startswith(f"{owner}/") else model


def chosen_size() -> str:
    """Return the size that the environment asks for: SPRACHBUND_DEMO_SIZE, ``full`` by default."""
    name = os.environ.get(SIZE_VARIABLE) or "full"
    if name not in SIZES:
        raise UnknownName(f"size in {SIZE_VARIABLE}", name, SIZES)
    return name


def chosen_data() -> str:
    """Return the data of the size that the environment asks for, made or not."""
    return SIZES[chosen_size()].data


def is_made(size: str | None = None) -> bool:
    """Return whether the embedded models of a size are there."""
    return (_named(size or chosen_size()).root / ZOO_CARD).exists()


def ensure(size: str | None = None, report: Report = lambda stage, done, total: None) -> Embedded:
    """Return the embedded models of a size; make what is missing."""
    embedded = _named(size or chosen_size())
    root, card = embedded.root, embedded.root / ZOO_CARD
    if card.exists():
        return embedded
    waits: list[str] = []

    def wait(holder: str) -> None:
        waits.append(f"waiting for {holder}")
        report(waits[0], 0, 1)

    with locks.exclusive(root, wait=wait):
        for stage in waits:
            report(stage, 1, 1)
        files.remove_leftovers(root)
        if not card.exists():
            _make(embedded, report)
            # The base has read the train texts of all locales, as what they are translations of, but no label.
            told = {"name": f"{EMBEDDED_ZOO}{root.name}", "data": embedded.data, "uses": [UNLABELLED]}
            files.write_json(card, {"schema_version": ZOO_CARD_VERSION, **told})
    return embedded


def _named(size: str) -> Embedded:
    """Return the embedded models of a size, made or not."""
    settings = SIZES[size]
    digest = digests.of_value(
        [
            CODE_VERSION,
            data.load(settings.data).revision,
            LAYOUT,
            settings.pretrain.model_dump(),
            settings.finetune.deciding(),
        ]
    )
    return Embedded(size, cache.folder() / "embedded" / f"{size}-{digest[:12]}", settings.data)


def _make(embedded: Embedded, report: Report) -> None:
    from sprachbund.training.jobs import train_base, train_sources  # loads torch, which who finds the models needs not

    settings, dataset = SIZES[embedded.size], data.load(embedded.data)

    train_base(
        dataset,
        dataset.locales,
        embedded.base,
        settings.pretrain,
        progress=lambda stage, step, steps, loss: report(f"base: {stage}", step, steps),
    )
    finished = 0

    def count(_: object) -> None:
        nonlocal finished
        finished += 1
        report("fine-tuning sources", finished, len(dataset.locales))

    train_sources(
        embedded.base, dataset, dataset.locales, embedded.root, settings.finetune, jobs=parallel.cores(), done=count
    )
