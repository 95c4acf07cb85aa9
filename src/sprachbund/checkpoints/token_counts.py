"""How often a source met each token while it was trained: beside the checkpoint, or read from its embeddings.

A row of the embedding learns when its token occurs; all other rows stay what they were in the base, but for what weight decay
takes from them, which is a multiple of themselves. So which tokens a source met can be told from its tensors alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

import ml_dtypes
import numpy as np
import numpy.typing as npt

from sprachbund.checkpoints.checkpoint import TOKEN_COUNTS, Checkpoint
from sprachbund.checkpoints.vocabulary import EMBEDDINGS, check_one_vocabulary, embedding_of
from sprachbund.errors import CheckpointError

__all__ = ["TOKEN_COUNTS", "has_token_counts", "learned_tokens", "read_token_counts", "write_token_counts"]

MOVED = 3e-5
"""Of its own length that a row must have moved sideways to have learned; rounding of fp32 stays below a tenth of it."""

IntArray = npt.NDArray[np.int64]


def write_token_counts(folder: Path, encoded: Iterable[Sequence[int]], vocabulary: int) -> None:
    """Write how often each token occurs in a source's training texts beside the source."""
    tokens = np.concatenate([np.asarray(text, dtype=np.int64) for text in encoded])
    np.save(folder / TOKEN_COUNTS, np.bincount(tokens, minlength=vocabulary))


def has_token_counts(checkpoint: Checkpoint) -> bool:
    """Return whether counts stand beside a checkpoint; where none do, what it met is told from its tensors and its base."""
    return (checkpoint.folder / TOKEN_COUNTS).is_file()


def read_token_counts(checkpoint: Checkpoint) -> IntArray | None:
    """Return the counts [V] that stand beside a checkpoint, None where there are none.

    Raises:
        CheckpointError: the file holds something else.
    """
    path = checkpoint.folder / TOKEN_COUNTS
    try:
        counts: IntArray = np.load(path, mmap_mode="r", allow_pickle=False).astype(np.int64, casting="safe")
    except FileNotFoundError:
        return None
    except (
        ValueError,
        EOFError,
        TypeError,
        AttributeError,
        OverflowError,
        SyntaxError,
        TokenError,
        BadZipFile,
    ) as error:
        raise CheckpointError(f"{path} does not hold token counts: remove it, or save the checkpoint again.") from error
    if counts.shape != (len(_embeddings(checkpoint)),):
        raise CheckpointError(f"{path} counts other tokens than the model has: remove it.")
    return counts


def learned_tokens(sources: Sequence[Checkpoint], base: Checkpoint | None = None) -> IntArray:
    """Return how often each source met each token, [K, V]; where one has no counts, whether it met it, 0 or 1, for all.

    Without the base, what most sources share stands for it (the median of each number), which needs three sources.

    Raises:
        CheckpointError: there are no counts, and too few sources to tell from their tensors.
        IncompatibleError: a token has not the same number in all of them.
    """
    check_one_vocabulary([*sources, *([base] if base else ())], "counting what was met in training")
    counts = [read_token_counts(source) for source in sources]
    known = [each for each in counts if each is not None]
    if len(known) == len(sources):
        return np.stack(known)
    if base is None and len(sources) < 3:
        raise CheckpointError(
            f"Which tokens {sources[0].name} met in training cannot be told from {len(sources)} sources alone: "
            "name their base (--base)."
        )
    saved = [_embeddings(checkpoint) for checkpoint in (*sources, *([base] if base else ()))]
    rows = [each.astype(np.float32) for each in saved]
    start = rows[-1] if base else np.median(rows, axis=0)
    # Of what was saved in sixteen bits, a smaller move may be nothing but rounding.
    least = max(MOVED, *(_epsilon(each) for each in saved))
    return np.stack([_moved(row, start, least) for row in rows[: len(sources)]]).astype(np.int64)


def _moved(rows: npt.NDArray[np.float32], start: npt.NDArray[np.float32], least: float) -> npt.NDArray[np.bool_]:
    """Return which rows have moved other than along themselves, by how much of their length at least, [V]."""
    change = rows.astype(np.float64) - start
    lengths = np.square(start, dtype=np.float64).sum(axis=1)
    along = (change * start).sum(axis=1) / np.maximum(lengths, np.finfo(np.float64).tiny)
    sideways = np.linalg.norm(change - along[:, None] * start, axis=1)
    return np.asarray(sideways > least * np.sqrt(lengths))


def _epsilon(rows: np.ndarray) -> float:
    return float(ml_dtypes.finfo(rows.dtype).eps)  # type: ignore[no-untyped-call]


def _embeddings(checkpoint: Checkpoint) -> np.ndarray:
    name = embedding_of(checkpoint)
    if name is None:
        raise CheckpointError(
            f"{checkpoint.name} has no tensor …{EMBEDDINGS[0]} (or what other models call it): "
            "which tokens it met in training cannot be told."
        )
    return checkpoint.file.read(name)
