"""``sprachbund methods`` and ``variants``: the merge methods there are, and what an experiment can run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from rich.markup import escape
from rich.table import Table

from sprachbund.cli.app import app
from sprachbund.cli.console import console, result
from sprachbund.methods import METHODS, Method
from sprachbund.recipe import GREEDY_SOUP, VARIANTS, Variant

__all__ = ["methods", "needs", "options", "variants"]

SHOWN = {"products": None, "summary": None, "generators": "seed"}
"""What methods are handed in has another name for people, or none where they need not know."""


@app.command
def methods() -> int:
    """List the merge methods: kind, how finely tensors may be cut, needs; options with defaults (--set NAME=VALUE); paper."""
    result(lambda: [_described(method) for method in METHODS.values()], _show_methods)
    return 0


@app.command
def variants() -> int:
    """List the variants that an experiment can run; adaptations need unlabelled text (--data split:…)."""
    rows = [
        {
            "variant": variant.name,
            "needs": _needed(variant),
            "what it is": variant.description,
        }
        for variant in VARIANTS.values()
    ]
    result(lambda: rows, lambda: _show(rows))
    return 0


def _needed(variant: Variant) -> str:
    if variant.adaptation is None:
        return "dev splits" if variant.weighting == GREEDY_SOUP else ""
    return "unlabelled text, a few labels" if variant.adaptation.labels else "unlabelled text"


def needs(method: Method) -> tuple[str, ...]:
    """Return what users have to know that a method needs: a base, statistics of texts, a seed; weights or sources so and so."""
    handed = (SHOWN.get(name, name) for name in method.needs)
    return (
        *(["base"] if method.needs_base else []),
        *(name for name in handed if name),
        *([] if method.uses_weights else ["equal weights"]),
        *([f"at most {method.most_sources} sources"] if method.most_sources else []),
    )


def options(method: Method) -> Mapping[str, str]:
    """Return the options of a method with their defaults, as users write them."""
    return {name: _as_typed(option.default) for name, option in method.options.items()}


def _as_typed(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _described(method: Method) -> dict[str, Any]:
    """Return all that is said of a method, for programs."""
    return {
        "method": method.name,
        "formula": method.formula,
        "paper": method.paper,
        "reference": method.reference,
        "kind": method.kind,
        "needs": needs(method),
        "granularity": method.granularity,
        "uses_weights": method.uses_weights,
        "matrices_only": method.matrices_only,
        "most_sources": method.most_sources,
        "options": [
            {
                "name": option.name,
                "default": option.default,
                "description": option.description,
                "one_per_source": option.per_source,
                **TypeAdapter(option.type).json_schema(),
            }
            for option in method.options.values()
        ],
    }


def _show_methods() -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("method", no_wrap=True)
    table.add_column("about it", overflow="fold")
    for method in METHODS.values():
        table.add_row(method.name, escape("\n".join(_lines(method))))
    console.print(table)


def _lines(method: Method) -> list[str]:
    """Return what people read of a method: kind, cuts and needs; options; paper."""
    wanted = ", ".join(needs(method)) or "nothing else"
    set_by = " ".join(f"{name}={default}" for name, default in options(method).items())
    about = f"{method.kind} method, cut by {method.granularity}, needs {wanted}"
    return [about, *([set_by] if set_by else []), method.paper]


def _show(rows: list[dict[str, str]]) -> None:
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row.values())
    console.print(table)
