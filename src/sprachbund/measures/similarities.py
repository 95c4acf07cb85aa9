"""Similarities that are measured: on texts, on sources, on their base, on labels of the target's dev split.

A measure takes a :class:`Context` and returns values, rows = targets, columns = sources. Which measures there are, what they
need and what they have seen is declared in :mod:`sprachbund.similarity.names`, where no model is loaded; this is the other
half, each measure a small file beside this one. What was measured is kept as a CSV table under the digest of all that it
hangs on, and found again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sprachbund import cache, digests, files
from sprachbund.checkpoints import Checkpoint, unchanged, zoo_name, zoo_uses
from sprachbund.data import DataSet
from sprachbund.errors import DataError, MixError, UserError
from sprachbund.measures.answers import AnswerStore
from sprachbund.parallel import Report
from sprachbund.registry import Registry
from sprachbund.similarity import MEASURED, SimilarityMatrix, parse, write_csv
from sprachbund.similarity.names import texts_of
from sprachbund.store import Transfer
from sprachbund.uses import union_of_uses

__all__ = ["MEASURES", "Context", "Measure", "digests_of", "measure", "refuse_failures", "texts_digests"]

MEASURES_VERSION = 1
"""Raised when a change to this package gives other values of the same models and texts."""
DIGITS = 16
"""Of a digest that name a file: 64 bits."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Context:
    """All that a measure may look at."""

    targets: tuple[str, ...]
    """The rows; a target need not have a source."""
    sources: Mapping[str, Checkpoint]
    """The columns; they share labels and vocabulary."""
    own: Callable[[str], Checkpoint]
    """The source of a target, whether it is one of the columns or not."""
    data: DataSet
    base: Checkpoint | None
    answers: AnswerStore
    transfers: Callable[[Sequence[str], Sequence[str]], Sequence[Transfer]]
    """From sources and targets to their zero-shot accuracies on dev, known or measured now."""
    jobs: int = 1
    report: Report = lambda stage, done, total: None
    most_texts: int = 0
    """How many texts of each locale may be read; set by :func:`measure`."""

    def texts(self, locale: str) -> tuple[str, ...]:
        """Return the first texts of a locale; their order says nothing, so they are any."""
        return self.data.texts(locale)[: self.most_texts]

    def needed_base(self) -> Checkpoint:
        """Return the base.

        Raises:
            UserError: nobody named it.
        """
        if self.base is None:
            raise UserError("This similarity needs the pre-trained model of the sources: name it (--base FOLDER).")
        return self.base


@dataclass(frozen=True)
class Measure:
    """How something is measured."""

    values: Callable[[Context], FloatArray]
    """[targets, sources], higher = better."""
    hangs_on: Callable[[Context], Any] | None
    """Digests of all that decides the values; None where what is slow about them is kept elsewhere."""


MEASURES: Registry[Measure] = Registry("measured similarity")


def measure(name: str, context: Context) -> SimilarityMatrix:
    """Return a measured similarity, kept from before or measured now; ``name`` may say how many texts, ``agreement:500``.

    Raises:
        UserError: something that it needs is missing, or cannot be measured.
    """
    kind = name.partition(":")[0]
    context = replace(context, most_texts=texts_of(name))
    path = _path(kind, context)
    values = _known(path, context) if path else None
    if values is None:
        with unchanged([*context.sources.values(), *([context.base] if context.base else [])] if path else []):
            matrix = _matrix(name, context, MEASURES[kind].values(context))
    else:
        matrix = _matrix(name, context, values)
    if path and values is None:
        files.write_text(path, write_csv(matrix))
    return matrix


def _matrix(name: str, context: Context, values: FloatArray) -> SimilarityMatrix:
    declared = MEASURED[name.partition(":")[0]]
    looked_at = [*context.sources.values(), *([context.base] if context.base and "base" in declared.needs else [])]
    return SimilarityMatrix(
        locales=tuple(context.sources),
        values=values,
        name=name,
        provenance=_provenance(declared.description, declared.needs, context),
        uses=frozenset(union_of_uses(declared.uses, *(zoo_uses(checkpoint) for checkpoint in looked_at))),
        targets=context.targets,
    )


def _provenance(description: str, needs: Sequence[str], context: Context) -> str:
    locale, source = next(iter(context.sources.items()))
    on = {
        "texts": f"up to {context.most_texts} texts of each locale of {context.data.name}",
        "labels": f"dev of {context.data.name}",
        "sources": f"sources {zoo_name(source, locale)}",
        "base": f"base {context.base.name if context.base else ''}",
    }
    return f"{description}; measured on {', '.join(on[need] for need in needs if need in on)}"


def _path(kind: str, context: Context) -> Path | None:
    hangs_on = MEASURES[kind].hangs_on
    if hangs_on is None:
        return None
    digest = digests.of_value([MEASURES_VERSION, kind, list(context.targets), list(context.sources), hangs_on(context)])
    return cache.folder() / "similarities" / f"{kind}-{digest[:DIGITS]}.csv"


def _known(path: Path, context: Context) -> FloatArray | None:
    """Return values that were measured before; what is no such table is measured anew."""
    try:
        found = parse(path.read_text(encoding="utf-8"), path.name)
    except (FileNotFoundError, UnicodeDecodeError, DataError):
        return None
    return found.values if (found.targets, found.locales) == (context.targets, tuple(context.sources)) else None


def digests_of(checkpoints: Mapping[str, Checkpoint]) -> list[str]:
    """Return what the values of a measure hang on where it asks the sources."""
    return [checkpoint.digest for checkpoint in checkpoints.values()]


def texts_digests(context: Context, names: Sequence[str]) -> list[str]:
    """Return what the values of a measure hang on where it reads the texts of these locales."""
    return [digests.of_value(list(context.texts(name))) for name in names]


def refuse_failures(failures: Mapping[str, str]) -> None:
    """Complain of the first source that could not be measured.

    Raises:
        MixError: says which, and why.
    """
    for name, reason in failures.items():
        raise MixError(f"The source {name} cannot be measured: {reason.rstrip('.')}; leave it out (--sources).")
