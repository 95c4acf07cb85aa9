"""Weights for each range of layers: the lower ones from one source, the upper ones from another, or in another proportion.

Parts of a model are ``embeddings``, ``head``, a layer (``3``), a range of layers (``0-5``, both ends in it), and ``rest``,
which is whatever no other part names. Each part of the model has to be in exactly one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from sprachbund.checkpoints import part_of
from sprachbund.errors import MixError
from sprachbund.weighting.weights import FloatArray, Scores, WeightsOf, normalise

__all__ = ["layer_ranges"]

_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def layer_ranges(weights: Mapping[str, Scores], tensors: Iterable[str]) -> WeightsOf:
    """Return the weights [n] of each tensor of a model: those of its part, made to sum to 1.

    Raises:
        MixError: a part is none, not in the model, named twice or not at all, or has another number of weights.
    """
    there = list(dict.fromkeys(part_of(name) for name in tensors))
    named_by: dict[str, str] = {}
    for name in weights:
        for part in _parts(name):
            if part not in there:
                raise MixError(f"The model has no {part}, which {name!r} names; it has: {_shown(there)}.")
            if part in named_by:
                raise MixError(f"The {part} is in two parts, {named_by[part]!r} and {name!r}: name it once.")
            named_by[part] = name
    for part in there:
        if part not in named_by:
            if "rest" not in weights:
                raise MixError(f"No part has weights for the {part}: name it, or all that is left as 'rest'.")
            named_by[part] = "rest"
    of_name = {name: normalise(numbers) for name, numbers in weights.items()}
    _check_lengths(of_name)
    return lambda tensor: of_name[named_by[part_of(tensor)]]


def _parts(name: str) -> Iterator[str]:
    """Yield the parts of a model that a name stands for."""
    if name == "rest":
        return
    if name in ("embeddings", "head"):
        yield name
        return
    found = _RANGE.fullmatch(name)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if first > last:
        raise MixError(
            f"A part of a model is embeddings, head, rest, a layer as 3 or a range of layers as 0-5; got {name!r}."
        )
    yield from (f"layer {layer}" for layer in range(first, last + 1))


def _shown(parts: list[str]) -> str:
    """Return the parts of a model in a few words."""
    layers = sorted(int(part.split()[1]) for part in parts if part.startswith("layer"))
    span = [f"layers {layers[0]} to {layers[-1]}"] if layers else []
    return ", ".join([*(part for part in ("embeddings", "head") if part in parts), *span])


def _check_lengths(of_name: Mapping[str, FloatArray]) -> None:
    counts = {name: len(numbers) for name, numbers in of_name.items()}
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{count} for {name!r}" for name, count in counts.items())
        raise MixError(f"Each part needs one weight per source; got {each}.")
