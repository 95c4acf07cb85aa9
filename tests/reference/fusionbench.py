"""What FusionBench was asked: it has functions on state dicts and no recipe files, so that the cases stand here.

Each is about task vectors or thetas of :mod:`checkpoints`, tensor by tensor, with Fisher diagonals and Gram matrices made up
there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reference import checkpoints


@dataclass(frozen=True)
class Case:
    """A method, as we name it, on sources with their weights."""

    method: str
    sources: tuple[str, ...]
    weights: tuple[float, ...]
    options: Mapping[str, float | int | bool] = field(default_factory=dict)
    """As FusionBench names them."""


THREE, FOUR = ("a", "b", "c"), ("a", "b", "c", "d")
ALIVE = ("a", "b", "d")
"""Those that changed every tensor: FusionBench's WUDI divides by the norm of a task vector."""

CASES = {
    "fisher": Case("fisher", THREE, (0.5, 0.3, 0.2), {"normalize_fisher_weight": False}),
    "fisher_normalized": Case("fisher", FOUR, (0.25, 0.25, 0.25, 0.25), {"normalize_fisher_weight": True}),
    "regmean": Case("regmean", THREE, (1, 1, 1), {"reduce_non_diagonal_ratio": 1.0}),
    "regmean_reduced": Case("regmean", FOUR, (1, 1, 1, 1), {"reduce_non_diagonal_ratio": 0.6}),
    "tsv_m": Case("tsv_m", FOUR, (1, 1, 1, 1)),
    "tsv_m_weighted": Case("tsv_m", THREE, (0.8, 1.2, 0.5)),
    "iso_c": Case("iso_c", FOUR, (1, 1, 1, 1)),
    "iso_cts": Case("iso_cts", THREE, (1, 1, 1), {"common_space_fraction": 0.8}),
    "iso_cts_half": Case("iso_cts", FOUR, (1, 1, 1, 1), {"common_space_fraction": 0.5}),
    "wudi": Case("wudi", ALIVE, (1, 1, 1), {"iter_num": 300}),
}


def linear_layers() -> tuple[str, ...]:
    """The weight matrices that multiply inputs: those that have a Gram matrix."""
    return tuple(name for name, shape in matrices().items() if "embeddings" not in name)


def matrices() -> Mapping[str, tuple[int, ...]]:
    """All matrices; embeddings, which FusionBench treats the same, are among them."""
    return {name: shape for name, shape in checkpoints.shapes().items() if len(shape) == 2}
