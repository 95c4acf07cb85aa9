"""The names of similarities: those that are read or computed at once, and those that somebody has to measure.

    uriel:syntax_knn                   a name of the registry
    file:matrix.csv                    a prefix of the registry, and what the prefix is about
    uriel:syntax_knn+uriel:geo         a sum: the mean of its parts, each on its own scale as it is
    agreement:500                      a measure with the number of texts that it may read of each locale

Who measures needs models and data, which this package knows nothing of. It knows the names, what they need and what they will
have seen, so that a plan, a list and "did you mean" need no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sprachbund.errors import DataError, UnknownName, UserError
from sprachbund.registry import Registry
from sprachbund.similarity.matrix import SimilarityMatrix, mean_of
from sprachbund.uses import NOTHING, TARGET_TRAIN, UNLABELLED

__all__ = [
    "DEFAULT_TEXTS",
    "MEASURED",
    "PREFIXES",
    "SIMILARITIES",
    "Measured",
    "Similarity",
    "is_measured",
    "load",
    "measured",
    "parts",
    "texts_of",
]

DEFAULT_TEXTS = 2000
"""So many texts of each locale a measure reads at most, unless its name says otherwise."""


@dataclass(frozen=True)
class Similarity:
    """A similarity that needs neither model nor data."""

    make: Callable[[Sequence[str]], SimilarityMatrix]
    """From the locales that must be in it to the matrix, which may hold more; of an empty sequence: all it knows."""
    description: str
    provenance: str
    """Where it comes from, and under which licence."""
    uses: tuple[str, ...] = (NOTHING,)
    needs: str = ""
    """What must be there besides this package."""


@dataclass(frozen=True)
class Measured:
    """A similarity that is measured on models and data."""

    description: str
    uses: tuple[str, ...]
    needs: tuple[str, ...]
    """Of ``texts``, ``sources``, ``base``, ``labels`` (of the targets), ``own`` (the target's own source)."""


SIMILARITIES: Registry[Similarity] = Registry("similarity")
"""Those that are there at once; looking at the names costs nothing."""
PREFIXES: Registry[Callable[[str], SimilarityMatrix]] = Registry("kind of similarity")
"""``file``: from what stands after the colon to the matrix."""
MEASURED: Registry[Measured] = Registry("similarity")
for _name, _measured in {
    "overlap": Measured(
        "share of the subwords of the target's texts, as they run, that occur in the source's texts",
        (UNLABELLED,),
        ("texts", "sources"),
    ),
    "embedding": Measured(
        "cosine of the mean states of the base's encoder over the texts, centred over the sources",
        (UNLABELLED,),
        ("texts", "base"),
    ),
    # The task vector of the target comes of its labelled train data, and so does what is chosen by it.
    "task-vector": Measured(
        "cosine of what fine-tuning changed in the body, τ = θ − θ₀, in the target's own source and in the source",
        (TARGET_TRAIN,),
        ("sources", "own", "base"),
    ),
    "transfer": Measured(
        "zero-shot accuracy of the source on the target's dev split", ("target-dev",), ("sources", "labels")
    ),
    "agreement": Measured(
        "share of the target's texts that the source answers as the other sources do together",
        (UNLABELLED,),
        ("texts", "sources"),
    ),
}.items():
    MEASURED.add(_name, _measured)


def parts(name: str) -> tuple[str, ...]:
    """Return the parts of a sum, which a single similarity is one of; none is looked for.

    Raises:
        UserError: a part is empty, or stands there twice.
    """
    found = tuple(part.strip() for part in name.split("+"))
    if not all(found) or len(set(found)) < len(found):
        raise UserError(
            f"--similarity {name!r}: a sum has one + between two different names, as in uriel:syntax_knn+uriel:geo."
        )
    return found


def measured(part: str) -> Measured | None:
    """Return the declaration of a measure by its name, perhaps with a number of texts; None if it is none."""
    kind = part.partition(":")[0]
    return {**MEASURED}.get(kind)


def is_measured(name: str) -> bool:
    """Return whether models or data are needed for any part; all parts are checked, before any of them takes time.

    Raises:
        UnknownName: there is no similarity of a name.
        UserError: a sum or a number of texts is written otherwise than one can be.
    """
    found = parts(name)
    for part in found:
        _check_name(part)
    return any(measured(part) for part in found)


def _check_name(part: str) -> None:
    kind, colon, _ = part.partition(":")
    if measured(part):
        texts_of(part)
    elif part not in SIMILARITIES and not (colon and kind in PREFIXES):
        raise UnknownName("similarity", part, (*SIMILARITIES, *MEASURED, *(f"{prefix}:…" for prefix in PREFIXES)))


def texts_of(part: str) -> int:
    """Return how many texts of each locale a measure may read.

    Raises:
        UserError: what stands after the colon is no such number, or the measure reads no texts.
    """
    kind, colon, number = part.partition(":")
    if not colon:
        return DEFAULT_TEXTS
    if "texts" not in MEASURED[kind].needs:
        raise UserError(f"--similarity {part!r}: {kind} reads no texts, so there is nothing to number: say {kind}.")
    if not number.isdecimal() or int(number) < 1:
        raise UserError(f"--similarity {part!r}: a number of texts, 1 or more, stands after the colon: {kind}:500.")
    return int(number)


def load(name: str, locales: Iterable[str] = ()) -> SimilarityMatrix:
    """Return a similarity that need not be measured, with these locales in it as targets and as sources.

    Raises:
        UnknownName: there is none of this name.
        UserError: a part has to be measured, or does not know a locale.
    """
    wanted = tuple(dict.fromkeys(locales))
    return mean_of([_load(part, wanted) for part in parts(name)])


def _load(part: str, wanted: tuple[str, ...]) -> SimilarityMatrix:
    _check_name(part)
    if measured(part):
        raise UserError(f"The similarity {part} is measured: name models and data (--models, --data; or --demo).")
    if part in SIMILARITIES:
        return _with(SIMILARITIES[part].make(wanted), wanted)
    kind, _, argument = part.partition(":")
    return PREFIXES[kind](argument)


def _with(matrix: SimilarityMatrix, wanted: tuple[str, ...]) -> SimilarityMatrix:
    missing = [locale for locale in wanted if locale not in matrix.locales]
    if missing:
        raise DataError(
            f"The similarity {matrix.name} does not know {', '.join(missing)}: use another one, or a table of your own "
            "(--similarity file:matrix.csv)."
        )
    return matrix
