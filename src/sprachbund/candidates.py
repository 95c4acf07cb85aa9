"""From a choice of sources to a checkpoint: merge them, and say on the spot how it was done."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sprachbund import __version__, files, heads, merging
from sprachbund.cards import MergeDetails, MergedSource, read_details, write_details
from sprachbund.checkpoints import (
    CONFIG,
    Alignment,
    Checkpoint,
    Zoo,
    body_counterparts,
    check_base,
    vocabulary_tensors,
    zoo_name,
    zoo_uses,
)
from sprachbund.choosing import Choice
from sprachbund.errors import MixError, StoreError
from sprachbund.merging import ELEMENTS_PER_CHUNK
from sprachbund.store import now
from sprachbund.uses import union_of_uses

__all__ = ["distance_from_base", "merge_candidate", "merged_before", "seen_by"]


def merge_candidate(
    choice: Choice,
    zoo: Zoo,
    mode: str,
    out: Path,
    *,
    base: Checkpoint | None = None,
    overwrite: bool = False,
    texts: Sequence[str] = (),
) -> MergeDetails:
    """Merge the sources of a choice into the checkpoint ``out``; a model of the same content there is left as it is.

    ``texts`` are those that a head policy needs, see :func:`sprachbund.heads.unlabelled_for`.

    Raises:
        CheckpointError: a source is missing, or sources and base do not fit together.
        StoreError: there is something else at ``out`` and ``overwrite`` is off.
    """
    files.remove_leftovers(out.parent)
    sources = [zoo.checkpoint(locale) for locale in choice.mix.sources]
    digests = {locale: source.digest for locale, source in zip(choice.mix.sources, sources, strict=True)}
    candidate = choice.mix.candidate(choice.recipe, digests, texts)
    distances = [None if base is None else distance_from_base(source, base) for source in sources]
    known = merged_before(out, candidate, overwrite=overwrite)
    if known and (base is None or [source.distance_from_base for source in known.sources] == distances):
        return _as_chosen_now(out, known, choice, zoo)
    with files.atomic_folder(out) as folder:
        policy, mix = choice.recipe.head_policy, choice.mix
        weights = heads.weights_for(policy, mix.sources, mix.weights, sources[0])
        alignment = merging.merge(sources, weights, folder, method=choice.recipe.method)
        said = heads.finish(policy, mix.sources, sources, mix.weights, folder, texts)
        details = _details(choice, mode, candidate, sources, distances, alignment, seen_by(choice, zoo))
        return write_details(folder, details.model_copy(update={"reasons": said}))


def seen_by(choice: Choice, zoo: Zoo) -> tuple[str, ...]:
    """Return what a merge has seen of its target: through what it was chosen by, and its sources."""
    return union_of_uses(choice.uses, *(zoo_uses(zoo.checkpoint(source)) for source in choice.mix.sources))


def _as_chosen_now(out: Path, known: MergeDetails, choice: Choice, zoo: Zoo) -> MergeDetails:
    """Return the details of a model that is there, chosen perhaps by another similarity, which had not seen the same."""
    uses = seen_by(choice, zoo)
    if (known.recipe, known.uses) == (choice.recipe, uses):
        return known
    scores = dict(zip(choice.mix.sources, choice.scores, strict=True))
    sources = tuple(source.model_copy(update={"score": scores[source.locale]}) for source in known.sources)
    return write_details(out, known.model_copy(update={"recipe": choice.recipe, "uses": uses, "sources": sources}))


def _details(
    choice: Choice,
    mode: str,
    candidate: Mapping[str, Any],
    sources: Sequence[Checkpoint],
    distances: Sequence[float | None],
    alignment: Alignment | None,
    uses: Sequence[str],
) -> MergeDetails:
    agreement = heads.head_agreement(sources)
    averaged = choice.recipe.head_policy == heads.AVERAGE
    warnings = (averaged and agreement and agreement.warning, alignment and alignment.sentence)
    return MergeDetails(
        mode=mode,
        recipe=choice.recipe,
        uses=tuple(uses),
        zoo=zoo_name(sources[0], choice.mix.sources[0]),
        sources=tuple(
            MergedSource(
                locale=locale,
                model=source.reference,
                digest=source.digest,
                weight=weight,
                score=score,
                distance_from_base=distance,
            )
            for locale, source, weight, score, distance in zip(
                choice.mix.sources, sources, choice.mix.weights, choice.scores, distances, strict=True
            )
        ),
        effective_sources=choice.effective_sources,
        head_agreement=agreement.cosine if agreement else None,
        warnings=tuple(warning for warning in warnings if warning),
        candidate=dict(candidate),
        created=now(),
        version=__version__,
    )


def merged_before(
    out: Path, candidate: Mapping[str, Any], *, overwrite: bool = False, instead: str = "--output-dir"
) -> MergeDetails | None:
    """Return the details of the model at ``out`` if it is this candidate, None if it has to be made.

    Raises:
        StoreError: there is something else and ``overwrite`` is off, or something that is no model at all.
    """
    if not out.exists():
        return None
    if not (out / CONFIG).is_file():
        raise StoreError(f"{out} is there and is no model: move it away, or choose another {instead}.")
    details = read_details(out)
    if details and details.candidate == candidate:
        return details
    if overwrite:
        return None
    raise StoreError(f"{out} holds another model: choose another {instead}, or replace it with --overwrite.")


def distance_from_base(source: Checkpoint, base: Checkpoint) -> float:
    """Return ‖θ − θ₀‖ / ‖θ₀‖ over the body (the head has no counterpart in a pre-trained base).

    Of the embeddings the rows of those tokens count that both have. Tensors are read in parts.

    Raises:
        IncompatibleError: this is not the base of the source.
        MixError: the base holds NaN or infinite numbers.
    """
    alignment = check_base(base, source)
    shared = None
    if alignment:
        both = alignment.present(slice(None)).all(axis=0)
        shared = [rows[both] for rows in alignment.rows]
    by_token = vocabulary_tensors(source)
    moved = norm = 0.0
    for name, there in body_counterparts(base, source).items():
        assert there is not None, "check_base has seen to that"
        pairs = _pairs(base.file.read(there), source.file.read(name), shared if name in by_token else None)
        for before, after in pairs:
            if not np.isfinite(before).all():
                raise MixError(
                    f"Tensor {there} of {base.name} holds NaN or infinite numbers: download it again, or leave out --base."
                )
            moved += float(np.square(after - before).sum())
            norm += float(np.square(before).sum())
    return math.sqrt(moved / norm)


def _pairs(
    before: np.ndarray, after: np.ndarray, rows: Sequence[np.ndarray] | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield what belongs together in two tensors, in float64 and in parts; ``rows`` are those that are compared, of each."""
    if rows is None:
        before, after = before.reshape(-1), after.reshape(-1)
        for start in range(0, before.size, ELEMENTS_PER_CHUNK):
            where = slice(start, start + ELEMENTS_PER_CHUNK)
            yield before[where].astype(np.float64), after[where].astype(np.float64)
        return
    step = max(1, ELEMENTS_PER_CHUNK * len(before) // max(1, before.size))
    for start in range(0, len(rows[0]), step):
        ours, theirs = (each[start : start + step] for each in rows)
        yield before[ours].astype(np.float64), after[theirs].astype(np.float64)
