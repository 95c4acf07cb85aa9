"""Writing what stands beside the tensors, and the digest of the model's content into their file.

A safetensors file has room for a few words beside its tensors (``__metadata__``). Whoever gets nothing but that file can tell
by ``sprachbund_candidate`` which recipe it came from, and whether the details that come with it are its own.
"""

from __future__ import annotations

from pathlib import Path

from sprachbund import digests, files
from sprachbund.cards.details import (
    BLEND,
    DETAILS,
    DETAILS_TEXT,
    BlendDetails,
    MergeDetails,
    model_digest,
)
from sprachbund.cards.marking import is_changed
from sprachbund.cards.model_card import write_card
from sprachbund.cards.text import details_text
from sprachbund.checkpoints import WEIGHTS, label_tensors

__all__ = ["CANDIDATE", "write_blend", "write_details", "write_made"]

CANDIDATE = "sprachbund_candidate"


def write_made(folder: Path, details: MergeDetails) -> MergeDetails:
    """Write the files beside the tensors of a model that was just made, and its digest into theirs; return as written."""
    label_tensors(folder / WEIGHTS, {CANDIDATE: model_digest(details)})
    return write_details(folder, details)


def write_details(folder: Path, details: MergeDetails) -> MergeDetails:
    """Write the three files beside the tensors in ``folder``, which stay as they are; return the details as written.

    A card that its owner has changed stays as well.
    """
    complete = details.model_copy(update={"tensors_digest": digests.of_file(folder / WEIGHTS)})
    files.write_json(folder / DETAILS, complete.model_dump())
    files.write_text(folder / DETAILS_TEXT, details_text(complete))
    if not is_changed(folder):
        write_card(folder, complete)
    return complete


def write_blend(folder: Path, details: BlendDetails) -> BlendDetails:
    """Write how the model in ``folder``, which was just made, was blended; return the details as written."""
    label_tensors(folder / WEIGHTS, {CANDIDATE: model_digest(details)})
    complete = details.model_copy(update={"tensors_digest": digests.of_file(folder / WEIGHTS)})
    files.write_json(folder / BLEND, complete.model_dump())
    write_card(folder, complete)
    return complete
