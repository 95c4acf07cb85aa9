"""What the page is put together from: numbers as text, tables as CSV, pictures in the colours of the page."""

from __future__ import annotations

import csv
import io
import re
from itertools import product
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest

from sprachbund.report.drawing import drawn
from sprachbund.report.heatmap import HeatMap, heat_map_figure
from sprachbund.report.html.material import anchor
from sprachbund.report.html.sheets import Entry, Head, Kind, Link, Sheet, csv_link, percent, shown
from sprachbund.report.html.theme import DARK, LIGHT, variables
from sprachbund.report.html.vector import inline
from sprachbund.report.scatter import Dot, Scatter, scatter_figure
from sprachbund.report.stats import Interval

# --- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "kind", "text"),
    [
        (None, "fraction", ""),
        (0, "count", "0"),
        (2974, "count", "2974"),
        (0.07027, "fraction", "0.070"),
        (0.0251, "points", "+2.5"),
        (-0.1493, "points", "−14.9"),
        (-0.0001, "points", "+0.0"),
        (0.0342, "p", "0.034"),
        (0.0001, "p", "0.0001"),
        (0.00009, "p", "< 0.0001"),
        (0.0, "p", "< 0.0001"),
        (1.0, "p", "1"),
        (12.345, "seconds", "12.3"),
        (1.23456, "number", "1.235"),
        ("as it is", "text", "as it is"),
        (Link("sq-AL", "locale-sq-AL"), "word", "sq-AL"),
        (Interval(-0.012, 0.034), "points", "−1.2 … +3.4"),
        (Interval(0.5, 0.75), "fraction", "0.500 … 0.750"),
    ],
)
def test_what_people_read(entry: Entry, kind: Kind, text: str) -> None:
    assert shown(entry, kind) == text


def test_per_cent() -> None:
    assert [percent(0.95), percent(0.998)] == ["95 %", "100 %"]


# --- tables ------------------------------------------------------------------------------------------------------------


def test_csv_has_every_digit_and_survives_a_link() -> None:
    heads = (Head("locale", "locale"), Head("mean", "mean", "points"), Head("interval", "interval", "points"))
    rows = (
        (Link("sq-AL", "x"), 1 / 3, Interval(0.1, 2 / 3)),
        ('a "quoted", <b>bold</b>\nname & #1 %41 ünï', None, None),
    )
    link = csv_link(Sheet("name", "", heads, rows).csv)
    head, _, content = link.partition(",")
    assert head == "data:text/csv;charset=utf-8"
    assert not re.search(r'[\s"<>#]', content)
    assert list(csv.reader(io.StringIO(unquote(content)))) == [
        ["locale", "mean", "interval_low", "interval_high"],
        ["sq-AL", repr(1 / 3), "0.1", repr(2 / 3)],
        ['a "quoted", <b>bold</b>\nname & #1 %41 ünï', "", "", ""],
    ]


@pytest.mark.parametrize(("rows", "sortable", "filterable"), [(15, True, False), (16, True, True), (16, False, False)])
def test_long_tables_can_be_filtered(rows: int, sortable: bool, filterable: bool) -> None:
    assert Sheet("name", "", (Head("a", "a"),), (("x",),) * rows, sortable).filterable is filterable


def test_an_anchor_can_stand_in_a_link() -> None:
    assert anchor("sq-AL") == "locale-sq-AL"
    assert re.fullmatch(r"[\w-]+", anchor('x" onclick="y ü'))
    assert len({anchor(name) for name in ("a b", "a_b", "a/b", "ab", "a_20_b")}) == 5


# --- pictures ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def svg() -> bytes:
    values = np.array([[1.0, 0.25], [0.5, np.nan]])
    picture = HeatMap("Weights in a$b$ <x>", "said", ("de-DE", "tr-TR"), ("de-DE", "fr-FR"), values)
    return drawn(lambda: heat_map_figure(picture), "svg")


def test_a_picture_takes_the_colours_and_letters_of_the_page(svg: bytes) -> None:
    page = inline(svg, "weights", "A title", "What it shows")
    colours = {f"var(--{name})" for name in LIGHT}
    used = set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", page))
    assert {"var(--ink)", "var(--quiet)", "var(--paper)"} <= used <= colours | {"none"}
    assert "font-family" not in page
    assert "Weights in a$b$ &lt;x&gt;" in page
    assert len(page) < 0.6 * len(svg)


def test_two_pictures_share_no_id_and_each_finds_its_own(svg: bytes) -> None:
    first, second = (ElementTree.fromstring(inline(svg, name, "T", "D")) for name in ("one", "two"))
    ids = [{node.get("id") for node in root.iter() if node.get("id")} for root in (first, second)]
    assert ids[0].isdisjoint(ids[1])
    for root, own in zip((first, second), ids, strict=True):
        text = ElementTree.tostring(root, encoding="unicode")
        referred = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text))
        assert referred
        assert {one or two for one, two in referred} <= own
        assert root.get("role") == "img"
        assert {"one", "two"} >= {name.partition("-")[0] for name in own}


def test_positions_are_those_of_matplotlib_to_a_hundredth(svg: bytes) -> None:
    page = inline(svg, "weights", "T", "D")
    places = [
        [(float(x), float(y)) for x, y in re.findall(r'<text[^>]* x="([\d.-]+)" y="([\d.-]+)"', text)]
        for text in (svg.decode(), page)
    ]
    assert len(places[0]) > 5
    np.testing.assert_allclose(places[1], places[0], atol=0.0051)
    before, after = (re.findall(r'href="(data:image/png;base64,[^"]+)"', text) for text in (svg.decode(), page))
    assert ["".join(image.split()) for image in before] == after


def test_a_dot_far_from_the_others_has_its_name() -> None:
    dots = [Dot(f"d{number}", 0.5 + number / 1000, 0.0) for number in range(30)] + [Dot("far", 0.9, 12.0)]
    text = drawn(lambda: scatter_figure(Scatter("t", "s", "across", "up", dots)), "svg").decode()
    named = re.findall(r">(far|d\d+)<", text)
    assert "far" in named
    assert len(named) == 12


# --- colours -----------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_what_the_standard_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005), "the well-known grey that just fails"


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_all_text_can_be_read_and_all_marks_be_seen(theme: dict[str, str]) -> None:
    for text, paper in product(("ink", "quiet", "link"), ("paper", "band")):
        assert contrast(theme[text], theme[paper]) >= 4.5, f"{text} on {paper}"
    assert contrast(theme["ink"], theme["notice"]) >= 4.5
    for mark in ("blue", "orange", "green"):
        assert contrast(theme[mark], theme["band"]) >= 3, mark


def test_both_themes_name_the_same_colours() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT), "a picture's colour has one name"
    assert variables({"ink": "#000000", "paper": "#ffffff"}) == "--ink:#000000;--paper:#ffffff;"
