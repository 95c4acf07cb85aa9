"""From matplotlib's SVG to a picture that is part of a page: it takes the page's colours and fonts, and says what it shows.

What only a file of its own needs goes: the document's head, metadata, groups that hold nothing together, digits beyond a
hundredth of a point. Ids that something refers to get the picture's name in front, since ids are one space in a page.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from sprachbund.report.html.theme import LIGHT

__all__ = ["inline"]

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
NAMES = {colour: f"var(--{name})" for name, colour in LIGHT.items()}
REFERENCE = re.compile(r"#([\w-]+)")
NUMBER = re.compile(r"-?\d+\.\d{3,}")
SMALLEST = 0.85
"""Of its natural size: below that a page shows a part of it, and lets people scroll."""
WITHOUT_USE = {f"{SVG}metadata", f"{SVG}style"}


def inline(svg: bytes, name: str, title: str, description: str) -> str:
    """Return a picture as an element for HTML.

    Args:
        svg: what matplotlib wrote.
        name: of the picture, different from those of all others on the page.
        title: what it is, in a few words.
        description: what it shows, for those who cannot see it.
    """
    root = ElementTree.fromstring(svg)
    wanted = {found for value in _values(root) for found in REFERENCE.findall(value)}
    _clean(root, name, wanted)
    box = root.get("viewBox", "0 0 1 1")
    root.attrib.clear()
    root.attrib.update(
        {"viewBox": box, "role": "img", "aria-labelledby": f"{name}-title {name}-desc", "style": _natural(box)}
    )
    for kind, text in (("desc", description), ("title", title)):
        said = Element(f"{SVG}{kind}", id=f"{name}-{kind}")
        said.text = text
        root.insert(0, said)
    for element in root.iter():  # HTML knows svg, and what is in it, without namespaces
        element.tag = element.tag.removeprefix(SVG)
    return ElementTree.tostring(root, encoding="unicode")


def _natural(box: str) -> str:
    """Say how wide the picture is, in CSS pixels (a point is 4/3 of one), and to what its letters let it shrink."""
    width = float(box.split()[2]) * 4 / 3
    return f"width:{width:.0f}px;min-width:{SMALLEST * width:.0f}px"


def _values(root: Element) -> list[str]:
    """Return all that may refer to something: whatever stands in attributes but ids and long data."""
    return [
        value
        for element in root.iter()
        for key, value in element.attrib.items()
        if key != "id" and not value.startswith("data:")
    ]


def _clean(parent: Element, name: str, wanted: set[str]) -> None:
    """Tidy everything below an element."""
    children: list[Element] = []
    for child in parent:
        if child.tag in WITHOUT_USE:
            continue
        _clean(child, name, wanted)
        child.tail = None
        if child.text and not child.text.strip():
            child.text = None
        _tidy(child, name, wanted)
        if child.tag == f"{SVG}g" and not child.attrib:
            children += list(child)
        else:
            children.append(child)
    parent[:] = children


def _tidy(element: Element, name: str, wanted: set[str]) -> None:
    """Give one element the page's colours and fonts, and its ids the picture's name."""
    old = dict(element.attrib)
    element.attrib.clear()
    for key, value in old.items():
        if key == "id":
            if value in wanted:
                element.set("id", f"{name}-{value}")
        elif key == f"{XLINK}href":
            element.set("href", f"#{name}-{value[1:]}" if value.startswith("#") else "".join(value.split()))
        elif key == "clip-path":
            element.set(key, REFERENCE.sub(rf"#{name}-\1", value))
        elif key == "style":
            if style := _style(value):
                element.set(key, style)
        elif not (key == "transform" and value.startswith("rotate(-0 ")):
            element.set(key, NUMBER.sub(_rounded, " ".join(value.split())))


def _style(style: str) -> str:
    """Return the declarations that are not the page's business, with names for colours."""
    declarations = (part.partition(":") for part in style.split(";") if part.strip())
    kept = {key.strip(): value.strip() for key, _, value in declarations if key.strip() != "font-family"}
    return ";".join(f"{key}:{NAMES.get(value.lower(), value)}" for key, value in kept.items())


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
