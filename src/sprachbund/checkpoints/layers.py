"""Where in a model a tensor stands, by its name: in the embeddings, in a layer, or in what comes after the layers."""

from __future__ import annotations

import re

__all__ = ["layer_of", "part_of"]

_LAYER = re.compile(r"(?:^|[._])(?:layers?|blocks?|h)\.(\d+)\.")


def layer_of(tensor: str) -> int | None:
    """Return the number of the layer, from 0, that a tensor belongs to; None for the embeddings and the head."""
    found = _LAYER.search(tensor)
    return int(found[1]) if found else None


def part_of(tensor: str) -> str:
    """Return ``embeddings``, ``layer 3``, or ``head`` for all that stands in no layer behind them."""
    layer = layer_of(tensor)
    if layer is not None:
        return f"layer {layer}"
    return "embeddings" if "embedding" in tensor else "head"
