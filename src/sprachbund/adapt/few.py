"""With a few labels of the target: greedy soup, learned coefficients, a fitted head; and the source fine-tuned, beside them.

The few are so many labelled texts per intent (:attr:`Material.labelled`), and all that a model of this module has seen of the
target's labels. What chooses sources by them needs to hold none out: no source has been trained on them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sprachbund import merging
from sprachbund.adapt.bodies import merge_all
from sprachbund.adapt.job import Job, Made
from sprachbund.adapt.merges import learned_on
from sprachbund.adapt.students import start_of, student
from sprachbund.adapt.teaching import as_logits
from sprachbund.distillation import distil, learning_rate_of, width_of
from sprachbund.measures import answers_of_merge
from sprachbund.weighting import greedy_soup

__all__ = ["coefficients", "finetuned", "head", "soup"]

FloatArray = npt.NDArray[np.float64]
GENTLER = 0.2
"""The learning rate of what is fine-tuned on a few labels, as a share of that of a student of many texts."""


def soup(job: Job, folder: Path) -> Made:
    """Merge, equally weighted, the sources that a greedy soup keeps (Wortsman et al. 2022, arXiv:2203.05482, recipe 1).

    The score is accuracy on the few. Sources of the same accuracy are tried in the order of their likelihood, the mean
    log-probability of the labels, which says more of few texts.
    """
    few, gold = job.few, job.gold
    probabilities = replace(job.material, texts=few.texts).evidence(learned=False, report=job.report).probabilities
    accuracy = (probabilities.argmax(axis=2) == gold).mean(axis=1)
    likelihood = as_logits(probabilities[:, np.arange(len(gold)), gold]).mean(axis=1)
    order = np.lexsort((-likelihood, -accuracy))

    def score(shares: FloatArray) -> float:
        taken = np.flatnonzero(shares)
        tried = merging.Merge([job.sources[order[place]] for place in taken], shares[taken].tolist())
        return float((answers_of_merge(tried, few.texts)[1].argmax(axis=1) == gold).mean())

    weights = np.zeros(len(job.weights))
    weights[order] = greedy_soup(accuracy[order], score)
    kept = np.flatnonzero(weights)
    merging.merge([job.sources[source] for source in kept], weights[kept].tolist(), folder)
    best = list(job.material.sources)[order[0]]
    said = f"{len(kept)} of {len(weights)} sources are in the soup, chosen by {len(few)} labelled texts"
    return Made(weights, (f"{said}, of which {best}, the best by itself, gets {accuracy[order[0]]:.3f} right.",))


def coefficients(job: Job, folder: Path) -> Made:
    """Merge all sources with coefficients that are learned on the few: cross-entropy to their labels."""
    return learned_on(job, job.few.texts, job.one_hot, folder)


def head(job: Job, folder: Path) -> Made:
    """Merge all sources, and fit the last layer to the ensemble's answers to the texts, and to the labels of the few."""
    return Made(job.weights, (merge_all(job, folder, policy="refit"),))


def finetuned(job: Job, folder: Path) -> Made:
    """Fine-tune on the few alone what the settings say: the source that looks best, or the merge."""
    few, wanted, settings = job.few, job.one_hot, job.adaptation.distillation
    start, reasons = start_of(job)
    model, tokenizer = student(job, start)
    gentle = settings.learning_rate or learning_rate_of(width_of(model)) * GENTLER
    settings = settings.model_copy(update={"learning_rate": gentle})
    distil(model, tokenizer, few.texts, wanted, folder, settings, progress=job.progress)
    alone = job.adaptation.start == "pick"
    return Made(np.eye(len(job.weights))[job.picked] if alone else job.weights, reasons, trained=True)
