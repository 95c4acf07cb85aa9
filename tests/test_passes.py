"""Merges in groups: one pass over the sources for as many targets as memory holds, on the disk or in memory alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pico import Pico, TinyData, bits, poison

from sprachbund import candidates, locales, merging
from sprachbund.candidates import merge_candidate
from sprachbund.checkpoints import Checkpoint, Zoo, open_checkpoint
from sprachbund.choosing import choose_by_hand
from sprachbund.config import ExperimentConfig
from sprachbund.errors import MixError, UserError
from sprachbund.experiment import Experiment
from sprachbund.inputs import Inputs
from sprachbund.merging import Merge, merged_tensors
from sprachbund.preparing import needed_sources, prepare

TARGETS = ("de-DE", "ja-JP", "sq-AL")
EMBEDDING = "roberta.embeddings.word_embeddings.weight"
Report = Callable[[str, int, int], None]
Make = Callable[..., Experiment]


def config(output_dir: Path, **settings: Any) -> ExperimentConfig:
    few = {"output_dir": output_dir, "locales": TARGETS, "num_languages": 2, "skip_baseline": True}
    return ExperimentConfig(**{**few, **settings})


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return Pico(tmp_path_factory.mktemp("passes")).zoo(needed_sources(config(Path()), locales.names()))


@pytest.fixture
def make(zoo: Zoo, base: Checkpoint, tiny: TinyData, tmp_path: Path) -> Make:
    def prepare_it(folder: str = "run", sources: Zoo = zoo, **settings: Any) -> Experiment:
        given = base if "base" in settings else None
        return prepare(config(tmp_path / folder, **settings), Inputs(zoo=sources, base=given, data=tiny))

    return prepare_it


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many merges were made in each pass."""
    made: list[int] = []
    run = merging._run

    def counted(jobs: Any, *rest: Any) -> None:
        made.append(len(jobs))
        run(jobs, *rest)

    monkeypatch.setattr(merging, "_run", counted)
    return made


@pytest.mark.parametrize("keep", ["all", "none"])
def test_all_merges_are_made_in_one_pass(keep: str, make: Make, quiet: Report, passes: list[int]) -> None:
    assert len(make(keep_models=keep).run(quiet).records) == 6
    assert passes == [6]


@pytest.mark.parametrize("keep", ["all", "none"])
def test_with_less_memory_there_are_more_passes_and_the_same_results(
    keep: str, make: Make, zoo: Zoo, quiet: Report, passes: list[int]
) -> None:
    together = make("together", keep_models=keep).run(quiet)
    size = zoo.checkpoint("nl-NL").nbytes
    apart = make("apart", keep_models=keep, memory=4.5 * size / 1e9).run(quiet)
    assert passes == [6, 4, 2]
    for key, record in together.records.items():
        assert apart.records[key].predictions_digest == record.predictions_digest


def test_what_is_finished_is_in_no_pass(make: Make, quiet: Report, passes: list[int]) -> None:
    make(max_locales=1).run(quiet)
    make(variants=("average",)).run(quiet)
    assert make().run(quiet).reused == 4
    assert passes == [2, 2, 2]


def test_a_model_in_memory_answers_as_the_one_on_the_disk(make: Make, quiet: Report, tmp_path: Path) -> None:
    kept, passing = make("kept").run(quiet), make("passing", keep_models="none").run(quiet)
    assert not (tmp_path / "passing/merged_models").exists()
    for key, record in kept.records.items():
        assert passing.records[key].predictions_digest == record.predictions_digest
        assert passing.records[key].model_info.digest == record.model_info.digest


def test_of_the_vocabulary_only_what_the_texts_take_is_merged(
    make: Make, quiet: Report, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[candidates.InMemory] = []
    made = candidates.merges_in_memory

    def look(*arguments: Any, **settings: Any) -> list[candidates.InMemory]:
        seen.extend(made(*arguments, **settings))
        return seen

    monkeypatch.setattr("sprachbund.prepared.merges_in_memory", look)
    make(keep_models="none", max_locales=1, variants=("average",)).run(quiet)
    (found,) = seen
    assert found.rows is not None
    assert len(found.tensors[EMBEDDING]) == len(found.rows) < 100 < 300
    sources = [zoo.checkpoint(source.locale) for source in found.details.sources]
    whole = merged_tensors(sources, [0.5, 0.5])
    assert bits(found.tensors[EMBEDDING]) == bits(whole[EMBEDDING][found.rows])
    others = found.tensors.keys() - {EMBEDDING}
    assert all(bits(found.tensors[name]) == bits(whole[name]) for name in others)


def test_a_broken_source_fails_the_merges_that_it_is_in(
    make: Make, pico: Pico, quiet: Report, passes: list[int]
) -> None:
    own = pico.zoo(needed_sources(config(Path()), locales.names()))
    poison(own.checkpoint("nl-NL").folder)
    outcome = make(sources=own, keep_models="none").run(quiet)
    assert {(failure.locale, failure.variant) for failure in outcome.failures} == {
        ("de-DE", "similarity"),
        ("de-DE", "average"),
    }
    assert all("of nl-NL" in failure.reason or "nl-NL holds NaN" in failure.reason for failure in outcome.failures)
    assert len(outcome.records) == 4
    assert passes[0] == 6
    assert passes[1:] == [1] * 6


# --- by any method -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", ["all", "none"])
def test_an_experiment_by_another_method(
    keep: str, make: Make, zoo: Zoo, base: Checkpoint, quiet: Report, tmp_path: Path
) -> None:
    settings = {"method": "ties", "set": ("density=0.3",), "base": "base", "max_locales": 1}
    outcome = make("ties", keep_models="all", **settings).run(quiet)
    linear = make("linear", max_locales=1).run(quiet)
    record = outcome.records["de-DE", "similarity"]
    assert record.model_info.recipe is not None
    assert (record.model_info.recipe["method"], record.model_info.recipe["options"]) == ("ties", {"density": 0.3})
    assert record.model_info.digest != linear.records["de-DE", "similarity"].model_info.digest
    sources = [zoo.checkpoint(source.locale) for source in record.model_info.sources]
    weights = [source.weight for source in record.model_info.sources]
    expected = merged_tensors(sources, weights, method="ties", options={"density": 0.3}, base=base)
    written = open_checkpoint(tmp_path / "ties/merged_models/similarity_merge_de-DE")
    assert all(bits(written.file.read(name)) == bits(array) for name, array in expected.items())
    if keep == "none":
        passing = make("passing", keep_models="none", **settings).run(quiet)
        assert passing.records["de-DE", "similarity"].predictions_digest == record.predictions_digest


def test_results_of_two_methods_do_not_stand_side_by_side(make: Make, quiet: Report) -> None:
    make(max_locales=1).run(quiet)
    with pytest.raises(UserError, match="was made with another method"):
        make(locales=("ja-JP",), method="karcher", variants=("average",))


def test_a_method_that_needs_a_base_is_refused_without(make: Make) -> None:
    with pytest.raises(UserError, match="The method ties is about what the sources learned since their base: name it"):
        make(method="ties")


def test_a_method_without_weights_goes_with_no_similarity_weighting(make: Make) -> None:
    with pytest.raises(MixError, match=r"model_stock counts all sources the same, and de-DE weighs them by similarity"):
        make(method="model_stock", base="base")
    assert len(make(method="model_stock", base="base", skip_similarity=True).cells) == 3


def test_a_method_of_nothing_is_refused(make: Make) -> None:
    with pytest.raises(UserError, match="--method has no effect with these variants, none of which merges"):
        make(method="karcher", skip_baseline=False, variants=("baseline",))


# --- the engine --------------------------------------------------------------------------------------------------------


def test_many_merges_in_a_pass_are_those_made_alone(pico: Pico, base: Checkpoint) -> None:
    sources = [pico.source(name) for name in "abcdefg"]
    lot = np.random.default_rng(0)
    merges = []
    for number in range(12):
        chosen = lot.permutation(7)[: 2 + number % 5]
        weights = lot.dirichlet(np.ones(len(chosen)))
        method = ("linear", "task_arithmetic", "karcher")[number % 3]
        merges.append(Merge([sources[place] for place in chosen], weights, method, base=base))
    for wanted, together in zip(merges, merging.in_memory(merges), strict=True):
        (alone,) = merging.in_memory([wanted])
        for name, array in alone.tensors.items():
            assert bits(together.tensors[name]) == bits(array)


@pytest.mark.parametrize("error", [MemoryError(), np.linalg.LinAlgError("Singular matrix")])
def test_what_goes_wrong_with_all_of_a_pass_is_tried_one_by_one(
    error: Exception, make: Make, quiet: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = merging._run

    def alone(jobs: Any, *rest: Any) -> None:
        if len(jobs) > 1:
            raise error
        run(jobs, *rest)

    monkeypatch.setattr(merging, "_run", alone)
    for keep in ("none", "all"):
        outcome = make(keep, keep_models=keep).run(quiet)
        assert (len(outcome.records), outcome.failures) == (6, [])


def test_a_default_that_is_typed_is_the_same_model(make: Make, quiet: Report) -> None:
    settings = {"method": "ties", "base": "base", "max_locales": 1, "variants": ("average",)}
    first = make(**settings).cells[0].identity
    for options in (("scale=1",), ("scale=1.0", "density=0.2"), ("scope=tensor",)):
        assert make(**settings, set=options).cells[0].identity == first
    for options in (("scale=1.1",), ("density=0.3",), ("scope=model",)):
        assert make(**settings, set=options).cells[0].identity != first
    dare = {**settings, "method": "dare"}
    assert (
        make(**dare).cells[0].identity
        == make(**dare, seed=0).cells[0].identity
        != make(**dare, seed=1).cells[0].identity
    )


def test_a_seed_of_nothing_and_values_by_rank_are_refused(make: Make) -> None:
    with pytest.raises(MixError, match="--seed has no effect on the method ties, which draws nothing at random"):
        make(method="ties", base="base", seed=3)
    with pytest.raises(MixError, match="--set density has a value for each source, and who these are changes"):
        make(method="ties", base="base", set=("density=[0.2,0.5]",))


def test_a_new_head_is_told_of(zoo: Zoo, base: Checkpoint, tmp_path: Path) -> None:
    choice = choose_by_hand("sq-AL", ("nl-NL", "da-DK"), ())
    recipe = choice.recipe.model_copy(update={"method": "ties"})
    details = merge_candidate(replace(choice, recipe=recipe), zoo, "manual", tmp_path / "out", base=base)
    assert any("without a task vector, they are the weighted mean of the sources'" in said for said in details.warnings)
    linear = merge_candidate(choice, zoo, "manual", tmp_path / "linear", base=base)
    assert linear.warnings == ()


def test_how_far_a_source_is_from_its_base_is_found_once(
    make: Make, quiet: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    distance = candidates.distance_from_base

    def counted(source: Checkpoint, base: Checkpoint) -> float:
        asked.append(source.digest)
        return distance(source, base)

    monkeypatch.setattr(candidates, "distance_from_base", counted)
    monkeypatch.setattr(candidates, "_known_distances", {})
    outcome = make(method="ties", base="base").run(quiet)
    assert (len(outcome.records), len(asked), len(set(asked))) == (6, 6, 6)
