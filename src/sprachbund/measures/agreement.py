"""Who answers as the others do: agreement with the consensus of the other sources on the target's unlabelled texts.

The target's own source has no voice in the consensus that foreign sources are judged by: it has learned from labels of the
target, which would speak through it. It is judged itself, by the consensus of all others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sprachbund.ensembles import softmax
from sprachbund.measures.reliability import share_agreeing
from sprachbund.measures.similarities import (
    MEASURES,
    Context,
    FloatArray,
    Measure,
    digests_of,
    refuse_failures,
    texts_digests,
)

__all__ = ["agreement"]


def agreement(context: Context) -> FloatArray:
    """Return [targets, sources], fractions in [0, 1].

    Raises:
        MixError: a source cannot answer.
    """
    texts = {target: context.texts(target) for target in context.targets}
    refuse_failures(
        context.answers.collect(context.sources, list(texts.values()), jobs=context.jobs, report=context.report)
    )
    return np.stack([_row(context, target, texts[target]) for target in context.targets])


def _row(context: Context, target: str, texts: tuple[str, ...]) -> FloatArray:
    answered = [context.answers.read(source, texts) for source in context.sources.values()]
    logits = np.stack([each for each in answered if each is not None]).astype(np.float32)
    scores = _share(logits)
    foreign = [number for number, name in enumerate(context.sources) if name != target]
    if 0 < len(foreign) < len(scores):
        scores[foreign] = _share(logits[foreign])
    return scores


def _share(logits: np.ndarray) -> FloatArray:
    return share_agreeing(softmax(logits), logits.argmax(axis=2))


def _hangs_on(context: Context) -> Any:
    return [digests_of(context.sources), texts_digests(context, context.targets)]


MEASURES.add("agreement", Measure(agreement, _hangs_on))
