"""``sprachbund check``: what sources are, side by side, and what would keep them from being merged; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table

from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console, result, say
from sprachbund.config import CheckConfig
from sprachbund.errors import Unfit

if TYPE_CHECKING:
    from sprachbund.checkpoints import Checkpoint, Zoo
    from sprachbund.data import DataSet
    from sprachbund.survey import Facts, Survey

__all__ = ["check"]

DIGITS = 8
"""Of a digest that people see: enough to tell two apart."""
NAMES = 3
"""Sources that are named where a value is not the same for all."""


@app.command
def check(*, config: Annotated[CheckConfig, Parameter(name="*")] = CheckConfig()) -> int:
    """Tell what each source is and whether all can be merged; exit status 1 if not."""
    from sprachbund.plan import pool
    from sprachbund.survey import survey

    with Reporter() as report:
        zoo, base, data = _inputs(config, report)
        locales = pool(config, data.locales if data else ())
        if data:
            say(data.notice)
        found = survey(zoo, locales, base=base, data=data, report=report)
    result(lambda: _values(found, zoo, base), lambda: _show(found, zoo, base))
    if found.unfit:
        others = " with the others" if len(found.unfit) < len(locales) else ""
        raise Unfit(
            f"{len(found.unfit)} of {len(locales)} sources cannot be merged{others}: {_names(found.unfit, 12)}. "
            "Mend what is said of them, or leave them out (--sources takes only the locales you name)."
        )
    return 0


def _inputs(config: CheckConfig, report: Reporter) -> tuple[Zoo, Checkpoint | None, DataSet | None]:
    """Return the zoo and, where they were named, the base and the data; sources need not be there."""
    from sprachbund import data
    from sprachbund.checkpoints import PUBLISHED, Zoo, open_checkpoint
    from sprachbund.inputs import embedded_if, open_base

    named = open_base(config.base, report, allow_pickle=config.allow_pickle) if config.base else None
    if config.demo:
        embedded = embedded_if(config.demo, report, refused={"--models": config.models, "--data": config.data})
        assert embedded is not None, "it was asked for"
        base = named or open_checkpoint(embedded.base, "base")
        return Zoo(embedded.template), base, data.load(embedded.data)
    return (
        Zoo.parse(config.models or PUBLISHED, allow_pickle=config.allow_pickle),
        named,
        data.load(config.data) if config.data else None,
    )


def _values(found: Survey, zoo: Zoo, base: Checkpoint | None) -> dict[str, object]:
    return {
        "models": zoo.template,
        "base": base and base.name,
        "mergeable": not found.unfit,
        "alignment": found.alignment,
        "head_agreement": found.heads,
        "sources": [asdict(facts) for facts in found.sources],
    }


def _show(found: Survey, zoo: Zoo, base: Checkpoint | None) -> None:
    opened = [facts for facts in found.sources if facts.model]
    console.print(f"{len(found.sources)} sources, {zoo.template}", soft_wrap=True)
    if opened:
        console.print()
        console.print(_in_common(opened))
        console.print()
        console.print(_one_by_one(found.sources, base))
    for line in _problems(found.sources):
        console.print(f"\n{line}", soft_wrap=True, markup=False)
    if found.alignment:
        console.print(f"\n{found.alignment}", soft_wrap=True, markup=False)
    if found.heads and found.heads.warning:
        console.print(f"\nWarning: {found.heads.warning}", soft_wrap=True, markup=False)
    if not found.unfit:
        console.print(f"\nAll {len(found.sources)} can be merged together.")


PROPERTIES: dict[str, Callable[[Facts], str]] = {
    "architecture": lambda facts: facts.architecture or "-",
    "dtype": lambda facts: facts.dtype or "-",
    "tensors": lambda facts: f"{facts.tensors}, {facts.parameters:,} parameters",
    "vocabulary": lambda facts: _short(facts.vocabulary) + ("" if facts.tokens is None else f", {facts.tokens:,} rows"),
    "tokenizer": lambda facts: _short(facts.tokenizer),
    "labels": lambda facts: _short(facts.labels_digest) + (f", {len(facts.labels)} labels" if facts.labels else ""),
}
"""What most sources have in common, as it is shown."""


def _in_common(opened: Sequence[Facts]) -> Table:
    """Return a table with a row for each property, or for each of its values where sources differ in it."""
    table = Table("property", "value", "sources", box=None, pad_edge=False)
    for name, shown in PROPERTIES.items():
        who: dict[str, list[str]] = {}
        for facts in opened:
            who.setdefault(shown(facts), []).append(facts.source)
        for value, names in sorted(who.items(), key=lambda item: -len(item[1])):
            table.add_row(name, value, f"all {len(names)}" if len(who) == 1 else _names(names, NAMES))
            name = ""  # the same property, another value
    return table


def _one_by_one(sources: Sequence[Facts], base: Checkpoint | None) -> Table:
    """Return a table with a row for each source; of its head's cosines to the others it shows the least and the mean."""
    table = Table(box=None, pad_edge=False)
    table.add_column("source")
    if base:
        table.add_column("from base", justify="right")
    for column in ("least head cosine", "mean"):
        table.add_column(column, justify="right")
    table.add_column("fits")
    for facts in sources:
        cosines = facts.head_cosines
        least = min(cosines, key=cosines.__getitem__, default=None)
        mean = sum(cosines.values()) / len(cosines) if cosines else None
        table.add_row(
            facts.source,
            *([_number(facts.distance_from_base)] if base else []),
            "-" if least is None else f"{least} {_number(cosines[least])}",
            _number(mean),
            "no" if facts.problem else "yes",
        )
    return table


def _problems(sources: Sequence[Facts]) -> list[str]:
    """Return each problem with the sources that have it; what differs in nothing but the locale is said once."""
    from sprachbund.checkpoints import as_template

    who: dict[str, list[str]] = {}
    for facts in sources:
        if facts.problem:
            who.setdefault(as_template(facts.problem, facts.source), []).append(facts.source)
    return [
        f"{_names(names, NAMES)}: {said.replace('{locale}', names[0]) if len(names) == 1 else said}"
        for said, names in who.items()
    ]


def _names(names: Sequence[str], most: int) -> str:
    """Return the first names, and how many there are besides."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return " ".join(names[:most]) + rest


def _short(digest: str | None) -> str:
    return digest[:DIGITS] if digest else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
