"""What ``plan --simulate`` shows: a column for each number of workers, then what was put in."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from sprachbund.cli.console import console, duration
from sprachbund.plan import size

if TYPE_CHECKING:
    from sprachbund.scale import Row, Scale

__all__ = ["print_scale", "scale_document"]

NOTICEABLE = 0.01
"""Of the wall time: what would save less does not bind."""


def scale_document(found: Scale) -> dict[str, Any]:
    """Return everything for programs: bytes, seconds, bytes/s."""
    document = {**asdict(found), "figures": {name: figure.model_dump() for name, figure in found.figures.items()}}
    for row, plain in zip(found.rows, document["rows"], strict=True):
        plain |= {"efficiency": row.efficiency, "worker_hours": row.found.worker_hours}
    return document


def print_scale(found: Scale) -> None:
    """Print everything for people."""
    held = "each worker keeps those that it has read" if found.are_held else "no worker keeps any"
    console.print(
        f"{found.cells} cells of {found.targets} targets; {found.sources} sources, {size(found.source_bytes)}: {held}",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("workers")
    columns = [_column(row) for row in found.rows]
    for row in found.rows:
        table.add_column(str(row.found.workers), justify="right")
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    console.print(table)
    for name, figure in found.figures.items():
        console.print(f"{name} {figure.value:g}: {figure.how}, {figure.why}", soft_wrap=True, markup=False)


def _column(row: Row) -> dict[str, str]:
    found, binding = row.found, _binding(row)
    return {
        "wall time": duration(found.seconds),
        "worker hours": f"{found.worker_hours:.2f}",
        "speed-up": f"{row.speed_up:.1f}",
        "efficiency": f"{row.efficiency:.0%}",
        "read": size(found.bytes_read),
        "written": size(found.bytes_written),
        "at most": f"{size(found.peak)}/s",
        "on average": f"{size(found.mean)}/s",
        "needs": f"{size(row.needed_bandwidth)}/s",
        **{stage: f"{seconds / found.workers:.1f} s" for stage, seconds in found.stages.items()},
        "binds": binding or "nothing",
    }


def _binding(row: Row) -> str:
    """Return what would save most if it were twice as fast, and how much; empty where nothing would save anything."""
    name, saved = next(iter(row.savings.items()))
    return f"{name}: −{saved:.0f} s" if saved > NOTICEABLE * row.found.seconds else ""
