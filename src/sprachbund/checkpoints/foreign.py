"""What transformers and the libraries beneath it say about a checkpoint's files, as one sentence that names the checkpoint.

Their readers raise what they please: OSError, KeyError, bare Exception; those in Rust end in a panic, which Python shows as an
exception that is no Exception. All of it is about the files, but for room and memory that run out; what it was is kept as the
cause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sprachbund.errors import CheckpointError, SprachbundError, is_no_memory, is_no_room

__all__ = ["of_transformers"]


@contextmanager
def of_transformers(folder: Path, what: str) -> Iterator[None]:
    """Let whatever is said about the ``what`` of a checkpoint name its folder.

    Raises:
        CheckpointError: something was said.
    """
    try:
        yield
    except SprachbundError:
        raise
    except BaseException as error:
        if is_no_room(error) or is_no_memory(error) or not (isinstance(error, Exception) or _is_panic(error)):
            raise
        reason, *_ = re.split(r"[.:]?(?:\s*\n|\. |$)", str(error).strip())
        raise CheckpointError(
            f"The {what} in {folder} cannot be read by transformers{f' ({reason})' if ' ' in reason else ''}: "
            "save or download the checkpoint again, or update transformers."
        ) from error


def _is_panic(error: BaseException) -> bool:
    """Return whether an error is a panic of Rust; its class can be imported from nowhere."""
    return type(error).__module__ == "pyo3_runtime"
