"""Writing a trained model with its tokenizer, so that a full disk is told as one.

Both are written by libraries in Rust, whose errors know what the operating system refused only in words: ``… (os error 28)``.
Here they become what they are everywhere else, an OSError.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from transformers import PreTrainedModel

from sprachbund.inference import Tokenizer

__all__ = ["save"]


def save(model: PreTrainedModel, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a checkpoint into a folder.

    Raises:
        OSError: the operating system refuses.
    """
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except Exception as error:  # bare Exception is what the tokenizers library raises
        refused = re.search(r"\(os error (\d+)\)", str(error))
        if refused is None:
            raise
        number = int(refused[1])
        raise OSError(number, os.strerror(number), str(folder)) from error
