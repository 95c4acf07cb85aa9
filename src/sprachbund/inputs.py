"""What a command works on: a zoo of sources and a data set, found before any work, or one message that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sprachbund import data
from sprachbund.checkpoints import PUBLISHED, Checkpoint, Zoo, check_mergeable, open_checkpoint
from sprachbund.config import InputsConfig
from sprachbund.data import DataSet
from sprachbund.errors import DataError, UserError
from sprachbund.training.embedded import Embedded, ensure

__all__ = ["Inputs", "embedded_if", "open_inputs"]

DEFAULT_DATA = "massive"
WAYS_ON = (
    "Three ways on: --models TEMPLATE with {locale} in it, for checkpoints on this machine; "
    "--data massive:PATH, for a copy of MASSIVE; or --demo, for embedded models and data that need no download."
)

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Inputs:
    """Sources and data, both at hand."""

    zoo: Zoo
    data: DataSet
    base: Checkpoint | None
    """The embedded base; None where users bring their own models."""


def open_inputs(config: InputsConfig, sources: Sequence[str], report: Report) -> Inputs:
    """Return zoo and data set with the sources of these locales checked; with ``--demo``, make the embedded ones if need be.

    Raises:
        UserError: says all that is missing, and the ways on.
    """
    embedded = embedded_if(config.demo, report, refused={"--models": config.models, "--data": config.data})
    if embedded:
        return Inputs(Zoo(embedded.template), data.load(embedded.data), open_checkpoint(embedded.base, "base"))
    zoo = Zoo(config.models or PUBLISHED)
    dataset, complaints = _data_or_complaint(config.data or DEFAULT_DATA)
    missing = zoo.missing(sources)
    if missing:
        first = next(iter(missing.values()))
        complaints.append(f"{len(missing)} of {len(sources)} sources are missing ({first.rstrip('.')})")
    if complaints or dataset is None:
        raise UserError(f"Cannot start: {'; and '.join(complaints)}. {WAYS_ON}")
    check_mergeable([zoo.checkpoint(locale) for locale in sources])
    return Inputs(zoo, dataset, None)


def embedded_if(demo: bool, report: Report, refused: dict[str, object]) -> Embedded | None:
    """Return the embedded models if they were asked for; flags that would contradict that are refused."""
    if not demo:
        return None
    for flag, value in refused.items():
        if value is not None:
            raise UserError(f"--demo brings its own models and data: leave out {flag}, or --demo.")
    return ensure(report=report)


def _data_or_complaint(spec: str) -> tuple[DataSet | None, list[str]]:
    try:
        return data.load(spec), []
    except DataError as error:
        return None, [str(error).rstrip(".")]
