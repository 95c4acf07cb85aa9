"""From material to a checkpoint that says how it came about, or to the answers of an ensemble."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sprachbund import __version__, files, weighting
from sprachbund.adapt import few
from sprachbund.adapt.auto import auto
from sprachbund.adapt.job import Job, Made
from sprachbund.adapt.material import Material, candidate
from sprachbund.adapt.merges import learned, merge, pick
from sprachbund.adapt.students import distilled
from sprachbund.adapt.teaching import shares, weights_of
from sprachbund.adaptation import Adaptation
from sprachbund.candidates import base_of, merged_before
from sprachbund.cards import MergeDetails, MergedSource, origin_of, write_made
from sprachbund.checkpoints import Checkpoint, align, name_labels, unchanged, zoo_name, zoo_uses
from sprachbund.config import EXACT, Precision
from sprachbund.ensembles import ENSEMBLES, debiased
from sprachbund.errors import UserError
from sprachbund.heads import HeadAgreement, head_agreement
from sprachbund.measures import Evidence, reliabilities
from sprachbund.parallel import Report
from sprachbund.recipe import adapted
from sprachbund.store import now
from sprachbund.uses import TARGET_FEW, UNLABELLED, union_of_uses

__all__ = ["Answers", "adapt", "ensemble"]


@dataclass(frozen=True)
class Answers:
    """What an ensemble says."""

    probabilities: npt.NDArray[np.float64]
    """[texts, labels]."""
    details: MergeDetails


def adapt(
    adaptation: Adaptation,
    target: str,
    material: Material,
    out: Path,
    *,
    mode: str,
    jobs: int = 1,
    report: Report = lambda stage, done, total: None,
    overwrite: bool = False,
    instead: str = "--output-dir",
    names: Sequence[str] = (),
) -> MergeDetails:
    """Make the checkpoint ``out`` for a target and return how it came about; the same one there is left as it is.

    ``instead`` is the flag by which users choose another folder; ``names`` are what the logits stand for, to be written into
    the config, if the sources' own are not to stay.

    Raises:
        StoreError: something else is there and ``overwrite`` is off.
        UserError: there is too little to work with.
        CheckpointError: a source cannot be read, or does not fit the others.
        ValueError: there are more labels of the target than the adaptation may see.
    """
    _check_labels(adaptation, target, material)
    known = merged_before(out, candidate(adaptation, material), overwrite=overwrite, instead=instead)
    if known:
        return known
    evidence = _evidence(adaptation, material, target, jobs, report)
    weights = weights_of(adaptation, evidence)
    files.remove_leftovers(out.parent)
    taking_part = np.flatnonzero(weights)
    with (
        files.temporary_folder(out.parent, "adapting") as workplace,
        files.atomic_folder(out) as folder,
        unchanged([*material.sources.values(), *([material.base] if material.base else [])]),
    ):
        job = Job(
            adaptation, material.of(taking_part), evidence.of(taking_part), weights[taking_part], workplace, report
        )
        made = _KINDS[adaptation.kind](job, folder)
        name_labels(folder, names)
        weights[taking_part] = made.weights
        made = replace(made, weights=weights)
        return write_made(folder, _details(adaptation, target, mode, material, evidence, made, taking_part))


def ensemble(
    adaptation: Adaptation,
    target: str,
    material: Material,
    texts: Sequence[str],
    *,
    mode: str,
    precision: Precision = EXACT,
) -> Answers:
    """Return what the sources say together to ``texts``, with weights and preferences found on the unlabelled ones.

    ``precision`` is that of what they say to ``texts``; what is found on the others is found in fp32.

    Raises:
        MixError: a source cannot answer.
    """
    _check_labels(adaptation, target, material)
    evidence = _evidence(adaptation, material, target)
    weights = shares(adaptation, weights_of(adaptation, evidence))
    answers = replace(material.answers, precision=precision)
    asked = replace(material, texts=tuple(texts), answers=answers).evidence(learned=False)
    logits = debiased(asked.logits, evidence.preferences, adaptation.debias)
    details = _details(adaptation, target, mode, material, evidence, Made(weights), np.flatnonzero(weights))
    return Answers(ENSEMBLES[adaptation.ensemble](logits, weights), details)


def _check_labels(adaptation: Adaptation, target: str, material: Material) -> None:
    """See that an adaptation has as few labels of the target as it says, and some if it says so."""
    if adaptation.labels and not material.labelled:
        raise UserError(
            f"{adaptation.kind} needs a few labelled texts of {target}: name a file of them (--labelled FILE), "
            "or data that sets some aside (--data split:…)."
        )
    most = max(Counter(material.labelled.intents).values()) if material.labelled else 0
    if most > adaptation.labels:
        raise ValueError(f"{adaptation.kind} must not see {most} labels of {target} per intent")


def _evidence(
    adaptation: Adaptation,
    material: Material,
    target: str,
    jobs: int = 1,
    report: Report = lambda stage, done, total: None,
) -> Evidence:
    if not material.texts:
        raise UserError(f"There is no unlabelled text of {target}: give some (--unlabelled FILE, one text a line).")
    return material.evidence(learned=adaptation.asks_overlap, jobs=jobs, report=report)


def _details(
    adaptation: Adaptation,
    target: str,
    mode: str,
    material: Material,
    evidence: Evidence,
    made: Made,
    taking_part: npt.NDArray[np.int64],
) -> MergeDetails:
    sources, names = list(material.sources.values()), list(material.sources)
    merged = [sources[place] for place in taking_part]
    agreement = head_agreement(merged)
    scores = reliabilities(evidence, adaptation.reliability)
    used = [number for number, weight in enumerate(made.weights) if weight > 0]
    content = candidate(adaptation, material)
    base = material.base if "base" in content else None
    return MergeDetails(
        mode=mode,
        recipe=adapted(adaptation, target),
        uses=union_of_uses([UNLABELLED], [TARGET_FEW] if adaptation.labels else [], *map(zoo_uses, sources)),
        zoo=zoo_name(sources[0], names[0]),
        sources=tuple(
            MergedSource(
                locale=names[number],
                model=sources[number].reference,
                digest=sources[number].digest,
                weight=float(made.weights[number]),
                score=float(scores[number]),
                distance_from_base=None,
                **asdict(origin_of(sources[number])),
            )
            for number in used
        ),
        asked=tuple(names),
        texts_of=material.texts_of,
        labels_of=material.labels_of if material.labelled is not None else None,
        base=base_of(base) if base else None,
        effective_sources=weighting.effective_number(made.weights),
        head_agreement=agreement.cosine if agreement else None,
        warnings=_warnings(adaptation, agreement, merged),
        reasons=made.reasons,
        trained=made.trained,
        candidate=content,
        created=now(),
        version=__version__,
    )


def _warnings(
    adaptation: Adaptation, agreement: HeadAgreement | None, sources: Sequence[Checkpoint]
) -> tuple[str, ...]:
    """Warn of heads that do not fit where nothing but their average answers; say it if a merge had to align vocabularies."""
    by_hand = adaptation.kind == "merge" and adaptation.heads == "average"
    averaged = by_hand or adaptation.kind in ("learned", "few-soup", "few-coefficients")
    merged = ("merge", "distilled", "auto", "few-soup", "few-head", "few-finetuned")
    aligned = adaptation.kind in merged and (adaptation.kind, adaptation.start) != ("few-finetuned", "pick")
    alignment = align(sources) if aligned else None
    said = (averaged and agreement and agreement.warning, alignment and alignment.sentence)
    return tuple(each for each in said if each)


_KINDS: Mapping[str, Callable[[Job, Path], Made]] = {
    "pick": pick,
    "merge": merge,
    "learned": learned,
    "distilled": distilled,
    "auto": auto,
    "few-soup": few.soup,
    "few-coefficients": few.coefficients,
    "few-head": few.head,
    "few-finetuned": few.finetuned,
}
