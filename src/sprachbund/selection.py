"""Which sources take part in a merge for a target.

A selection reads one row of a similarity and returns sources with their scores, best first; a weighting turns the
scores into weights. All selections are functions of one shape, so that a recipe can name any of them. Candidates are
put into matrix order before anything is ranked: how the pool was listed never changes a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sprachbund.errors import MixError, UnknownName, UserError
from sprachbund.registry import Registry
from sprachbund.similarity import SimilarityMatrix, sinkhorn_normalised, top_k

__all__ = ["SELECTIONS", "Selection", "Selector", "everything", "original", "select", "topk"]


@dataclass(frozen=True)
class Selection:
    """The sources that take part, best first."""

    sources: tuple[str, ...]
    scores: tuple[float, ...]
    """How good each source is for the target, in the unit of what ranked them; not yet weights."""
    name: str
    """Which selection it was: ``topk``, ``original``, …"""


Selector = Callable[[SimilarityMatrix, str, Sequence[str], int, bool], Selection]
"""(matrix, target, pool, k, include_target) → selection; ``pool`` names the locales that have a source."""

SELECTIONS: Registry[Selector] = Registry("selection")


def select(
    name: str,
    matrix: SimilarityMatrix,
    target: str,
    *,
    pool: Sequence[str] | None = None,
    k: int = 5,
    include_target: bool = False,
) -> Selection:
    """Select by name; without a pool, every locale of the matrix has a source."""
    return SELECTIONS[name](matrix, target, matrix.locales if pool is None else pool, k, include_target)


@SELECTIONS.register("topk")
def topk(matrix: SimilarityMatrix, target: str, pool: Sequence[str], k: int, include_target: bool) -> Selection:
    """The k sources that are most similar to the target; ties in matrix order.

    With ``include_target`` the target's own source is one of the k, whatever its self-similarity, and ranked by it:
    in a measured similarity the own source need not be among the best, and who asks for it wants it.
    """
    own, others = _candidates(matrix, target, pool, include_target)
    _require(k, len(own) + len(others), target, _INCLUDING if include_target else _EXCLUDING)
    nearest = dict(top_k(others, k - len(own))) if k > len(own) else {}
    return _ranked(matrix, {**own, **nearest}, "topk")


@SELECTIONS.register("original")
def original(matrix: SimilarityMatrix, target: str, pool: Sequence[str], k: int, include_target: bool) -> Selection:
    """The original experiment's choice: the k largest positive entries of the target's Sinkhorn row.

    The normalisation always sees the whole matrix; the pool only limits who may be chosen. The scores are Sinkhorn
    entries, which the ``proportional`` weighting turns into the original's weights. Why not to use it for anything
    but comparison with the original: see :mod:`sprachbund.similarity.sinkhorn`.
    """
    if include_target:
        raise UserError(
            f"The original selection cannot include the target ({target}): its similarity matrix has no diagonal. "
            "Use --selection topk."
        )
    _, entries = _candidates(sinkhorn_normalised(matrix), target, pool, include_target=False)
    positive = {source: entry for source, entry in entries.items() if entry > 0}
    _require(k, len(positive), target, "with a positive entry in its row of the Sinkhorn matrix")
    return _ranked(matrix, dict(top_k(positive, k)), "original")


@SELECTIONS.register("all")
def everything(matrix: SimilarityMatrix, target: str, pool: Sequence[str], k: int, include_target: bool) -> Selection:
    """Every source of the pool, most similar first, the target's own only with ``include_target``.

    ``k`` has no meaning here and is not looked at: all means all.
    """
    own, others = _candidates(matrix, target, pool, include_target)
    _require(1, len(own) + len(others), target, _INCLUDING if include_target else _EXCLUDING)
    return _ranked(matrix, {**own, **others}, "all")


_INCLUDING = "(its own included)"
_EXCLUDING = "(its own left out)"


def _candidates(
    matrix: SimilarityMatrix, target: str, pool: Sequence[str], include_target: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the target's own source (or nothing) and the others of the pool, each with its score, in matrix order."""
    row, members = matrix.row(target), set(pool)
    for source in pool:
        if source not in row:
            raise UnknownName("locale", source, row, f"(A source needs a row in the similarity {matrix.name}.)")
    if include_target and target not in members:
        raise MixError(
            f"The target's own source cannot be included: {target} is not in the pool of {len(members)} sources. "
            "Add it to the pool, or leave the target out."
        )
    own = {target: row[target]} if include_target else {}
    others = {source: score for source, score in row.items() if source in members and source != target}
    return own, others


def _require(k: int, available: int, target: str, which: str) -> None:
    if k < 1:
        raise MixError(f"At least one source must be selected for {target}; got k = {k}. Ask for 1 or more.")
    if k > available:
        advice = f"ask for at most {available} (--num-languages), or add sources" if available else "add sources"
        raise MixError(f"{_counted(k)} asked for {target}, but the pool has {available} {which}: {advice}.")


def _counted(k: int) -> str:
    return "1 source is" if k == 1 else f"{k} sources are"


def _ranked(matrix: SimilarityMatrix, scores: Mapping[str, float], name: str) -> Selection:
    """Return all of ``scores`` as a selection, highest first, ties in matrix order."""
    in_matrix_order = {locale: scores[locale] for locale in matrix.locales if locale in scores}
    pairs = top_k(in_matrix_order, len(in_matrix_order))
    return Selection(tuple(source for source, _ in pairs), tuple(score for _, score in pairs), name)
