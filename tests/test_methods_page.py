"""docs/methods.md says what the registry says. To write its tables anew:

SPRACHBUND_WRITE_DOCS=1 python -m pytest tests/test_methods_page.py
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from sprachbund.cli.list_methods import needs, options
from sprachbund.mergekit import FOREIGN, Foreign
from sprachbund.methods import METHODS, Method

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "methods.md"
WRITE_DOCS = "SPRACHBUND_WRITE_DOCS"
TESTS = {
    "mergekit": ("tests/reference/test_mergekit.py", "tests/reference/recipes"),
    "fusion-bench": ("tests/reference/test_fusionbench.py", "tests/reference"),
    "float64": ("tests/methods", "tests/methods"),
}
"""By the first word of a method's reference: where it is tested, and where its name must stand."""


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def table(titles: Sequence[str], rows: Sequence[str]) -> str:
    return "\n".join([row(*titles), f"|{'---|' * len(titles)}", *rows])


def method_row(method: Method) -> str:
    star = {name: "*" if option.per_source else "" for name, option in method.options.items()}
    return row(
        f"`{method.name}`",
        method.formula.replace("|", "\\|"),
        method.paper,
        method.kind,
        ", ".join(needs(method)) or "-",
        method.granularity,
        ", ".join(f"`{name}={default}`{star[name]}" for name, default in options(method).items()),
        f"[{method.reference}]({place_of(method)})",
    )


def place_of(method: Method) -> str:
    """The test that holds a method to its reference, from docs/."""
    where, named = TESTS[method.reference.replace(",", " ").split()[0]]
    if not where.endswith(".py"):
        found = [path for path in (ROOT / where).glob("test_*.py") if f'"{method.name}"' in path.read_text("utf-8")]
        nearest = min(found, key=lambda path: (method.name not in path.name, path.name))
        where = named = str(nearest.relative_to(ROOT))
    files = [ROOT / named] if named.endswith(".py") else [*(ROOT / named).iterdir()]
    texts = [path.read_text(encoding="utf-8") for path in files if path.suffix in {".py", ".yml"}]
    assert any(name in text for text in texts for name in names_of(method)), method.name
    return f"../{where}"


def names_of(method: Method) -> set[str]:
    """What a method is called in tests: its own name or, in recipes, mergekit's for it."""
    forms = {"multislerp_taus": "multislerp", "model_stock_filter_wise": "filter_wise"}
    theirs = {name for name, foreign in FOREIGN.items() if foreign.method == method.name}
    return {method.name, forms.get(method.name, method.name), *theirs}


def foreign_row(name: str, foreign: Foreign) -> str:
    ours = [foreign.method, *(f"{option}={str(value).lower()}" for option, value in foreign.ours.items())]
    divides = "the sum of weights" if not foreign.elects else "the sum of the weights that agree"
    default = "-" if foreign.normalize is None else f"`{foreign.normalize[0]}`: {str(foreign.normalize[1]).lower()}"
    return row(
        f"`{name}`",
        f"`{' '.join(ours)}`",
        ", ".join(f"`{option}`" for option in foreign.options),
        "yes" if foreign.weighted else "no",
        default if foreign.normalize is None else f"{default}, by {divides}",
    )


SECTIONS = {
    (
        "<!-- the methods of the registry, written by tests/test_methods_page.py -->",
        "<!-- end of the methods -->",
    ): table(
        ("method", "formula", "paper", "kind", "needs", "cut by", "options", "checked by"),
        [method_row(method) for method in METHODS.values()],
    ),
    ("<!-- the names of mergekit, written by tests/test_methods_page.py -->", "<!-- end of the names -->"): table(
        ("merge_method", "here", "parameters", "a weight each", "divided, and whether by default"),
        [foreign_row(name, foreign) for name, foreign in FOREIGN.items()],
    ),
}


@pytest.mark.parametrize("section", SECTIONS, ids=["methods", "mergekit"])
def test_the_page_has_the_tables_of_the_registries(section: tuple[str, str]) -> None:
    begin, end = section
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    found, _, after = rest.partition(end)
    assert after, f"{PAGE} has no place for the table"
    expected = f"\n\n{SECTIONS[section]}\n\n"
    if os.environ.get(WRITE_DOCS):
        PAGE.write_text(f"{before}{begin}{expected}{end}{after}", encoding="utf-8")
    else:
        assert found == expected
