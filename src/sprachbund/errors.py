"""Everything that can go wrong, on one page.

    SprachbundError                 one sentence: what, where, what to do next
    ├── UserError                   the user can mend it; the command exits with 2
    │   ├── UnknownName             a locale, variant, method, … that does not exist ("did you mean")
    │   ├── DataError               a data set that is absent, unreadable or inconsistent
    │   ├── CheckpointError         a checkpoint that is absent or unreadable
    │   │   └── IncompatibleError   checkpoints that cannot be merged or evaluated together
    │   ├── MixError                sources and weights that make no mix
    │   └── StoreError              a results folder that does not fit this run, or is in use by another one
    ├── CellsFailed                 the run went through, some of its cells did not; the command exits with 1
    └── Unfit                       a check went through, and what it is about does not fit; the command exits with 1

The command line prints the message and nothing else, so a message must stand by itself.
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "CellsFailed",
    "CheckpointError",
    "DataError",
    "IncompatibleError",
    "MixError",
    "SprachbundError",
    "StoreError",
    "Unfit",
    "UnknownName",
    "UserError",
    "is_no_memory",
    "is_no_room",
    "naming",
    "nearest",
    "of_memory",
]


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


def is_no_room(error: BaseException) -> bool:
    """Return whether nothing more can be written where this happened, so that what is tried next will not fare better."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


_NO_MEMORY = re.compile(
    r"DefaultCPUAllocator|out of memory|Cannot allocate memory|std::bad_alloc|_STATUS_ALLOC_FAILED", re.IGNORECASE
)
"""What libraries say that have no error of their own for it: torch on a CPU and on a GPU, mapped files, C++, CUDA's."""
_ASKED_FOR = re.compile(r"(?:tried|unable) to allocate ([\d.]+ \w+)", re.IGNORECASE)


def is_no_memory(error: BaseException) -> bool:
    """Return whether memory ran out, that of the machine or of a GPU; whatever was being read or made is not to blame."""
    if isinstance(error, MemoryError):
        return True
    return (
        isinstance(error, Exception) and not isinstance(error, SprachbundError) and bool(_NO_MEMORY.search(str(error)))
    )


def of_memory(error: BaseException) -> str:
    """Return the sentence about memory that ran out: how much was asked for, as far as that is known, and what to do."""
    words = str(error)
    where = "The memory of the GPU" if re.search("cuda|cublas", words, re.IGNORECASE) else "Memory"
    asked = _ASKED_FOR.search(words)
    when = f" when {asked[1]} more were asked for" if asked else ""
    return f"{where} ran out{when}: close other programs, use fewer --jobs, or a machine that has more."


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError of the block name the file: one that comes from writing to an open file does not know it."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = error.filename or str(path)
        raise


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the end of a sentence about an unknown name: which of the known ones may have been meant."""
    alike = {k: _alikeness(name.lower().lstrip("-"), k.lower().lstrip("-")) for k in known}
    best = max(alike.values(), default=0.0)
    meant = sorted((k for k in alike if alike[k] >= max(0.5, best - 0.1)), key=lambda k: -alike[k])
    if meant:
        return f"did you mean {' or '.join(meant[:3])}?"
    if len(known) <= 12:
        return f"known: {', '.join(known)}."
    return f"{len(known)} are known, {known[0]} to {known[-1]}."


def _alikeness(name: str, known: str) -> float:
    """Return a fraction in [0, 1]; 1 also for the beginning of a name, so that "en" is en-US and not te-IN."""
    return 1.0 if known.startswith(name) else difflib.SequenceMatcher(None, known, name).ratio()


LONGEST = 4000
"""Characters of a message; the list of all that is missing in 52 locales has fewer."""


def _on_one_line(message: str) -> str:
    """Return a message with its control characters written out, and cut where it is longer than anybody reads."""
    plain = "".join(each if _shows(each) else each.encode("unicode_escape").decode() for each in message)
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST // 2]} … {plain[-LONGEST // 2 :]}"


def _shows(character: str) -> bool:
    return character.isprintable() or character == "\xa0"


class SprachbundError(Exception):
    """Base of all errors raised on purpose."""

    exit_status = 1


class UserError(SprachbundError):
    """Something that whoever typed the command can mend.

    What is quoted in the message may come from files of others: no character of it moves the cursor or begins a line, and a
    message has an end.
    """

    exit_status = 2

    def __init__(self, message: str = "") -> None:
        super().__init__(_on_one_line(message))


class UnknownName(UserError):
    """A name that is not among the known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], advice: str = "") -> None:
        known = list(known)
        super().__init__(" ".join(part for part in (f"Unknown {kind} {name!r}:", nearest(name, known), advice) if part))
        self.kind, self.name, self.known = kind, name, known


class DataError(UserError):
    """A data set that is absent, unreadable or inconsistent."""


class CheckpointError(UserError):
    """A checkpoint that is absent or unreadable."""


class HubError(UserError):
    """An answer that no hub gives."""


class IncompatibleError(CheckpointError):
    """Checkpoints that cannot be merged, or not evaluated on the data at hand."""


class MixError(UserError):
    """Sources and weights that make no mix."""


class Diverged(UserError):
    """A training whose loss is no number any more."""


class StoreError(UserError):
    """A results folder that does not fit this run, or a folder that another run is working in."""


class InUse(StoreError):
    """A folder that another process is working in."""


class CellsFailed(SprachbundError):
    """The run went through, but some of its cells did not: each is named, with its reason."""

    def __init__(self, what: str, total: int, reasons: Mapping[str, str]) -> None:
        listed = "".join(f"\n  {name}: {reason}" for name, reason in reasons.items())
        super().__init__(f"{len(reasons)} of {total} {what} failed; the same command tries them again.{listed}")


class Unfit(SprachbundError):
    """A check went through and was answered: what it is about does not fit together."""
