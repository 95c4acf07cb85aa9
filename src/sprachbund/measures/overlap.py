"""Subword overlap: who writes with the pieces of words that the target is written with.

``values[target, source]`` is the share of the subwords of the target's texts, as they run, special ones left out, that occur in
the source's texts. It is not symmetric: a language with few pieces may be contained in one with many. Unlike the reliability of
this name, which counts what a source met in training, it asks the texts alone, so that no source need be opened but for its
tokenizer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sprachbund.inference import load_tokenizer, running_tokens
from sprachbund.measures.reliability import share_met
from sprachbund.measures.similarities import MEASURES, Context, FloatArray, Measure, texts_digests

__all__ = ["overlap"]


def overlap(context: Context) -> FloatArray:
    """Return [targets, sources], fractions in [0, 1]."""
    tokenizer = load_tokenizer(next(iter(context.sources.values())).folder)
    counts: dict[str, np.ndarray] = {}
    names = list(dict.fromkeys([*context.targets, *context.sources]))
    for number, name in enumerate(names, start=1):
        counts[name] = np.bincount(running_tokens(tokenizer, context.texts(name)), minlength=len(tokenizer))
        context.report("overlap", number, len(names))
    met = np.stack([counts[source] for source in context.sources])
    return np.stack([share_met(counts[target], met) for target in context.targets])


def _hangs_on(context: Context) -> Any:
    first = next(iter(context.sources.values()))
    return [first.tokenizer_digest, texts_digests(context, [*context.targets, *context.sources])]


MEASURES.add("overlap", Measure(overlap, _hangs_on))
