"""What a command works on: a zoo of sources and a data set, found before any work, or one message that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sprachbund import data, locales
from sprachbund.checkpoints import (
    PUBLISHED,
    Checkpoint,
    Zoo,
    check_mergeable,
    hub,
    locate,
    on_the_hub,
    open_checkpoint,
    split_subfolder,
)
from sprachbund.config import BaseConfig, EvaluateConfig, InputsConfig
from sprachbund.data import DataSet
from sprachbund.errors import CheckpointError, DataError, UserError
from sprachbund.evaluation import label_names
from sprachbund.parallel import Report
from sprachbund.plan import check_room
from sprachbund.training.embedded import Embedded, ensure

__all__ = [
    "DEFAULT_DATA",
    "Inputs",
    "Needed",
    "Sources",
    "embedded_if",
    "open_base",
    "open_inputs",
    "open_one",
    "open_sources",
]

DEFAULT_DATA = "massive"
WAYS_ON = (
    "Three ways on: --models TEMPLATE with {locale} in it, for other checkpoints, on the hub or this machine; "
    "--data massive:PATH, for a copy of MASSIVE; or --demo, for embedded models and data that need no download."
)
WAYS_ON_FOR_ONE = (
    "Three ways on: --base-model NAME, with --model-dir for a subfolder, for another checkpoint, on the hub or this machine; "
    "--data massive:PATH, for a copy of MASSIVE; or --demo, for embedded models and data that need no download."
)


@dataclass(frozen=True)
class Sources:
    """A zoo whose sources are at hand, and the base they share."""

    zoo: Zoo
    base: Checkpoint | None
    """What ``--base`` names, else the embedded base; None where users bring their own models and name none."""


@dataclass(frozen=True)
class Inputs:
    """Sources and data, both at hand."""

    zoo: Zoo
    data: DataSet
    base: Checkpoint | None
    """As in :class:`Sources`."""


Needed = Callable[[Sequence[str]], Sequence[str]]
"""From the locales that the data holds to those whose sources are read."""


def open_sources(config: InputsConfig, sources: Sequence[str], report: Report) -> Sources:
    """Return the zoo alone, for those who need no data; with ``--data``, its labels must be those of the sources.

    Raises:
        UserError: says what is missing, and the ways on.
    """
    if config.demo or config.data:
        inputs = open_inputs(config, lambda held: sources, report)
        for locale in sources:
            checkpoint = inputs.zoo.checkpoint(locale)
            label_names(checkpoint.labels, inputs.data, checkpoint.name)
        return Sources(inputs.zoo, inputs.base)
    zoo = Zoo(config.models or PUBLISHED)
    _start(zoo, sources, [], report, own=config.models is not None)
    return Sources(zoo, _named_base(config, report))


def open_inputs(
    config: InputsConfig, needed: Needed, report: Report, *, targets: Needed = lambda held: (), split: str = ""
) -> Inputs:
    """Return zoo and data set with the needed sources checked; with ``--demo``, make the embedded ones if need be.

    Of the data, what will be read is read and checked: ``split`` of the locales that ``targets`` chooses from those it holds.

    Raises:
        UserError: says all that is missing, and the ways on.
    """
    embedded = embedded_if(config.demo, report, refused={"--models": config.models, "--data": config.data})
    if embedded:
        base = _named_base(config, report) or open_checkpoint(embedded.base, "base")
        own_data = data.load(embedded.data)
        own_data.check(targets(own_data.locales), [split] if split else [])
        return Inputs(Zoo(embedded.template), own_data, base)
    zoo = Zoo(config.models or PUBLISHED)
    try:
        dataset, complaints = data.load(config.data or DEFAULT_DATA), []
    except DataError as error:
        dataset, complaints = None, [str(error).rstrip(".")]
    own = config.models is not None and config.data is not None
    held = dataset.locales if dataset else locales.names()
    _start(zoo, needed(held), complaints, report, own=own)
    assert dataset is not None, "without it there was a complaint"
    dataset.check(targets(held), [split] if split else [])
    return Inputs(zoo, dataset, _named_base(config, report))


def _named_base(config: InputsConfig, report: Report) -> Checkpoint | None:
    named = config.base if isinstance(config, BaseConfig) else None
    return open_base(named, report) if named else None


def open_one(config: EvaluateConfig, report: Report) -> tuple[Checkpoint, DataSet]:
    """Return a single checkpoint and the data to evaluate it on.

    Raises:
        UserError: says all that is missing, and the ways on.
    """
    embedded = embedded_if(config.demo, report, refused={"--data": config.data})
    if embedded:
        return _named(embedded.local_name(config.base_model), config.model_dir, report), data.load(embedded.data)
    complaints = []
    checkpoint = dataset = None
    try:
        checkpoint = _named(config.base_model, config.model_dir, report)
    except CheckpointError as error:
        complaints.append(str(error).rstrip("."))
    try:
        dataset = data.load(config.data or DEFAULT_DATA)
    except DataError as error:
        complaints.append(str(error).rstrip("."))
    if checkpoint and dataset:
        return checkpoint, dataset
    raise _cannot_start(complaints, "" if config.data else WAYS_ON_FOR_ONE)


def _named(model: str, subfolder: str | None, report: Report) -> Checkpoint:
    model, subfolder = (model, subfolder) if subfolder else split_subfolder(model)
    _check_room([f"{model}:{subfolder}" if subfolder else model])
    return locate(model, subfolder, report)


def _check_room(names: Iterable[str]) -> None:
    """Complain if what has to be fetched of these models finds no room in the hub's cache.

    Raises:
        UserError: says how much is needed, and how much there is.
    """
    needed = hub.to_download(place for name in names if (place := on_the_hub(name)))
    if needed:
        check_room(
            hub.cache_folder(),
            needed,
            "The download needs",
            "make room",
            instead="folder for the hub's cache (HF_HOME)",
        )


def open_base(name: str, report: Report) -> Checkpoint:
    """Return the base that ``--base`` names, fetched if it is on the hub.

    Raises:
        CheckpointError: there is none.
    """
    return _named(name, None, report)


def _start(zoo: Zoo, sources: Sequence[str], complaints: Sequence[str], report: Report, *, own: bool) -> None:
    """Stop with all complaints in one message, or fetch the sources and see that they fit together.

    ``own`` says that users named what is used, so that nobody has to tell them how to.
    """
    missing = zoo.missing(sources)
    if missing:
        first = next(iter(missing.values())).rstrip(".")
        complaints = [*complaints, f"{len(missing)} of {len(sources)} sources are missing ({first})"]
        there = [locale for locale in sources if locale not in missing]
        if there:
            complaints = [
                *complaints,
                f"those of {' '.join(there)} are there (--sources takes only the locales you name)",
            ]
    if complaints:
        raise _cannot_start(complaints, "" if own else WAYS_ON)
    _check_room(zoo.source(locale) for locale in sources)
    if failed := zoo.fetch(sources, report):
        first = next(iter(failed.values()))
        raise _cannot_start([f"{len(failed)} of {len(sources)} sources did not arrive ({first.rstrip('.')})"], "")
    check_mergeable([zoo.checkpoint(locale) for locale in sources])


def _cannot_start(complaints: Sequence[str], ways_on: str) -> UserError:
    """Say all complaints; where users named models and data of their own, these say what to mend, and there is no other way."""
    said = "; and ".join(complaint.rstrip(".") for complaint in complaints)
    return UserError(f"Cannot start: {said}{'' if said.endswith('?') else '.'} {ways_on}".rstrip())


def embedded_if(demo: bool, report: Report, refused: dict[str, object]) -> Embedded | None:
    """Return the embedded models if they were asked for; flags that would contradict that are refused."""
    if not demo:
        return None
    for flag, value in refused.items():
        if value is not None:
            raise UserError(f"--demo brings its own models and data: leave out {flag}, or --demo.")
    return ensure(report=report)
