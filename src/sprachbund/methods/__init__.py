"""Merge methods: pure maths, one small file a method, found by its being here."""

import importlib
import pkgutil

from sprachbund.methods.registry import METHODS, Method, Pass

__all__ = ["METHODS", "Method", "Pass"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
