"""Greedy soup: a source takes part if the merge is no worse for it (Wortsman et al. 2022, arXiv:2203.05482, recipe 1).

The sources are tried from the one with the best score down. Each is added to the average of those that were taken before, and
stays if the score of that average does not fall. How a merge is scored is not known here, only that a higher score is better,
and on the same scale as the scores of the sources: n − 1 merges are made and scored, on data that then has chosen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sprachbund.weighting.weights import FloatArray, Scores, finite, normalise

__all__ = ["greedy_soup"]


def greedy_soup(scores: Scores, score: Callable[[FloatArray], float]) -> FloatArray:
    """Return weights [n], equal for those who take part and 0 for the others.

    Args:
        scores: of each source by itself [n]; of equal ones the earlier is tried first.
        score: from weights [n] to the score of the merge.
    """
    alone = finite(scores)
    first, *others = np.argsort(-alone, kind="stable")
    taken, best = np.zeros(len(alone)), float(alone[first])
    taken[first] = 1
    for source in others:
        tried = taken.copy()
        tried[source] = 1
        reached = score(normalise(tried))
        if reached >= best:
            taken, best = tried, reached
    return normalise(taken)
