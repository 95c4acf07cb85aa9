"""``sprachbund pretrain`` and ``sprachbund train``: make a base, make a source per locale or per group of locales."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators
from rich.table import Table

from sprachbund import locales
from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console, result, say
from sprachbund.config import CheckpointsConfig
from sprachbund.errors import CellsFailed, UserError
from sprachbund.training.settings import LAYOUT, FinetuneSettings, PretrainSettings

if TYPE_CHECKING:
    from sprachbund.training.jobs import Group, TrainingCard

__all__ = ["pretrain", "train"]

DataFlag = Annotated[
    str | None,
    Parameter(help="Data set: massive:PATH, table:PATH, cldr, or split: before one. Default: MASSIVE."),
]
LocalesFlag = Annotated[tuple[str, ...], Parameter(help="Locales to train on. Default: all.")]
OverwriteFlag = Annotated[bool, Parameter(help="Replace a model that was trained otherwise.")]
DeviceFlag = Annotated[str, Parameter(help="Where to train: cpu, cuda, cuda:1; auto: a GPU if there is one.")]


@app.command
def pretrain(
    *,
    out: Annotated[Path, Parameter(help="Folder of the base.")],
    data: DataFlag = None,
    locales: LocalesFlag = (),
    device: DeviceFlag = "auto",
    overwrite: OverwriteFlag = False,
    settings: Annotated[PretrainSettings, Parameter(name="*")] = PretrainSettings(),
) -> int:
    """Pre-train a small multilingual encoder on the train texts of all locales, without a label."""
    from sprachbund.inference import devices
    from sprachbund.plan import check_writable
    from sprachbund.training.jobs import train_base

    check_writable(out.parent)
    where = devices.chosen(device)
    dataset, names = _data_and_locales(data, locales, "train")
    with Reporter() as report:
        card = train_base(
            dataset,
            names,
            out,
            settings,
            progress=lambda stage, step, steps, loss: report(f"{stage}, loss {loss:.2f}", step, steps),
            overwrite=overwrite,
            device=where,
        )
    line = f"Base of {len(names)} locales: {out} ({card.seconds:.0f} s)"
    result(lambda: card, lambda: console.print(line, soft_wrap=True))
    return 0


@app.command
def train(
    *,
    base: Annotated[str, Parameter(help="The base: a folder or a hub id, with :SUBFOLDER where it lies in one.")],
    out: Annotated[
        Path, Parameter(help="Folder that gets xlm-roberta-base_massive_k_{locale}/alpha_0.5_{locale}_epoch-9/.")
    ] = Path("models"),
    data: DataFlag = None,
    locales: LocalesFlag = (),
    joint: Annotated[
        tuple[str, ...],
        Parameter(help="Groups of locales, one model each: de-DE,fr-FR en-US,es-ES; all: one of all locales."),
    ] = (),
    leave_one_out: Annotated[
        bool, Parameter(help="For each of the locales, one model trained on all the others of them (all-but-{locale}).")
    ] = False,
    jobs: Annotated[
        int, Parameter(validator=validators.Number(gte=0), help="Processes; 0: one per core, or one for a GPU.")
    ] = 1,
    device: DeviceFlag = "auto",
    overwrite: OverwriteFlag = False,
    checkpoints: Annotated[CheckpointsConfig, Parameter(name="*")] = CheckpointsConfig(),
    settings: Annotated[FinetuneSettings, Parameter(name="*")] = FinetuneSettings(),
) -> int:
    """Fine-tune a base once per locale or group of locales, all heads from one seed; finished sources are kept."""
    from sprachbund import inference, parallel
    from sprachbund.inference import devices
    from sprachbund.inputs import notes_on, open_base
    from sprachbund.plan import check_writable
    from sprachbund.training.jobs import train_groups

    inference.quieten()
    _check(settings, joint, locales, leave_one_out=leave_one_out)
    check_writable(out)
    where = devices.chosen(device)
    with Reporter() as report:
        start = open_base(base, report, allow_pickle=checkpoints.allow_pickle)
    dataset, names = _data_and_locales(data, locales, "train", "dev")
    for note in notes_on([start]):
        say(note)
    groups = _groups(names, joint, dataset.locales, leave_one_out=leave_one_out)
    titles = {group.locale: group.name for group in groups}
    cards: dict[str, TrainingCard] = {}
    failed: CellsFailed | None = None
    with Reporter() as report:

        def count(card: TrainingCard) -> None:
            cards[titles[card.locale or ""]] = card
            report(f"fine-tuning, {titles[card.locale or '']}", len(cards), len(groups))

        try:
            train_groups(
                start.origin,
                dataset,
                groups,
                out,
                settings,
                jobs=jobs or (parallel.cores() if where.type == "cpu" else 1),
                done=count,
                progress=lambda stage, step, steps, loss: report(
                    f"fine-tuning, {titles[stage]} {step / steps:.0%}", len(cards), len(groups)
                ),
                overwrite=overwrite,
                device=where,
                allow_pickle=checkpoints.allow_pickle,
            )
        except CellsFailed as error:
            failed = error
    finished = {group.name: cards[group.name] for group in groups if group.name in cards}
    result(lambda: [*finished.values()], lambda: _show(finished, out) if finished else None)
    if failed:
        raise failed
    return 0


def _check(settings: FinetuneSettings, joint: Sequence[str], wanted: Sequence[str], *, leave_one_out: bool) -> None:
    """Complain of what contradicts itself, or would have no effect."""
    if joint and leave_one_out:
        raise UserError("--joint and --leave-one-out are two ways to put locales together: leave one out.")
    for group in joint:
        if not all(group.split(",")):
            raise UserError(
                f"--joint {group}: write the locales of a group with commas and no blanks, as in de-DE,fr-FR."
            )
    if joint and wanted:
        raise UserError("--locales has no effect with --joint, whose groups name their locales: leave it out.")
    if settings.patience >= settings.epochs:
        raise UserError(
            f"--patience {settings.patience} never ends a training of {settings.epochs} epochs: "
            "ask for less of it, or for more --epochs."
        )


def _groups(
    names: Sequence[str], joint: Sequence[str], held: Sequence[str], *, leave_one_out: bool
) -> tuple[Group, ...]:
    """Return what each model is trained on, each once."""
    from sprachbund.training import jobs

    if leave_one_out:
        return tuple(jobs.all_but(locale, names) for locale in names)
    if joint:
        listed = (held if group == jobs.ALL else locales.check(group.split(","), held) for group in joint)
        return tuple(dict.fromkeys(jobs.joint(group, held) for group in listed))
    return tuple(jobs.Group(locale, (locale,)) for locale in names)


def _show(cards: dict[str, TrainingCard], out: Path) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("trained on")
    for title in ("dev accuracy", "epoch", "of", "seconds"):
        table.add_column(title, justify="right")
    for name, card in cards.items():
        epochs = (str(card.saved_epoch or ""), str(len(card.dev_accuracies) or ""))
        table.add_row(name, f"{card.dev_accuracy:.4f}", *epochs, f"{card.seconds:.1f}")
    if len(cards) > 1:
        mean = sum(card.dev_accuracy or 0.0 for card in cards.values()) / len(cards)
        table.add_row("mean", f"{mean:.4f}", "", "", "", style="bold")
    console.print(table)
    for line in _ways_to_use(list(cards), out):
        console.print(line, soft_wrap=True, markup=False)


def _ways_to_use(names: Sequence[str], out: Path) -> list[str]:
    """Return how to name the models: in one template those that are named after a locale, one by one the joint ones."""
    from sprachbund.cards import JOINED
    from sprachbund.training.jobs import ALL, ALL_BUT

    by_locale = [name for name in names if JOINED not in name and name != ALL]
    stand_ins = {ALL_BUT + "{locale}" if name.startswith(ALL_BUT) else "{locale}" for name in by_locale}
    models, singles = (
        [f"{out}/{LAYOUT.replace('/', ':').replace('{locale}', name)}" for name in group]
        for group in (sorted(stand_ins), [name for name in names if name not in by_locale])
    )
    singly = [single.rpartition(":") for single in singles]
    return [
        *(f'Use them with --models "{template}"' for template in models),
        *(f'Evaluate it with --base-model "{folder}" --model-dir "{subfolder}"' for folder, _, subfolder in singly),
    ]


def _data_and_locales(spec: str | None, wanted: tuple[str, ...], *splits: str) -> tuple[Any, tuple[str, ...]]:
    """Return a data set and the locales to train on, after a look at the splits that will be read."""
    from sprachbund import data
    from sprachbund.inputs import DEFAULT_DATA

    dataset = data.load(spec or DEFAULT_DATA)
    say(dataset.notice)
    names = locales.check(wanted, dataset.locales) or dataset.locales
    dataset.check(names, splits)
    return dataset, names
