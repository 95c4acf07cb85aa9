"""What to merge for whom: a variant, a target and how sources are chosen and weighted; all of it frozen.

A *variant* is a recipe without its target, under a name that users type. A *mix* is what a recipe comes to once its sources
are chosen and weighted: the only thing the merge engine sees. A *candidate* is the resulting model described by content
(digests of its sources, weights, method), so that two roads to the same model have the same identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from sprachbund import digests
from sprachbund.adaptation import ADAPTATIONS, Adaptation
from sprachbund.errors import MixError, UnknownName
from sprachbund.methods import METHODS
from sprachbund.registry import Registry
from sprachbund.uses import TARGET_TRAIN, union_of_uses

__all__ = [
    "AVERAGE",
    "FROM",
    "GIVEN",
    "GREEDY_SOUP",
    "MANUAL",
    "OWN",
    "REFIT",
    "RELIABILITY",
    "SEED_VARIANTS",
    "VARIANTS",
    "WIDE",
    "Mix",
    "Recipe",
    "Variant",
    "adapted",
    "check_head_policy",
    "single",
    "variants",
]

OWN = "own"
"""The selection that takes nothing but the target's own source."""
MANUAL = "manual"
"""The selection (and the weighting) that somebody typed."""
AVERAGE, WIDE, REFIT, FROM = "average", "wide", "refit", "from:"
"""What becomes of the heads in a merge, see :mod:`sprachbund.heads`; the last stands before the locale of a source."""


@dataclass(frozen=True)
class Variant:
    """A recipe without its target."""

    name: str
    selection: str
    """``own``, ``given`` (what the experiment's ``--selection`` says) or a selection's name."""
    weighting: str
    """``uniform``, ``similarity`` or ``greedy-soup``; sharpness and the original's proportional weights are settings."""
    description: str
    adaptation: Adaptation | None = None
    """What is done with unlabelled text of the target; None for variants that need none."""


GIVEN = "given"
GREEDY_SOUP = "greedy-soup"
"""The weighting by what merges reach on dev splits of the sources' languages, see :mod:`sprachbund.measures.soup`."""
RELIABILITY = "reliability"
"""The weighting of adaptations: by what the sources answer to unlabelled text."""

VARIANTS: Registry[Variant] = Registry("variant")
for _variant in (
    Variant("baseline", OWN, "uniform", "the target's own fine-tuned source"),
    Variant("similarity", GIVEN, "similarity", "the sources most similar to the target, weighted by similarity"),
    Variant("average", GIVEN, "uniform", "the same sources, equally weighted"),
    Variant(
        "average-all", "all", "uniform", "all sources, equally weighted; the target's own only with --include-target"
    ),
    Variant(
        GREEDY_SOUP,
        "all",
        GREEDY_SOUP,
        "foreign sources, equally weighted, as long as the merge gets no worse on the dev splits of their own languages",
    ),
):
    VARIANTS.add(_variant.name, _variant)
for _name, (_adaptation, _description) in ADAPTATIONS.items():
    VARIANTS.add(_name, Variant(_name, "all", RELIABILITY, _description, _adaptation))

SEED_VARIANTS = ("baseline", "similarity", "average")
"""The three that make 52 × 3 = 156 experiments."""


class Recipe(BaseModel):
    """One candidate, fully determined given the sources at hand."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    selection: str
    weighting: str
    similarity: str | None = None
    """The similarity that ranked the sources; None where none was asked."""
    num_languages: int | None = None
    """How many sources were asked for; None where the selection does not count."""
    sharpness: float | None = None
    """Of the ``similarity`` weighting, in 1 / unit of similarity; None for the others."""
    method: str = "linear"
    options: dict[str, Any] | None = None
    """Of the method, those that were set; None where all are its defaults."""
    seed: int | None = None
    """Of a method that drops at random; None for 0."""
    head_policy: str = AVERAGE
    adaptation: dict[str, Any] | None = None
    """What was done with unlabelled text, see :mod:`sprachbund.adaptation`; None where there was none."""


@dataclass(frozen=True)
class Mix:
    """Sources with one coefficient each, in recipe order; normalised by the weighting that made them."""

    sources: tuple[str, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.sources or len(self.sources) != len(self.weights):
            raise MixError(
                f"A mix needs one weight per source; got {len(self.sources)} sources and {len(self.weights)} weights."
            )
        if len(set(self.sources)) != len(self.sources):
            raise MixError(f"A source can stand in a mix once; got {', '.join(self.sources)}.")

    def uses(self, target: str, similarity_uses: Iterable[str] = ()) -> tuple[str, ...]:
        """Return what a candidate of this mix has seen of its target."""
        return union_of_uses(similarity_uses, [TARGET_TRAIN] if target in self.sources else [])

    def is_as_it_is(self, recipe: Recipe) -> bool:
        """Return whether this is one source, unchanged: in a soup as well, which has been seen to be best by itself."""
        return len(self.sources) == 1 and (recipe.method == "linear" or recipe.weighting == GREEDY_SOUP)

    def candidate(
        self,
        recipe: Recipe,
        source_digests: Mapping[str, str],
        base_digest: str | None = None,
        texts: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Return the merged model's content: what went in, by digest, and what was done with it.

        Weights count to nine digits: the last bits of a softmax differ between machines, and no result hangs on them. The
        base is that of methods on task vectors, ``texts`` are those that the head is fitted to, if it is. What is None stands
        for what was there before it could be set.
        """
        if self.is_as_it_is(recipe):
            return single(source_digests[self.sources[0]])
        method = METHODS[recipe.method]
        settings = {
            "options": method.settle_plainly(recipe.options or {}, len(self.sources)) or None,
            "base": base_digest,
            "seed": (recipe.seed or 0) if "generators" in method.needs else None,
            "texts": digests.of_value(list(texts)) if recipe.head_policy == REFIT else None,
        }
        return {
            "kind": "merge",
            "method": recipe.method,
            "head_policy": _by_content(recipe.head_policy, source_digests),
            "sources": [[source_digests[s], f"{w:.9g}"] for s, w in zip(self.sources, self.weights, strict=True)],
        } | {name: value for name, value in settings.items() if value is not None}


def _by_content(head_policy: str, source_digests: Mapping[str, str]) -> str:
    """Return a head policy with the digest of the source that it names, if it does."""
    named = head_policy.removeprefix(FROM)
    return head_policy if named == head_policy else f"{FROM}{source_digests[named]}"


def check_head_policy(policy: str) -> str:
    """Return the name of a head policy.

    Raises:
        UnknownName: it is none.
    """
    if policy not in (AVERAGE, WIDE, REFIT) and not policy.startswith(FROM):
        raise UnknownName("head policy", policy, (AVERAGE, f"{FROM}LOCALE", WIDE, REFIT))
    return policy


def adapted(adaptation: Adaptation, target: str) -> Recipe:
    """Return the recipe of an adaptation."""
    settings = adaptation.model_dump(mode="json")
    return Recipe(target=target, selection="all", weighting=RELIABILITY, adaptation=settings)


def single(digest: str) -> dict[str, Any]:
    """Return the content of a candidate that is one checkpoint as it is."""
    return {"kind": "single", "digest": digest}


def variants(names: Sequence[str]) -> tuple[Variant, ...]:
    """Return the variants of these names, each once, in the order given."""
    return tuple(VARIANTS[name] for name in dict.fromkeys(names))
