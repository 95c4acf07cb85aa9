"""Mixes and candidates: what a model is by content, and what it has seen."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sprachbund import digests
from sprachbund.errors import MixError, UnknownName
from sprachbund.recipe import SEED_VARIANTS, Mix, Recipe, single, variants
from sprachbund.uses import union_of_uses

RECIPE = Recipe(target="sq-AL", selection="topk", weighting="similarity", similarity="uriel:syntax_knn", sharpness=20.0)
DIGESTS = {"de-DE": "d1", "fr-FR": "f1", "sq-AL": "s1"}


def test_a_mix_needs_one_weight_per_source_and_each_source_once() -> None:
    with pytest.raises(MixError, match=r"got 2 sources and 1 weights\."):
        Mix(("de-DE", "fr-FR"), (1.0,))
    with pytest.raises(MixError, match=r"got 0 sources and 0 weights\."):
        Mix((), ())
    with pytest.raises(MixError, match="once; got de-DE, fr-FR, de-DE"):
        Mix(("de-DE", "fr-FR", "de-DE"), (0.2, 0.4, 0.4))


def test_the_target_s_own_source_has_seen_its_labels_and_no_other_has() -> None:
    assert Mix(("de-DE", "fr-FR"), (0.5, 0.5)).uses("sq-AL") == ("nothing",)
    assert Mix(("de-DE", "sq-AL"), (0.5, 0.5)).uses("sq-AL") == ("target-train",)


def test_uses_are_the_union_over_all_parts() -> None:
    assert Mix(("de-DE", "sq-AL"), (0.5, 0.5)).uses("sq-AL", {"target-dev"}) == ("target-dev", "target-train")
    assert Mix(("de-DE",), (1.0,)).uses("sq-AL", {"nothing"}) == ("nothing",)
    assert union_of_uses(["nothing"], ["unlabelled"], []) == ("unlabelled",)
    assert union_of_uses([], []) == ("nothing",)


def test_the_content_of_a_merge() -> None:
    assert Mix(("de-DE", "fr-FR"), (0.75, 0.25)).candidate(RECIPE, DIGESTS) == {
        "kind": "merge",
        "method": "linear",
        "head_policy": "average",
        "sources": [["d1", "0.75"], ["f1", "0.25"]],
    }


def test_one_source_is_itself_however_it_was_chosen() -> None:
    assert Mix(("fr-FR",), (1.0,)).candidate(RECIPE, DIGESTS) == single("f1")


def identity(*weights: float, sources: tuple[str, ...] = ("de-DE", "fr-FR"), **others: str) -> str:
    return digests.of_value(Mix(sources, weights).candidate(RECIPE, {**DIGESTS, **others}))


def test_weights_count_to_nine_digits() -> None:
    assert identity(0.7, 0.3) == identity(0.7 + 1e-12, 0.3 - 1e-12)
    assert identity(0.7, 0.3) != identity(0.7 + 1e-7, 0.3 - 1e-7)


def test_content_is_sources_and_weights_not_names() -> None:
    assert identity(0.7, 0.3) != identity(0.3, 0.7)
    assert identity(0.7, 0.3) != identity(0.7, 0.3, **{"fr-FR": "f2"})
    assert identity(0.7, 0.3) == identity(0.7, 0.3, sources=("de-DE", "sq-AL"), **{"sq-AL": "f1"})


def test_a_recipe_is_closed_and_frozen() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Recipe(target="sq-AL", selection="topk", weighting="uniform", sharpnes=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="frozen"):
        RECIPE.target = "de-DE"


def test_variants_by_name() -> None:
    assert [variant.name for variant in variants(SEED_VARIANTS)] == ["baseline", "similarity", "average"]
    assert [variant.name for variant in variants(["average", "baseline", "average"])] == ["average", "baseline"]
    with pytest.raises(UnknownName, match="Unknown variant 'similar': did you mean similarity"):
        variants(["similar"])
