"""What a command works on: a zoo of sources and a data set, found before any work, or one message that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from sprachbund import data, locales
from sprachbund.checkpoints import (
    PUBLISHED,
    Checkpoint,
    Zoo,
    check_mergeable,
    hub,
    locate,
    misfits,
    on_the_hub,
    open_checkpoint,
    split_subfolder,
)
from sprachbund.checkpoints.hub import HubModel
from sprachbund.config import BaseConfig, EvaluateConfig, InputsConfig
from sprachbund.data import DataSet
from sprachbund.errors import CheckpointError, DataError, MixError, UnknownName, UserError
from sprachbund.evaluation import label_names
from sprachbund.parallel import Report
from sprachbund.plan import check_room
from sprachbund.training.embedded import Embedded, ensure

__all__ = [
    "DEFAULT_DATA",
    "Asked",
    "Inputs",
    "Needed",
    "Sources",
    "Targets",
    "embedded_if",
    "notes_on",
    "open_base",
    "open_each",
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
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Sources that are missing or do not fit the others, with the reason; only with ``--allow-missing`` are there any."""
    notes: tuple[str, ...] = ()
    """What users must be told of sources and base: which are left out, and how others were read."""


@dataclass(frozen=True)
class Inputs:
    """Sources and data, both at hand."""

    zoo: Zoo
    data: DataSet
    base: Checkpoint | None
    """As in :class:`Sources`, and so the others."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


Asked = Callable[[Collection[str]], Sequence[str]]
"""From the locales whose sources are left out to those whose sources are read."""
Needed = Callable[[Sequence[str], Collection[str]], Sequence[str]]
"""The same, also from the locales that the data holds, which come first."""
Targets = Callable[[Sequence[str]], Sequence[str]]
"""From the locales that the data holds to those that models are evaluated in."""


def open_sources(config: InputsConfig, asked: Asked, report: Report) -> Sources:
    """Return the zoo alone, for those who need no data; with ``--data``, its labels must be those of the sources.

    Raises:
        UserError: says what is missing, and the ways on.
    """
    if config.demo or config.data:
        inputs = open_inputs(config, lambda held, without: asked(without), report)
        for locale in asked(inputs.left_out):
            checkpoint = inputs.zoo.checkpoint(locale)
            label_names(checkpoint.labels, inputs.data, checkpoint.name)
        return Sources(inputs.zoo, inputs.base, inputs.left_out, inputs.notes)
    zoo = Zoo.parse(config.models or PUBLISHED, allow_pickle=config.allow_pickle)
    left_out, notes = _start(zoo, asked, [], report, own=config.models is not None, go_on=config.allow_missing)
    base = _named_base(config, report)
    return Sources(zoo, base, left_out, (*notes, *notes_on([base] if base else ())))


def open_inputs(
    config: InputsConfig, needed: Needed, report: Report, *, targets: Targets = lambda held: (), split: str = ""
) -> Inputs:
    """Return zoo and data set with the needed sources checked; with ``--demo``, make the embedded ones if need be.

    Of the data, what will be read is read and checked: ``split`` of the locales that ``targets`` chooses from those it holds.

    Raises:
        UserError: says all that is missing, and the ways on.
    """
    refused: dict[str, object] = {
        "--models": config.models,
        "--data": config.data,
        "--allow-missing": config.allow_missing or None,
    }
    embedded = embedded_if(config.demo, report, refused=refused)
    if embedded:
        start = _named_base(config, report) or open_checkpoint(embedded.base, "base")
        own_data = data.load(embedded.data)
        own_data.check(targets(own_data.locales), [split] if split else [])
        return Inputs(Zoo(embedded.template), own_data, start, notes=notes_on([start]))
    zoo = Zoo.parse(config.models or PUBLISHED, allow_pickle=config.allow_pickle)
    try:
        dataset, complaints = data.load(config.data or DEFAULT_DATA), []
    except DataError as error:
        dataset, complaints = None, [str(error).rstrip(".")]
    held = dataset.locales if dataset else locales.names()
    _check_locales(zoo, held)
    own = config.models is not None and config.data is not None
    left_out, notes = _start(
        zoo, lambda without: needed(held, without), complaints, report, own=own, go_on=config.allow_missing
    )
    assert dataset is not None, "without it there was a complaint"
    dataset.check(targets(held), [split] if split else [])
    base = _named_base(config, report)
    return Inputs(zoo, dataset, base, left_out, (*notes, *notes_on([base] if base else ())))


def _check_locales(zoo: Zoo, held: Sequence[str]) -> None:
    """Refuse a file that names a source of a locale that nobody knows."""
    known = dict.fromkeys([*locales.names(), *held])
    for locale in zoo.locales or ():
        if locale not in known:
            raise UnknownName("locale", locale, known, f"It stands in {zoo.template}.")


def _named_base(config: InputsConfig, report: Report) -> Checkpoint | None:
    named = config.base if isinstance(config, BaseConfig) else None
    return open_base(named, report, allow_pickle=config.allow_pickle) if named else None


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
        checkpoint = _named(config.base_model, config.model_dir, report, allow_pickle=config.allow_pickle)
    except CheckpointError as error:
        complaints.append(str(error).rstrip("."))
    try:
        dataset = data.load(config.data or DEFAULT_DATA)
    except DataError as error:
        complaints.append(str(error).rstrip("."))
    if checkpoint and dataset:
        return checkpoint, dataset
    raise _cannot_start(complaints, "" if config.data else WAYS_ON_FOR_ONE)


def _named(model: str, subfolder: str | None, report: Report, *, allow_pickle: bool = False) -> Checkpoint:
    model, subfolder = (model, subfolder) if subfolder else split_subfolder(model)
    place = on_the_hub(f"{model}:{subfolder}" if subfolder else model, allow_pickle=allow_pickle)
    _check_room([place] if place else [])
    return locate(model, subfolder, report, allow_pickle=allow_pickle)


def _check_room(places: Iterable[HubModel]) -> None:
    """Complain if what has to be fetched of these models finds no room in the hub's cache.

    Raises:
        UserError: says how much is needed, and how much there is.
    """
    needed = hub.to_download(places)
    if needed:
        check_room(
            hub.cache_folder(),
            needed,
            "The download needs",
            "make room",
            instead="folder for the hub's cache (HF_HOME)",
        )


def open_base(name: str, report: Report, *, allow_pickle: bool = False) -> Checkpoint:
    """Return the base that ``--base`` names, fetched if it is on the hub; ``allow_pickle`` as in :func:`locate`.

    Raises:
        CheckpointError: there is none.
    """
    return _named(name, None, report, allow_pickle=allow_pickle)


def open_each(names: Sequence[str], report: Report, *, allow_pickle: bool = False) -> dict[str, Checkpoint]:
    """Return the checkpoints of these names, fetched if they are on the hub; what is missing is said before that.

    Raises:
        CheckpointError: one is not there.
        UserError: there is no room for them.
    """
    places = {name: place for name in names if (place := on_the_hub(name, allow_pickle=allow_pickle))}
    absent = hub.look_up(places.values())
    opened = partial(open_base, report=report, allow_pickle=allow_pickle)
    here = {name: opened(name) for name in names if name not in places}
    for place in absent:
        raise absent[place]
    _check_room(places.values())
    hub.fetch(places.values(), report)
    return {name: here[name] if name in here else opened(name) for name in names}


def _start(
    zoo: Zoo, asked: Asked, complaints: Sequence[str], report: Report, *, own: bool, go_on: bool
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Stop with all complaints in one message, or fetch the sources and see that they fit together.

    Return which are left out, with the reasons, and what is to be said. ``own`` says that users named what is used, so that
    nobody has to tell them how to; ``go_on``, that sources may be left out.
    """
    left_out = _left_out(zoo, asked, report) if go_on and not complaints else {}
    sources = asked(left_out)
    missing = zoo.missing(sources)
    if missing:
        first = next(iter(missing.values())).rstrip(".")
        complaints = [*complaints, f"{len(missing)} of {len(sources)} sources are missing ({first})"]
        there = [locale for locale in sources if locale not in missing]
        if there:
            ways = "--sources and --locales take only those you name, --allow-missing goes on without the others"
            complaints = [*complaints, f"those of {' '.join(there)} are there ({ways})"]
    if complaints:
        raise _cannot_start(complaints, "" if own else WAYS_ON)
    if failed := _fetch(zoo, sources, report):
        first = next(iter(failed.values()))
        raise _cannot_start([f"{len(failed)} of {len(sources)} sources did not arrive ({first.rstrip('.')})"], "")
    checkpoints = [zoo.checkpoint(locale) for locale in sources]
    check_mergeable(checkpoints)
    said = [f"Left out: the source of {locale} ({reason.rstrip('.')})." for locale, reason in left_out.items()]
    return left_out, (*said, *notes_on(checkpoints))


def _fetch(zoo: Zoo, sources: Sequence[str], report: Report) -> Mapping[str, str]:
    """Fetch the sources on the hub, for which there must be room; return which did not arrive, with the reasons."""
    _check_room(zoo.on_the_hub(sources).values())
    return zoo.fetch(sources, report)


def _left_out(zoo: Zoo, asked: Asked, report: Report) -> Mapping[str, str]:
    """Return which sources cannot be used, with the reasons: those that are asked for, and then for those in their place.

    What is chosen in the end are the sources that would be chosen if users had named all usable ones.
    """
    left_out: dict[str, str] = {}
    while sources := _asked_again(asked, left_out):
        failed = zoo.missing(sources) or _fetch(zoo, sources, report) or _misfits(zoo, sources)
        if not failed:
            return left_out
        left_out |= failed
    raise _cannot_start([f"none of the sources can be used ({next(iter(left_out.values())).rstrip('.')})"], "")


def _misfits(zoo: Zoo, sources: Sequence[str]) -> Mapping[str, str]:
    """Return which sources cannot be opened or, if all can, do not fit most others, with the reasons."""
    checkpoints: dict[str, Checkpoint] = {}
    failed: dict[str, str] = {}
    for locale in sources:
        try:
            checkpoints[locale] = zoo.checkpoint(locale)
        except CheckpointError as error:  # only now known of those on the hub
            failed[locale] = str(error)
    return failed or misfits(checkpoints)


def _asked_again(asked: Asked, left_out: Mapping[str, str]) -> Sequence[str]:
    """Return the sources that are read without some; where too few are left, say that they are left out."""
    try:
        return asked(left_out)
    except MixError as error:
        if not left_out:
            raise
        locale, reason = next(iter(left_out.items()))
        others = f", as are {len(left_out) - 1} others" if len(left_out) > 1 else ""
        raise MixError(f"{error} {locale} is left out ({reason.rstrip('.')}){others}.") from error


def notes_on(checkpoints: Iterable[Checkpoint]) -> tuple[str, ...]:
    """Return what is to be said of how checkpoints were read, once however many it is true of."""
    names: dict[str, list[str]] = {}
    for checkpoint in checkpoints:
        names.setdefault(checkpoint.note, []).append(checkpoint.name)
    names.pop("", None)
    return tuple(
        f"{named[0]} {note}" + (f" The same goes for {len(named) - 1} others." if len(named) > 1 else "")
        for note, named in names.items()
    )


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
