"""What is found in data: repetitions, leaks, ids that do not match; on the real MASSIVE the known figures."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from sprachbund import data
from sprachbund.data import Partition
from sprachbund.data.findings import Matching, leaked, matching, repeated


def part(locale: str, ids: str, texts: str = "", labels: str = "", name: str = "test") -> Partition:
    return Partition(locale, name, tuple(ids), tuple(texts or ids), tuple(labels or "x" * len(ids)))


def test_a_text_that_came_before_is_repeated() -> None:
    assert repeated(part("yo", "12345", "abaac")) == 2
    assert repeated(part("yo", "123", "abc")) == 0


def test_a_test_text_that_stands_in_train_is_a_leak_each_time() -> None:
    train = part("yo", "123", "abc", name="train")
    assert leaked(part("yo", "4567", "aadB"), train) == 2


def test_ids_are_counted_where_they_stand_everywhere_and_where_labels_differ() -> None:
    partitions = [part("yo", "123", labels="xyz"), part("sw", "312", labels="zxx"), part("wo", "124", labels="xxx")]
    assert matching(partitions) == Matching("test", ids=4, everywhere=2, several_labels=1)
    assert matching(partitions).sentence == "test: 2 of 4 ids stand in every locale, 1 have several labels"
    assert matching(partitions[:1]).sentence == "test: 3 of 3 ids stand in every locale"


def test_the_real_massive(shared: Path) -> None:
    massive = data.load(f"massive:{shared}/data/massive-1.1.tar.gz")
    shares = {}
    for locale in massive.locales:
        train, dev, test = (massive.partition(locale, name) for name in ("train", "dev", "test"))
        assert (len(train), len(dev), len(test)) == (11_514, 2_033, 2_974)
        shares[locale] = leaked(test, train) / len(test)
    assert len(shares) == 52
    assert shares["km-KH"] == max(shares.values()) == pytest.approx(0.144, abs=5e-4)
    assert min(shares.values()) == pytest.approx(0.007, abs=5e-4)
    assert statistics.median(shares.values()) == pytest.approx(0.055, abs=2e-3)
    massive.check(massive.locales, ["train", "dev", "test"])
    assert matching(list(massive.partitions("test"))) == Matching("test", 2_974, 2_974, 0)
