"""Logits and gold labels in, predictions and metrics out; nothing here knows how a model came about.

Everything is compared by label *name*. A checkpoint that has only ``LABEL_n`` gets the n-th name of the data set's own order,
and says so; any other mismatch is an error.

Whether a model knows how sure it can be is said by two figures beside accuracy; p = softmax(logits), in float64:

    NLL = −1/n Σᵢ ln p(goldᵢ), in nats        ECE = Σₘ |Bₘ|/n · |acc(Bₘ) − conf(Bₘ)|

Bₘ are the rows with a confidence in ((m − 1)/15, m/15] (Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated
probabilities using Bayesian binning"; with 15 bins Guo et al. 2017, arXiv:1706.04599). Both are computed from the probabilities
as they stand in predictions.csv, confidences of six decimals and gold probabilities of six significant digits, so that the file
says the same as the record. In NLL a probability below 2⁻⁵² counts as 2⁻⁵², 36.04 nats: one row with an intent that the model
lacks must not make all others meaningless. scikit-learn's ``log_loss`` draws the line there, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sprachbund.data import DataSet, Partition
from sprachbund.errors import IncompatibleError
from sprachbund.store import Columns, Performance, Prediction

__all__ = ["LabelNames", "answered", "correct", "label_names", "performance", "predictions"]

BINS = 15
LEAST = 2.0**-52
_NUMBERED = re.compile(r"LABEL_(\d+)")


@dataclass(frozen=True)
class LabelNames:
    """The name of each logit, and what to tell the user about where the names came from."""

    names: tuple[str, ...]
    note: str | None = None


def label_names(labels: Sequence[str], data: DataSet, model: str) -> LabelNames:
    """Return the intent that each logit of a checkpoint stands for.

    Raises:
        IncompatibleError: the labels are neither the data set's intents nor numbers for them.
    """
    intents = data.intents
    if sorted(labels) == sorted(intents):
        return LabelNames(tuple(labels))
    numbers = [int(match[1]) for match in map(_NUMBERED.fullmatch, labels) if match]
    if len(labels) == len(intents) and sorted(numbers) == list(range(len(intents))):
        note = f"{model} names its labels LABEL_0 to LABEL_{len(labels) - 1}: read in the label order of {data.name}."
        return LabelNames(tuple(intents[number] for number in numbers), note)
    strangers = sorted((Counter(labels) - Counter(intents)) or (Counter(intents) - Counter(labels)))
    raise IncompatibleError(
        f"{model} was trained for other labels than those of {data.name} ({len(labels)} labels against {len(intents)} intents, "
        f"{', '.join(strangers[:3])}{' …' if len(strangers) > 3 else ''} on one side only): "
        "evaluate it on the data it was made for (--data)."
    )


def answered(logits: np.ndarray, names: Sequence[str], partition: Partition) -> Columns:
    """Return what a model that has answered with ``logits`` [rows, labels] says, and how sure it is."""
    odds = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    winners = logits.argmax(axis=1)
    places = {name: place for place, name in enumerate(names)}
    gold = [
        row[places[intent]] if intent in places else 0.0
        for row, intent in zip(probabilities, partition.intents, strict=True)
    ]
    return Columns(
        ids=partition.ids,
        gold=partition.intents,
        predicted=[names[winner] for winner in winners],
        confidence=probabilities.max(axis=1).round(6),
        gold_probability=np.array([float(f"{probability:.6g}") for probability in gold]),
    )


def predictions(found: Columns) -> list[Prediction]:
    """Return the same row by row."""
    return [
        Prediction(id=id_, gold=gold, predicted=said, confidence=float(sure), gold_probability=float(likely))
        for id_, gold, said, sure, likely in zip(
            found.ids, found.gold, found.predicted, found.confidence, found.gold_probability, strict=True
        )
    ]


def correct(logits: np.ndarray, names: Sequence[str], partition: Partition) -> int:
    """Return how many rows get their gold label."""
    return sum(names[winner] == gold for winner, gold in zip(logits.argmax(axis=1), partition.intents, strict=True))


def performance(rows: Sequence[Prediction], partition: Partition) -> Performance:
    """Return the metrics of all predictions of a partition."""
    hits = sum(row.gold == row.predicted for row in rows)
    f1 = f1_by_intent(rows)
    return Performance(
        accuracy=hits / len(rows),
        correct=hits,
        total=len(rows),
        macro_f1=float(np.mean(list(f1.values()))),
        macro_f1_intents=len(f1),
        mean_confidence=float(np.mean([row.confidence for row in rows])),
        majority_rate=partition.majority_rate(),
        nll=_nll(rows),
        ece=_ece(rows),
    )


def _nll(rows: Sequence[Prediction]) -> float | None:
    likely = [row.gold_probability for row in rows if row.gold_probability is not None]
    return float(-np.log(np.maximum(likely, LEAST)).mean()) if len(likely) == len(rows) else None


def _ece(rows: Sequence[Prediction]) -> float:
    sure = np.array([row.confidence for row in rows])
    surplus = sure - np.array([row.gold == row.predicted for row in rows])
    bins = np.ceil(sure * BINS).astype(int)
    return float(np.abs(np.bincount(bins, weights=surplus)).sum() / len(rows))


def f1_by_intent(rows: Sequence[Prediction]) -> dict[str, float]:
    """Return F1 = 2·TP / (2·TP + FP + FN) of each intent that occurs in the gold labels."""
    return {intent: _f1(rows, intent) for intent in sorted({row.gold for row in rows})}


def _f1(rows: Sequence[Prediction], intent: str) -> float:
    hits = sum(row.gold == intent and row.predicted == intent for row in rows)
    mentions = sum((row.gold == intent) + (row.predicted == intent) for row in rows)
    return 2 * hits / mentions
