"""Training that resumes: done once, never replaced unasked, the same on one process and on two."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pico import Pico, TinyData, rows_of, state, tiny_data

from sprachbund import cells, inference, locales
from sprachbund.cards import trained_on
from sprachbund.checkpoints import PUBLISHED, Checkpoint, Zoo, open_checkpoint, read_token_counts, zoo_uses
from sprachbund.data import Row
from sprachbund.errors import CellsFailed, CheckpointError, UserError
from sprachbund.heads import head_agreement
from sprachbund.training import jobs as module
from sprachbund.training.jobs import (
    Group,
    TrainingCard,
    all_but,
    joint,
    source_folder,
    train_base,
    train_groups,
    train_sources,
)
from sprachbund.training.settings import FinetuneSettings, PretrainSettings

LOCALES = ("de-DE", "ja-JP")
LOCALES_OF_DATA = locales.names()
SETTINGS = FinetuneSettings(epochs=1, batch=8, learning_rate=1e-2)


@pytest.fixture
def nobody_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(task: Any, progress: Any = None) -> None:
        raise AssertionError(f"{task.out} was trained")

    monkeypatch.setattr(module, "_train_source", train)


def times(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file() and path.name != ".lock"}


def test_sources_stand_in_the_published_layout(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    train_sources(base.folder, tiny, LOCALES, tmp_path, SETTINGS)
    assert source_folder(tmp_path, "ja-JP") == tmp_path / "xlm-roberta-base_massive_k_ja-JP/alpha_0.5_ja-JP_epoch-9"
    zoo = Zoo(f"{tmp_path}/{PUBLISHED.rpartition('/')[2]}")
    sources = [zoo.checkpoint(locale) for locale in LOCALES]
    assert sources[0].labels == tiny.intents
    agreement = head_agreement(sources)
    assert agreement is not None
    assert agreement.cosine > 0.5


def test_a_card_says_what_was_trained_and_how_well(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    seen: list[TrainingCard] = []
    cards = train_sources(base.folder, tiny, LOCALES, tmp_path, SETTINGS, done=seen.append)
    assert seen == cards
    assert [card.locale for card in cards] == list(LOCALES)
    for card in cards:
        assert (card.data, card.settings) == ("tiny", SETTINGS.model_dump())
        folder = source_folder(tmp_path, str(card.locale))
        dev = tiny.partition(str(card.locale), "dev")
        winners = inference.logits(
            inference.load_classifier(folder), inference.tokenise(inference.load_tokenizer(folder), dev.texts)
        ).argmax(1)
        hits = sum(tiny.intents[winner] == gold for winner, gold in zip(winners, dev.intents, strict=True))
        assert card.dev_accuracy == hits / 16


@pytest.mark.usefixtures("tmp_path")
def test_what_is_trained_is_not_trained_again(
    base: Checkpoint, tiny: TinyData, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    cards = train_sources(base.folder, tiny, LOCALES, tmp_path, SETTINGS)
    before = times(tmp_path)
    request.getfixturevalue("nobody_trains")
    seen: list[TrainingCard] = []
    assert train_sources(base.folder, tiny, LOCALES[::-1], tmp_path, SETTINGS, done=seen.append) == cards[::-1]
    assert seen == cards[::-1]
    assert times(tmp_path) == before


def test_only_what_is_missing_is_trained(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    train_sources(base.folder, tiny, LOCALES[:1], tmp_path, SETTINGS)
    before = times(tmp_path)
    train_sources(base.folder, tiny, LOCALES, tmp_path, SETTINGS)
    after = times(tmp_path)
    assert {path: after[path] for path in before} == before
    assert len(after) == 2 * len(before)


def another_word(locale: str) -> Iterable[Row]:
    return (replace(row, utt=f"tuvo {row.utt}") for row in rows_of(locale))


@pytest.mark.parametrize("what", ["settings", "data", "base"])
def test_a_source_of_anything_else_is_replaced_only_if_asked(
    what: str, base: Checkpoint, tiny: TinyData, pico: Pico, tmp_path: Path
) -> None:
    train_sources(base.folder, tiny, LOCALES[:1], tmp_path / "zoo", SETTINGS)
    before = state(source_folder(tmp_path / "zoo", "de-DE"))
    folder = pico.base("other", initializer_range=0.9).folder if what == "base" else base.folder
    data = tiny_data(source=another_word) if what == "data" else tiny
    settings = SETTINGS.model_copy(update={"seed": 1}) if what == "settings" else SETTINGS
    with pytest.raises(
        CheckpointError, match=r"alpha_0\.5_de-DE_epoch-9 holds another model \(other settings, data or base\)"
    ):
        train_sources(folder, data, LOCALES[:1], tmp_path / "zoo", settings)
    assert all(
        (tensor == before[name]).all() for name, tensor in state(source_folder(tmp_path / "zoo", "de-DE")).items()
    )
    train_sources(folder, data, LOCALES[:1], tmp_path / "zoo", settings, overwrite=True)
    assert any(
        (tensor != before[name]).any() for name, tensor in state(source_folder(tmp_path / "zoo", "de-DE")).items()
    )


def test_a_training_that_dies_leaves_nothing(
    base: Checkpoint, tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(folder: Path, card: TrainingCard) -> TrainingCard:
        assert (folder / "model.safetensors").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_write_card", die)
    with pytest.raises(KeyboardInterrupt):
        train_sources(base.folder, tiny, LOCALES, tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]
    monkeypatch.undo()
    assert len(train_sources(base.folder, tiny, LOCALES, tmp_path, SETTINGS)) == 2


@pytest.mark.usefixtures("forked_workers")
def test_two_processes_write_the_same_files_as_one(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    alone = train_sources(base.folder, tiny, LOCALES, tmp_path / "alone", SETTINGS, jobs=1)
    together = train_sources(base.folder, tiny, LOCALES, tmp_path / "together", SETTINGS, jobs=2)
    for one, two in zip(alone, together, strict=True):
        assert one.model_copy(update={"seconds": 0}) == two.model_copy(update={"seconds": 0})
        for name in ("model.safetensors", "config.json", "tokenizer.json"):
            ours, theirs = (source_folder(tmp_path / root, str(one.locale)) / name for root in ("alone", "together"))
            assert ours.read_bytes() == theirs.read_bytes()


def test_a_source_that_fails_stops_no_other_and_is_tried_again(
    base: Checkpoint, tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = module._write_card

    def fail(folder: Path, card: TrainingCard) -> TrainingCard:
        if card.locale == "de-DE":
            raise RuntimeError("the lights went out")
        return write(folder, card)

    seen: list[TrainingCard] = []
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_card", fail)
        with pytest.raises(CellsFailed) as caught:
            train_sources(base.folder, tiny, LOCALES, tmp_path, SETTINGS, done=seen.append)
    assert str(caught.value).splitlines() == [
        "1 of 2 sources failed; the same command tries them again.",
        "  de-DE: RuntimeError: the lights went out",
    ]
    assert [card.locale for card in seen] == ["ja-JP"]
    assert not source_folder(tmp_path, "de-DE").exists()
    before = times(source_folder(tmp_path, "ja-JP"))
    cards = train_sources(base.folder, tiny, LOCALES, tmp_path, SETTINGS)
    assert [card.locale for card in cards] == list(LOCALES)
    assert times(source_folder(tmp_path, "ja-JP")) == before


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_card_beside_half_a_model_is_not_believed(
    damage: str, base: Checkpoint, tiny: TinyData, tmp_path: Path
) -> None:
    train_sources(base.folder, tiny, LOCALES[:1], tmp_path, SETTINGS)
    weights = source_folder(tmp_path, "de-DE") / "model.safetensors"
    whole = weights.read_bytes()
    if damage == "cut":
        weights.write_bytes(whole[:-4])
    else:
        weights.unlink()
    train_sources(base.folder, tiny, LOCALES[:1], tmp_path, SETTINGS)
    assert weights.read_bytes() == whole


JOINT = joint(LOCALES[::-1], LOCALES_OF_DATA)


def test_one_model_can_be_trained_on_several_locales(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    (card,) = train_groups(base.folder, tiny, [JOINT], tmp_path, SETTINGS)
    folder = tmp_path / "xlm-roberta-base_massive_k_de-DE+ja-JP/alpha_0.5_de-DE+ja-JP_epoch-9"
    assert (card.locale, trained_on(folder)) == ("de-DE+ja-JP", LOCALES)
    before = times(tmp_path)
    assert train_groups(base.folder, tiny, [JOINT], tmp_path, SETTINGS) == [card]
    assert times(tmp_path) == before
    with pytest.raises(CheckpointError, match="holds another model"):
        train_groups(base.folder, tiny, [Group(JOINT.name, LOCALES[:1])], tmp_path, SETTINGS)
    steps = [len(tiny.partition(locale, "train")) for locale in LOCALES]
    counts = read_token_counts(open_checkpoint(folder))
    assert counts is not None
    assert counts[0] == sum(steps)  # the token that begins each text, once a text


def test_a_model_of_several_locales_has_seen_the_labels_of_each(
    base: Checkpoint, tiny: TinyData, tmp_path: Path
) -> None:
    train_groups(base.folder, tiny, [JOINT], tmp_path, SETTINGS)
    model = open_checkpoint(source_folder(tmp_path, JOINT.name))
    uses = {locale: cells.describe(model, locale).uses for locale in (*LOCALES, "sq-AL")}
    assert uses == {"de-DE": ("target-train",), "ja-JP": ("target-train",), "sq-AL": ("nothing",)}


def test_a_source_says_what_its_base_has_seen(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    strange = train_sources(base.folder, tiny, ["de-DE"], tmp_path / "strange", SETTINGS)
    assert strange[0].uses == ()
    shape = PretrainSettings(
        vocabulary=300, hidden=8, layers=1, heads=2, intermediate=8, mlm_steps=1, ranking_steps=1, ranking_batch=4
    )
    train_base(tiny, LOCALES, tmp_path / "own", shape)
    (card,) = train_sources(tmp_path / "own", tiny, ["de-DE"], tmp_path / "zoo", SETTINGS)
    assert card.uses == ("unlabelled",)
    source = open_checkpoint(source_folder(tmp_path / "zoo", "de-DE"))
    assert zoo_uses(source) == ("unlabelled",)
    assert cells.describe(source, "ja-JP").uses == ("unlabelled",)
    assert cells.describe(source, "de-DE").uses == ("target-train", "unlabelled")


def test_a_locale_that_is_left_out_was_not_met(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    three = ("de-DE", "fr-FR", "ja-JP")
    groups = [all_but(locale, three) for locale in three]
    train_groups(base.folder, tiny, groups, tmp_path, SETTINGS)
    zoo = Zoo(f"{tmp_path}/xlm-roberta-base_massive_k_all-but-{{locale}}:alpha_0.5_all-but-{{locale}}_epoch-9")
    for locale in three:
        model = zoo.checkpoint(locale)
        others = tuple(other for other in three if other != locale)
        assert trained_on(model.folder) == others
        assert {each: cells.describe(model, each).uses for each in three} == {
            locale: ("nothing",),
            **dict.fromkeys(others, ("target-train",)),
        }


def test_groups_have_one_name_however_they_are_listed() -> None:
    held = tuple(LOCALES_OF_DATA)
    assert joint(("fr-FR", "de-DE", "fr-FR"), held) == Group("de-DE+fr-FR", ("de-DE", "fr-FR"))
    assert joint(held[::-1], held) == Group("all", held)
    assert all_but("de-DE", ("fr-FR", "de-DE", "ja-JP")) == Group("all-but-de-DE", ("fr-FR", "ja-JP"))
    longest = joint(held[:24], held)
    for part in source_folder(Path(), longest.name).parts:
        assert len(f".{part}.training") + 60 < 255, "with what stands beside it while it is written"
    for wrong, message in (
        (("de-DE", "de-DE"), "two locales or more"),
        (held[:25], "at most 24 do; name fewer, or all"),
    ):
        with pytest.raises(UserError, match=message):
            joint(wrong, held)
    with pytest.raises(UserError, match="nothing is left to train on"):
        all_but("de-DE", ("de-DE",))


def test_settings_that_came_later_leave_the_digests_of_older_models_alone() -> None:
    older = {"epochs": 7, "batch": 16, "learning_rate": 1.5e-3, "dropout": None, "head_seed": 0, "seed": 0}
    assert FinetuneSettings().at_width(96).deciding() == older
    for change in ({"accumulate": 2}, {"precision": "bf16"}, {"patience": 1}):
        assert FinetuneSettings(**change).at_width(96).deciding() == older | change  # type: ignore[arg-type]


def test_a_card_of_an_older_version_is_read(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    (card,) = train_sources(base.folder, tiny, LOCALES[:1], tmp_path, SETTINGS)
    path = source_folder(tmp_path, "de-DE") / "training.json"
    content = json.loads(path.read_text())
    for key in ("dev_accuracies", "saved_epoch", "device"):
        del content[key]
    for key in ("accumulate", "precision", "patience"):
        del content["settings"][key]
    path.write_text(json.dumps(content))
    (found,) = train_sources(base.folder, tiny, LOCALES[:1], tmp_path, SETTINGS)
    assert (found.digest, found.dev_accuracies, found.saved_epoch) == (card.digest, (), None)


def test_a_card_says_the_learning_rate_that_the_base_asked_for(
    base: Checkpoint, tiny: TinyData, tmp_path: Path
) -> None:
    settings = FinetuneSettings(epochs=1)
    (card,) = train_sources(base.folder, tiny, LOCALES[:1], tmp_path, settings)
    assert card.settings["learning_rate"] == 1.5e-3
    explicit = settings.model_copy(update={"learning_rate": 1.5e-3})
    assert train_sources(base.folder, tiny, LOCALES[:1], tmp_path, explicit) == [card]


def test_what_its_base_was_trained_on_counts_too(base: Checkpoint, tiny: TinyData, tmp_path: Path) -> None:
    train_sources(base.folder, tiny, ["sq-AL"], tmp_path / "first", SETTINGS)
    again = open_checkpoint(source_folder(tmp_path / "first", "sq-AL"))
    train_sources(again.folder, tiny, ["de-DE"], tmp_path / "second", SETTINGS)
    model = open_checkpoint(source_folder(tmp_path / "second", "de-DE"))
    assert trained_on(model.folder) == ("de-DE", "sq-AL")
    uses = {locale: cells.describe(model, locale).uses for locale in ("de-DE", "sq-AL", "fr-FR")}
    assert uses == {"de-DE": ("target-train",), "sq-AL": ("target-train",), "fr-FR": ("nothing",)}
