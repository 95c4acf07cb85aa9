"""The similarity that a command names: whose models that takes, which rows and columns it has, and what its records say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pico import Pico, TinyData

from sprachbund import locales
from sprachbund.checkpoints import Checkpoint, Zoo
from sprachbund.config import ChoiceConfig, ExperimentConfig
from sprachbund.errors import CheckpointError, MixError, UserError
from sprachbund.experiment import Experiment
from sprachbund.inputs import Inputs
from sprachbund.measuring import asked_sources, similarity_for
from sprachbund.preparing import needed_sources, prepare
from sprachbund.similarity import load

POOL = ("de-DE", "fr-FR", "ja-JP")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return Pico(tmp_path_factory.mktemp("measuring")).zoo((*POOL, "sq-AL"))


@pytest.fixture
def inputs(zoo: Zoo, tiny: TinyData, base: Checkpoint) -> Inputs:
    return Inputs(zoo=zoo, data=tiny, base=base)


def config(similarity: str, **more: Any) -> ChoiceConfig:
    return ChoiceConfig(similarity=similarity, sources=POOL, num_languages=2, **more)


def experiment(tmp_path: Path, **more: Any) -> ExperimentConfig:
    settings = {"locales": ("sq-AL",), "sources": POOL, "num_languages": 2, "output_dir": tmp_path / "run", "jobs": 1}
    return ExperimentConfig(**{**settings, **more})


def test_whoever_may_be_chosen_is_measured_and_own_sources_where_they_count(tmp_path: Path) -> None:
    assert asked_sources(config("transfer"), ("sq-AL",)) == POOL
    assert asked_sources(config("uriel:geo+task-vector"), ("sq-AL",)) == (*POOL, "sq-AL")
    assert asked_sources(ChoiceConfig(similarity="overlap"), ("sq-AL",)) == locales.names()
    settled = experiment(tmp_path, similarity="transfer", skip_baseline=True)
    assert needed_sources(settled, locales.names()) == POOL
    assert needed_sources(experiment(tmp_path, similarity="transfer"), locales.names()) == (*POOL, "sq-AL")
    own = experiment(tmp_path, similarity="transfer", variants=("baseline",))
    assert needed_sources(own, locales.names()) == ("sq-AL",), "nobody is ranked, so nobody is measured"


def test_who_is_left_out_is_not_measured_but_a_target_cannot_do_without_its_own(tmp_path: Path) -> None:
    assert asked_sources(config("transfer"), ("sq-AL",), without=["fr-FR", "sq-AL"]) == ("de-DE", "ja-JP")
    settled = experiment(tmp_path, similarity="transfer")
    assert needed_sources(settled, locales.names(), ["fr-FR", "sq-AL"]) == ("de-DE", "ja-JP")
    with pytest.raises(
        MixError, match="task-vector looks at the target's own source, which sq-AL has not: name another"
    ):
        asked_sources(config("task-vector"), ("sq-AL",), without=["sq-AL"])


def test_a_sum_of_what_is_at_hand_and_what_is_measured(inputs: Inputs) -> None:
    both = similarity_for(config("uriel:geo+overlap"), ("sq-AL",), inputs)
    overlap, geo = similarity_for(config("overlap"), ("sq-AL",), inputs), load("uriel:geo")
    assert (both.targets, set(both.locales)) == (("sq-AL",), set(POOL))
    for source in POOL:
        mean = (overlap.score("sq-AL", source) + geo.score("sq-AL", source)) / 2
        assert both.score("sq-AL", source) == pytest.approx(mean)
    assert both.uses == {"unlabelled"}
    assert both.name == "uriel:geo+overlap"


def test_a_target_without_a_source_is_measured_all_the_same(inputs: Inputs) -> None:
    for name in ("overlap", "embedding", "agreement", "transfer"):
        table = similarity_for(config(name), ("sw-KE",), inputs, jobs=1)
        assert (table.targets, table.locales) == (("sw-KE",), POOL)
    with pytest.raises(CheckpointError, match="sw-KE"):
        similarity_for(config("task-vector"), ("sw-KE",), inputs)


def test_the_original_selection_sees_a_row_for_every_column(inputs: Inputs) -> None:
    table = similarity_for(config("overlap", selection="original"), ("de-DE",), inputs)
    assert table.targets == table.locales == POOL


def test_a_missing_base_is_told_before_anything_is_measured(
    inputs: Inputs, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sprachbund.measuring.run_zero_shot", lambda *_, **__: pytest.fail("measured first"))
    with pytest.raises(UserError, match="--base FOLDER"):
        similarity_for(config("transfer+embedding"), ("sq-AL",), Inputs(zoo=zoo, data=inputs.data, base=None))


def test_sources_are_chosen_by_the_column_of_what_was_measured(inputs: Inputs, tmp_path: Path) -> None:
    prepared = prepare(experiment(tmp_path, similarity="transfer", skip_baseline=True), inputs)
    table = prepared.similarity
    assert table is not None
    best = sorted(POOL, key=lambda source: -table.score("sq-AL", source))[:2]
    chosen = prepared.choices["sq-AL", "similarity"]
    assert list(chosen.mix.sources) == best
    assert chosen.scores == tuple(table.score("sq-AL", source) for source in best)
    assert chosen.recipe.similarity == "transfer"
    assert chosen.uses == ("target-dev",)


def test_similarities_that_give_one_mix_give_one_candidate(inputs: Inputs, tmp_path: Path) -> None:
    """An average does not hang on the scores, only on who is chosen and in which order."""

    def prepared(similarity: str) -> Experiment:
        settled = experiment(tmp_path, similarity=similarity, num_languages=3, variants=("average",))
        return prepare(settled, inputs)

    def candidate(found: Experiment) -> Mapping[str, Any]:
        (cell,) = found.cells
        return cell.candidate

    order = prepared("transfer").choices["sq-AL", "average"].mix.sources
    scores = {source: 1 - place / 10 for place, source in enumerate(order)}
    path = tmp_path / "mine.csv"
    path.write_text(f"# uses: unlabelled\n,{','.join(scores)}\nsq-AL,{','.join(map(str, scores.values()))}\n")
    measured, written = prepared("transfer"), prepared(f"file:{path}")
    assert candidate(measured) == candidate(written)
    assert measured.cells[0].identity == written.cells[0].identity
    uses = [found.choices["sq-AL", "average"].uses for found in (measured, written)]
    assert uses == [("target-dev",), ("unlabelled",)]


def test_measuring_tells_how_far_it_is(inputs: Inputs) -> None:
    told: list[tuple[str, int, int]] = []

    def report(stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))

    similarity_for(config("overlap+embedding+transfer"), ("sq-AL",), inputs, jobs=1, report=report)
    assert {"overlap", "embedding", "zero-shot dev"} <= {stage for stage, _, _ in told}
    assert ("overlap", 4, 4) in told
