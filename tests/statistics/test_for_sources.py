"""The statistics of all sources of a merge, as a method asks for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pico import FILLERS, INTENTS, Pico, poison

from sprachbund.checkpoints import Checkpoint, open_checkpoint
from sprachbund.errors import CellsFailed, DataError, MixError
from sprachbund.statistics import KINDS, fisher_file, for_sources, gram_file, layerwise_gram_files

NAMES = ("de-DE", "fr-FR", "ja-JP")
TEXTS = {name: [f"{name[:2]} {filler}" for filler in FILLERS[place:]] for place, name in enumerate(NAMES)}
LABELS = {name: [INTENTS[n % 4] for n in range(len(texts))] for name, texts in TEXTS.items()}
WEIGHTS = (0.5, 0.3, 0.2)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def named(sources: list[Checkpoint]) -> dict[str, Checkpoint]:
    return {source.name: source for source in sources}


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_source_is_asked_about_its_own_texts(jobs: int, named: dict[str, Checkpoint]) -> None:
    said: list[tuple[str, int, int]] = []
    found = for_sources("fisher", named, TEXTS, LABELS, jobs=jobs, report=lambda *told: said.append(told))
    assert list(found) == ["fisher"]
    alone = [fisher_file(named[name], TEXTS[name], LABELS[name]) for name in NAMES]
    assert [file.path for file in found["fisher"]] == [file.path for file in alone]
    assert said == [("statistics", done, 3) for done in range(4)]


def test_every_kind_comes_under_the_name_that_methods_know(named: dict[str, Checkpoint]) -> None:
    found = {kind: for_sources(kind, named, TEXTS, weights=WEIGHTS) for kind in KINDS}
    assert {kind: list(files) for kind, files in found.items()} == {
        "fisher": ["fisher"],
        "gram": ["gram"],
        "gram++": ["gram"],
    }
    expected = {
        "fisher": [fisher_file(named[name], TEXTS[name]) for name in NAMES],
        "gram": [gram_file(named[name], TEXTS[name]) for name in NAMES],
        "gram++": layerwise_gram_files(list(named.values()), WEIGHTS, list(TEXTS.values())),
    }
    for kind, files in found.items():
        (of_kind,) = files.values()
        assert [file.path for file in of_kind] == [file.path for file in expected[kind]]
    name = "roberta.encoder.layer.0.attention.self.query.weight"
    plain, layerwise = (found[kind]["gram"][1].read(name) for kind in ("gram", "gram++"))
    assert not np.allclose(plain, layerwise)


def test_the_order_is_that_of_the_sources(named: dict[str, Checkpoint]) -> None:
    backwards = dict(reversed(named.items()))
    found = for_sources("gram", backwards, TEXTS)["gram"]
    assert [file.path for file in found] == [file.path for file in for_sources("gram", named, TEXTS)["gram"]][::-1]


def test_one_that_fails_is_named_and_the_others_are_kept(named: dict[str, Checkpoint], pico: Pico) -> None:
    broken = pico.source("fr-FR")
    poison(broken.folder)
    with pytest.raises(CellsFailed, match=r"1 of 3 statistics failed; .*\n  fr-FR: The statistics of fr-FR .* are NaN"):
        for_sources("fisher", named | {"fr-FR": open_checkpoint(broken.folder, "fr-FR")}, TEXTS)
    (kept, *_) = (file.path for file in for_sources("fisher", {"ja-JP": named["ja-JP"]}, TEXTS)["fisher"])
    assert kept.exists()


def test_what_is_missing_is_said(named: dict[str, Checkpoint]) -> None:
    with pytest.raises(DataError, match="There are no texts to find out the statistics of fr-FR on"):
        for_sources("gram", named, {"de-DE": TEXTS["de-DE"], "ja-JP": TEXTS["ja-JP"]})
    with pytest.raises(DataError, match="The texts of fr-FR have no labels"):
        for_sources("fisher", named, TEXTS, {"de-DE": LABELS["de-DE"]})
    with pytest.raises(MixError, match=r"RegMean\+\+ hangs on the weights of the merge: give them"):
        for_sources("gram++", named, TEXTS)
