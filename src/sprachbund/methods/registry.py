"""What a merge method is.

So far there is one kind, the *coefficient method*: it maps the weights of a mix to one coefficient per source, and the engine
does the weighted sum Σ cᵢ θᵢ. Methods never normalise: weightings do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sprachbund.registry import Registry

__all__ = ["METHODS", "Method"]

Coefficients = Callable[[Sequence[float]], Sequence[float]]
"""weights [n] → coefficients [n]."""


@dataclass(frozen=True)
class Method:
    """A coefficient method with what its row in the table of methods says."""

    name: str
    coefficients: Coefficients
    formula: str
    paper: str


METHODS: Registry[Method] = Registry("method")
