"""Everything that can go wrong, on one page.

    SprachbundError                 one sentence: what, where, what to do next
    ├── UserError                   the user can mend it; the command exits with 2
    │   ├── UnknownName             a locale, variant, method, … that does not exist ("did you mean")
    │   ├── DataError               a data set that is absent, unreadable or inconsistent
    │   ├── CheckpointError         a checkpoint that is absent or unreadable
    │   │   └── IncompatibleError   checkpoints that cannot be merged or evaluated together
    │   ├── MixError                sources and weights that make no mix
    │   └── StoreError              a results folder that does not fit this run
    └── CellsFailed                 the run went through, some of its cells did not; the command exits with 1

The command line prints the message and nothing else, so a message must stand by itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CellsFailed",
    "CheckpointError",
    "DataError",
    "IncompatibleError",
    "MixError",
    "SprachbundError",
    "StoreError",
    "UnknownName",
    "UserError",
]


class SprachbundError(Exception):
    """Base of all errors raised on purpose."""

    exit_status = 1


class UserError(SprachbundError):
    """Something that whoever typed the command can mend."""

    exit_status = 2


class UnknownName(UserError):
    """A name that is not among the known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], advice: str = "") -> None:
        known = list(known)
        close = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=3, cutoff=0.5)
        originals = [k for c in close for k in known if k.lower() == c]
        if originals:
            hint = f"did you mean {' or '.join(dict.fromkeys(originals))}?"
        elif len(known) <= 12:
            hint = f"known: {', '.join(known)}."
        else:
            hint = f"{len(known)} are known, {known[0]} to {known[-1]}."
        super().__init__(" ".join(part for part in (f"Unknown {kind} {name!r}:", hint, advice) if part))
        self.kind, self.name, self.known = kind, name, known


class DataError(UserError):
    """A data set that is absent, unreadable or inconsistent."""


class CheckpointError(UserError):
    """A checkpoint that is absent or unreadable."""


class IncompatibleError(CheckpointError):
    """Checkpoints that cannot be merged, or not evaluated on the data at hand."""


class MixError(UserError):
    """Sources and weights that make no mix."""


class StoreError(UserError):
    """A results folder that does not fit this run."""


class CellsFailed(SprachbundError):
    """The run went through, but some of its cells did not."""
