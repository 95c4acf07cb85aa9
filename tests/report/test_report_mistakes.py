"""What was answered wrongly, against plain counting, answer by answer."""

from __future__ import annotations

import numpy as np
import pytest

from sprachbund.report.answers import Answers
from sprachbund.report.mistakes import confused_pairs, confusion, examples, flips, intent_errors

INTENTS = ("alarm", "music", "news", "weather")
LOCALES = ("af-ZA", "ja-JP", "sq-AL")
VARIANTS = ("baseline", "merged")
NUMBER = 200


@pytest.fixture(scope="module")
def answers() -> Answers:
    """Answers by lot; each locale lacks some ids, and the last variant one locale."""
    lot = np.random.default_rng(0)
    there = {locale: lot.random(NUMBER) < 0.9 for locale in LOCALES}

    def drawn(locale: str) -> np.ndarray:
        return np.where(there[locale], lot.integers(3, size=NUMBER), -1).astype(np.int16)  # nobody says "weather"

    cells = [(variant, locale) for variant in VARIANTS for locale in LOCALES][:-1]
    return Answers(
        ids=tuple(map(str, range(NUMBER))),
        intents=INTENTS,
        gold={locale: drawn(locale) for locale in LOCALES},
        predicted={cell: drawn(cell[1]) for cell in cells},
        confidence={},
        gold_probability={},
    )


def said(answers: Answers, variant: str) -> list[tuple[str, str]]:
    """Every answer of a variant: the gold intent, and what it said."""
    return [
        (INTENTS[gold], INTENTS[predicted])
        for (name, locale), column in answers.predicted.items()
        if name == variant
        for gold, predicted in zip(answers.gold[locale], column, strict=True)
        if predicted >= 0
    ]


@pytest.mark.parametrize("variant", VARIANTS)
def test_confusions_are_those_of_plain_counting(answers: Answers, variant: str) -> None:
    counts, pairs = confusion(answers, variant), said(answers, variant)
    assert counts.sum() == len(pairs)
    for i, gold in enumerate(INTENTS):
        for j, predicted in enumerate(INTENTS):
            assert counts[i, j] == pairs.count((gold, predicted))


def test_errors_are_those_of_plain_counting(answers: Answers) -> None:
    errors = intent_errors(answers, {variant: confusion(answers, variant) for variant in VARIANTS})
    assert [error.intent for error in errors] == ["alarm", "music", "news"], "weather is nobody's gold intent"
    for error in errors:
        for variant in VARIANTS:
            mine = [predicted for gold, predicted in said(answers, variant) if gold == error.intent]
            wrong = [predicted for predicted in mine if predicted != error.intent]
            assert (error.wrong[variant].count, error.wrong[variant].total) == (len(wrong), len(mine))
            assert error.wrong[variant].fraction == len(wrong) / len(mine)


def test_the_pairs_that_are_confused_most_stand_first(answers: Answers) -> None:
    confusions = {variant: confusion(answers, variant) for variant in VARIANTS}
    found = confused_pairs(answers, confusions, 4)
    together = [said(answers, "baseline") + said(answers, "merged")][0]
    counts = {(pair.gold, pair.predicted): together.count((pair.gold, pair.predicted)) for pair in found}
    assert len(counts) == 4
    assert list(counts.values()) == sorted(counts.values(), reverse=True)
    others = {pair: together.count(pair) for pair in set(together) - set(counts) if pair[0] != pair[1]}
    assert max(others.values()) <= min(counts.values())
    assert len(confused_pairs(answers, confusions, 100)) == 6, "what nobody confuses is no pair"
    for pair in found:
        assert pair.taken["merged"].count == said(answers, "merged").count((pair.gold, pair.predicted))
        assert pair.taken["merged"].total == sum(gold == pair.gold for gold, _ in said(answers, "merged"))


def test_flips_are_where_one_alone_is_right(answers: Answers) -> None:
    found = flips(answers, "merged", "baseline", "ja-JP")
    assert found is not None
    gold, one, two = answers.gold["ja-JP"], answers.predicted["merged", "ja-JP"], answers.predicted["baseline", "ja-JP"]
    rows = [(place, one[place] == gold[place], two[place] == gold[place]) for place in range(NUMBER) if one[place] >= 0]
    assert found.gained.tolist() == [place for place, first, second in rows if first and not second]
    assert found.lost.tolist() == [place for place, first, second in rows if second and not first]
    assert len(found.gained) > 10 < len(found.lost)
    assert flips(answers, "merged", "baseline", "sq-AL") is None


def test_examples_are_spread_over_all_and_those_with_text_come_first(answers: Answers) -> None:
    places, pair = np.arange(10, 70), ("merged", "baseline")
    spread = examples(answers, pair, "ja-JP", places, {}, 3)
    assert [example.id for example in spread] == ["10", "30", "50"]
    assert {example.text for example in spread} == {None}
    texts = {"12": "twelve", "69": "sixty-nine", "5": "not among them"}
    mixed = examples(answers, pair, "ja-JP", places, texts, 3)
    assert [(example.id, example.text) for example in mixed] == [("12", "twelve"), ("69", "sixty-nine"), ("10", None)]
    all_known = examples(answers, pair, "ja-JP", places, {id_: id_ for id_ in answers.ids}, 4)
    assert [example.text for example in all_known] == ["10", "25", "40", "55"]
    assert [example.id for example in examples(answers, pair, "ja-JP", places[:2], {}, 3)] == ["10", "11"]
    for example in spread:
        place = int(example.id)
        assert example.gold == INTENTS[answers.gold["ja-JP"][place]]
        assert example.first == INTENTS[answers.predicted["merged", "ja-JP"][place]]
        assert example.second == INTENTS[answers.predicted["baseline", "ja-JP"][place]]
