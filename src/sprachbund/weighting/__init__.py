"""From scores to merge coefficients: weights are normalised here and nowhere else.

A weighting maps the n scores of the selected sources to n weights that are ≥ 0 and sum to 1. Its signature says what
can be configured (keyword parameters with defaults); an option that it does not have is refused, never ignored. Every
module in this package registers its weightings in :data:`WEIGHTINGS` when it is imported, and all of them are
imported here.
"""

from __future__ import annotations

import importlib
import pkgutil

from sprachbund.weighting.similarity import DEFAULT_SHARPNESS
from sprachbund.weighting.weights import WEIGHTINGS, Weighting, effective_number, normalise, options_of, weigh

__all__ = ["DEFAULT_SHARPNESS", "WEIGHTINGS", "Weighting", "effective_number", "normalise", "options_of", "weigh"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
