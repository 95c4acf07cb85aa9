"""One checkpoint on one split: the record, and two roads to the same one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from pico import Pico, TinyData
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sprachbund import cells, digests, store
from sprachbund.candidates import merge_candidate
from sprachbund.checkpoints import Zoo, open_checkpoint
from sprachbund.choosing import choose, choose_by_hand
from sprachbund.config import ChoiceConfig
from sprachbund.errors import IncompatibleError
from sprachbund.recipe import VARIANTS
from sprachbund.similarity import load
from sprachbund.store import Record


def evaluate(folder: Path, tiny: TinyData, out: Path, locale: str = "sq-AL", split: str = "test") -> Record:
    subject = cells.describe(open_checkpoint(folder), locale)
    return cells.evaluate(subject, tiny, split, "mine", out, precision="fp32", started=time.monotonic())


def merged(pico: Pico, out: Path, *sources: str, target: str = "sq-AL") -> Path:
    merge_candidate(choose_by_hand(target, sources, []), pico.zoo(sources), "manual", out)
    return out


def test_the_record_of_a_single_checkpoint(pico: Pico, tiny: TinyData, tmp_path: Path) -> None:
    source = pico.source("zoo/sq-AL")
    record = evaluate(source.folder, tiny, tmp_path / "mine_sq-AL")
    info = record.evaluation_info
    assert (info.variant, info.locale, info.split, info.uses) == ("mine", "sq-AL", "test", ("target-train",))
    assert (info.precision, info.threads) == ("fp32", torch.get_num_threads())
    assert {"sprachbund", "python", "torch", "transformers", "numpy"} == set(info.versions)
    model = record.model_info
    assert (model.sources[0].locale, model.sources[0].digest, model.sources[0].weight) == ("sq-AL", source.digest, 1.0)
    assert (model.recipe, model.head_agreement, model.effective_sources) == (None, None, 1.0)
    assert model.zoo.endswith("/zoo/{locale}")
    data = record.dataset_info
    assert (data.name, data.examples, data.intents, data.demonstration) == ("tiny", 24, 4, True)
    assert data.digest == tiny.partition("sq-AL", "test").digest
    assert store.read_record(tmp_path / "mine_sq-AL") == record


def test_predictions_are_those_of_transformers_alone(pico: Pico, tiny: TinyData, tmp_path: Path) -> None:
    folder = pico.source("m").folder
    record = evaluate(folder, tiny, tmp_path / "out")
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    partition = tiny.partition("sq-AL", "test")
    rows = store.read_predictions(tmp_path / "out")
    assert [row.id for row in rows] == list(partition.ids)
    hits = 0
    for row, text, gold in zip(rows, partition.texts, partition.intents, strict=True):
        with torch.no_grad():
            shares = model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0]
        assert row.predicted == model.config.id2label[int(shares.argmax())]
        assert row.confidence == pytest.approx(shares.max().item(), abs=1e-5)
        assert row.gold == gold
        hits += row.predicted == gold
    assert (record.performance.correct, record.performance.total) == (hits, 24)
    assert len({row.predicted for row in rows}) > 1


def test_examples_are_the_first_rows_as_they_come(pico: Pico, tiny: TinyData, tmp_path: Path) -> None:
    record = evaluate(pico.source("m").folder, tiny, tmp_path / "out")
    partition = tiny.partition("sq-AL", "test")
    assert [example.text for example in record.examples] == list(partition.texts[:10])
    rows = store.read_predictions(tmp_path / "out")
    for example, row in zip(record.examples, rows, strict=False):
        assert (example.id, example.gold, example.predicted) == (row.id, row.gold, row.predicted)
        assert example.correct == (row.gold == row.predicted)


def test_the_identity_is_that_of_content_data_and_split(pico: Pico, tiny: TinyData, tmp_path: Path) -> None:
    zoo = pico.zoo(["de-DE", "fr-FR"])
    identities = {
        evaluate(
            pico.root / "zoo" / source, tiny, tmp_path / "out" / f"{source} {locale} {split}", locale, split
        ).identity
        for source in ("de-DE", "fr-FR")
        for locale in ("sq-AL", "ja-JP")
        for split in ("dev", "test")
    }
    assert len(identities) == 8
    again = evaluate(zoo.checkpoint("de-DE").folder, tiny, tmp_path / "again")
    assert again.identity in identities
    copied = Pico(tmp_path / "elsewhere").source("zoo/de-DE")
    assert evaluate(copied.folder, tiny, tmp_path / "copied").identity == again.identity


def test_a_merged_folder_is_known_by_what_went_in(pico: Pico, tiny: TinyData, tmp_path: Path) -> None:
    record = evaluate(merged(pico, tmp_path / "m", "de-DE", "fr-FR"), tiny, tmp_path / "out")
    zoo = Zoo(f"{pico.root}/zoo/{{locale}}")
    choice = choose_by_hand("sq-AL", ["de-DE", "fr-FR"], [])
    candidate = choice.mix.candidate(choice.recipe, {s: zoo.checkpoint(s).digest for s in ("de-DE", "fr-FR")})
    data_digest = tiny.partition("sq-AL", "test").digest
    assert record.identity == store.cell_identity(candidate, data_digest=data_digest, split="test", precision="fp32")
    assert record.model_info.digest == digests.of_value(candidate)
    assert [(s.locale, s.weight) for s in record.model_info.sources] == [("de-DE", 0.5), ("fr-FR", 0.5)]
    assert record.evaluation_info.uses == ("nothing",)


def test_a_merge_has_seen_labels_of_every_locale_whose_source_is_in_it(
    pico: Pico, tiny: TinyData, tmp_path: Path
) -> None:
    """Made for Albanian from German and French: in French it is no stranger."""
    folder = merged(pico, tmp_path / "m", "de-DE", "fr-FR")
    uses = {locale: cells.describe(open_checkpoint(folder), locale).uses for locale in ("sq-AL", "fr-FR", "ja-JP")}
    assert uses == {"sq-AL": ("nothing",), "fr-FR": ("target-train",), "ja-JP": ("nothing",)}


def test_a_merge_with_its_target_has_not_seen_labels_of_others(pico: Pico, tmp_path: Path) -> None:
    folder = merged(pico, tmp_path / "m", "de-DE", "sq-AL")
    uses = {locale: cells.describe(open_checkpoint(folder), locale).uses for locale in ("sq-AL", "ja-JP")}
    assert uses == {"sq-AL": ("target-train",), "ja-JP": ("nothing",)}


def test_a_recipe_is_kept_with_the_record(pico: Pico, tiny: TinyData, tmp_path: Path) -> None:
    choice = choose(VARIANTS["similarity"], "sq-AL", ChoiceConfig(num_languages=2), load("uriel:syntax_knn"))
    merge_candidate(choice, pico.zoo(choice.mix.sources), "similarity", tmp_path / "m")
    record = evaluate(tmp_path / "m", tiny, tmp_path / "out")
    assert record.model_info.recipe == choice.recipe.model_dump()
    assert record.model_info.effective_sources == choice.effective_sources


def test_a_model_of_other_labels_leaves_no_record(pico: Pico, tiny: TinyData, tmp_path: Path) -> None:
    foreign = pico.source("foreign", labels=("yes", "no"))
    with pytest.raises(IncompatibleError, match="was trained for other labels than those of tiny"):
        evaluate(foreign.folder, tiny, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_numbered_labels_are_read_in_the_data_set_s_order(pico: Pico, tiny: TinyData, tmp_path: Path) -> None:
    named, numbered = pico.source("m"), Pico(tmp_path / "other").source("m", labels=[f"LABEL_{n}" for n in range(4)])
    first, second = (
        evaluate(source.folder, tiny, tmp_path / f"out {source.labels[0]}") for source in (named, numbered)
    )
    assert first.performance == second.performance
    assert store.read_predictions(tmp_path / "out ask") == store.read_predictions(tmp_path / "out LABEL_0")
