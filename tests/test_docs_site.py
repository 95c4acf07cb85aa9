"""The documentation: built without a warning, every page in it, every command line that it shows one that can be typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sprachbund.cli import app, run
from sprachbund.config import ExperimentConfig, MergeConfig
from sprachbund.recipe import VARIANTS
from sprachbund.similarity import SIMILARITIES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "tools"))
try:
    import docs_site
finally:
    sys.path.pop(0)

PAGES = sorted(DOCS.rglob("*.md"))
TYPED = re.compile(r"^ *(?:[A-Z_]+=\S* )*sprachbund (.*)$")


def nav() -> list[str]:
    """Every page that the navigation lists, in its order."""
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return list(leaves(site["nav"]))


def leaves(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for each in entry.values() if isinstance(entry, dict) else entry:
            yield from leaves(each)


def lines(page: Path) -> Iterator[str]:
    """The command lines of ours in blocks of code: without a prompt, what is set before them, or where output goes."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = re.findall(r"^```(?:bash|console)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    indented = [line for line in text.splitlines() if line.startswith("    ")]
    for line in [*"\n".join(fenced).splitlines(), *indented]:
        if found := TYPED.match(line):
            yield found[1].partition(" > ")[0]


LINES = sorted({(str(page.relative_to(ROOT)), line) for page in [ROOT / "README.md", *PAGES] for line in lines(page)})


def test_every_page_is_in_the_navigation_once() -> None:
    listed = nav()
    made = {"reference/commands.md", "reference/settings.md", "reference/similarities.md", "reference/variants.md"}
    assert len(listed) == len(set(listed))
    assert {*listed} == {str(page.relative_to(DOCS)) for page in PAGES} | made | {*docs_site.FROM_THE_ROOT.values()}


def test_there_are_command_lines() -> None:
    pages = {page for page, _ in LINES}
    assert {str(page.relative_to(ROOT)) for page in (DOCS / "how-to").glob("*.md")} - pages == {
        "docs/how-to/index.md",
        "docs/how-to/python.md",
    }


@pytest.mark.parametrize(("page", "line"), LINES)
def test_a_command_line_can_be_typed(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is read to its end, and not run: --print-config says what it comes to."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    (tmp_path / "settings.yaml").write_text("num_languages: 3\n", encoding="utf-8")
    words = shlex.split(line, comments=True)
    end = words.index("--") if "--" in words else len(words)
    if "--print-config" not in words:
        words.insert(end, "--print-config")
    assert run(words) == 0, capsys.readouterr().err


def test_a_wrong_command_line_would_be_noticed() -> None:
    assert run(shlex.split("merge --sorce a b --print-config")) == 2


@pytest.mark.parametrize("page", ["index", "how-to/labels", "explanation/heads", "explanation/without-labels"])
def test_figures_are_those_of_the_experiment(page: str) -> None:
    """Who scores anew has to look at these pages, too."""
    measured = "".join(
        (DOCS / name).read_text(encoding="utf-8") for name in ("experiments/massive-52.md", "tutorial.md")
    )
    cited = re.findall(r"[+−]\d+\.\d|\b0\.\d{2,3}\b", (DOCS / f"{page}.md").read_text(encoding="utf-8"))
    assert len(cited) >= 6
    for figure in cited:
        assert re.search(rf"(?<!\d){re.escape(figure.lstrip('+−'))}", measured), figure


def test_the_reference_is_what_there_is() -> None:
    page = docs_site.commands()
    for command in (name for name in app if not name.startswith("-")):
        assert f"## sprachbund {command}\n" in page
    assert "--num-languages" in page
    for name in (*ExperimentConfig.model_fields, *MergeConfig.model_fields):
        assert f"| `{name}` |" in docs_site.settings()
    for name in VARIANTS:
        assert f"| `{name}` |" in docs_site.variants()
    for name, _ in SIMILARITIES.items():
        assert f"| `{name}` |" in docs_site.similarities()


@pytest.mark.parametrize(
    ("home", "link", "there", "with_repository"),
    [
        ("docs/methods.md", "[a](inputs.md#data)", "[a](inputs.md#data)", "[a](inputs.md#data)"),
        ("docs/how-to/x.md", "[a](../inputs.md)", "[a](../inputs.md)", "[a](../inputs.md)"),
        ("docs/methods.md", "[a](../CONTRIBUTING.md)", "[a](contributing.md)", "[a](contributing.md)"),
        ("docs/experiments/x.md", "[a](../../README.md)", "[a](../index.md)", "[a](../index.md)"),
        ("CONTRIBUTING.md", "[a](docs/methods.md#all)", "[a](methods.md#all)", "[a](methods.md#all)"),
        ("docs/methods.md", "[a b](../tests/x.py)", "a b", "[a b](https://here/blob/main/tests/x.py)"),
        ("docs/methods.md", "[a](https://b.c)", "[a](https://b.c)", "[a](https://b.c)"),
        ("docs/methods.md", "![a](../tests/x.png)", "![a](../tests/x.png)", "![a](../tests/x.png)"),
        ("docs/methods.md", "```\n[a](../b)\n```", "```\n[a](../b)\n```", "```\n[a](../b)\n```"),
    ],
)
def test_links_lead_somewhere(home: str, link: str, there: str, with_repository: str) -> None:
    assert docs_site.rewritten(link, home, "") == there
    assert docs_site.rewritten(link, home, "https://here/") == with_repository


def test_the_site_is_built_without_a_warning_and_asks_nobody(tmp_path: Path) -> None:
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in nav():
        assert (tmp_path / "site" / page).with_suffix(".html").is_file()
    fetched = re.compile(
        r'<(?:script|img|iframe|link(?![^>]*rel="(?:canonical|next|prev)"))[^>]*(?:src|href)="https?://'
    )
    for html in (tmp_path / "site").rglob("*.html"):
        assert not fetched.search(html.read_text(encoding="utf-8")), html
    merged = (tmp_path / "site/reference/python.html").read_text(encoding="utf-8")
    assert 'id="sprachbund.api.merge"' in merged
