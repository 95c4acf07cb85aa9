"""Can these checkpoints be merged? Asked of their headers, configs and tokenizers, and of the few integers that they hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sprachbund.checkpoints.checkpoint import WIDE_HEAD, Checkpoint
from sprachbund.checkpoints.vocabulary import Alignment, align, vocabulary_tensors
from sprachbund.errors import CheckpointError, IncompatibleError

__all__ = ["body_counterparts", "check_base", "check_mergeable", "counterparts", "misfits", "saved_name"]

_PERHAPS_HEAD = re.compile(r"(\w+\.)?pooler\.|head\.(dense|norm)\.")
"""Layers between encoder and classifier that are pre-trained in some bases and new in the classifier over others.

The pooler of BERT and ALBERT is there in what was pre-trained to tell whether one sentence follows another, and in no masked
language model alone; the head of ModernBERT is there in the masked language model, and not in the bare encoder.
"""
_ONCE_CALLED = {".LayerNorm.weight": ".LayerNorm.gamma", ".LayerNorm.bias": ".LayerNorm.beta"}
"""What old checkpoints (bert-base-multilingual-cased, say) call tensors; transformers renames them when it loads a model."""


def check_mergeable(sources: Sequence[Checkpoint]) -> Alignment | None:
    """Compare every source with the first; return how their vocabularies are aligned, None where they are the same.

    Raises:
        IncompatibleError: names the two checkpoints and the first thing in which they differ.
        CheckpointError: one has no tokenizer, so that nobody could tell its words, or those of the merge.
    """
    first = sources[0]
    for source in sources:
        source.check_tokenizer()
        _check_head(source)
    for other in sources[1:]:
        _check_labels(first, other)
        _check_tensors(first, other)
    return align(sources)


@dataclass
class _Group:
    """Sources that fit together, and the one of them that has all tokens of the others."""

    lead: Checkpoint
    members: list[str]


def misfits(sources: Mapping[str, Checkpoint]) -> dict[str, str]:
    """Return why some of these cannot be merged with the others, by name: what cannot be read, or what most differ from.

    Most are the largest group that fits together, where each source is put to the first group that it fits; of two such
    groups, the one that begins first. If one of 52 has other labels, it is that one, wherever it stands.
    """
    reasons = {name: reason for name, source in sources.items() if (reason := _unreadable(source))}
    sound = {name: source for name, source in sources.items() if name not in reasons}
    groups: list[_Group] = []
    for name, source in sound.items():
        _put(groups, name, source)
    if groups:
        most = max(groups, key=lambda group: len(group.members))
        reasons |= {name: reason for name, source in sound.items() if (reason := _difference(most.lead, source))}
    return {name: reasons[name] for name in sources if name in reasons}


def _put(groups: list[_Group], name: str, source: Checkpoint) -> None:
    """Put a source to the first of the groups that it fits, or begin one with it."""
    for group in groups:
        try:
            alignment = check_mergeable([group.lead, source])
        except CheckpointError:
            continue
        group.members.append(name)
        group.lead = source if alignment and alignment.carrier == 1 else group.lead
        return
    groups.append(_Group(source, [name]))


def _unreadable(source: Checkpoint) -> str | None:
    """Return what keeps a source out of any merge, None if nothing does."""
    try:
        check_mergeable([source])
        _ = source.labels, source.vocabulary_digests, source.tensors
    except CheckpointError as error:
        return str(error)
    return None


def _difference(first: Checkpoint, other: Checkpoint) -> str | None:
    """Return in what two sources differ, None if they can be merged."""
    try:
        check_mergeable([first, other])
    except CheckpointError as error:
        return str(error)
    return None


def check_base(base: Checkpoint, source: Checkpoint) -> Alignment | None:
    """Check that a source can have been fine-tuned from a base: each tensor of its body stands there in the same shape.

    Heads may differ: a base is usually a masked language model, a source a classifier. So may the number of tokens, since
    some are often added before a model is fine-tuned: return where they stand, the base first, None where it is the same.
    """
    by_token = vocabulary_tensors(base), vocabulary_tensors(source)
    for name, there in body_counterparts(base, source).items():
        if there is None:
            raise IncompatibleError(
                f"{base.name} is not the base of {source.name}: it has no tensor {name}; "
                "name the model that the sources were fine-tuned from."
            )
        skipped = 1 if there in by_token[0] and name in by_token[1] else 0
        if base.tensors[there].shape[skipped:] != source.tensors[name].shape[skipped:]:
            raise IncompatibleError(
                f"{base.name} is not the base of {source.name}: tensor {name} is "
                f"{_shape(base.tensors[there].shape)} there and {_shape(source.tensors[name].shape)} in the source; "
                "name the model that the sources were fine-tuned from."
            )
    return align([base, source])


def body_counterparts(base: Checkpoint, source: Checkpoint) -> dict[str, str | None]:
    """Map each tensor of the source's body to the base's tensor of the same role, None where there is none.

    Tensors are looked up with or without the model's prefix, because a bare encoder is saved without one. What may be part of
    a head and is not in the base is none of the body; nor are integers, which nobody trains.
    """
    known = base.tensors
    counterparts: dict[str, str | None] = {}
    for name, info in source.tensors.items():
        if name in source.head or not info.is_float:
            continue
        there = next((candidate for candidate in _names_in_a_base(name) if candidate in known), None)
        if there is not None or not _PERHAPS_HEAD.match(name):
            counterparts[name] = there
    return counterparts


def counterparts(base: Checkpoint, source: Checkpoint) -> dict[str, str]:
    """Map those tensors of a source that have a task vector to the base's tensor of the same role.

    These are the body and, where the base is a classifier of the same labels' number, its head.
    """
    heads = {name: name for name, info in source.head.items() if name in base.tensors}
    fitting = {name: there for name, there in heads.items() if base.tensors[there].shape == source.tensors[name].shape}
    return {name: there for name, there in body_counterparts(base, source).items() if there} | fitting


def saved_name(checkpoint: Checkpoint, name: str) -> str | None:
    """Return the name under which a checkpoint holds a tensor that transformers calls ``name``; None if it does not."""
    return next((each for each in _names_over_time(name) if each in checkpoint.tensors), None)


def _names_in_a_base(name: str) -> Iterator[str]:
    for candidate in (name, name.split(".", 1)[-1]):
        yield from _names_over_time(candidate)


def _names_over_time(name: str) -> Iterator[str]:
    yield name
    for now, once in _ONCE_CALLED.items():
        if name.endswith(now):
            yield name.removesuffix(now) + once


def _check_head(source: Checkpoint) -> None:
    if WIDE_HEAD in source.config:  # the mean of two such heads has no meaning: which of their parts belong together?
        raise IncompatibleError(
            f"{source.name} has a wide head, made of those of several sources: merge these sources instead, or make it anew "
            "with --head-policy refit."
        )


def _check_labels(first: Checkpoint, other: Checkpoint) -> None:
    if first.labels == other.labels:
        return
    if set(first.labels) == set(other.labels):
        raise IncompatibleError(
            f"{first.name} and {other.name} have the same labels in another order: fine-tune or save them with one order."
        )
    only = sorted(set(first.labels) ^ set(other.labels))
    raise IncompatibleError(
        f"{first.name} ({len(first.labels)} labels) and {other.name} ({len(other.labels)}) have other label sets; "
        f"they differ in {', '.join(only[:3])}{' …' if len(only) > 3 else ''}: merge only models of one task."
    )


def _check_tensors(first: Checkpoint, other: Checkpoint) -> None:
    ours, theirs = first.tensors, other.tensors
    for name in sorted(ours.keys() ^ theirs.keys()):
        has, lacks = (first, other) if name in ours else (other, first)
        raise IncompatibleError(
            f"Tensor {name} is in {has.name}, but not in {lacks.name}: merge only models of one architecture."
        )
    by_token = vocabulary_tensors(first) & vocabulary_tensors(other)
    for name, info in ours.items():
        skipped = 1 if name in by_token else 0  # how many rows there may be is the business of the vocabularies
        if theirs[name].shape[skipped:] != info.shape[skipped:]:
            raise IncompatibleError(
                f"Tensor {name} is {_shape(info.shape)} in {first.name} and {_shape(theirs[name].shape)} in {other.name}: "
                "merge only models of one size."
            )
        if theirs[name].dtype != info.dtype and not (theirs[name].is_float and info.is_float):
            dtypes = " and ".join(sorted({info.dtype, theirs[name].dtype}))
            raise IncompatibleError(f"Tensor {name} is {dtypes} in the sources: it cannot be merged.")
        if not info.is_float and not np.array_equal(first.file.read(name), other.file.read(name)):
            raise IncompatibleError(  # they are indices, there is no mean of them
                f"Tensor {name} holds integers that differ between {first.name} and {other.name}: they cannot be merged."
            )


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "a scalar"
