"""Greedy soup: who takes part in a merge, by what merges reach on the dev splits of the sources' own locales.

:func:`~sprachbund.weighting.greedy_soup` goes from the best source down and keeps whom the merge does not fall by. A merge of
sources, and a single source as it is, scores by its mean accuracy over the dev splits of all; it is made in memory and answers
in fp32. So the labels of the sources' languages choose, and none of the target's, whose source must not be among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from sprachbund import cache, digests, files, inference, merging
from sprachbund.checkpoints import Checkpoint
from sprachbund.config import EXACT
from sprachbund.data import DataSet, Partition
from sprachbund.errors import MixError
from sprachbund.evaluation import correct, label_names
from sprachbund.methods import METHODS
from sprachbund.parallel import Report
from sprachbund.weighting import greedy_soup

__all__ = ["Kitchen", "Soup", "answers_of_merge", "find_soup"]

SOUP_VERSION = 2
"""Raised when a change to this package gives other soups of the same models and texts."""
DIGITS = 16
"""Of a digest that name a file: 64 bits."""


@dataclass(frozen=True)
class Soup:
    """Who takes part."""

    weights: tuple[float, ...]
    """One per source: the same for those who do, 0 for the others."""
    scores: tuple[float, ...]
    """Of each source by itself, fractions in [0, 1]."""


@dataclass(frozen=True)
class Kitchen:
    """What soups are made of, and how."""

    sources: Mapping[str, Checkpoint]
    """By locale; all of them are tried."""
    data: DataSet
    method: str = "linear"
    options: Mapping[str, object] = field(default_factory=dict)
    base: Checkpoint | None = None
    """θ₀, for methods on task vectors."""
    seed: int = 0
    """Of methods that drop at random."""

    @property
    def partitions(self) -> list[Partition]:
        """The dev splits that merges are scored on."""
        return list(self.data.partitions("dev", self.sources))

    @property
    def hangs_on(self) -> list[Any]:
        """All that decides what comes out."""
        sources = [source.digest for source in self.sources.values()]
        method = METHODS[self.method]
        base = self.base.digest if self.base and method.needs_base else None
        seed = self.seed if "generators" in method.needs else None
        return [sources, [each.digest for each in self.partitions], self.method, dict(self.options), base, seed]


def find_soup(kitchen: Kitchen, report: Report = lambda stage, done, total: None) -> Soup:
    """Return who takes part, known from before or found now: 2 n − 1 merges are made and scored.

    Raises:
        UserError: there is no dev split, or the sources cannot be merged in this way.
    """
    _check_options(kitchen)
    path = cache.folder() / "soups" / f"{digests.of_value([SOUP_VERSION, *kitchen.hangs_on])[:DIGITS]}.json"
    known = _known(path, len(kitchen.sources))
    if known:
        return known
    count, tried = len(kitchen.sources), 0
    partitions = kitchen.partitions

    def score(weights: npt.NDArray[np.float64]) -> float:
        nonlocal tried
        reached = _accuracy(kitchen, weights, partitions)
        tried += 1
        report("greedy soup", tried, 2 * count - 1)
        return reached

    scores = [score(alone) for alone in np.eye(count)]
    weights = greedy_soup(scores, score)
    found = Soup(tuple(weights.tolist()), tuple(scores))
    files.write_json(path, {"weights": found.weights, "scores": found.scores})
    return found


def _check_options(kitchen: Kitchen) -> None:
    """Refuse options with a value for each source: who the sources of a merge are is what is to be found."""
    for name, option in METHODS[kitchen.method].options.items():
        if option.per_source and isinstance(kitchen.options.get(name), Sequence | np.ndarray):
            raise MixError(
                f"A greedy soup tries merges of different sources, so the option {name} of the method {kitchen.method} must "
                f"have one value for all: give one number (--set {name}=NUMBER)."
            )


def _known(path: Path, count: int) -> Soup | None:
    """Return a soup that was found before; what is no such file is found anew."""
    try:
        found = TypeAdapter(Soup).validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, ValidationError):
        return None
    return found if len(found.weights) == len(found.scores) == count else None


def _accuracy(kitchen: Kitchen, weights: npt.NDArray[np.float64], partitions: Sequence[Partition]) -> float:
    """Return the mean over the partitions of the accuracy of a merge; sources of weight 0 are no part of it.

    A single source is what it is: a method on task vectors would make something else of it, or its base.
    """
    texts = [text for partition in partitions for text in partition.texts]
    chosen = [(source, weight) for source, weight in zip(kitchen.sources.values(), weights, strict=True) if weight > 0]
    sources, shares = zip(*chosen, strict=True)
    wanted = merging.Merge(sources, shares)
    if len(sources) > 1:
        wanted = replace(wanted, method=kitchen.method, options=kitchen.options, base=kitchen.base, seed=kitchen.seed)
    lead, logits = answers_of_merge(wanted, texts)
    names = label_names(lead.labels, kitchen.data, lead.name).names
    ends = np.cumsum([len(partition) for partition in partitions])[:-1]
    parts = zip(np.split(logits, ends), partitions, strict=True)
    return float(np.mean([correct(part, names, partition) / len(partition) for part, partition in parts]))


def answers_of_merge(wanted: merging.Merge, texts: Sequence[str]) -> tuple[Checkpoint, np.ndarray]:
    """Make a merge in memory and ask it; return the source that names its labels, and its logits [texts, labels] in fp32."""
    lead = merging.settle(wanted).lead
    encoded, rows = inference.encode(lead.folder, texts), None
    if METHODS[wanted.method].kind == "coefficient":  # others look at whole tensors, and make whole ones
        encoded, rows = inference.compact(encoded, inference.fixed_tokens(inference.config_of(lead.folder)))
    (made,) = merging.in_memory([replace(wanted, rows=rows)])
    model = inference.live_classifier(lead.folder, made.tensors, vocabulary_rows=rows, name=lead.name)
    return lead, inference.logits(inference.ready(model, EXACT), encoded)
