"""Who is merged for a target, and with which weights: from a variant to a mix. No checkpoint is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sprachbund import locales, weighting
from sprachbund.config import ChoiceConfig, ExperimentConfig, MergeConfig, MethodConfig
from sprachbund.errors import MixError, UserError
from sprachbund.merging import STATISTICS
from sprachbund.methods import METHODS
from sprachbund.recipe import GIVEN, GREEDY_SOUP, MANUAL, OWN, Mix, Recipe, Variant
from sprachbund.selection import select
from sprachbund.similarity import SimilarityMatrix

__all__ = [
    "Choice",
    "by_method",
    "check_method",
    "choose",
    "choose_by_hand",
    "is_merge",
    "is_soup",
    "of_soup",
    "ranks",
    "refuse_idle",
]


@dataclass(frozen=True)
class Choice:
    """A recipe with the sources and weights that it comes to."""

    recipe: Recipe
    mix: Mix
    scores: tuple[float | None, ...]
    """Similarity of each source to the target, in a soup its own score; None where nothing was ranked."""
    uses: tuple[str, ...]

    @property
    def effective_sources(self) -> float:
        """1 / Σ weight²."""
        return weighting.effective_number(self.mix.weights)


def is_merge(variant: Variant) -> bool:
    """Return whether a variant merges sources, and nothing else."""
    return variant.selection != OWN and variant.adaptation is None


def is_soup(variant: Variant) -> bool:
    """Return whether a variant's sources are chosen by what merges of them reach, so that models are needed to choose them."""
    return variant.weighting == GREEDY_SOUP


def ranks(variant: Variant) -> bool:
    """Return whether a variant's sources are ranked by a similarity, so that one is needed to choose them."""
    return is_merge(variant) and not is_soup(variant)


def takes_everybody(variant: Variant) -> bool:
    """Return whether a variant takes all sources equally, so that it can do without being told who is similar."""
    return (variant.selection, variant.weighting) == ("all", "uniform")


def choose(variant: Variant, target: str, config: ChoiceConfig, matrix: SimilarityMatrix | None) -> Choice:
    """Choose and weigh the sources of a variant for a target, from ``--sources`` or, without any named, from all.

    They are ranked by ``matrix``, whoever loaded or measured it; it may be None where the variant takes the own source, or all
    the named ones equally.
    """
    if variant.selection == OWN:
        recipe = Recipe(target=target, selection=OWN, weighting=variant.weighting)
        mix = Mix((target,), (1.0,))
        return Choice(recipe, mix, (None,), mix.uses(target))

    if matrix is None and takes_everybody(variant):
        return _choose_everybody(target, config.sources, include_target=config.include_target)
    if matrix is None:
        raise ValueError(f"the variant {variant.name} ranks sources: hand in a similarity")
    refuse_idle(config)
    name = config.selection if variant.selection == GIVEN else variant.selection
    pool = locales.check(config.sources, matrix.locales) or _all_sources(matrix)
    selection = select(name, matrix, target, pool=pool, k=config.num_languages, include_target=config.include_target)
    # What the original ranks by are Sinkhorn entries, which it took as weights in proportion.
    weigh_by = "proportional" if (name, variant.weighting) == ("original", "similarity") else variant.weighting
    options = {"sharpness": config.sharpness} if "sharpness" in weighting.options_of(weigh_by) else {}
    weights = weighting.weigh(weigh_by, selection.scores, **options)
    counted = None if name == "all" else config.num_languages
    recipe = Recipe(
        target=target,
        num_languages=counted,
        selection=name,
        weighting=weigh_by,
        similarity=matrix.name,
        sharpness=options.get("sharpness"),
    )
    mix = Mix(selection.sources, tuple(map(float, weights)))
    return Choice(recipe, mix, selection.scores, mix.uses(target, matrix.uses))


def _all_sources(matrix: SimilarityMatrix) -> tuple[str, ...]:
    """Return who may be chosen where nobody was named: the locales of the table, not languages that are only targets."""
    return tuple(locale for locale in matrix.locales if locale in locales.names()) or matrix.locales


def _choose_everybody(target: str, pool: Sequence[str], *, include_target: bool) -> Choice:
    """Take all sources equally where no similarity knows them all: none is needed for that."""
    sources = tuple(sorted((place for place in pool if include_target or place != target), key=locales.position))
    if not sources:
        raise MixError(f"No source is left for {target} without its own: add some (--sources).")
    weights = weighting.weigh("uniform", [1.0] * len(sources))
    mix = Mix(sources, tuple(map(float, weights)))
    recipe = Recipe(target=target, selection="all", weighting="uniform")
    return Choice(recipe, mix, (None,) * len(sources), mix.uses(target))


def of_soup(
    target: str, sources: Sequence[str], weights: Sequence[float], scores: Sequence[float], seen: Sequence[str]
) -> Choice:
    """Return the choice that a soup of foreign sources comes to: those with a weight; ``seen`` is what has chosen them."""
    taken = [place for place, weight in enumerate(weights) if weight > 0]
    mix = Mix(tuple(sources[place] for place in taken), tuple(weights[place] for place in taken))
    recipe = Recipe(target=target, selection="all", weighting=GREEDY_SOUP)
    return Choice(recipe, mix, tuple(scores[place] for place in taken), mix.uses(target, seen))


def check_method(config: MergeConfig | ExperimentConfig) -> None:
    """Complain of a method that cannot be used for targets, or not without a base.

    Raises:
        UnknownName: there is no such method.
        UserError: it needs what is not there.
    """
    method = METHODS[config.method]
    if set(STATISTICS) & set(method.needs):
        raise UserError(
            f"The method {method.name} measures each source on texts of its own: merge the checkpoints by name "
            "(sprachbund merge --source, with --text)."
        )
    if method.needs_base and not (config.base or config.demo):
        raise UserError(
            f"The method {method.name} is about what the sources learned since their base: name it (--base)."
        )


def by_method(choice: Choice, config: MethodConfig) -> Choice:
    """Return the choice with its recipe's method and options; the target's own source alone is not merged.

    Raises:
        MixError: the method has no such option, or counts all sources the same where the weights do not.
    """
    if choice.recipe.selection == OWN:
        return choice
    method, options, recipe = METHODS[config.method], config.options, choice.recipe
    method.settle(options, len(choice.mix.sources))
    several = next((name for name, value in options.items() if isinstance(value, list)), None)
    if several and recipe.selection != MANUAL:
        raise MixError(
            f"--set {several} has a value for each source, and who these are changes with the target: give one for all."
        )
    if config.seed is not None and "generators" not in method.needs:
        raise MixError(
            f"--seed has no effect on the method {method.name}, which draws nothing at random: leave it out."
        )
    if not method.uses_weights and not np.allclose(choice.mix.weights, choice.mix.weights[0]):
        raise MixError(
            f"The method {method.name} counts all sources the same, and {recipe.target} weighs them by {recipe.weighting}: "
            "take another method, or the average."
        )
    method.check_sources(choice.mix.weights)
    recipe = recipe.model_copy(update={"method": method.name, "options": options or None, "seed": config.seed})
    return replace(choice, recipe=recipe)


def refuse_idle(config: ChoiceConfig) -> None:
    """Refuse settings that somebody typed and that would change nothing."""
    idle = {"all": "num_languages", "original": "sharpness"}.get(config.selection)
    if idle in config.model_fields_set:
        raise UserError(
            f"--{str(idle).replace('_', '-')} has no effect with --selection {config.selection}: leave it out."
        )


def choose_by_hand(target: str, sources: Sequence[str], weights: Sequence[float]) -> Choice:
    """Take the sources that somebody named, with their weights or, without any, equally."""
    if not sources:
        raise MixError("--mode manual needs --sources: name the locales to merge.")
    if weights and len(weights) != len(sources):
        raise MixError(f"--weights has {len(weights)} numbers for {len(sources)} --sources: give one each.")
    normalised = weighting.weigh(MANUAL, weights or [1.0] * len(sources))
    recipe = Recipe(target=target, selection=MANUAL, weighting=MANUAL if weights else "uniform")
    mix = Mix(tuple(sources), tuple(map(float, normalised)))
    return Choice(recipe, mix, (None,) * len(sources), mix.uses(target))
