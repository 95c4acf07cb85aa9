"""What all weightings share: the registry, the one place that normalises, and how many sources weights amount to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sprachbund.errors import MixError, UserError
from sprachbund.registry import Registry

__all__ = [
    "WEIGHTINGS",
    "FloatArray",
    "Scores",
    "Weighting",
    "WeightsOf",
    "effective_number",
    "finite",
    "normalise",
    "options_of",
    "weigh",
]

FloatArray = npt.NDArray[np.float64]
Scores = Sequence[float] | FloatArray

Weighting = Callable[..., FloatArray]
"""(scores [n], *, options with defaults) → weights [n], each ≥ 0, sum 1."""

WeightsOf = Callable[[str], FloatArray]
"""From the name of a tensor to its weights [n]."""

WEIGHTINGS: Registry[Weighting] = Registry("weighting")


def weigh(name: str, scores: Scores, **options: float) -> FloatArray:
    """Return the weights [n] that the weighting ``name`` gives to ``scores`` [n]."""
    known = options_of(name)
    for option in options:
        if option not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise UserError(
                f"Weighting {name!r} has no option {option!r} ({has}): leave it out, or take another weighting."
            )
    return WEIGHTINGS[name](scores, **options)


def options_of(name: str) -> dict[str, float]:
    """Return what can be configured in the weighting ``name``, with the defaults."""
    parameters = inspect.signature(WEIGHTINGS[name]).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def normalise(values: Scores) -> FloatArray:
    """Return ``values`` [n], each ≥ 0, divided by their sum."""
    numbers = finite(values)
    if (numbers < 0).any():
        place = numbers.argmin()
        raise MixError(
            f"Weights must not be negative; got {numbers[place]:g} in place {place + 1} of {len(numbers)}: give 0 or more."
        )
    if not numbers.any():
        raise MixError(f"Weights must sum to something above 0; all {len(numbers)} are 0: give one source more.")
    numbers = numbers / numbers.max()  # sums of very large or very small numbers stay finite and positive
    return np.asarray(numbers / numbers.sum())


def finite(values: Scores) -> FloatArray:
    """Return ``values`` as an array [n] with n ≥ 1 finite numbers."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) == 0:
        raise MixError(
            f"A mix needs one number per source, of at least one source; got an array of shape {numbers.shape}."
        )
    if not np.isfinite(numbers).all():
        place = int(np.argmin(np.isfinite(numbers)))
        raise MixError(
            f"Every source needs a finite number; got {numbers[place]} in place {place + 1} of {len(numbers)}."
        )
    return numbers


def effective_number(weights: Scores) -> float:
    """Return 1 / Σw², in [1, n]: how many equally weighted sources the weights (sum 1) amount to.

    Kish's effective sample size (Kish 1965, "Survey Sampling"). 5 of 5 is an average by another name; 1 is a single
    source.
    """
    w = np.asarray(weights, dtype=np.float64)
    return float(1.0 / np.square(w).sum())
