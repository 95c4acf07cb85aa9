"""From sources and raw text of the target to one checkpoint, without a label of the target.

What an adaptation may look at comes in as arguments, and there is nothing else: sources that never met the target, its texts
as strings, and what the sources answer to them. :func:`adapt` makes the checkpoint and says how; :func:`candidate` names it
by what goes in, so that a finished one is recognised without being made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.nn import Module

from sprachbund import __version__, digests, files, inference, merging, weighting
from sprachbund.adaptation import Adaptation
from sprachbund.candidates import merged_before
from sprachbund.cards import MergeDetails, MergedSource, write_details
from sprachbund.checkpoints import EMBEDDINGS, Checkpoint, align, learned_tokens, open_checkpoint, zoo_name, zoo_uses
from sprachbund.coefficients import Coefficients, learn_coefficients
from sprachbund.config import EXACT, Precision
from sprachbund.distillation import distil
from sprachbund.ensembles import ENSEMBLES, debiased
from sprachbund.errors import MixError, UserError
from sprachbund.heads import HeadAgreement, head_agreement
from sprachbund.inference import Tokenizer
from sprachbund.measures import AnswerStore, Evidence, gather, reliabilities
from sprachbund.parallel import Report
from sprachbund.recipe import adapted
from sprachbund.store import now
from sprachbund.training.finetune import classifier
from sprachbund.training.settings import FinetuneSettings
from sprachbund.uses import UNLABELLED, union_of_uses

__all__ = ["ADAPT_VERSION", "Answers", "Material", "adapt", "candidate", "ensemble", "teacher", "weights_of"]

ADAPT_VERSION = 1
"""Raised when a change to this package makes other models from the same settings, sources and texts."""
TINY = 1e-12
FEWEST_TEXTS = 64
"""Below so many a student learns the texts by heart, and nobody could tell."""
ONE_IN = 8
"""So many of the texts are held out by ``auto``, to judge what was made by texts that it was not made of."""


@dataclass(frozen=True)
class Material:
    """All that an adaptation may see."""

    sources: Mapping[str, Checkpoint]
    """By locale, or by whatever name users know them; none has met the target."""
    texts: tuple[str, ...]
    """Raw text of the target, as :func:`sprachbund.data.unlabelled.shuffled` orders it."""
    answers: AnswerStore
    base: Checkpoint | None = None
    """What the sources were fine-tuned from; needed where a student starts from it."""

    def evidence(self, *, learned: bool, jobs: int = 1, report: Report = lambda stage, done, total: None) -> Evidence:
        """Return what the sources answer to the texts and, if need be, which tokens they have learned.

        Those that have not answered yet are asked.

        Raises:
            MixError: one cannot answer; says why.
        """
        failures = self.answers.collect(self.sources, [self.texts], jobs=jobs, report=report)
        if failures:
            name, reason = next(iter(failures.items()))
            raise MixError(f"The source {name} cannot be asked: {reason.rstrip('.')}; leave it out (--sources).")
        return gather(self.sources, self.texts, self.answers, self.base, learned=learned)


def candidate(adaptation: Adaptation, material: Material) -> dict[str, Any]:
    """Return the model by content: what goes in, and what is done with it."""
    return {
        "kind": "adapted",
        "version": ADAPT_VERSION,
        "adaptation": adaptation.model_dump(),
        "sources": [source.digest for source in material.sources.values()],
        "texts": digests.of_value(list(material.texts)),
    }


def weights_of(adaptation: Adaptation, evidence: Evidence) -> npt.NDArray[np.float64]:
    """Return the weights [K] that the reliability of the sources gives them."""
    scores = reliabilities(evidence, adaptation.reliability)
    return np.asarray(weighting.weigh("similarity", scores, sharpness=adaptation.sharpness))


def teacher(adaptation: Adaptation, evidence: Evidence, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return what the student is taught for each text, [n, C]."""
    logits = debiased(evidence.logits, evidence.preferences, adaptation.debias)
    return ENSEMBLES[adaptation.ensemble](logits, _shares(adaptation, weights))


def _shares(adaptation: Adaptation, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how much each source counts among the teachers, [K]."""
    if adaptation.teacher == "reliability":
        return weights
    count = len(weights)
    return np.full(count, 1 / count) if adaptation.teacher == "uniform" else np.eye(count)[int(weights.argmax())]


@dataclass(frozen=True)
class _Made:
    """What was put into the folder, and why that."""

    weights: npt.NDArray[np.float64]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Job:
    """One adaptation on its way: settings, material, and what was found so far."""

    adaptation: Adaptation
    material: Material
    evidence: Evidence
    weights: npt.NDArray[np.float64]
    workplace: Path
    """A folder for what is made on the way."""
    report: Report

    @property
    def sources(self) -> list[Checkpoint]:
        return list(self.material.sources.values())

    @property
    def picked(self) -> int:
        return int(self.weights.argmax())

    def progress(self, stage: str, step: int, steps: int, loss: float) -> None:
        self.report(stage, step, steps)


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
) -> MergeDetails:
    """Make the checkpoint ``out`` for a target and return how it came about; the same one there is left as it is.

    ``instead`` is the flag by which users choose another folder.

    Raises:
        StoreError: something else is there and ``overwrite`` is off.
        UserError: there is too little to work with.
        CheckpointError: a source cannot be read, or does not fit the others.
    """
    known = merged_before(out, candidate(adaptation, material), overwrite=overwrite, instead=instead)
    if known:
        return known
    evidence = _evidence(adaptation, material, target, jobs, report)
    weights = weights_of(adaptation, evidence)
    files.remove_leftovers(out.parent)
    with files.temporary_folder(out.parent, "adapting") as workplace, files.atomic_folder(out) as folder:
        job = _Job(adaptation, material, evidence, weights, workplace, report)
        made = _KINDS[adaptation.kind](job, folder)
        return write_details(folder, _details(adaptation, target, mode, material, evidence, made))


@dataclass(frozen=True)
class Answers:
    """What an ensemble says."""

    probabilities: npt.NDArray[np.float64]
    """[texts, labels]."""
    details: MergeDetails


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
    evidence = _evidence(adaptation, material, target)
    weights = _shares(adaptation, weights_of(adaptation, evidence))
    answers = replace(material.answers, precision=precision)
    asked = replace(material, texts=tuple(texts), answers=answers).evidence(learned=False)
    logits = debiased(asked.logits, evidence.preferences, adaptation.debias)
    details = _details(adaptation, target, mode, material, evidence, _Made(weights))
    return Answers(ENSEMBLES[adaptation.ensemble](logits, weights), details)


def _evidence(
    adaptation: Adaptation,
    material: Material,
    target: str,
    jobs: int = 1,
    report: Report = lambda stage, done, total: None,
) -> Evidence:
    if not material.texts:
        raise UserError(f"There is no unlabelled text of {target}: give some (--unlabelled FILE, one text a line).")
    return material.evidence(learned="overlap" in adaptation.reliability.split("+"), jobs=jobs, report=report)


def _pick(job: _Job, folder: Path) -> _Made:
    chosen = job.picked
    merging.merge([job.sources[chosen]], [1.0], folder)
    return _Made(np.eye(len(job.weights))[chosen])


def _merge(job: _Job, folder: Path) -> _Made:
    if not job.adaptation.vocabulary:
        merging.merge(job.sources, job.weights.tolist(), folder)
        return _Made(job.weights)
    rows = _by_use(job)
    common = job.weights.tolist()
    merging.merge(job.sources, lambda tensor: rows if tensor.endswith(EMBEDDINGS) else common, folder)
    return _Made(job.weights)


def _by_use(job: _Job) -> npt.NDArray[np.float64]:
    """Return the weights of each row of the embedding, [K, V]: those of the sources times how often they met its token.

    A row that a source never met stays what it was in the base: its mean with one that was learned halves what was learned.
    Rows that nobody met have the weights of all others.
    """
    met = learned_tokens(job.sources, job.material.base)
    shares = job.weights[:, None] * met
    total = shares.sum(axis=0)
    return np.where(total > 0, shares / np.maximum(total, TINY), job.weights[:, None])


def _learned(job: _Job, folder: Path) -> _Made:
    settings = job.adaptation.coefficients
    wanted = teacher(job.adaptation, job.evidence, job.weights) if settings.objective == "teacher" else None
    found = learn_coefficients(
        job.sources, job.weights.tolist(), job.material.texts, settings, wanted, progress=job.progress
    )
    merging.merge(job.sources, lambda tensor: found.of(tensor).tolist(), folder)
    return _Made(np.mean(list(found.by_group.values()), axis=0), (_described(found, list(job.material.sources)),))


def _distilled(job: _Job, folder: Path) -> _Made:
    wanted = teacher(job.adaptation, job.evidence, job.weights)
    start, reasons = _start(job, wanted)
    distil(
        *_student(job, start), job.material.texts, wanted, folder, job.adaptation.distillation, progress=job.progress
    )
    return _Made(job.weights, reasons)


def _auto(job: _Job, folder: Path) -> _Made:
    """Take what agrees most with the ensemble of all sources on texts that none of the candidates was made of."""
    texts = job.material.texts
    wanted = teacher(job.adaptation, job.evidence, job.weights)
    held = np.arange(len(texts)) % ONE_IN == 0
    found = {"single source": job.sources[job.picked].folder, "merge": _merged(job)}
    agreement = {name: _agreement(path, texts, wanted, held) for name, path in found.items()}
    if len(texts) >= FEWEST_TEXTS:
        start = max(agreement, key=agreement.__getitem__)
        found["distilled"] = job.workplace / "distilled"
        found["distilled"].mkdir()
        distil(
            *_loaded(found[start]),
            [text for text, out in zip(texts, held, strict=True) if not out],
            wanted[~held],
            found["distilled"],
            job.adaptation.distillation,
            progress=job.progress,
        )
        agreement["distilled"] = _agreement(found["distilled"], texts, wanted, held)
    chosen = max(agreement, key=agreement.__getitem__)
    merging.merge([open_checkpoint(found[chosen])], [1.0], folder)
    weights = np.eye(len(job.weights))[job.picked] if chosen == "single source" else job.weights
    return _Made(weights, (_comparison(agreement, chosen, int(held.sum())), *_reasons(job, found, agreement)))


def _comparison(agreement: Mapping[str, float], chosen: str, texts: int) -> str:
    each = ", ".join(f"{name} {share:.3f}" for name, share in agreement.items())
    return f"{chosen}: agrees most with the ensemble of all sources on {texts} texts that were held out ({each})."


def _reasons(job: _Job, found: Mapping[str, Path], agreement: Mapping[str, float]) -> Sequence[str]:
    if "distilled" not in found:
        few = len(job.material.texts)
        return [f"Nothing was distilled: {few} texts are too few, it takes {FEWEST_TEXTS}."]
    start = "merge" if agreement["merge"] > agreement["single source"] else "single source"
    return [f"The student started as the {start}, which was nearer to the ensemble."]


def _start(job: _Job, wanted: npt.NDArray[np.float64]) -> tuple[Path | None, tuple[str, ...]]:
    """Return what the student starts as, None for the base with a new head, and why."""
    start = job.adaptation.start
    if start == "base":
        return None, ()
    pick = job.sources[job.picked].folder
    if start == "pick":
        return pick, ()
    merged = _merged(job)
    if start == "merge":
        return merged, ()
    everywhere = np.ones(len(wanted), dtype=bool)
    agreement = {path: _agreement(path, job.material.texts, wanted, everywhere) for path in (merged, pick)}
    nearest = max(agreement, key=agreement.__getitem__)
    name = "merge" if nearest == merged else "single source"
    return nearest, (f"The student started as the {name}, which was nearer to its teacher.",)


def _merged(job: _Job) -> Path:
    folder = job.workplace / "merge"
    folder.mkdir()
    merging.merge(job.sources, job.weights.tolist(), folder)
    return folder


def _student(job: _Job, start: Path | None) -> tuple[Module, Tokenizer]:
    if start is not None:
        return _loaded(start)
    if job.material.base is None:
        raise UserError("A student that starts from the base needs it: name it (--base).")
    folder = job.material.base.folder
    return classifier(folder, job.sources[0].labels, FinetuneSettings()), inference.load_tokenizer(folder)


def _loaded(folder: Path) -> tuple[Module, Tokenizer]:
    return inference.load_classifier(folder), inference.load_tokenizer(folder)


def _agreement(
    folder: Path, texts: Sequence[str], wanted: npt.NDArray[np.float64], where: npt.NDArray[np.bool_]
) -> float:
    """Return the share of those texts that a checkpoint answers as it is wanted."""
    model = inference.ready(inference.load_classifier(folder))
    asked = [text for text, here in zip(texts, where, strict=True) if here]
    answers = inference.logits(model, inference.encode(folder, asked)).argmax(axis=1)
    return float((answers == wanted[where].argmax(axis=1)).mean())


def _described(found: Coefficients, names: Sequence[str]) -> str:
    """Say in which group of tensors the coefficients lie furthest from the same for all."""
    rows = found.by_group
    group = max(rows, key=lambda name: float(rows[name].max()))
    best = int(rows[group].argmax())
    return f"Learned for {len(rows)} groups of tensors; largest: {names[best]} with {rows[group][best]:.3f} in {group}."


def _details(
    adaptation: Adaptation, target: str, mode: str, material: Material, evidence: Evidence, made: _Made
) -> MergeDetails:
    sources, names = list(material.sources.values()), list(material.sources)
    agreement = head_agreement(sources)
    scores = reliabilities(evidence, adaptation.reliability)
    used = [number for number, weight in enumerate(made.weights) if weight > 0]
    return MergeDetails(
        mode=mode,
        recipe=adapted(adaptation, target),
        uses=union_of_uses([UNLABELLED], *map(zoo_uses, sources)),
        zoo=zoo_name(sources[0], names[0]),
        sources=tuple(
            MergedSource(
                locale=names[number],
                model=sources[number].reference,
                digest=sources[number].digest,
                weight=float(made.weights[number]),
                score=float(scores[number]),
                distance_from_base=None,
            )
            for number in used
        ),
        effective_sources=weighting.effective_number(made.weights),
        head_agreement=agreement.cosine if agreement else None,
        warnings=_warnings(adaptation, agreement, sources),
        reasons=made.reasons,
        candidate=candidate(adaptation, material),
        created=now(),
        version=__version__,
    )


def _warnings(
    adaptation: Adaptation, agreement: HeadAgreement | None, sources: Sequence[Checkpoint]
) -> tuple[str, ...]:
    """Warn of heads that do not fit where nothing but their average answers; say it if a merge had to align vocabularies."""
    averaged = adaptation.kind in ("merge", "learned")
    alignment = align(sources) if adaptation.kind in ("merge", "distilled", "auto") else None
    said = (averaged and agreement and agreement.warning, alignment and alignment.sentence)
    return tuple(each for each in said if each)


_KINDS: Mapping[str, Callable[[_Job, Path], _Made]] = {
    "pick": _pick,
    "merge": _merge,
    "learned": _learned,
    "distilled": _distilled,
    "auto": _auto,
}
