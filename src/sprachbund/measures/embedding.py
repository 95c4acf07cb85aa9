"""Whose texts the base takes for alike, before anybody fine-tuned it.

Of each locale the mean over its texts of the mean state of their tokens, in the last layer of the base's encoder. The cosines
of these vectors as they are lie within a hair of 1: all states of such a model share a few large directions (Ethayarajh 2019,
"How contextual are contextualized word representations?", arXiv:1909.00512). So the mean over the sources is taken away first;
over the sources alone, so that it does not matter for which targets one asks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sprachbund.errors import MixError
from sprachbund.inference import devices, encode, load_encoder, mean_states
from sprachbund.measures.similarities import MEASURES, Context, FloatArray, Measure, texts_digests

__all__ = ["embedding"]


def embedding(context: Context) -> FloatArray:
    """Return [targets, sources], cosines in [-1, 1].

    Raises:
        UserError: there is no base, or there are fewer than two sources to centre over.
    """
    base = context.needed_base()
    if len(context.sources) < 2:
        raise MixError(
            "The similarity embedding is centred over the sources, so it needs 2 or more: add some (--sources)."
        )
    encoder = load_encoder(base.folder).to(devices.chosen())
    means: dict[str, np.ndarray] = {}
    names = list(dict.fromkeys([*context.targets, *context.sources]))
    for number, name in enumerate(names, start=1):
        states = mean_states(encoder, encode(base.folder, context.texts(name)))
        means[name] = states.mean(axis=0, dtype=np.float64)
        context.report("embedding", number, len(names))
    centre = np.mean([means[source] for source in context.sources], axis=0)
    targets, sources = (
        _unit(np.stack([means[n] for n in side]) - centre) for side in (context.targets, context.sources)
    )
    return np.asarray(targets @ sources.T)


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _hangs_on(context: Context) -> Any:
    return [context.needed_base().digest, texts_digests(context, [*context.targets, *context.sources])]


MEASURES.add("embedding", Measure(embedding, _hangs_on))
