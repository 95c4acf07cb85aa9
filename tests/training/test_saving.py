"""A full disk is an OSError, whichever library met it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from bad_input import small_files
from pico import Pico, tokenizer
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from sprachbund.checkpoints import open_checkpoint
from sprachbund.training.saving import save


@pytest.fixture
def model(pico: Pico) -> PreTrainedModel:
    return AutoModelForSequenceClassification.from_pretrained(pico.source("m").folder)


def test_a_model_is_saved_with_its_tokenizer(model: PreTrainedModel, pico: Pico, tmp_path: Path) -> None:
    save(model, tokenizer(), tmp_path / "out")
    saved = open_checkpoint(tmp_path / "out")
    assert saved.labels == open_checkpoint(pico.root / "m").labels
    saved.check_tokenizer()


@pytest.mark.parametrize("most", [20_000, 4_000], ids=["the model has no room", "nothing has room"])
def test_what_the_system_refuses_is_an_error_of_the_system(most: int, model: PreTrainedModel, tmp_path: Path) -> None:
    with small_files(most), pytest.raises(OSError, match="File too large") as caught:
        save(model, tokenizer(), tmp_path / "out")
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "out"))


def test_the_tokenizer_s_library_is_understood_too(
    model: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "save_pretrained", lambda folder: folder.mkdir())
    with small_files(1000), pytest.raises(OSError, match="File too large") as caught:
        save(model, tokenizer(), tmp_path / "out")
    assert caught.value.errno == errno.EFBIG


def test_other_errors_stay_what_they_are(
    model: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(model, "save_pretrained", broken)
    with pytest.raises(ValueError, match="^odd$"):
        save(model, tokenizer(), tmp_path / "out")
