"""Sources side by side, before any work: what each of them is, and what would keep it out of a merge.

A source is looked at by itself first: whether it can be opened and is a classifier with a tokenizer, whether all that it holds
are numbers, how far it is from the base. Then sources are compared. Those that fit together make a group, and the largest
group is what a merge would be made of: if one of 52 has other labels, it is that one which does not fit, wherever it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from sprachbund import digests
from sprachbund.candidates import distance_from_base
from sprachbund.checkpoints import DTYPES, Checkpoint, Zoo, align, misfits
from sprachbund.checkpoints.vocabulary import embedding_of
from sprachbund.data import DataSet
from sprachbund.errors import CheckpointError
from sprachbund.evaluation import label_names
from sprachbund.heads import HeadAgreement, head_agreement, head_cosines
from sprachbund.merging import ELEMENTS_PER_CHUNK, not_finite
from sprachbund.parallel import Report

__all__ = ["Facts", "Survey", "survey"]

T = TypeVar("T")


@dataclass
class Facts:
    """What is known of one source; None where it cannot be told."""

    source: str
    """Its locale."""
    model: str | None = None
    problem: str | None = None
    """What would keep it out of a merge with the others."""
    architecture: str | None = None
    dtype: str | None = None
    """Of its floating-point tensors; several are joined by +."""
    tensors: int | None = None
    parameters: int | None = None
    tokens: int | None = None
    """Rows of the embedding."""
    vocabulary: str | None = None
    """Digest of which token has which row."""
    tokenizer: str | None = None
    """Digest of the tokenizer's files."""
    labels: tuple[str, ...] | None = None
    """In the order of the logits."""
    labels_digest: str | None = None
    distance_from_base: float | None = None
    """‖θ − θ₀‖ / ‖θ₀‖ over the body; None without a base, too."""
    head_cosines: dict[str, float] = field(default_factory=dict)
    """Cosine between its head and that of each other source whose head can be compared with it."""


@dataclass(frozen=True)
class Survey:
    """What is known of all sources together."""

    sources: tuple[Facts, ...]
    heads: HeadAgreement | None
    """The two of those that fit whose heads agree least."""
    alignment: str | None
    """How a merge of those that fit would align their vocabularies; None where they are one."""

    @property
    def unfit(self) -> tuple[str, ...]:
        """The sources that a merge would have to do without."""
        return tuple(facts.source for facts in self.sources if facts.problem)


def survey(
    zoo: Zoo,
    sources: Sequence[str],
    *,
    base: Checkpoint | None = None,
    data: DataSet | None = None,
    report: Report = lambda stage, done, total: None,
) -> Survey:
    """Look at the sources of these locales; one that cannot be opened is told of like one that does not fit.

    Each is read in parts, once, and once more beside the base; what stays in memory of all of them is their heads.

    Raises:
        CheckpointError: the base cannot be read.
        MixError: the base holds NaN or infinite numbers.
    """
    if base is not None:
        _ = base.tensors
    known = {locale: Facts(locale) for locale in sources}
    opened: dict[str, Checkpoint] = {}
    for done, (locale, facts) in enumerate(known.items()):
        report(f"checking, {locale}", done, len(sources))
        try:
            checkpoint = zoo.checkpoint(locale)
            _ = checkpoint.config, checkpoint.tensors
        except CheckpointError as error:
            facts.problem = str(error)
            continue
        opened[locale] = checkpoint
        _describe(facts, checkpoint)
        facts.problem = next(iter(list(_own_problems(facts, checkpoint, base, data))), None)
    together = _together(known, opened)
    _compare_heads(known, opened)
    report("checking", len(sources), len(sources))
    alignment = align(together) if together else None
    return Survey(tuple(known.values()), head_agreement(together), alignment.sentence if alignment else None)


def _describe(facts: Facts, checkpoint: Checkpoint) -> None:
    """Fill in what config, header and tokenizer say; what they don't stays None, and is somebody's problem later."""
    tensors = checkpoint.tensors
    dtypes = sorted({str(DTYPES[info.dtype]) for info in tensors.values() if info.is_float})
    embedding = embedding_of(checkpoint)
    facts.model = checkpoint.name
    facts.architecture = checkpoint.architecture
    facts.dtype = " + ".join(dtypes)
    facts.tensors = len(tensors)
    facts.parameters = checkpoint.parameters
    facts.tokens = tensors[embedding].shape[0] if embedding else None
    facts.tokenizer = checkpoint.tokenizer_digest or None


def _own_problems(facts: Facts, checkpoint: Checkpoint, base: Checkpoint | None, data: DataSet | None) -> Iterator[str]:
    """Yield what is wrong with a source by itself, and note what it takes to find that out."""
    complaints: list[str] = []
    facts.labels = _noting(complaints, lambda: checkpoint.labels)
    facts.labels_digest = digests.of_value(list(facts.labels)) if facts.labels else None
    facts.vocabulary = _noting(complaints, lambda: checkpoint.vocabulary_digest) or None
    _noting(complaints, checkpoint.check_tokenizer)
    if data is not None and facts.labels:
        _noting(complaints, lambda: label_names(checkpoint.labels, data, checkpoint.name))
    yield from complaints
    tensor = _not_finite(checkpoint)
    if tensor:
        yield str(not_finite(tensor, checkpoint))
    elif base is not None:
        complaints = []
        facts.distance_from_base = _noting(complaints, lambda: distance_from_base(checkpoint, base))
        yield from complaints


def _noting(complaints: list[str], look: Callable[[], T]) -> T | None:
    try:
        return look()
    except CheckpointError as error:
        complaints.append(str(error))
        return None


def _not_finite(checkpoint: Checkpoint) -> str | None:
    """Return the name of the first tensor that holds NaN or infinite numbers."""
    for name, info in checkpoint.tensors.items():
        if info.is_float:
            numbers = checkpoint.file.read(name).reshape(-1)
            for start in range(0, info.size, ELEMENTS_PER_CHUNK):
                if not np.isfinite(numbers[start : start + ELEMENTS_PER_CHUNK]).all():
                    return name
    return None


def _together(known: Mapping[str, Facts], opened: Mapping[str, Checkpoint]) -> list[Checkpoint]:
    """Return the largest group of sources that fit together; for all others note why they do not fit it."""
    sound = {locale: checkpoint for locale, checkpoint in opened.items() if not known[locale].problem}
    for locale, reason in misfits(sound).items():
        known[locale].problem = reason
    return [checkpoint for locale, checkpoint in sound.items() if not known[locale].problem]


def _compare_heads(known: Mapping[str, Facts], opened: Mapping[str, Checkpoint]) -> None:
    names = list(opened)
    for here, row in zip(names, head_cosines(list(opened.values())), strict=True):
        cosines = zip(names, row.tolist(), strict=True)
        known[here].head_cosines = {there: each for there, each in cosines if there != here and math.isfinite(each)}
