"""Errors of the libraries that read checkpoints: also those of Rust are a sentence, those of the machine stay as they are."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sprachbund.checkpoints.foreign import of_transformers
from sprachbund.errors import CheckpointError, MixError

PANIC = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})
"""What a panic of the tokenizers library is in Python; its own class cannot be imported."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("x"), "transformers:"),
        (
            Exception("WordLevel error: Missing [UNK] token\nmore"),
            r"transformers \(WordLevel error: Missing \[UNK\] token\)",
        ),
        (PANIC("index out of bounds: the len is 0"), r"transformers \(index out of bounds: the len is 0\)"),
    ],
)
def test_what_they_say_names_the_checkpoint(error: BaseException, said: str) -> None:
    with (
        pytest.raises(CheckpointError, match=f"^The tokenizer in mine cannot be read by {said}") as told,
        of_transformers(Path("mine"), "tokenizer"),
    ):
        raise error
    assert told.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(3), MixError("ours"), OSError(errno.ENOSPC, "no space"), MemoryError()]
)
def test_what_is_not_about_its_files_goes_on(error: BaseException) -> None:
    with pytest.raises(type(error)) as told, of_transformers(Path("mine"), "model"):
        raise error
    assert told.value is error
