"""What stands beside a merged model, for people and for the hub."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pico import Pico

from sprachbund.candidates import merge_candidate
from sprachbund.cards import MergeDetails, model_card, read_details
from sprachbund.choosing import choose
from sprachbund.config import ChoiceConfig
from sprachbund.recipe import VARIANTS
from sprachbund.similarity import load


@pytest.fixture
def details(pico: Pico, tmp_path: Path) -> MergeDetails:
    choice = choose(VARIANTS["similarity"], "sq-AL", ChoiceConfig(num_languages=2), load("uriel:syntax_knn"))
    return merge_candidate(choice, pico.zoo(["ro-RO", "el-GR"]), "similarity", tmp_path / "out")


def test_a_model_that_nobody_merged_has_no_details(pico: Pico) -> None:
    assert read_details(pico.source("single").folder) is None


def test_the_text_names_every_source_with_weight_and_similarity(details: MergeDetails, tmp_path: Path) -> None:
    text = (tmp_path / "out/merge_details.txt").read_text(encoding="utf-8")
    assert text.startswith("Merged model for Albanian (sq-AL)\n")
    assert "has seen           nothing (of the target)" in text
    assert "weighting          similarity (sharpness 20)" in text
    for source in details.sources:
        assert f"{source.locale}   {source.weight:>9.4f}{source.score:>12.4f}" in text
    assert "nan" not in text


def test_the_model_card_has_front_matter_and_no_score(details: MergeDetails, tmp_path: Path) -> None:
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["language"] == ["el", "ro", "sq"]
    assert matter["pipeline_tag"] == "text-classification"
    assert matter["library_name"] == "transformers"
    assert "merge" in matter["tags"]
    assert "base_model" not in matter  # local folders are no models of the hub
    assert "A classifier of 4 intents, made of 2 fine-tuned checkpoints" in body
    assert "Of the target it has seen: nothing." in body
    for source in details.sources:
        assert f"| {source.locale} | {source.weight:.4f} |" in body


def test_sources_from_the_hub_are_linked(details: MergeDetails) -> None:
    repositories = [f"haryoaw/xlm-roberta-base_massive_k_{source.locale}" for source in details.sources]
    published = [
        source.model_copy(update={"model": f"{repository}@{'0a' * 20}:epoch-9"})
        for source, repository in zip(details.sources, repositories, strict=True)
    ]
    card = model_card(details.model_copy(update={"sources": tuple(published)}), ["ask"])
    matter = yaml.safe_load(card.split("---\n")[1])
    assert matter["base_model"] == repositories
    assert all(f"`{source.model}`" in card for source in published)  # a name that stands for this commit
