"""From choices of sources to checkpoints, or to tensors in memory: merge them, and say on the spot how it was done.

Any number of merges are made in one pass over their sources, see :mod:`sprachbund.merging`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from sprachbund import __version__, files, heads, merging
from sprachbund.cards import (
    BlendDetails,
    BlendedModel,
    MergeDetails,
    MergedSource,
    origin_of,
    read_details,
    write_details,
    write_made,
)
from sprachbund.checkpoints import (
    CONFIG,
    Alignment,
    Checkpoint,
    Zoo,
    body_counterparts,
    check_base,
    counterparts,
    name_labels,
    unchanged,
    vocabulary_tensors,
    zoo_name,
    zoo_uses,
)
from sprachbund.choosing import Choice
from sprachbund.errors import MixError, StoreError
from sprachbund.merging import ELEMENTS_PER_CHUNK
from sprachbund.methods import METHODS
from sprachbund.recipe import REFIT, WIDE
from sprachbund.store import now
from sprachbund.uses import union_of_uses

if TYPE_CHECKING:
    import torch

    from sprachbund.merging.resident import Resident

__all__ = [
    "Engine",
    "InMemory",
    "Wanted",
    "base_of",
    "can_live_in_memory",
    "candidate_of",
    "distance_from_base",
    "made_before",
    "merge_candidate",
    "merge_candidates",
    "merged_before",
    "merges_in_memory",
    "new_head",
    "resident_for",
    "seen_by",
]

Engine = Callable[[Sequence[merging.Merge]], Iterable[merging.InMemory]]
"""What makes merges in memory."""
Details = TypeVar("Details", MergeDetails, BlendDetails)


@dataclass(frozen=True)
class Wanted:
    """A merge that is wanted: of whom, and in whose name."""

    choice: Choice
    mode: str
    texts: Sequence[str] = ()
    """Those that a head policy needs, see :func:`sprachbund.heads.unlabelled_for`."""
    names: Sequence[str] = ()
    """What the logits stand for, to be written into the config; empty where the sources' own names stay."""


@dataclass(frozen=True)
class InMemory:
    """A model with its tensors in memory, most often a merged one that is nowhere else."""

    lead: Checkpoint
    """Whose config and tokenizer it has."""
    tensors: Mapping[str, Any]
    """By name: arrays of numpy, or tensors on a device, as the engine makes them."""
    rows: npt.NDArray[np.int64] | None
    """Those of the vocabulary that it has; None for all."""
    details: MergeDetails | None
    """None of a source as it is."""


def merge_candidate(
    choice: Choice,
    zoo: Zoo,
    mode: str,
    out: Path,
    *,
    base: Checkpoint | None = None,
    overwrite: bool = False,
    texts: Sequence[str] = (),
    names: Sequence[str] = (),
) -> MergeDetails:
    """Merge the sources of a choice into the checkpoint ``out``; a model of the same content there is left as it is.

    ``texts`` and ``names`` are those of :class:`Wanted`.

    Raises:
        CheckpointError: a source is missing, or sources and base do not fit together.
        StoreError: there is something else at ``out`` and ``overwrite`` is off.
    """
    return merge_candidates([Wanted(choice, mode, texts, names)], zoo, [out], base=base, overwrite=overwrite)[0]


def merge_candidates(
    wanted: Sequence[Wanted],
    zoo: Zoo,
    outs: Sequence[Path],
    *,
    base: Checkpoint | None = None,
    overwrite: bool = False,
    planned: Sequence[Checkpoint] = (),
) -> list[MergeDetails]:
    """Do the same for several choices, in one pass over their sources.

    ``planned`` are the sources as they were when the merges were planned: if one has changed since, nothing is made.
    """
    made: dict[Path, MergeDetails] = {}
    missing: list[tuple[Wanted, Path]] = []
    for each, out in zip(wanted, outs, strict=True):
        files.remove_leftovers(out.parent)
        known = merged_before(out, candidate_of(each, zoo, base), overwrite=overwrite)
        if known and (base is None or _distances(known) == _moved(each.choice, zoo, base)):
            made[out] = _as_chosen_now(out, known, each.choice, zoo)
        else:
            missing.append((each, out))
    if missing:
        made |= _merge_into([each for each, _ in missing], zoo, [out for _, out in missing], base, planned)
    return [made[out] for out in outs]


def _merge_into(
    wanted: Sequence[Wanted], zoo: Zoo, outs: Sequence[Path], base: Checkpoint | None, planned: Sequence[Checkpoint]
) -> dict[Path, MergeDetails]:
    with ExitStack() as stack:
        folders = [stack.enter_context(files.atomic_folder(out)) for out in outs]
        # Left before the folders are: then none of them takes its place.
        stack.enter_context(unchanged([*planned, *_read_by(wanted, zoo, base)]))
        alignments = merging.merge_all([_merge(each.choice, zoo, base) for each in wanted], folders)
        made = {}
        for each, out, folder, alignment in zip(wanted, outs, folders, alignments, strict=True):
            reasons = _finish_head(each, zoo, folder)
            name_labels(folder, each.names)
            details = _details(each, zoo, base, alignment)
            made[out] = write_made(folder, details.model_copy(update={"reasons": reasons}))
        return made


def merges_in_memory(
    wanted: Sequence[Wanted],
    zoo: Zoo,
    rows_of: Sequence[Callable[[Checkpoint], npt.NDArray[np.int64]]],
    *,
    base: Checkpoint | None = None,
    engine: Engine = merging.in_memory,
) -> list[InMemory]:
    """Merge into memory, in one pass and the dtype that would be written; all of them :func:`can_live_in_memory`.

    ``rows_of`` gives for each, from the checkpoint whose tokenizer it has, the rows of the vocabulary that are wanted.
    ``engine`` makes them, see :func:`resident_for`.
    """
    merges, rows = [], []
    with unchanged(_read_by(wanted, zoo, base)):
        for each, its_rows in zip(wanted, rows_of, strict=True):
            merge = _merge(each.choice, zoo, base)
            lead = merging.settle(merge).lead
            # A method that looks at whole tensors makes whole ones.
            rows.append(its_rows(lead) if METHODS[merge.method].kind == "coefficient" else None)
            merges.append(replace(merge, rows=rows[-1]))
        return [
            InMemory(found.lead, found.tensors, its_rows, _details(each, zoo, base, found.alignment))
            for each, found, its_rows in zip(wanted, engine(merges), rows, strict=True)
        ]


def _read_by(wanted: Sequence[Wanted], zoo: Zoo, base: Checkpoint | None) -> list[Checkpoint]:
    """Return the checkpoints that are read for merges, each once."""
    names = dict.fromkeys(locale for each in wanted for locale in each.choice.mix.sources)
    return [*(zoo.checkpoint(locale) for locale in names), *([base] if base else [])]


def resident_for(
    wanted: Sequence[Wanted],
    zoo: Zoo,
    device: torch.device,
    *,
    base: Checkpoint | None = None,
    singles: Sequence[str] = (),
) -> Resident | None:
    """Return what makes these merges on a device that holds their sources; None if it cannot make all, or has no room.

    ``singles`` are the locales of sources that are wanted as they are.
    """
    from sprachbund.merging import resident  # which loads torch

    merges = [_merge(each.choice, zoo, base) for each in wanted]
    return resident.for_merges(merges, device, [zoo.checkpoint(locale) for locale in singles])


def can_live_in_memory(wanted: Wanted) -> bool:
    """Return whether a merge is made by its tensors alone: some heads are made of a merged model that is on the disk."""
    return wanted.choice.recipe.head_policy not in (WIDE, REFIT)


def candidate_of(wanted: Wanted, zoo: Zoo, base: Checkpoint | None = None) -> dict[str, Any]:
    """Return the model that a choice comes to by content; the base counts where the method is about task vectors."""
    choice = wanted.choice
    digests = {locale: zoo.checkpoint(locale).digest for locale in choice.mix.sources}
    counted = base.digest if base and METHODS[choice.recipe.method].needs_base else None
    return choice.mix.candidate(choice.recipe, digests, counted, wanted.texts)


def _finish_head(wanted: Wanted, zoo: Zoo, folder: Path) -> tuple[str, ...]:
    """Give a merged model the head that its policy asks for, and say what was done."""
    mix = wanted.choice.mix
    sources = [zoo.checkpoint(locale) for locale in mix.sources]
    return heads.finish(wanted.choice.recipe.head_policy, mix.sources, sources, mix.weights, folder, wanted.texts)


def _merge(choice: Choice, zoo: Zoo, base: Checkpoint | None) -> merging.Merge:
    sources = [zoo.checkpoint(locale) for locale in choice.mix.sources]
    recipe, names = choice.recipe, choice.mix.sources
    if choice.mix.is_as_it_is(recipe):
        recipe = recipe.model_copy(update={"method": "linear", "options": None})
    weights = heads.weights_for(recipe.head_policy, names, choice.mix.weights, sources[0])
    return merging.Merge(
        sources,
        weights,
        recipe.method,
        recipe.options or {},
        base,
        seed=recipe.seed or 0,
        plain=heads.plain_tensors(recipe.head_policy, sources[0]),
    )


_known_distances: dict[tuple[str, str], float] = {}
"""By the digests of source and base: who merges for 52 targets asks for the same distances again and again."""


def _moved(choice: Choice, zoo: Zoo, base: Checkpoint | None) -> list[float | None]:
    """Return how far the sources are from their base, where it is known; each is read once in a process."""
    if base is None:
        return [None] * len(choice.mix.sources)
    sources = [zoo.checkpoint(locale) for locale in choice.mix.sources]
    for source in sources:
        if (source.digest, base.digest) not in _known_distances:
            _known_distances[source.digest, base.digest] = distance_from_base(source, base)
    return [_known_distances[source.digest, base.digest] for source in sources]


def _distances(details: MergeDetails) -> list[float | None]:
    return [source.distance_from_base for source in details.sources]


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


def _details(each: Wanted, zoo: Zoo, base: Checkpoint | None, alignment: Alignment | None) -> MergeDetails:
    choice = each.choice
    sources = [zoo.checkpoint(locale) for locale in choice.mix.sources]
    agreement = heads.head_agreement(sources)
    averaged = choice.recipe.head_policy == heads.AVERAGE
    about_taus = base if METHODS[choice.recipe.method].needs_base else None
    warnings = (
        averaged and agreement and agreement.warning,
        alignment and alignment.sentence,
        averaged and new_head(sources[0], about_taus),
    )
    return MergeDetails(
        mode=each.mode,
        recipe=choice.recipe,
        uses=seen_by(choice, zoo),
        zoo=zoo_name(sources[0], choice.mix.sources[0]),
        sources=tuple(
            MergedSource(
                locale=locale,
                model=source.reference,
                digest=source.digest,
                weight=weight,
                score=score,
                distance_from_base=distance,
                **asdict(origin_of(source)),
            )
            for locale, source, weight, score, distance in zip(
                choice.mix.sources, sources, choice.mix.weights, choice.scores, _moved(choice, zoo, base), strict=True
            )
        ),
        base=base_of(about_taus) if about_taus else None,
        effective_sources=choice.effective_sources,
        head_agreement=agreement.cosine if agreement else None,
        warnings=tuple(warning for warning in warnings if warning),
        candidate=candidate_of(each, zoo, base),
        created=now(),
        version=__version__,
    )


def base_of(checkpoint: Checkpoint) -> BlendedModel:
    """Return what is said of a base that a model was made with."""
    return BlendedModel(model=checkpoint.reference, digest=checkpoint.digest, **asdict(origin_of(checkpoint)))


def new_head(lead: Checkpoint, base: Checkpoint | None) -> str | None:
    """Return what to say of tensors that the base lacks, so that they have no task vector; None if there are none."""
    if base is None:
        return None
    known = counterparts(base, lead)
    new = [name for name, info in lead.tensors.items() if info.is_float and name not in known]
    if not new:
        return None
    others = f" and {len(new) - 1} more" if len(new) > 1 else ""
    return f"{base.name} has no {new[0]}{others}: without a task vector, they are the weighted mean of the sources'."


def merged_before(
    out: Path, candidate: Mapping[str, Any], *, overwrite: bool = False, instead: str = "--output-dir"
) -> MergeDetails | None:
    """Return the details of the model at ``out`` if it is this candidate, None if it has to be made.

    Raises:
        StoreError: there is something else and ``overwrite`` is off, or something that is no model at all.
    """
    return made_before(out, candidate, read_details, overwrite=overwrite, instead=instead)


def made_before(
    out: Path, candidate: Mapping[str, Any], read: Callable[[Path], Details | None], *, overwrite: bool, instead: str
) -> Details | None:
    """Do the same for models whose details are read in another way."""
    if not out.exists():
        return None
    if not (out / CONFIG).is_file():
        raise StoreError(f"{out} is there and is no model: move it away, or choose another {instead}.")
    details = read(out)
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
