"""A merged model on disk: loadable, described by content, never silently something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pico import Pico, bits, rewrite, state
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sprachbund import cells, merging
from sprachbund.candidates import distance_from_base, merge_candidate
from sprachbund.cards import DETAILS, read_details
from sprachbund.checkpoints import Checkpoint, Zoo, open_checkpoint
from sprachbund.choosing import Choice, choose_by_hand
from sprachbund.errors import CheckpointError, IncompatibleError, MixError, StoreError
from sprachbund.merging import merged_tensors

POOL = ("de-DE", "fr-FR", "ja-JP")


@pytest.fixture
def zoo(pico: Pico) -> Zoo:
    return pico.zoo(POOL)


def by_hand(*weights: float, target: str = "sq-AL") -> Choice:
    return choose_by_hand(target, POOL[: len(weights)], weights)


def test_writes_a_model_that_transformers_loads(zoo: Zoo, tmp_path: Path) -> None:
    merge_candidate(by_hand(2, 1, 1), zoo, "manual", tmp_path / "out")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    expected = merged_tensors([zoo.checkpoint(locale) for locale in POOL], (0.5, 0.25, 0.25))
    for name, tensor in model.state_dict().items():
        assert bits(tensor.numpy()) == bits(expected[name])
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("aska")["input_ids"][0] == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("README.md", "config.json", "merge_details.json", "merge_details.txt", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json"),
    }
    assert {path.name for path in tmp_path.iterdir()} == {"models", "out"}  # nothing temporary stays


def test_a_source_that_changes_during_the_merge_leaves_no_model(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = merging.merge_all

    def merge_all(*asked: Any) -> Any:
        found = true(*asked)
        rewrite(zoo.checkpoint("fr-FR").folder, lambda tensors: tensors["classifier.dense.bias"].add_(1))
        return found

    monkeypatch.setattr(merging, "merge_all", merge_all)
    with pytest.raises(CheckpointError, match="fr-FR has changed while this run was at work"):
        merge_candidate(by_hand(2, 1, 1), zoo, "manual", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"models"}


def test_details_say_how_it_was_made(zoo: Zoo, tmp_path: Path, base: Checkpoint) -> None:
    details = merge_candidate(by_hand(3, 1), zoo, "manual", tmp_path / "out", base=base)
    assert read_details(tmp_path / "out") == details
    assert (details.mode, details.recipe.target, details.uses) == ("manual", "sq-AL", ("nothing",))
    assert [(s.locale, s.weight, s.score) for s in details.sources] == [("de-DE", 0.75, None), ("fr-FR", 0.25, None)]
    assert [s.digest for s in details.sources] == [zoo.checkpoint(locale).digest for locale in POOL[:2]]
    assert [s.distance_from_base for s in details.sources] == [
        distance_from_base(zoo.checkpoint(locale), base) for locale in POOL[:2]
    ]
    assert details.effective_sources == pytest.approx(1 / (0.75**2 + 0.25**2))
    assert details.zoo.endswith("/zoo/{locale}")
    assert 0.9 < (details.head_agreement or 0) < 1
    assert details.warnings == ()


def test_strange_heads_are_warned_about_wherever_somebody_looks(pico: Pico, tmp_path: Path) -> None:
    zoo = pico.zoo(["de-DE"])
    pico.source("zoo/fr-FR", head_seed=7)
    details = merge_candidate(by_hand(1, 1), zoo, "manual", tmp_path / "out")
    (warning,) = details.warnings
    assert "they were initialised independently" in warning
    assert warning in (tmp_path / "out/merge_details.txt").read_text(encoding="utf-8")
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "> **Warning.** The classification heads of de-DE and fr-FR" in card  # without where they lie
    assert str(tmp_path) not in card


def test_a_second_merge_of_the_same_leaves_the_model_alone(zoo: Zoo, tmp_path: Path) -> None:
    first = merge_candidate(by_hand(1, 1), zoo, "manual", tmp_path / "out")
    before = (tmp_path / "out/model.safetensors").stat()
    assert merge_candidate(by_hand(1, 1), zoo, "manual", tmp_path / "out") == first
    after = (tmp_path / "out/model.safetensors").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_another_model_is_replaced_only_if_asked(zoo: Zoo, tmp_path: Path) -> None:
    out = tmp_path / "out"
    merge_candidate(by_hand(1, 1), zoo, "manual", out)
    before = state(out)
    with pytest.raises(StoreError, match=r"out holds another model: .* or replace it with --overwrite"):
        merge_candidate(by_hand(1, 2), zoo, "manual", out)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(out).items())
    merge_candidate(by_hand(1, 2), zoo, "manual", out, overwrite=True)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in state(out).items())


def test_a_folder_of_somebody_else_is_left_alone(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("precious")
    with pytest.raises(StoreError):
        merge_candidate(by_hand(1, 1), zoo, "manual", tmp_path / "out")
    assert (tmp_path / "out/thesis.tex").read_text() == "precious"


def test_a_source_trained_anew_makes_another_model(zoo: Zoo, tmp_path: Path) -> None:
    merge_candidate(by_hand(1, 1), zoo, "manual", tmp_path / "out")
    rewrite(zoo.checkpoint("fr-FR").folder, lambda tensors: tensors["classifier.dense.weight"].mul_(1.5))
    with pytest.raises(StoreError):
        merge_candidate(by_hand(1, 1), zoo, "manual", tmp_path / "out")


def test_details_of_other_tensors_are_not_believed(zoo: Zoo, tmp_path: Path) -> None:
    merge_candidate(by_hand(1, 1), zoo, "manual", tmp_path / "out")
    described = cells.describe(open_checkpoint(tmp_path / "out"), "sq-AL")
    assert described.candidate["kind"] == "merge"
    rewrite(tmp_path / "out", lambda tensors: tensors["classifier.dense.weight"].mul_(1.5))
    assert read_details(tmp_path / "out") is None
    tampered = cells.describe(open_checkpoint(tmp_path / "out"), "sq-AL")
    assert tampered.candidate == {"kind": "single", "digest": tampered.checkpoint.digest}


def test_details_that_are_none_are_named(zoo: Zoo, tmp_path: Path) -> None:
    merge_candidate(by_hand(1, 1), zoo, "manual", tmp_path / "out")
    path = tmp_path / "out" / DETAILS
    for content in ("{", json.dumps({**json.loads(path.read_text()), "surprise": 1})):
        path.write_text(content)
        with pytest.raises(CheckpointError, match=r"merge_details\.json does not describe a merge of sprachbund"):
            read_details(tmp_path / "out")


def test_nothing_is_left_of_a_merge_that_fails(zoo: Zoo, tmp_path: Path) -> None:
    rewrite(zoo.checkpoint("ja-JP").folder, lambda tensors: tensors["classifier.dense.weight"].fill_(torch.nan))
    with pytest.raises(MixError, match=r"Tensor classifier\.dense\.weight of .*/ja-JP holds NaN"):
        merge_candidate(by_hand(1, 1, 1), zoo, "manual", tmp_path / "new" / "out")
    assert list((tmp_path / "new").iterdir()) == []


def test_one_source_is_a_single_checkpoint_by_content(zoo: Zoo, tmp_path: Path) -> None:
    details = merge_candidate(by_hand(1), zoo, "manual", tmp_path / "out")
    assert details.candidate == {"kind": "single", "digest": zoo.checkpoint("de-DE").digest}
    assert details.head_agreement is None
    assert details.effective_sources == 1


# --- how far from the base ---------------------------------------------------------------------------------------------


def test_the_distance_from_the_base_is_that_of_torch(pico: Pico, base: Checkpoint) -> None:
    for change in (0.01, 0.1):
        source = pico.source(f"moved by {change}", change=change)
        there, here = state(base), state(source)
        body = [name for name in here if name in there]
        moved = torch.cat([(here[name] - there[name]).double().flatten() for name in body]).norm()
        norm = torch.cat([there[name].double().flatten() for name in body]).norm()
        assert distance_from_base(source, base) == pytest.approx((moved / norm).item(), rel=1e-6)


def test_the_base_s_own_body_is_at_distance_0(pico: Pico, base: Checkpoint) -> None:
    assert distance_from_base(pico.source("unmoved", change=0.0), base) == 0


def test_a_source_twice_the_base_is_at_distance_1(pico: Pico, base: Checkpoint) -> None:
    source = pico.source("double", change=0.0)
    rewrite(source.folder, lambda tensors: [tensor.mul_(2) for tensor in tensors.values()])
    assert distance_from_base(open_checkpoint(source.folder), base) == pytest.approx(1)


def test_a_base_of_another_family_is_refused_before_the_merge(zoo: Zoo, pico: Pico, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match="^narrow is not the base of"):
        merge_candidate(by_hand(1, 1), zoo, "manual", tmp_path / "out", base=pico.base("narrow", hidden=8))
    assert not (tmp_path / "out").exists()


def test_the_base_does_not_take_part_in_the_merge(zoo: Zoo, base: Checkpoint, tmp_path: Path) -> None:
    merge_candidate(by_hand(1, 1), zoo, "manual", tmp_path / "with", base=base)
    merge_candidate(by_hand(1, 1), zoo, "manual", tmp_path / "without")
    for name, tensor in state(tmp_path / "with").items():
        np.testing.assert_array_equal(tensor, state(tmp_path / "without")[name])


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_a_base_that_holds_no_number_is_named_with_its_tensor(number: float, pico: Pico) -> None:
    broken = pico.base("broken")

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["roberta.embeddings.LayerNorm.bias"][0] = number

    rewrite(broken.folder, change)
    with pytest.raises(
        MixError, match=r"^Tensor roberta\.embeddings\.LayerNorm\.bias of .*broken holds NaN or infinite"
    ):
        distance_from_base(pico.source("m"), open_checkpoint(broken.folder))
