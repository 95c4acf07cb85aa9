"""The embedded data set: real words, parallel ids, no leak between splits, the same everywhere and always."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from sprachbund import data, digests, locales
from sprachbund.data import PARTITIONS, Partition, Row
from sprachbund.data.cldr import CldrData, _set_aside, load
from sprachbund.data.unlabelled import shuffled
from sprachbund.errors import UnknownName, UserError

CONCEPTS = 21 * 90
SPOKEN = {
    "en-US": {
        "territory": "New Zealand",
        "language": "Makonde",
        "currency": "Swiss Franc",
        "full_date": "Tuesday, October 24, 1978",
    },
    "de-DE": {"territory": "Neuseeland", "month_and_year": "Oktober 2028", "unit_length": "28 Lichtjahre"},
    "ja-JP": {"territory": "ニュージーランド", "relative_past": "34 日前", "full_date": "1978年10月24日火曜日"},
    "sq-AL": {"territory": "Zelandë e Re", "relative_future": "pas 46 muajsh", "unit_length": "28 vite dritë"},
    "sw-KE": {"month_and_year": "Oktoba 2028", "unit_digital": "baiti 888"},
    "ru-RU": {"currency": "белизский доллар", "money": "390 турецких лир"},
    "tl-PH": {"month_and_year": "Oktubre 2028"},
    "zh-CN": {"month_and_year": "2028年10月", "territory": "新西兰"},
    "zh-TW": {"month_and_year": "2028年10月", "territory": "紐西蘭"},
    "sl-SL": {"month_and_year": "oktober 2028", "territory": "Nova Zelandija"},
}
PRINT_DIGESTS = """
from sprachbund import data
cldr = data.load("cldr:20")
print(*(cldr.partition(locale, name).digest for locale in ("sq-AL", "ja-JP") for name in ("train", "dev", "test")))
"""


@pytest.fixture(scope="module")
def cldr() -> CldrData:
    return load()


DIGESTS = {
    "train": "0d57608de629027295443465e6c2a7c96a28e06aaf6d80fe244bfabbc096159a",
    "dev": "f4716f58abc08dac50212587bb7d9a47d477502272447592db34c86c5d8e0d09",
    "test": "ec3067dc33d95d1563d86344c9b756f167b5c6b92c9a28bad91f229dff88cdce",
}
"""Of all locales, by CLDR 47: the embedded models were trained on these rows, and the README's figures are about them."""


def everything(cldr: CldrData, locale: str) -> list[tuple[str, str, str, str]]:
    """All rows of a locale: id, partition, text, intent."""
    return [
        (id_, name, text, intent)
        for name in PARTITIONS
        for id_, text, intent in zip(*columns(cldr.partition(locale, name)), strict=True)
    ]


def columns(partition: Partition) -> tuple[tuple[str, ...], ...]:
    return partition.ids, partition.texts, partition.intents


def test_all_52_locales_have_1500_rows_and_21_intents(cldr: CldrData) -> None:
    assert cldr.locales == locales.names()
    assert len(cldr.locales) == 52
    sizes = {locale: len(everything(cldr, locale)) for locale in cldr.locales}
    assert min(sizes.values()) >= 1500, sizes
    for locale in cldr.locales:
        # CLDR writes digital sizes in Taiwan as in its root locale, which counts as untranslated.
        lacking = {"unit_digital"} if locale == "zh-TW" else set()
        assert {intent for *_, intent in everything(cldr, locale)} == set(cldr.intents) - lacking
    assert len(cldr.intents) == len(set(cldr.intents)) == 21


def test_an_id_is_one_concept_in_all_locales(cldr: CldrData) -> None:
    meaning: dict[str, tuple[str, str]] = {}
    for locale in cldr.locales:
        for id_, partition, _, intent in everything(cldr, locale):
            assert meaning.setdefault(id_, (partition, intent)) == (partition, intent)
    assert len(meaning) > 0.95 * CONCEPTS  # almost every concept can be said somewhere


def test_most_ids_are_in_most_locales(cldr: CldrData) -> None:
    spread = Counter(id_ for locale in cldr.locales for id_, *_ in everything(cldr, locale))
    assert sum(count >= 40 for count in spread.values()) > 0.9 * CONCEPTS


def test_ids_are_unique_within_a_locale(cldr: CldrData) -> None:
    for locale in cldr.locales:
        ids = [id_ for id_, *_ in everything(cldr, locale)]
        assert len(ids) == len(set(ids))


def test_no_dev_or_test_phrase_stands_in_train(cldr: CldrData) -> None:
    for locale in cldr.locales:
        train = {text.casefold() for text in cldr.partition(locale, "train").texts}
        for name in ("dev", "test"):
            leaked = [text for text in cldr.partition(locale, name).texts if text.casefold() in train]
            assert not leaked, (locale, name)


def test_no_phrase_has_two_intents(cldr: CldrData) -> None:
    for locale in cldr.locales:
        intents: dict[str, str] = {}
        for _, _, text, intent in everything(cldr, locale):
            assert intents.setdefault(text.casefold(), intent) == intent, (locale, text)


def test_no_intent_is_more_than_a_tenth(cldr: CldrData) -> None:
    for locale in cldr.locales:
        rows = everything(cldr, locale)
        assert max(Counter(intent for *_, intent in rows).values()) <= 0.1 * len(rows)
        assert cldr.partition(locale, "test").majority_rate() <= 0.1


def test_a_tenth_is_dev_and_a_fifth_is_test(cldr: CldrData) -> None:
    for locale in cldr.locales:
        rows = len(everything(cldr, locale))
        assert len(cldr.partition(locale, "dev")) / rows == pytest.approx(0.1, abs=0.02)
        assert len(cldr.partition(locale, "test")) / rows == pytest.approx(0.2, abs=0.02)


def test_every_concept_is_a_row_or_counted_as_dropped(cldr: CldrData) -> None:
    for locale in cldr.locales:
        rows = everything(cldr, locale)
        dropped = cldr.dropped[locale]
        assert set(dropped) <= {"untranslated", "two intents", "also in train"}
        assert len(rows) + sum(dropped.values()) == CONCEPTS


def test_each_reason_for_dropping_occurs(cldr: CldrData) -> None:
    for locale in cldr.locales:
        cldr.partition(locale, "train")
    totals = sum((Counter(reasons) for reasons in cldr.dropped.values()), Counter())
    assert all(totals[reason] > 0 for reason in ("untranslated", "two intents", "also in train"))


def test_what_has_two_intents_in_one_locale_only_is_dropped_there_only(cldr: CldrData) -> None:
    """In German, Luxemburg is the territory and the city; CLDR's English has no such city."""
    assert "Luxemburg" not in {text for _, _, text, _ in everything(cldr, "de-DE")}
    assert ("Luxembourg", "territory") in {(text, intent) for *_, text, intent in everything(cldr, "en-US")}
    # Language and script: Arabic, Sinhala, Greek, Chakma, Gujarati, Sundanese, Kannada, Japanese.
    # City and territory: St. Helena.
    assert cldr.dropped["en-US"]["two intents"] == 2 * 9


def test_its_rows_are_what_they_were(cldr: CldrData) -> None:
    if "CLDR 47 " not in cldr.revision:
        pytest.skip("this Babel carries another version of CLDR")
    found = {
        name: digests.of_value([cldr.partition(locale, name).digest for locale in cldr.locales]) for name in PARTITIONS
    }
    assert found == DIGESTS


def test_unlabelled_text_is_said_of_concepts_that_have_no_row_anywhere(cldr: CldrData) -> None:
    """Translations of what a source was trained on are what it answers best, and labels go with their ids."""
    more = load("120")
    concepts = {(row.intent, row.utt) for row in more.rows("en-US")}
    for locale in cldr.locales:
        known = {text.casefold() for *_, text, _ in everything(cldr, locale)}
        found = cldr.unlabelled(locale)
        assert 500 <= len(found) <= 21 * 30
        assert not any(text.casefold() in known for text in found)
        assert found == shuffled(reversed(found)), "the order comes from the texts alone"
    new = concepts - {(row.intent, row.utt) for row in cldr.rows("en-US")}
    assert set(cldr.unlabelled("en-US")) <= {text for _, text in new}
    assert set(Counter(intent for intent, text in new if text in cldr.unlabelled("en-US"))) == set(cldr.intents)


def test_its_raw_text_is_the_unlabelled_one(cldr: CldrData) -> None:
    assert cldr.texts("sq-AL") == cldr.unlabelled("sq-AL")
    with pytest.raises(UnknownName, match="Unknown locale 'sq-XX'"):
        cldr.unlabelled("sq-XX")


@pytest.mark.parametrize(("phrases", "most"), [("10", 3), ("90", 30), ("400", 6)])
def test_a_third_as_many_concepts_are_set_aside_as_far_as_there_are_any(phrases: str, most: int) -> None:
    assert 0 < len(load(phrases).unlabelled("sq-AL")) <= 21 * most
    assert max(Counter(intent.name for intent, _ in _set_aside(int(phrases))).values()) == most


@pytest.mark.parametrize("locale", SPOKEN)
def test_real_words(locale: str, cldr: CldrData) -> None:
    said = {(text, intent) for _, _, text, intent in everything(cldr, locale)}
    for intent, text in SPOKEN[locale].items():
        assert (text, intent) in said


def test_translations_share_an_id(cldr: CldrData) -> None:
    found = {}
    for locale, text in {"de-DE": "Oktober 2028", "sq-AL": "tetor 2028", "zh-TW": "2028年10月"}.items():
        (found[locale],) = (id_ for id_, _, said, _ in everything(cldr, locale) if said == text)
    assert len(set(found.values())) == 1, found


def test_a_full_date_has_the_right_weekday_and_a_duration_its_sign(cldr: CldrData) -> None:
    english = everything(cldr, "en-US")
    assert all(text.endswith(" ago") for *_, text, intent in english if intent == "relative_past")
    assert all(text.startswith("in ") for *_, text, intent in english if intent == "relative_future")
    assert "34 days ago" in {text for *_, text, _ in english}  # and not "1 month ago"


def test_texts_are_trimmed_and_never_empty(cldr: CldrData) -> None:
    for locale in cldr.locales:
        for *_, text, _ in everything(cldr, locale):
            assert text == " ".join(text.split())
            assert text


def test_scenarios_group_intents(cldr: CldrData) -> None:
    scenarios = {(row.intent, row.scenario) for row in cldr.rows("en-US")}
    assert len(scenarios) == 21
    assert {scenario for _, scenario in scenarios} == {"place", "writing", "money", "time", "measure"}


@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_same_in_another_process_whatever_the_hash_seed(seed: str, tmp_path: Path) -> None:
    here = load("20")
    expected = [here.partition(locale, name).digest for locale in ("sq-AL", "ja-JP") for name in PARTITIONS]
    there = subprocess.run(
        [sys.executable, "-c", PRINT_DIGESTS],
        env={
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "SPRACHBUND_CACHE": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.split() == expected


def test_rows_are_kept_and_made_again_where_they_are_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path))

    def read() -> tuple[list[Row], Mapping[str, int]]:
        found = load("12")
        return list(found.rows("sq-AL")), found.dropped["sq-AL"]

    made = read()
    (kept,) = tmp_path.rglob("sq-AL.json")
    with monkeypatch.context() as patch:
        patch.setattr("sprachbund.data.cldr._rows", None)
        assert read() == made
    for damage in ("", "[]", "{}", '[[["0"]], {}]', "[[], 3]", kept.read_text().replace('"train"', "7")):
        kept.write_text(damage)
        assert read() == made
    shutil.rmtree(tmp_path)
    tmp_path.touch()
    assert read() == made


def test_its_size_can_be_chosen() -> None:
    small = data.load("cldr:12")
    assert small.name == "cldr:12"
    assert "12 phrases per intent" in small.revision
    assert max(Counter(row.intent for row in small.rows("en-US")).values()) == 12
    assert load("90").name == "cldr"


@pytest.mark.parametrize("argument", ["9", "many", "-20", "1.5"])
def test_a_size_that_is_none_is_refused(argument: str) -> None:
    with pytest.raises(UserError, match=rf"--data cldr:{argument}: what follows 'cldr:' is the number of phrases"):
        load(argument)


def test_it_says_that_it_is_a_demonstration(cldr: CldrData) -> None:
    assert cldr.demonstration
    assert "Unicode" in cldr.notice
    assert cldr.licence == "Unicode-3.0"
