"""With a few labels of the target: greedy soup, learned coefficients, a fitted head; and the source fine-tuned, beside them.

The few are so many labelled texts per intent (:attr:`Material.labelled`), and all that a model of this module has seen of the
target's labels. None is held out from them: what chooses by them chooses by texts that it has not been trained on, since no
source has met the target.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sprachbund import merging
from sprachbund.adapt.bodies import merge_unfitted
from sprachbund.adapt.job import Job, Made
from sprachbund.adapt.merges import learned_on
from sprachbund.adapt.students import start_of, student
from sprachbund.adapt.teaching import as_logits, teacher
from sprachbund.data.few import Labelled
from sprachbund.distillation import distil, learning_rate_of, width_of
from sprachbund.heads import refit_to
from sprachbund.measures import answers_of_merge
from sprachbund.weighting import greedy_soup

__all__ = ["coefficients", "finetuned", "head", "soup"]

FloatArray = npt.NDArray[np.float64]
GENTLER = 0.2
"""The learning rate of what is fine-tuned on a few labels, as a share of that of a student of many texts."""
FLOOR = 1e-2
"""Added to probabilities before their logarithm is taken: least squares has other things to do than to tell 0.001 from 0."""


def soup(job: Job, folder: Path) -> Made:
    """Merge, equally weighted, the sources that a greedy soup keeps (Wortsman et al. 2022, arXiv:2203.05482, recipe 1).

    The score is accuracy on the few. Sources of the same accuracy are tried in the order of their likelihood, the mean
    log-probability of the labels, which says more of few texts.
    """
    few, gold = _labelled(job), _gold(job)
    probabilities = replace(job.material, texts=few.texts).evidence(learned=False, report=job.report).probabilities
    accuracy = (probabilities.argmax(axis=2) == gold).mean(axis=1)
    likelihood = np.log(probabilities[:, np.arange(len(gold)), gold] + FLOOR).mean(axis=1)
    order = np.lexsort((-likelihood, -accuracy))

    def score(shares: FloatArray) -> float:
        taken = np.flatnonzero(shares)
        tried = merging.Merge([job.sources[order[place]] for place in taken], shares[taken].tolist())
        return float((answers_of_merge(tried, few.texts)[1].argmax(axis=1) == gold).mean())

    weights = np.zeros(len(order))
    weights[order] = greedy_soup(accuracy[order], score)
    kept = np.flatnonzero(weights)
    merging.merge([job.sources[source] for source in kept], weights[kept].tolist(), folder)
    best = list(job.material.sources)[order[0]]
    said = f"{len(kept)} of {len(weights)} sources are in the soup, chosen by {len(few)} labelled texts"
    return Made(weights, (f"{said}, of which {best}, the best by itself, gets {accuracy.max():.3f} right.",))


def coefficients(job: Job, folder: Path) -> Made:
    """Merge all sources with coefficients that are learned on the few: cross-entropy to their labels."""
    return learned_on(job, _labelled(job).texts, _one_hot(job), folder)


def head(job: Job, folder: Path) -> Made:
    """Merge all sources, and fit the last layer to the ensemble's answers to the texts, and to the labels of the few.

    Both are logarithms of probabilities, so that what comes out is of the size of logits. A text that has a label is not
    asked about.
    """
    few, adaptation = _labelled(job), job.adaptation
    known = set(few.texts)
    rest = [number for number, text in enumerate(job.material.texts) if text not in known]
    answers = teacher(adaptation, job.evidence, job.weights)[rest]
    wanted = as_logits(np.concatenate([answers, _one_hot(job)]), FLOOR)
    counts = np.concatenate([np.ones(len(rest)), np.full(len(few), adaptation.label_weight)])
    merge_unfitted(job, folder)
    refit_to(folder, [*(job.material.texts[number] for number in rest), *few.texts], wanted, counts)
    said = f"The head was fitted to the ensemble's answers to {len(rest)} texts, and to the labels of {len(few)}"
    return Made(job.weights, (f"{said}, of which each counts {adaptation.label_weight:g} times.",))


def finetuned(job: Job, folder: Path) -> Made:
    """Fine-tune on the few alone what the settings say: the source that looks best, or the merge."""
    few, wanted, settings = _labelled(job), _one_hot(job), job.adaptation.distillation
    start, reasons = start_of(job)
    model, tokenizer = student(job, start)
    gentle = settings.learning_rate or learning_rate_of(width_of(model)) * GENTLER
    settings = settings.model_copy(update={"learning_rate": gentle})
    distil(model, tokenizer, few.texts, wanted, folder, settings, progress=job.progress)
    alone = job.adaptation.start == "pick"
    return Made(np.eye(len(job.weights))[job.picked] if alone else job.weights, reasons)


def _labelled(job: Job) -> Labelled:
    few = job.material.labelled
    assert few is not None, "adapt() sees to it"
    return few


def _gold(job: Job) -> npt.NDArray[np.int64]:
    """Return the numbers of the few's labels among the sources' own."""
    number = {label: place for place, label in enumerate(job.sources[0].labels)}
    return np.array([number[intent] for intent in _labelled(job).intents])


def _one_hot(job: Job) -> FloatArray:
    return np.eye(len(job.sources[0].labels))[_gold(job)]
