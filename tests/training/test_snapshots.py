"""A training that was killed goes on from its snapshot and ends with the bits of one that was not."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from pico import TinyData

from sprachbund.training import snapshots
from sprachbund.training.jobs import train_base
from sprachbund.training.settings import PretrainSettings

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
    monkeypatch.setattr(snapshots, "SECONDS", 0.0)  # a snapshot after every step
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
    monkeypatch.setattr(snapshots, "SECONDS", 0.0)
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
