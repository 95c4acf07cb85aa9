"""What a command works on: a zoo of sources and a data set, found before any work, or one message that says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sprachbund import data
from sprachbund.checkpoints import PUBLISHED, Checkpoint, Zoo, check_mergeable, open_checkpoint
from sprachbund.config import InputsConfig
from sprachbund.data import DataSet
from sprachbund.errors import DataError, UserError
from sprachbund.evaluation import label_names
from sprachbund.parallel import Report
from sprachbund.training.embedded import Embedded, ensure

__all__ = ["DEFAULT_DATA", "Inputs", "Sources", "embedded_if", "open_inputs", "open_sources"]

DEFAULT_DATA = "massive"
WAYS_ON = (
    "Three ways on: --models TEMPLATE with {locale} in it, for checkpoints on this machine; "
    "--data massive:PATH, for a copy of MASSIVE; or --demo, for embedded models and data that need no download."
)


@dataclass(frozen=True)
class Sources:
    """A zoo whose sources are at hand, and the base they share."""

    zoo: Zoo
    base: Checkpoint | None
    """The embedded base; None where users bring their own models."""


@dataclass(frozen=True)
class Inputs:
    """Sources and data, both at hand."""

    zoo: Zoo
    data: DataSet
    base: Checkpoint | None
    """As in :class:`Sources`."""


def open_sources(config: InputsConfig, sources: Sequence[str], report: Report) -> Sources:
    """Return the zoo alone, for those who need no data; with ``--data``, its labels must be those of the sources.

    Raises:
        UserError: says what is missing, and the ways on.
    """
    if config.demo or config.data:
        inputs = open_inputs(config, sources, report)
        for locale in sources:
            checkpoint = inputs.zoo.checkpoint(locale)
            label_names(checkpoint.labels, inputs.data, checkpoint.name)
        return Sources(inputs.zoo, inputs.base)
    zoo = Zoo(config.models or PUBLISHED)
    _start(zoo, sources, [])
    return Sources(zoo, None)


def open_inputs(config: InputsConfig, sources: Sequence[str], report: Report) -> Inputs:
    """Return zoo and data set with the sources of these locales checked; with ``--demo``, make the embedded ones if need be.

    Raises:
        UserError: says all that is missing, and the ways on.
    """
    embedded = embedded_if(config.demo, report, refused={"--models": config.models, "--data": config.data})
    if embedded:
        base = open_checkpoint(embedded.base, "base")
        return Inputs(Zoo(embedded.template), data.load(embedded.data), base)
    zoo = Zoo(config.models or PUBLISHED)
    try:
        dataset, complaints = data.load(config.data or DEFAULT_DATA), []
    except DataError as error:
        dataset, complaints = None, [str(error).rstrip(".")]
    _start(zoo, sources, complaints)
    assert dataset is not None, "without it there was a complaint"
    return Inputs(zoo, dataset, None)


def _start(zoo: Zoo, sources: Sequence[str], complaints: Sequence[str]) -> None:
    """Stop with all complaints in one message, or see that the sources fit together."""
    missing = zoo.missing(sources)
    if missing:
        first = next(iter(missing.values())).rstrip(".")
        complaints = [*complaints, f"{len(missing)} of {len(sources)} sources are missing ({first})"]
    if complaints:
        raise UserError(f"Cannot start: {'; and '.join(complaints)}. {WAYS_ON}")
    check_mergeable([zoo.checkpoint(locale) for locale in sources])


def embedded_if(demo: bool, report: Report, refused: dict[str, object]) -> Embedded | None:
    """Return the embedded models if they were asked for; flags that would contradict that are refused."""
    if not demo:
        return None
    for flag, value in refused.items():
        if value is not None:
            raise UserError(f"--demo brings its own models and data: leave out {flag}, or --demo.")
    return ensure(report=report)
