"""From a variant to a mix: who takes part, with which weight, and what that has seen."""

from __future__ import annotations

import math

import pytest

from sprachbund.choosing import choose, choose_by_hand
from sprachbund.config import ChoiceConfig
from sprachbund.errors import MixError
from sprachbund.recipe import VARIANTS
from sprachbund.similarity import load

MATRIX = load("uriel:syntax_knn")
FIVE = ("ro-RO", "el-GR", "pt-PT", "pl-PL", "sl-SL")
"""The sources nearest to sq-AL by uriel:syntax_knn."""


def test_the_baseline_is_the_own_source_alone() -> None:
    choice = choose(VARIANTS["baseline"], "sq-AL", ChoiceConfig(), MATRIX)
    assert (choice.mix.sources, choice.mix.weights) == (("sq-AL",), (1.0,))
    assert choice.uses == ("target-train",)
    assert choice.scores == (None,)
    assert choice.recipe.similarity is None
    assert choice.effective_sources == 1


def test_similarity_is_a_softmax_of_cosines() -> None:
    choice = choose(VARIANTS["similarity"], "sq-AL", ChoiceConfig(sharpness=20), MATRIX)
    assert choice.mix.sources == FIVE
    raised = [math.exp(20 * score) for score in choice.scores if score is not None]
    assert choice.mix.weights == pytest.approx([weight / sum(raised) for weight in raised])
    assert sum(choice.mix.weights) == pytest.approx(1)
    assert 1 < choice.effective_sources < 5
    assert choice.effective_sources == pytest.approx(1 / sum(weight**2 for weight in choice.mix.weights))
    assert (choice.recipe.weighting, choice.recipe.sharpness) == ("similarity", 20)
    assert choice.uses == ("nothing",)


def test_average_is_the_same_sources_equally() -> None:
    choice = choose(VARIANTS["average"], "sq-AL", ChoiceConfig(), MATRIX)
    assert choice.mix.sources == FIVE
    assert choice.mix.weights == pytest.approx([0.2] * 5)
    assert choice.effective_sources == pytest.approx(5)
    assert choice.recipe.sharpness is None
    assert choice.uses == ("nothing",)


def test_average_all_is_everyone_else() -> None:
    choice = choose(VARIANTS["average-all"], "sq-AL", ChoiceConfig(num_languages=3), MATRIX)
    assert len(choice.mix.sources) == 51
    assert "sq-AL" not in choice.mix.sources
    assert choice.mix.weights == pytest.approx([1 / 51] * 51)
    assert choice.uses == ("nothing",)


@pytest.mark.parametrize("variant", ["similarity", "average", "average-all"])
def test_with_the_target_in_it_a_merge_has_seen_its_labels(variant: str) -> None:
    choice = choose(VARIANTS[variant], "sq-AL", ChoiceConfig(include_target=True), MATRIX)
    assert "sq-AL" in choice.mix.sources
    assert choice.uses == ("target-train",)


def test_the_original_weighs_in_proportion_to_sinkhorn_entries() -> None:
    config = ChoiceConfig(selection="original")
    choice = choose(VARIANTS["similarity"], "sq-AL", config, MATRIX)
    assert choice.mix.sources == ("cy-GB", "fi-FI", "nl-NL", "he-IL", "fr-FR")
    assert choice.mix.weights == pytest.approx([0.300992, 0.224847, 0.165948, 0.160633, 0.147580], abs=1e-6)
    assert (choice.recipe.weighting, choice.recipe.sharpness) == ("proportional", None)
    average = choose(VARIANTS["average"], "sq-AL", config, MATRIX)
    assert average.mix.sources == choice.mix.sources
    assert average.mix.weights == pytest.approx([0.2] * 5)


def test_a_pool_limits_who_may_be_chosen() -> None:
    choice = choose(
        VARIANTS["similarity"], "sq-AL", ChoiceConfig(num_languages=2, sources=("ja-JP", "pl-PL", "sl-SL")), MATRIX
    )
    assert choice.mix.sources == ("pl-PL", "sl-SL")


def test_by_hand_weights_are_normalised_and_the_order_is_kept() -> None:
    choice = choose_by_hand("sq-AL", ["ja-JP", "de-DE"], [3, 1])
    assert (choice.mix.sources, choice.mix.weights) == (("ja-JP", "de-DE"), (0.75, 0.25))
    assert (choice.recipe.selection, choice.recipe.weighting) == ("manual", "manual")
    assert choice.scores == (None, None)
    assert choice.uses == ("nothing",)


def test_by_hand_without_weights_is_an_average() -> None:
    choice = choose_by_hand("sq-AL", ["ja-JP", "sq-AL", "de-DE", "fr-FR"], [])
    assert choice.mix.weights == (0.25,) * 4
    assert choice.recipe.weighting == "uniform"
    assert choice.uses == ("target-train",)


def test_by_hand_needs_sources_and_as_many_weights() -> None:
    with pytest.raises(MixError, match="--mode manual needs --sources"):
        choose_by_hand("sq-AL", [], [])
    with pytest.raises(MixError, match="--weights has 3 numbers for 2 --sources"):
        choose_by_hand("sq-AL", ["ja-JP", "de-DE"], [1, 2, 3])
    with pytest.raises(MixError, match="must not be negative; got -1 in place 2"):
        choose_by_hand("sq-AL", ["ja-JP", "de-DE"], [1, -1])
