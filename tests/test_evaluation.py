"""Metrics against loops that count by hand, labels by name, confidence and NLL against torch, ECE against fractions."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch
from pico import INTENTS, TinyData, tiny_data

from sprachbund.data import Partition
from sprachbund.errors import IncompatibleError
from sprachbund.evaluation import answered, correct, f1_by_intent, label_names, performance, predictions
from sprachbund.store import Prediction

PARTITION = Partition("sq-AL", "test", ("7", "3", "9"), ("a", "b", "c"), ("ask", "greet", "ask"))


def rows(*pairs: tuple[str, str]) -> list[Prediction]:
    """Gold and predicted of each row."""
    return [Prediction(id=str(n), gold=gold, predicted=said, confidence=0.5) for n, (gold, said) in enumerate(pairs)]


def said(logits: np.ndarray, names: Sequence[str] = INTENTS, partition: Partition = PARTITION) -> list[Prediction]:
    return predictions(answered(logits, names, partition))


def partition_of(predicted: list[Prediction]) -> Partition:
    gold = tuple(row.gold for row in predicted)
    return Partition("sq-AL", "test", tuple(row.id for row in predicted), gold, gold)


def at_random(seed: int, count: int = 200) -> list[Prediction]:
    """``leave`` never is gold, ``count`` is never predicted."""
    lot = random.Random(seed)
    return rows(*((lot.choice(("ask", "count", "greet")), lot.choice(("ask", "greet", "leave"))) for _ in range(count)))


def test_worked_out_by_hand() -> None:
    # ask: 1 hit, 1 missed, 1 wrongly claimed: F1 = 2/4; greet: 1 hit, 1 wrongly claimed: 2/3; leave: missed: 0
    predicted = rows(("ask", "ask"), ("ask", "greet"), ("greet", "greet"), ("leave", "ask"))
    assert f1_by_intent(predicted) == pytest.approx({"ask": 1 / 2, "greet": 2 / 3, "leave": 0})
    result = performance(predicted, partition_of(predicted))
    assert (result.accuracy, result.correct, result.total) == (0.5, 2, 4)
    assert result.macro_f1 == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert result.macro_f1_intents == 3
    assert result.majority_rate == 0.5
    assert result.mean_confidence == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_and_macro_f1_equal_a_confusion_matrix(seed: int) -> None:
    predicted = at_random(seed)
    confusion = np.zeros((4, 4))
    for row in predicted:
        confusion[INTENTS.index(row.gold), INTENTS.index(row.predicted)] += 1
    f1 = []
    for intent in range(4):
        gold, said, hit = confusion[intent].sum(), confusion[:, intent].sum(), confusion[intent, intent]
        if gold:
            precision, recall = hit / said if said else 0.0, hit / gold
            f1.append(2 * precision * recall / (precision + recall) if hit else 0.0)
    result = performance(predicted, partition_of(predicted))
    assert result.accuracy == np.trace(confusion) / confusion.sum()
    assert result.macro_f1 == pytest.approx(np.mean(f1))
    assert result.macro_f1_intents == 3  # those that occur in the gold labels


def test_a_prediction_carries_id_gold_and_name() -> None:
    logits = np.array([[5.0, 0, 0, 0], [0, 0, 0, 5], [0, 5, 0, 0]], dtype=np.float32)
    found = said(logits)
    assert [(row.id, row.gold, row.predicted) for row in found] == [
        ("7", "ask", "ask"),
        ("3", "greet", "leave"),
        ("9", "ask", "count"),
    ]
    assert correct(logits, INTENTS, PARTITION) == 1


@pytest.mark.parametrize("scale", [0.1, 3.0, 500.0])
def test_confidence_is_the_largest_softmax_of_torch(scale: float) -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)) * scale
    expected = torch.softmax(logits.double(), dim=1).max(dim=1).values
    found = [row.confidence for row in said(logits.numpy())]
    assert found == pytest.approx(expected.tolist(), abs=1e-6)
    assert all(0.25 < confidence <= 1 for confidence in found)


# --- calibration -------------------------------------------------------------------------------------------------------


def many(seed: int, count: int = 500, scale: float = 3.0) -> tuple[np.ndarray, Partition]:
    """Logits, and gold labels that they often are right about."""
    lot = np.random.default_rng(seed)
    logits = (scale * lot.normal(size=(count, 4))).astype(np.float32)
    gold = np.where(lot.random(count) < 0.6, logits.argmax(axis=1), lot.integers(4, size=count))
    ids = tuple(map(str, range(count)))
    return logits, Partition("sq-AL", "test", ids, ids, tuple(INTENTS[place] for place in gold))


def ece_in_fractions(rows: Sequence[Prediction]) -> Fraction:
    """Guo et al. 2017, equation 3, row by row and without rounding."""
    total = Fraction(0)
    for m in range(1, 16):
        inside = [row for row in rows if Fraction(m - 1, 15) < Fraction(f"{row.confidence:.6f}") <= Fraction(m, 15)]
        if inside:
            right = Fraction(sum(row.gold == row.predicted for row in inside), len(inside))
            sure = sum((Fraction(f"{row.confidence:.6f}") for row in inside), Fraction(0)) / len(inside)
            total += Fraction(len(inside), len(rows)) * abs(right - sure)
    return total


@pytest.mark.parametrize("scale", [0.1, 3.0, 20.0])
def test_nll_is_the_cross_entropy_of_torch(scale: float) -> None:
    logits, partition = many(seed=int(scale), scale=scale)
    gold = torch.tensor([INTENTS.index(intent) for intent in partition.intents])
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits).double(), gold, reduction="none")
    expected = expected.clamp(max=52 * math.log(2))  # a probability of 2⁻⁵²
    assert performance(said(logits, INTENTS, partition), partition).nll == pytest.approx(
        expected.mean().item(), abs=1e-6
    )


@pytest.mark.parametrize("seed", range(5))
def test_ece_is_that_of_its_definition(seed: int) -> None:
    logits, partition = many(seed)
    rows = said(logits, INTENTS, partition)
    assert performance(rows, partition).ece == pytest.approx(float(ece_in_fractions(rows)), abs=1e-12)


def test_a_confidence_at_the_upper_end_of_a_bin_is_in_it() -> None:
    """Three, six, nine, twelve and fifteen fifteenths are all that six decimals can hit."""
    for fifths in (0.2, 0.4, 0.6, 0.8, 1.0):
        # in one bin with what is below it, a hit and a miss make up for each other; with what is above it, each stands alone
        for other in (fifths - 0.01, fifths + 0.01):
            pairs = [("ask", "ask", fifths), ("ask", "greet", other)]
            made = [Prediction(id=str(n), gold=g, predicted=p, confidence=c) for n, (g, p, c) in enumerate(pairs)]
            if other <= 1:
                assert performance(made, partition_of(made)).ece == pytest.approx(float(ece_in_fractions(made)))


def test_one_row() -> None:
    row = Prediction(id="1", gold="ask", predicted="greet", confidence=0.75, gold_probability=0.25)
    result = performance([row], partition_of([row]))
    assert (result.nll, result.ece) == (pytest.approx(math.log(4)), pytest.approx(0.75))


def test_who_is_always_sure_and_right_has_no_error() -> None:
    logits = np.where(np.eye(4)[[0, 2, 0]] == 1, 1000.0, 0.0)
    rows = said(logits)
    assert [(row.confidence, row.gold_probability) for row in rows] == [(1.0, 1.0)] * 3
    result = performance(rows, PARTITION)
    assert (result.accuracy, result.nll, result.ece) == (1.0, 0.0, 0.0)


def test_an_intent_that_the_model_lacks_has_the_probability_0_and_costs_36_nats() -> None:
    rows = said(np.zeros((3, 2)), ("ask", "leave"))
    assert [row.gold_probability for row in rows] == [0.5, 0.0, 0.5]
    assert performance(rows, PARTITION).nll == pytest.approx((2 * math.log(2) + 36.0437) / 3, abs=1e-4)


def test_probabilities_of_0_have_a_logit_of_minus_infinity() -> None:
    """As the votes of an ensemble do."""
    rows = said(np.log(np.array([[0.75, 0.25], [1.0, 1e-300], [0.5, 0.5]])), ("ask", "greet"))
    assert [row.gold_probability for row in rows] == [0.75, 1e-300, 0.5]
    with np.errstate(divide="ignore"):
        (row, *_) = said(np.log(np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])), ("ask", "greet"))
    assert (row.predicted, row.confidence, row.gold_probability) == ("greet", 1.0, 0.0)


def test_without_the_probability_of_gold_there_is_no_nll() -> None:
    made = rows(("ask", "ask"), ("ask", "greet"))
    assert performance(made, partition_of(made)).nll is None


# --- labels ------------------------------------------------------------------------------------------------------------


def test_the_order_of_the_logits_does_not_matter_only_their_names(tiny: TinyData) -> None:
    logits = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    order = [2, 0, 3, 1]
    shuffled = label_names([INTENTS[place] for place in order], tiny, "m").names
    assert said(logits[:, order], shuffled) == said(logits)
    assert said(logits[:, order]) != said(logits)


def test_named_labels_need_no_note(tiny: TinyData) -> None:
    assert label_names(INTENTS[::-1], tiny, "m") == label_names(INTENTS[::-1], tiny, "n")
    assert label_names(INTENTS[::-1], tiny, "m").names == INTENTS[::-1]
    assert label_names(INTENTS, tiny, "m").note is None


def test_numbered_labels_are_numbers_in_the_data_set_s_order_and_that_is_said(tiny: TinyData) -> None:
    found = label_names(["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"], tiny, "my/model")
    assert found.names == tiny.intents
    assert found.note == "my/model names its labels LABEL_0 to LABEL_3: read in the label order of tiny."


def test_the_number_in_a_label_counts_not_its_place(tiny: TinyData) -> None:
    assert label_names(["LABEL_2", "LABEL_0", "LABEL_3", "LABEL_1"], tiny, "m").names == (
        "greet",
        "ask",
        "leave",
        "count",
    )


@pytest.mark.parametrize(
    "labels",
    [
        ("ask", "count", "greet"),
        (*INTENTS, "sing"),
        ("ask", "count", "greet", "sing"),
        ("LABEL_0", "LABEL_1", "LABEL_2"),
        ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_4"),
        ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_2"),
        ("LABEL_0", "LABEL_1", "LABEL_2", "leave"),
        ("ask", "ask", "count", "greet", "leave"),
    ],
)
def test_any_other_label_set_is_an_error(labels: tuple[str, ...], tiny: TinyData) -> None:
    with pytest.raises(
        IncompatibleError, match=r"^m was trained for other labels than those of tiny \(. labels against 4"
    ):
        label_names(labels, tiny, "m")


def test_the_labels_that_differ_are_named() -> None:
    with pytest.raises(IncompatibleError, match="count, leave on one side only"):
        label_names(("ask", "greet"), tiny_data(), "m")
    with pytest.raises(IncompatibleError, match="dance, eat, run … on one side only"):
        label_names((*INTENTS, "sing", "dance", "eat", "run"), tiny_data(), "m")
