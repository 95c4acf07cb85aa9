"""``sprachbund pretrain`` and ``sprachbund train``: make a base, make a source per locale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from sprachbund import locales
from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console, result, say
from sprachbund.errors import CellsFailed
from sprachbund.training.settings import LAYOUT, FinetuneSettings, PretrainSettings

if TYPE_CHECKING:
    from sprachbund.training.jobs import TrainingCard

__all__ = ["pretrain", "train"]

DataFlag = Annotated[str, Parameter(help="Data set: massive, massive:PATH, table:PATH, cldr, or split: before one.")]
LocalesFlag = Annotated[tuple[str, ...], Parameter(help="Locales to train on. Default: all.")]
OverwriteFlag = Annotated[bool, Parameter(help="Replace a model that was trained otherwise.")]


@app.command
def pretrain(
    *,
    out: Annotated[Path, Parameter(help="Folder of the base.")],
    data: DataFlag,
    locales: LocalesFlag = (),
    overwrite: OverwriteFlag = False,
    settings: Annotated[PretrainSettings, Parameter(name="*")] = PretrainSettings(),
) -> int:
    """Pre-train a small multilingual encoder on the train texts of all locales, without a label."""
    from sprachbund.plan import check_writable
    from sprachbund.training.jobs import train_base

    check_writable(out.parent)
    dataset, names = _data_and_locales(data, locales, "train")
    with Reporter() as report:
        card = train_base(
            dataset,
            names,
            out,
            settings,
            progress=lambda stage, step, steps, loss: report(f"{stage}, loss {loss:.2f}", step, steps),
            overwrite=overwrite,
        )
    line = f"Base of {len(names)} locales: {out} ({card.seconds:.0f} s)"
    result(lambda: card, lambda: console.print(line, soft_wrap=True))
    return 0


@app.command
def train(
    *,
    base: Annotated[Path, Parameter(help="Folder of the base.")],
    out: Annotated[
        Path, Parameter(help="Folder that gets xlm-roberta-base_massive_k_{locale}/alpha_0.5_{locale}_epoch-9/.")
    ],
    data: DataFlag,
    locales: LocalesFlag = (),
    joint: Annotated[
        bool, Parameter(help="Train one model on all of the locales together, in the folder --out itself.")
    ] = False,
    jobs: Annotated[int, Parameter(help="Processes; 0: one per core.")] = 1,
    overwrite: OverwriteFlag = False,
    settings: Annotated[FinetuneSettings, Parameter(name="*")] = FinetuneSettings(),
) -> int:
    """Fine-tune a base once per locale, all heads from one seed; finished sources are kept."""
    from sprachbund import inference, parallel
    from sprachbund.plan import check_writable
    from sprachbund.training.jobs import train_joint, train_sources

    inference.quieten()
    check_writable(out)
    dataset, names = _data_and_locales(data, locales, "train", "dev")
    if joint:
        card = train_joint(base, dataset, names, out, settings, overwrite=overwrite)
        line = f"Model of {len(names)} locales: {out} (dev accuracy {card.dev_accuracy:.4f}, {card.seconds:.0f} s)"
        result(lambda: card, lambda: console.print(line, soft_wrap=True))
        return 0
    cards: dict[str, TrainingCard] = {}
    failed: CellsFailed | None = None
    with Reporter() as report:

        def count(card: TrainingCard) -> None:
            cards[card.locale or ""] = card
            report(f"fine-tuning, {card.locale}", len(cards), len(names))

        try:
            train_sources(
                base, dataset, names, out, settings, jobs=jobs or parallel.cores(), done=count, overwrite=overwrite
            )
        except CellsFailed as error:
            failed = error
    finished = [cards[locale] for locale in names if locale in cards]
    result(lambda: finished, lambda: _show(finished, out) if finished else None)
    if failed:
        raise failed
    return 0


def _show(cards: Sequence[TrainingCard], out: Path) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("locale")
    table.add_column("dev accuracy", justify="right")
    table.add_column("seconds", justify="right")
    for card in cards:
        table.add_row(card.locale, f"{card.dev_accuracy:.4f}", f"{card.seconds:.1f}")
    console.print(table)
    console.print(f'Use them with --models "{out}/{LAYOUT.replace("/", ":")}"', soft_wrap=True, markup=False)


def _data_and_locales(spec: str, wanted: tuple[str, ...], *splits: str) -> tuple[Any, tuple[str, ...]]:
    """Return a data set and the locales to train on, after a look at the splits that will be read."""
    from sprachbund import data

    dataset = data.load(spec)
    say(dataset.notice)
    names = locales.check(wanted, dataset.locales) or dataset.locales
    dataset.check(names, splits)
    return dataset, names
