"""Greedy soups: against merges on the disk that are scored one by one, and without any label of the target."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pico import INTENTS, Pico, TinyData, rows_of, state, tiny_data
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sprachbund import merging
from sprachbund.checkpoints import Checkpoint, Zoo
from sprachbund.config import ExperimentConfig
from sprachbund.data import Row
from sprachbund.errors import DataError, MixError, UserError
from sprachbund.experiment import Experiment
from sprachbund.inputs import Inputs
from sprachbund.measures import Kitchen, find_soup
from sprachbund.preparing import needed_sources, prepare

TARGET, SOURCES = "sq-AL", ("de-DE", "fr-FR", "ja-JP", "ro-RO")
Report = Callable[[str, int, int], None]


@pytest.fixture(scope="module")
def pico_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The more its number, the more a source has moved from the base that all grew from, heads aside."""
    root = tmp_path_factory.mktemp("soup")
    pico = Pico(root)
    pico.base()
    for number, name in enumerate((*SOURCES, TARGET)):
        pico.source(f"zoo/{name}", change=0.1 + 0.15 * number)
    return root


@pytest.fixture
def zoo(pico_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    return Zoo(f"{pico_models}/zoo/{{locale}}")


def answered(locale: str) -> Iterable[Row]:
    """Rows with other labels: mostly one that hangs on the first word, sometimes any."""
    lot = random.Random(locale)
    for row in rows_of(locale):
        yield replace(
            row, intent=INTENTS[sum(map(ord, row.utt.split()[0])) % 4] if lot.random() < 0.7 else lot.choice(INTENTS)
        )


def score_on_disk(folder: Path, data: TinyData, locales: Sequence[str]) -> float:
    """The mean accuracy of a checkpoint over dev splits: transformers alone, one text at a time."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    words = AutoTokenizer.from_pretrained(folder)
    accuracies = []
    for locale in locales:
        dev = data.partition(locale, "dev")
        with torch.inference_mode():
            winners = [model(**words(text, return_tensors="pt")).logits.argmax().item() for text in dev.texts]
        found = [model.config.id2label[winner] for winner in winners]
        accuracies.append(np.mean([one == other for one, other in zip(found, dev.intents, strict=True)]))
    return float(np.mean(accuracies))


@pytest.mark.parametrize("source", [rows_of, answered])
@pytest.mark.parametrize(
    ("method", "options"), [("linear", {}), ("task_arithmetic", {"scale": 0.5}), ("ties", {}), ("sce", {})]
)
def test_it_is_the_recipe_of_the_paper(
    method: str,
    options: dict[str, Any],
    source: Callable[[str], Iterable[Row]],
    zoo: Zoo,
    base: Checkpoint,
    tmp_path: Path,
) -> None:
    data, sources = tiny_data(source=source), {name: zoo.checkpoint(name) for name in SOURCES}
    made = 0

    def scored(names: Sequence[str]) -> float:
        nonlocal made
        if len(names) == 1:
            return score_on_disk(sources[names[0]].folder, data, SOURCES)
        made += 1
        folder = tmp_path / f"merge {made}"
        folder.mkdir()
        taken = [sources[name] for name in names]
        weights = [1 / len(names)] * len(names)
        theirs = None if method == "linear" else base
        merging.merge(taken, weights, folder, method=method, options=options, base=theirs)
        return score_on_disk(folder, data, SOURCES)

    alone = {name: scored([name]) for name in SOURCES}
    first, *others = sorted(SOURCES, key=lambda name: -alone[name])
    soup, best = [first], alone[first]
    for name in others:
        reached = scored([*soup, name])
        if reached >= best:
            soup, best = [*soup, name], reached

    said: list[tuple[str, int, int]] = []
    kitchen = Kitchen(sources, data, method, options, base)
    found = find_soup(kitchen, lambda *stage: said.append(stage))
    assert found.scores == pytest.approx([alone[name] for name in SOURCES])
    assert {name for name, weight in zip(SOURCES, found.weights, strict=True) if weight} == set(soup)
    assert sorted(found.weights)[-len(soup) :] == pytest.approx([1 / len(soup)] * len(soup))
    assert said == [("greedy soup", step, 7) for step in range(1, 8)]


def test_what_was_found_is_kept_as_long_as_nothing_changes(zoo: Zoo, tiny: TinyData, tmp_path: Path) -> None:
    said: list[int] = []

    def again(kitchen: Kitchen) -> int:
        said.clear()
        found = find_soup(kitchen, lambda stage, done, total: said.append(done))
        assert find_soup(kitchen, lambda stage, done, total: pytest.fail("it was kept")) == found
        return len(said)

    sources = {name: zoo.checkpoint(name) for name in SOURCES}
    kitchen = Kitchen(sources, tiny)
    assert again(kitchen) == 7
    assert again(replace(kitchen, data=tiny_data(source=answered))) == 7
    assert again(replace(kitchen, sources={**sources, "ja-JP": zoo.checkpoint(TARGET)})) == 7
    assert len(list((tmp_path / "cache" / "soups").iterdir())) == 3
    for path in (tmp_path / "cache" / "soups").iterdir():
        path.write_text('{"weights": [1.0], "scores": [0.5]}', encoding="utf-8")
    assert again(kitchen) == 7


# In an experiment


def experiment(zoo: Zoo, out: Path, rows: Callable[[str], Iterable[Row]] = answered, **settings: Any) -> Experiment:
    data = tiny_data(source=rows)
    wanted = {"locales": (TARGET,), "sources": (*SOURCES, TARGET), "variants": ("greedy-soup",)}
    return prepare(ExperimentConfig(**{"output_dir": out, **wanted, **settings}), Inputs(zoo=zoo, data=data, base=None))


def garbled(*locales: str) -> Callable[[str], Iterable[Row]]:
    """Rows with any labels in these locales."""

    def rows(locale: str) -> Iterable[Row]:
        lot = random.Random(locale)
        for row in answered(locale):
            yield replace(row, intent=lot.choice(INTENTS)) if locale in locales else row

    return rows


def test_it_is_a_merge_that_has_seen_labels_of_its_sources_and_none_of_its_target(
    zoo: Zoo, tmp_path: Path, quiet: Report
) -> None:
    for name, rows in (("true", answered), ("garbled", garbled(TARGET)), ("others", garbled(*SOURCES))):
        outcome = experiment(zoo, tmp_path / name, rows).run(quiet)
        record = outcome.records[TARGET, "greedy-soup"]
        assert record.evaluation_info.uses == ("source-dev",)
        assert TARGET not in {source.locale for source in record.model_info.sources}
    models = {path.parts[-4]: path for path in tmp_path.glob("*/merged_models/*/model.safetensors")}
    true, blind = (state(models[name].parent) for name in ("true", "garbled"))
    assert all(torch.equal(true[name], tensor) for name, tensor in blind.items())
    scores = [
        [source["score"] for source in json.loads((path.parent / "merge_details.json").read_text())["sources"]]
        for path in (models["true"], models["others"])
    ]
    assert scores[0] != scores[1]  # labels of the sources' languages do count


def test_the_soup_is_told_of_and_not_made_again(zoo: Zoo, tmp_path: Path, quiet: Report) -> None:
    first = experiment(zoo, tmp_path)
    choice = first.choices[TARGET, "greedy-soup"]
    assert choice.recipe.weighting == "greedy-soup"
    assert len(set(choice.mix.weights)) == 1
    ran = first.run(quiet)
    text = (tmp_path / "merged_models" / f"greedy-soup_merge_{TARGET}" / "merge_details.txt").read_text("utf-8")
    assert "has seen           source-dev (of the target)" in text
    assert "weighting          greedy-soup" in text
    assert "source     weight    accuracy" in text
    again = experiment(zoo, tmp_path).run(quiet)
    assert (again.reused, again.records) == (1, ran.records)


def test_what_is_dropped_at_random_hangs_on_the_seed(
    zoo: Zoo, tiny: TinyData, base: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[tuple[str, int]] = []
    made = merging.in_memory

    def look(merges: Sequence[merging.Merge]) -> list[merging.InMemory]:
        seeds.extend((each.method, each.seed) for each in merges)
        return made(merges)

    monkeypatch.setattr(merging, "in_memory", look)
    sources = {name: zoo.checkpoint(name) for name in SOURCES}
    for seed in (0, 7):
        find_soup(Kitchen(sources, tiny, "dare", {}, base, seed))
    assert [seed for method, seed in seeds if method == "dare"] == [0, 0, 0, 7, 7, 7]
    for seed in (0, 7):
        find_soup(Kitchen(sources, tiny, "ties", {}, base, seed))
    assert len(seeds) == 3 * 7, "ties draws nothing, so its soup is known"


def test_a_soup_of_one_source_is_that_source(zoo: Zoo, base: Checkpoint, tmp_path: Path, quiet: Report) -> None:
    config = ExperimentConfig(
        output_dir=tmp_path / "run",
        locales=(TARGET,),
        sources=("ja-JP", TARGET),
        variants=("greedy-soup",),
        method="sce",
        base="base",
    )
    prepared = prepare(config, Inputs(zoo=zoo, data=tiny_data(source=answered), base=base))
    (cell,) = prepared.cells
    assert cell.candidate == {"kind": "single", "digest": zoo.checkpoint("ja-JP").digest}
    prepared.run(quiet)
    made, source = (state(folder) for folder in (cell.model_folder, zoo.checkpoint("ja-JP").folder))
    assert made.keys() == source.keys()
    assert all(torch.equal(made[name], tensor) for name, tensor in source.items())


def test_an_option_for_each_source_is_refused_before_work(
    zoo: Zoo, tiny: TinyData, base: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "in_memory", lambda merges: pytest.fail("something was merged"))
    sources = {name: zoo.checkpoint(name) for name in SOURCES}
    with pytest.raises(
        MixError, match=r"option density of the method ties must have one value .* \(--set density=NUMBER"
    ):
        find_soup(Kitchen(sources, tiny, "ties", {"density": [0.2, 0.3, 0.4, 0.5]}, base))


def test_who_may_take_part_is_the_pool_without_the_target(zoo: Zoo, tmp_path: Path) -> None:
    config = ExperimentConfig(
        output_dir=tmp_path, locales=(TARGET, "de-DE"), sources=("de-DE", "ja-JP"), variants=("greedy-soup",)
    )
    assert needed_sources(config, (*SOURCES, TARGET)) == ("de-DE", "ja-JP")
    prepared = experiment(zoo, tmp_path, locales=(TARGET, "de-DE"), sources=("de-DE", "ja-JP"))
    assert prepared.choices["de-DE", "greedy-soup"].mix.sources == ("ja-JP",)
    assert set(prepared.choices[TARGET, "greedy-soup"].mix.sources) <= {"de-DE", "ja-JP"}


def test_what_makes_no_soup_is_refused_before_work(zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leave out --include-target"):
        experiment(zoo, tmp_path, include_target=True)
    with pytest.raises(UserError, match="averaged heads, not with --head-policy wide"):
        experiment(zoo, tmp_path, head_policy="wide")
    with pytest.raises(MixError, match=f"No source is left for {TARGET}"):
        experiment(zoo, tmp_path, sources=(TARGET,))
    with pytest.raises(DataError, match="no dev rows for de-DE"):
        experiment(zoo, tmp_path, lambda locale: [row for row in rows_of(locale) if row.partition != "dev"])
    assert not list(tmp_path.iterdir())
