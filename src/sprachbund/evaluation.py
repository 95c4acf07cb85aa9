"""Logits and gold labels in, predictions and metrics out; nothing here knows how a model came about.

Everything is compared by label *name*. A checkpoint that has only ``LABEL_n`` gets the n-th name of the data set's own order,
and says so; any other mismatch is an error.

NLL and ECE (:mod:`sprachbund.store.calibration`) are computed from the probabilities as they stand in predictions.csv,
confidences of six decimals and gold probabilities of six significant digits, so that the file says the same as the record.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sprachbund.data import DataSet, Partition
from sprachbund.ensembles import softmax
from sprachbund.errors import IncompatibleError
from sprachbund.store import Columns, Performance, Prediction
from sprachbund.store.calibration import DECIMALS, ece, nll

__all__ = ["LabelNames", "answered", "correct", "label_names", "performance", "predictions"]

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
    probabilities = softmax(logits)
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
        confidence=probabilities.max(axis=1).round(DECIMALS),
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
        ece=ece(np.array([row.confidence for row in rows]), np.array([row.gold == row.predicted for row in rows])),
    )


def _nll(rows: Sequence[Prediction]) -> float | None:
    likely = [row.gold_probability for row in rows if row.gold_probability is not None]
    return nll(np.array(likely)) if len(likely) == len(rows) else None


def f1_by_intent(rows: Sequence[Prediction]) -> dict[str, float]:
    """Return F1 = 2·TP / (2·TP + FP + FN) of each intent that occurs in the gold labels."""
    return {intent: _f1(rows, intent) for intent in sorted({row.gold for row in rows})}


def _f1(rows: Sequence[Prediction], intent: str) -> float:
    hits = sum(row.gold == intent and row.predicted == intent for row in rows)
    mentions = sum((row.gold == intent) + (row.predicted == intent) for row in rows)
    return 2 * hits / mentions
