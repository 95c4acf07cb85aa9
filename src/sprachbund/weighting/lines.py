"""LiNeS, depth-wise scaling: shallow layers stay closer to the base than deep ones (Wang et al. 2025, arXiv:2410.17146).

Shallow layers hold what is common to tasks, and merging disturbs it; deep ones hold what a task is about. The merged task
vector of layer l of L, from 0, is scaled by α + β l/(L − 1). Embeddings count as the first layer, the head and all else behind
the layers as the last.

It is a factor of λ and not of the weights, which would do the same where methods are linear in them, but cancel where they are
divided by, as in a mean over those that agree in sign. So it goes with every method on task vectors, and with no other: what is
linear in thetas would shrink the model itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from sprachbund.checkpoints import layer_of, part_of
from sprachbund.errors import MixError

__all__ = ["depth_scales"]


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


def _depth(tensor: str, layer: int | None, deepest: int) -> float:
    """Return where a tensor stands, from 0 to 1."""
    if layer is not None:
        return layer / max(deepest, 1)
    return 0.0 if part_of(tensor) == "embeddings" else 1.0
