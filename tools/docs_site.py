"""What mkdocs asks of us while it builds the site (a hook of mkdocs.yml): pages from code and registries, and links.

The commands, their flags, the settings, similarities and variants are written from what the program says of itself, at each
build; pages that stand outside docs/ become pages of the site. A link that leaves docs/ leads to the repository if mkdocs.yml
has a ``repo_url``; else its text stays and the link goes, since a site has nothing there.
"""

from __future__ import annotations

import io
import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel

from sprachbund.cli import app, run
from sprachbund.config import ExperimentConfig, MergeConfig

__all__ = ["commands", "on_files", "on_page_markdown", "rewritten", "settings", "similarities", "variants"]

ROOT = Path(__file__).resolve().parents[1]
FROM_THE_ROOT = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages outside docs/, by the address that they get on the site."""
HOME = {"README.md": "index.md", "docs/": "index.md"}
BRANCH = "main"
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that nobody writes by hand."""
    made = {
        "reference/commands.md": commands(),
        "reference/settings.md": settings(),
        "reference/similarities.md": similarities(),
        "reference/variants.md": variants(),
    }
    for name, address in FROM_THE_ROOT.items():
        made[address] = (ROOT / name).read_text(encoding="utf-8")
    for address, text in made.items():
        files.append(File.generated(config, address, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links lead somewhere."""
    address = page.file.src_uri
    home = next((name for name, there in FROM_THE_ROOT.items() if there == address), f"docs/{address}")
    return rewritten(markdown, home, config.repo_url or "")


def rewritten(markdown: str, home: str, repository: str) -> str:
    """Return a page of the repository, ``home``, with links as the site has them; code stays as it is."""
    parts = FENCE.split(markdown)
    return "".join(
        part if part.startswith("```") else LINK.sub(lambda found: _link(found, home, repository), part)
        for part in parts
    )


def _link(found: re.Match[str], home: str, repository: str) -> str:
    text, target = found.groups()
    path, _, anchor = target.partition("#")
    if not path or ":" in path:
        return found.group()
    place = posixpath.normpath(posixpath.join(posixpath.dirname(home), path))
    here = _on_the_site(f"{place}/" if path.endswith("/") else place)
    if here is None:
        return f"[{text}]({repository.rstrip('/')}/blob/{BRANCH}/{place})" if repository else text
    back = posixpath.relpath(here, posixpath.dirname(_on_the_site(home) or "") or ".")
    return f"[{text}]({back}{'#' if anchor else ''}{anchor})"


def _on_the_site(place: str) -> str | None:
    """Return where a file of the repository stands on the site; None if it does not."""
    if place in FROM_THE_ROOT or place in HOME:
        return FROM_THE_ROOT.get(place) or HOME[place]
    return place.removeprefix("docs/") if place.startswith("docs/") and not place.endswith("/") else None


# --- pages from code ---------------------------------------------------------------------------------------------------


def commands() -> str:
    """Return the page of all commands, as they describe themselves."""
    page: str = app.generate_docs(output_format="markdown", recursive=True)
    before, _, rest = page.partition("## Table of Contents")
    whole = f"{before}{rest[rest.index('**Commands**') :]}".replace("# sprachbund\n", "# Commands\n", 1)
    return "".join(part if part.startswith("`") else part.replace("_", "\\_") for part in CODE.split(whole))


def settings() -> str:
    """Return the page of what an experiment and a merge can be told."""
    return "\n\n".join(
        [
            "# Settings",
            "What `sprachbund experiment` and `sprachbund.Experiment` take. A flag has hyphens for underscores "
            "(`--num-languages 3`), a line of `--config FILE` has the name as it is (`num_languages: 3`), and a variable "
            "stands behind the command (`SPRACHBUND_EXPERIMENT_NUM_LANGUAGES=3`).",
            _fields(ExperimentConfig),
            "## One merge for a target",
            "What `sprachbund merge --mode … --target-lang …` and `sprachbund.merge_for` take.",
            _fields(MergeConfig),
            "",
        ]
    )


def _fields(kind: type[BaseModel]) -> str:
    rows = [
        {
            "setting": f"`{name}`",
            "default": "needed" if field.is_required() else _default(field.default),
            "what it says": str(field.description),
        }
        for name, field in kind.model_fields.items()
    ]
    return _table(rows)


def _default(value: Any) -> str:
    if value in (None, (), ""):
        return ""
    shown = " ".join(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else value
    return f"`{shown}`"


def similarities() -> str:
    """Return the page of all similarities."""
    rows = [{**row, "similarity": f"`{row['similarity']}`"} for row in _answer("similarity", "--list")]
    return "\n\n".join(
        [
            "# Similarities",
            "What `--similarity` takes; `sprachbund similarity --list` prints the same. `A+B` is the mean of A and B, each on "
            "its own scale. What each has seen of its target is said in every table that rests on it.",
            _table(rows),
            "",
        ]
    )


def variants() -> str:
    """Return the page of all variants."""
    rows = [{**row, "variant": f"`{row['variant']}`"} for row in _answer("variants")]
    return "\n\n".join(
        [
            "# Variants",
            "What `--variants` of an experiment takes and, as far as they are adaptations, `--method` of "
            "`sprachbund adapt`; `sprachbund variants` prints the same. Unlabelled text is what the data sets aside "
            "(`--data split:…`), a few labels likewise.",
            _table(rows),
            "",
        ]
    )


def _answer(*words: str) -> Any:
    """Return what a command answers to a program."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        status = run([*words, "--json"])
    assert status == 0, words
    return json.loads(printed.getvalue())


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    titles = list(rows[0])
    lines = [titles, ["---"] * len(titles), *([_cell(row[title]) for title in titles] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Return text that Markdown takes for nothing but text, in one cell of a table; code stays code."""
    line = " ".join(text.split()).replace("|", "\\|")
    return line if line.startswith("`") else line.replace("[", "&#91;").replace("{", "&#123;").replace("<", "&lt;")
