"""A training that was killed goes on from its snapshot and ends with the bits of one that was not."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

import pytest
from pico import Pico, TinyData, tiny_data

from sprachbund.checkpoints import Checkpoint
from sprachbund.training import finetune, snapshots
from sprachbund.training.jobs import Group, TrainingCard, source_folder, train_base, train_groups
from sprachbund.training.settings import FinetuneSettings, PretrainSettings
from sprachbund.training.snapshots import Snapshots

LOCALES = ("de-DE", "fr-FR", "ja-JP")
STEPS = 4
SETTINGS = PretrainSettings(
    vocabulary=300,
    hidden=16,
    layers=1,
    heads=2,
    intermediate=16,
    max_tokens=32,
    mlm_steps=STEPS,
    mlm_batch=16,
    ranking_steps=STEPS,
    ranking_batch=8,
)
FILES = ("model.safetensors", "config.json", "tokenizer.json")


def keep_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SECONDS", 0.0)
    monkeypatch.setattr(snapshots, "LARGEST_SHARE", math.inf)


class Killed(BaseException):
    """What stops a training here."""


@pytest.fixture
def uninterrupted(tiny: TinyData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "base"
    train_base(tiny, LOCALES, out, SETTINGS)
    return out


def train(tiny: TinyData, out: Path, stop_after: int | None = None, settings: PretrainSettings = SETTINGS) -> list[str]:
    """Return the steps that were made; stop after so many."""
    made: list[str] = []
    count = itertools.count(1)

    def progress(stage: str, step: int, steps: int, loss: float) -> None:
        made.append(f"{stage} {step}")
        if next(count) == stop_after:
            raise Killed

    try:
        train_base(tiny, LOCALES, out, settings, progress=progress)
    except Killed:
        assert stop_after is not None
    return made


@pytest.mark.parametrize("stop_after", range(1, 2 * STEPS + 1))
def test_it_goes_on_and_ends_with_the_same_bits(
    stop_after: int, uninterrupted: Path, tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_every_step(monkeypatch)
    out = tmp_path / "zoo" / "base"
    before = train(tiny, out, stop_after)
    assert not out.exists()
    # The step that was stopped in had been made, but not yet kept.
    assert (
        train(tiny, out)
        == [f"language modelling {n}" for n in range(1, STEPS + 1)][stop_after - 1 :]
        + [f"translation ranking {n}" for n in range(1, STEPS + 1)][max(0, stop_after - 1 - STEPS) :]
    )
    assert len(before) == stop_after
    for name in FILES:
        assert (out / name).read_bytes() == (uninterrupted / name).read_bytes()
    assert {path.name for path in out.parent.iterdir()} == {"base", ".base.lock"}, "no snapshot stays"


def test_a_snapshot_of_another_training_or_half_of_one_is_not_believed(
    tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_every_step(monkeypatch)
    out = tmp_path / "base"
    train(tiny, out, 3)
    (state,) = tmp_path.glob(".base.training")
    content = state.read_bytes()
    state.write_bytes(content[: len(content) // 2])
    assert len(train(tiny, out, 6)) == 6
    longer = SETTINGS.model_copy(update={"learning_rate": 1e-4})
    assert len(train(tiny, out, settings=longer)) == 2 * STEPS


def test_it_is_kept_every_so_often_only(tiny: TinyData, tmp_path: Path) -> None:
    train(tiny, tmp_path / "base", 2 * STEPS)
    assert not list(tmp_path.glob(".base.training")), "a minute has not passed"


# --- sources -----------------------------------------------------------------------------------------------------------

LAST = 4
TUNING = FinetuneSettings(epochs=LAST, batch=8, accumulate=2, learning_rate=1e-2, dropout=0.1, patience=3)
PER_EPOCH = 3
GROUPS = (Group("de-DE", ("de-DE",)), Group("fr-FR", ("fr-FR",)))


def tune(
    base: Checkpoint, tiny: TinyData, root: Path, stop_after: int | None = None, settings: FinetuneSettings = TUNING
) -> list[str]:
    """Fine-tune two sources; return the steps that were made; stop after so many."""
    made: list[str] = []

    def progress(stage: str, step: int, steps: int, loss: float) -> None:
        made.append(f"{stage} {step}")
        if len(made) == stop_after:
            raise Killed

    try:
        train_groups(base.folder, tiny, GROUPS, root, settings, progress=progress)
    except Killed:
        assert stop_after is not None
    return made


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A base that stays the same for all tests here."""
    return Pico(tmp_path_factory.mktemp("grown")).base()


@pytest.fixture(scope="module")
def undisturbed(grown: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    root = tmp_path_factory.mktemp("undisturbed")
    return root, tune(grown, tiny_data(), root)


@pytest.mark.parametrize("stop_after", [1, 2, PER_EPOCH, PER_EPOCH + 1, 3 * PER_EPOCH, LAST * PER_EPOCH + 2])
def test_a_source_goes_on_and_ends_with_the_same_bits(
    stop_after: int,
    grown: Checkpoint,
    undisturbed: tuple[Path, list[str]],
    tiny: TinyData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also in the middle of an epoch, just before its dev accuracy is known, and in the second source."""
    keep_every_step(monkeypatch)
    reference, steps = undisturbed
    assert tune(grown, tiny, tmp_path, stop_after) == steps[:stop_after]
    locale = steps[stop_after - 1].split()[0]
    state = tmp_path / f"xlm-roberta-base_massive_k_{locale}/.alpha_0.5_{locale}_epoch-9.training"
    assert state.exists() == (stop_after > 1)
    assert tune(grown, tiny, tmp_path) == steps[stop_after - 1 :]
    for group in GROUPS:
        ours, theirs = (source_folder(root, group.name) for root in (tmp_path, reference))
        for name in (*FILES, "token_counts.npy"):
            assert (ours / name).read_bytes() == (theirs / name).read_bytes()
        cards = [TrainingCard.model_validate_json((each / "training.json").read_text()) for each in (ours, theirs)]
        assert cards[0].model_copy(update={"seconds": 0}) == cards[1].model_copy(update={"seconds": 0})
    assert not list(tmp_path.rglob("*.training")), "no snapshot stays"


def test_a_source_that_had_lost_patience_makes_no_step_more(
    grown: Checkpoint, tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when the last step was kept and before the model was saved."""
    keep_every_step(monkeypatch)
    impatient = TUNING.model_copy(update={"patience": 1, "learning_rate": 1e-9})

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(finetune, "save", die)
        assert tune(grown, tiny, tmp_path, 10**6, impatient) == [f"de-DE {n}" for n in range(1, 2 * PER_EPOCH + 1)]
    assert tune(grown, tiny, tmp_path, settings=impatient) == [f"fr-FR {n}" for n in range(1, 2 * PER_EPOCH + 1)]


def test_a_snapshot_of_other_settings_is_not_believed(
    grown: Checkpoint, tiny: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_every_step(monkeypatch)
    tune(grown, tiny, tmp_path, 4)
    other = TUNING.model_copy(update={"precision": "bf16"})
    assert tune(grown, tiny, tmp_path, 1, other) == ["de-DE 1"]


def test_snapshots_of_large_models_are_kept_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So much of the time is spent on them at most, however long one takes."""
    clock = itertools.count(0.0, 10.0)  # each look at it takes 10 s, and so does a snapshot
    monkeypatch.setattr(snapshots.time, "monotonic", lambda: next(clock))
    kept = Snapshots(tmp_path / "state", "digest", random.Random(0), _last=-1000.0)
    written: list[int] = []
    for step in range(100):
        before = (tmp_path / "state").stat().st_mtime_ns if (tmp_path / "state").exists() else 0
        kept.keep("stage", step)
        if (tmp_path / "state").stat().st_mtime_ns != before:
            written.append(step)
    assert written == [0, 20, 40, 60, 80]
