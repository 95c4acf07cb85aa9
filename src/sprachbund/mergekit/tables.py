"""Which of our methods each of mergekit's is, and what its parameters are called and default to there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from sprachbund.blends import Dtype
from sprachbund.registry import Registry

__all__ = ["DTYPES", "FOREIGN", "OUR_NAMES", "Foreign"]

DTYPES = get_args(Dtype)
OUR_NAMES = {"lambda": "scale"}
"""Options that have another name here."""

UseOfBase = Literal["start", "source", "either"]
"""θ₀ of the task vectors; one more source; θ₀ if there is one (and then of another method)."""


@dataclass(frozen=True)
class Foreign:
    """A method of mergekit: which of ours it is, and its parameters there."""

    method: str
    base: UseOfBase
    options: Mapping[str, object] = field(default_factory=dict)
    """Its own parameters, with their defaults there."""
    ours: Mapping[str, object] = field(default_factory=dict)
    """Options that say which form of our method it is."""
    weighted: bool = True
    """Whether each model needs a weight; else all count the same."""
    normalize: tuple[str, bool] | None = None
    """The parameter that divides by the sum of the weights, and its default; None where there is none."""
    elects: bool = False
    """Whether that sum is of the weights of those that agree in sign, as it always is here."""


FOREIGN: Registry[Foreign] = Registry("merge_method")
_SCALED = {"lambda": 1.0}
_DROPPED = {"density": 1.0, **_SCALED, "rescale": True}
_BANDED = {"density": 1.0, **_SCALED, "gamma": 0.01}
for _name, _foreign in {
    "linear": Foreign("linear", "source", normalize=("normalize", True)),
    "task_arithmetic": Foreign("task_arithmetic", "start", _SCALED, normalize=("normalize", False)),
    "ties": Foreign("ties", "start", {"density": 1.0, **_SCALED}, normalize=("normalize", True), elects=True),
    "dare_linear": Foreign("dare", "start", _DROPPED, {"elect_sign": False}, normalize=("normalize", False)),
    "dare_ties": Foreign("dare", "start", _DROPPED, {"elect_sign": True}, normalize=("normalize", False), elects=True),
    "della_linear": Foreign(
        "della", "start", {**_DROPPED, "epsilon": 0.15}, {"elect_sign": False}, normalize=("normalize", False)
    ),
    "della": Foreign(
        "della",
        "start",
        {**_DROPPED, "epsilon": 0.15},
        {"elect_sign": True},
        normalize=("normalize", True),
        elects=True,
    ),
    "breadcrumbs": Foreign("breadcrumbs", "start", _BANDED, {"elect_sign": False}, normalize=("normalize", False)),
    "breadcrumbs_ties": Foreign(
        "breadcrumbs", "start", _BANDED, {"elect_sign": True}, normalize=("normalize", False), elects=True
    ),
    "model_stock": Foreign("model_stock", "start", {"filter_wise": False}, weighted=False),
    "slerp": Foreign("slerp", "source", {"t": None}, weighted=False),
    "multislerp": Foreign("multislerp", "either", {"eps": 1e-8}, normalize=("normalize_weights", True)),
    "karcher": Foreign("karcher", "source", {"max_iter": 10, "tol": 1e-5}, weighted=False),
    "sce": Foreign("sce", "start", {"select_topk": 1.0}, weighted=False),
}.items():
    FOREIGN.add(_name, _foreign)
