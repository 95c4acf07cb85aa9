"""Can these checkpoints be merged? Asked of their headers and configs, before any tensor is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sprachbund.checkpoints.checkpoint import Checkpoint
from sprachbund.errors import CheckpointError, IncompatibleError

__all__ = ["body_counterparts", "check_base", "check_mergeable", "misfits"]


def check_mergeable(sources: Sequence[Checkpoint]) -> None:
    """Compare every source with the first.

    Raises:
        IncompatibleError: names the two checkpoints and the first thing in which they differ.
        CheckpointError: one has no tokenizer, so that nobody could tell its words, or those of the merge.
    """
    first = sources[0]
    for source in sources:
        source.check_tokenizer()
    for other in sources[1:]:
        _check_labels(first, other)
        _check_tensors(first, other)
        _check_vocabulary(first, other)


def misfits(sources: Mapping[str, Checkpoint]) -> dict[str, str]:
    """Return why some of these cannot be merged with the others, by name: what cannot be read, or what most differ from.

    Most are the largest lot of sources that fit the first of them; of two such lots, the one that begins first.
    """
    reasons: dict[str, str] = {}
    lots: list[list[str]] = []
    for name, source in sources.items():
        try:
            check_mergeable([source])
            _ = source.labels, source.vocabulary_digests, source.tensors
        except CheckpointError as error:
            reasons[name] = str(error)
            continue
        fitting = next((lot for lot in lots if _differ(sources[lot[0]], source) is None), None)
        if fitting is None:
            lots.append([name])
        else:
            fitting.append(name)
    most = max(lots, key=len, default=[])
    for name in (name for lot in lots if lot is not most for name in lot):
        reasons[name] = _differ(sources[most[0]], sources[name]) or ""
    return {name: reasons[name] for name in sources if name in reasons}


def _differ(first: Checkpoint, other: Checkpoint) -> str | None:
    """Return in what two sources differ, None if they can be merged."""
    try:
        check_mergeable([first, other])
    except IncompatibleError as error:
        return str(error)
    return None


def check_base(base: Checkpoint, source: Checkpoint) -> None:
    """Check that a source can have been fine-tuned from a base: each tensor of its body stands there in the same shape.

    Heads may differ: a base is usually a masked language model, a source a classifier. Body tensors are looked up with or
    without the model's prefix, because a bare encoder is saved without one.
    """
    counterparts = body_counterparts(base, source)
    for name, there in counterparts.items():
        if there is None:
            raise IncompatibleError(
                f"{base.name} is not the base of {source.name}: it has no tensor {name}; "
                "name the model that the sources were fine-tuned from."
            )
        if base.tensors[there].shape != source.tensors[name].shape:
            raise IncompatibleError(
                f"{base.name} is not the base of {source.name}: tensor {name} is "
                f"{_shape(base.tensors[there].shape)} there and {_shape(source.tensors[name].shape)} in the source; "
                "name the model that the sources were fine-tuned from."
            )
    _check_vocabulary(base, source)


def body_counterparts(base: Checkpoint, source: Checkpoint) -> dict[str, str | None]:
    """Map each body tensor of the source to the base's tensor of the same role, None where there is none."""
    known = base.tensors
    counterparts: dict[str, str | None] = {}
    for name in source.tensors:
        if name not in source.head:
            bare = name.split(".", 1)[-1]
            counterparts[name] = next((candidate for candidate in (name, bare) if candidate in known), None)
    return counterparts


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
    for name, info in ours.items():
        if theirs[name].shape != info.shape:
            raise IncompatibleError(
                f"Tensor {name} is {_shape(info.shape)} in {first.name} and {_shape(theirs[name].shape)} in {other.name}: "
                "merge only models of one size and vocabulary."
            )


def _check_vocabulary(first: Checkpoint, other: Checkpoint) -> None:
    """Compare the first of the tokenizer's files that both have: what two others say cannot be compared."""
    ours, theirs = first.vocabulary_digests, other.vocabulary_digests
    shared = next((name for name in ours if name in theirs), None)
    if shared and ours[shared] != theirs[shared]:
        raise IncompatibleError(
            f"{first.name} and {other.name} have different vocabularies: a token would mean another row of the embedding. "
            "Merge only models of one vocabulary."
        )


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "a scalar"
