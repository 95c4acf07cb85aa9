"""Data sets by the name that users type: ``cldr``, ``massive``, ``table:PATH``, ``split:massive:PATH``.

What follows the colon is the data set's own business.

A data set is one module with a ``load(argument)``; it is imported when somebody asks for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from sprachbund.data.schema import DataSet
from sprachbund.registry import Registry

__all__ = ["DATA_SETS", "load"]

DATA_SETS: Registry[Callable[[str], DataSet]] = Registry("data set")


def _from_module(module: str) -> Callable[[str], DataSet]:
    def load_it(argument: str) -> DataSet:
        data: DataSet = importlib.import_module(f"sprachbund.data.{module}").load(argument)
        return data

    return load_it


DATA_SETS.add("cldr", _from_module("cldr"))
DATA_SETS.add("massive", _from_module("massive"))
DATA_SETS.add("table", _from_module("table"))
DATA_SETS.add("split", _from_module("split"))


def load(spec: str) -> DataSet:
    """Return the data set that ``name`` or ``name:argument`` stands for."""
    name, _, argument = spec.partition(":")
    return DATA_SETS[name](argument)
