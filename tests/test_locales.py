"""52 locales, in order, found by whatever users type for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprachbund import locales
from sprachbund.errors import UnknownName, UserError


def test_52_locales_in_alphabetical_order() -> None:
    names = locales.names()
    assert len(names) == len(set(names)) == 52
    assert list(names) == sorted(names)
    assert (names[0], names[10], names[22], names[51]) == ("af-ZA", "en-US", "ja-JP", "zh-TW")
    assert tuple(row.name for row in locales.LOCALES) == names


def test_every_row_is_filled_in() -> None:
    for row in locales.LOCALES:
        assert all((row.language, row.script, row.family, row.genus))
        assert len(row.iso639_3) == len(row.lang2vec_code) == len(row.lang2vec_code_fam) == 3


def test_the_table_is_the_shared_one(shared: Path) -> None:
    ours = Path(locales.__file__).with_name("locales.csv").read_text(encoding="utf-8")
    assert ours.splitlines() == (shared / "data/massive_locales.csv").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("sq-AL", "sq-AL"),
        ("SQ-al", "sq-AL"),
        ("sq", "sq-AL"),
        ("sqi", "sq-AL"),
        ("als", "sq-AL"),
        ("SQI", "sq-AL"),
        ("en", "en-US"),
        ("eng", "en-US"),
        ("nb", "nb-NO"),
        ("nor", "nb-NO"),
        ("ara", "ar-SA"),
        ("arb", "ar-SA"),
        ("zh-TW", "zh-TW"),
    ],
)
def test_a_locale_by_name_or_code(typed: str, name: str) -> None:
    assert locales.find(typed).name == name


@pytest.mark.parametrize("code", ["zh", "zho", "cmn"])
def test_chinese_is_two_locales(code: str) -> None:
    with pytest.raises(UserError, match=rf"Language code '{code}' stands for several locales: say zh-CN or zh-TW\."):
        locales.find(code)


def test_no_other_code_stands_for_two_locales() -> None:
    ambiguous = {"zh", "zho", "cmn"}
    for row in locales.LOCALES:
        for code in row.codes - ambiguous:
            assert locales.find(code) == row


def test_an_unknown_locale_gets_did_you_mean() -> None:
    for typed in ("sq-AK", "sq_AL"):
        with pytest.raises(
            UnknownName, match=rf"Unknown locale '{typed}': did you mean .*sq-AL.* See --list-locales\."
        ):
            locales.find(typed)
    with pytest.raises(UnknownName, match=r"Unknown locale '12345': 52 are known, af-ZA to zh-TW\."):
        locales.find("12345")


def test_names_that_the_data_at_hand_brings_are_known_besides() -> None:
    known = ("sq", "wol", "yo")
    assert locales.check(["WOL", "ja-jp", "yo", "wol"], known) == ("wol", "ja-JP", "yo")
    assert locales.find("sq", known).name == "sq", "the data's own names come first"
    assert locales.find("ja", known).name == "ja-JP"
    with pytest.raises(UnknownName, match=r"Unknown locale 'wolo': did you mean wol\?"):
        locales.check(["wolo"], known)
    with pytest.raises(UnknownName):
        locales.check(["wol"])


def test_what_is_not_in_the_table_has_its_name_and_the_family_other() -> None:
    assert locales.describe("sq-AL") == locales.locale("sq-AL")
    wolof = locales.describe("wol")
    assert (wolof.name, wolof.language, wolof.family, wolof.genus) == ("wol", "wol", locales.OTHER, locales.OTHER)
    assert sorted(["yo", "zh-TW", "af-ZA", "wol"], key=locales.position) == ["af-ZA", "zh-TW", "wol", "yo"]


def test_a_list_is_checked_and_freed_of_repetitions() -> None:
    assert locales.check(["ja-jp", "sq-AL", "ja-JP"]) == ("ja-JP", "sq-AL")
    assert locales.check([]) == ()
    with pytest.raises(UnknownName):
        locales.check(["sq-AL", "xx-XX"])


def test_locale_takes_names_only() -> None:
    with pytest.raises(UnknownName):
        locales.locale("sq")
