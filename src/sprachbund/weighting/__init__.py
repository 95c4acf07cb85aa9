"""From scores to merge coefficients: weights are normalised here and nowhere else.

A weighting maps the n scores of the selected sources to n weights that are ≥ 0 and sum to 1. Its signature says what
can be configured (keyword parameters with defaults); an option that it does not have is refused, never ignored. The
modules in this package register their weightings in :data:`WEIGHTINGS` when they are imported, and all of them are
imported here.

Others go by more than scores: ``greedy_soup`` asks how good a merge is, ``layer_ranges`` gives weights to each tensor by where
in the model it stands, as ``depth_scales`` does with the scale of task vectors.
"""

from __future__ import annotations

import importlib
import pkgutil

from sprachbund.weighting.greedy_soup import greedy_soup
from sprachbund.weighting.layer_ranges import layer_ranges
from sprachbund.weighting.lines import depth_scales
from sprachbund.weighting.similarity import DEFAULT_SHARPNESS
from sprachbund.weighting.weights import (
    WEIGHTINGS,
    Weighting,
    WeightsOf,
    effective_number,
    normalise,
    options_of,
    weigh,
)

__all__ = [
    "DEFAULT_SHARPNESS",
    "WEIGHTINGS",
    "Weighting",
    "WeightsOf",
    "depth_scales",
    "effective_number",
    "greedy_soup",
    "layer_ranges",
    "normalise",
    "options_of",
    "weigh",
]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
