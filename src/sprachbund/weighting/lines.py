"""LiNeS, depth-wise scaling: shallow layers stay closer to the base than deep ones (Wang et al. 2025, arXiv:2410.17146).

Shallow layers hold what is common to tasks, and merging disturbs it; deep ones hold what a task is about. The task vectors of
layer l of L, from 0, are scaled by α + β l/(L − 1). Embeddings count as the first layer, the head and all else behind the
layers as the last.

A scale of a task vector is a matter of methods on task vectors alone: what is linear in thetas would shrink the model itself.
Nor does it reach a method that divides by its weights, as a mean over those that agree in sign, or one that takes none: they
get ``depth_scales`` as their λ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from sprachbund.checkpoints import layer_of, part_of
from sprachbund.errors import MixError
from sprachbund.weighting.weights import Scores, WeightsOf, finite

__all__ = ["depth_scales", "lines"]


def depth_scales(tensors: Iterable[str], *, alpha: float, beta: float) -> Mapping[str, float]:
    """Return α + β l/(L − 1) for each tensor of a model, by name; in a model of one layer, that one counts as shallow.

    Raises:
        MixError: α or β is not finite, or no tensor stands in a layer.
    """
    if not (math.isfinite(alpha) and math.isfinite(beta)):
        raise MixError(f"A scale by depth needs finite numbers; got alpha {alpha} and beta {beta}.")
    layers = {name: layer_of(name) for name in tensors}
    deepest = max((layer for layer in layers.values() if layer is not None), default=None)
    if deepest is None:
        raise MixError(
            "A scale by depth needs layers; no tensor of this model has the number of one in its name: leave it out."
        )
    return {name: alpha + beta * _depth(name, layer, deepest) for name, layer in layers.items()}


def lines(weights: Scores, tensors: Iterable[str], *, alpha: float, beta: float) -> WeightsOf:
    """Return the weights [n] of each tensor, times its scale by depth."""
    numbers, scales = finite(weights), depth_scales(tensors, alpha=alpha, beta=beta)
    return lambda tensor: np.asarray(scales[tensor] * numbers)


def _depth(tensor: str, layer: int | None, deepest: int) -> float:
    """Return where a tensor stands, from 0 to 1."""
    if layer is not None:
        return layer / max(deepest, 1)
    return 0.0 if part_of(tensor) == "embeddings" else 1.0
