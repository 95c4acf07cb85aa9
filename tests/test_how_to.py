"""The how-to pages: their commands, typed one after the other as they stand, do what they are said to do, on pico models."""

from __future__ import annotations

import re
import shlex
import tarfile
from pathlib import Path

import pytest
import workshop
from pico import INTENTS, Pico, markers, rows_of

from sprachbund.cli import run

PAGES = Path(__file__).resolve().parents[1] / "docs" / "how-to"
LANGUAGES = ("de-DE", "el-GR", "en-US", "fr-FR", "ro-RO")
NEEDS_THE_HUB = {"hub"}
BEFORE = {"results": "resume"}
"""A page that looks at what another has made."""
RECIPE = """\
merge_method: linear
models:
  - {model: models/a, parameters: {weight: 1}}
  - {model: models/b, parameters: {weight: 3}}
dtype: float32
"""
NEWS = """\
files: ["{locale}/{split}.tsv"]
columns: {text: headline, label: desk}
locales: {swh_Latn: sw-KE}
splits: {validation: dev}
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages say that there is."""
    folder = tmp_path_factory.mktemp("given")
    for name in LANGUAGES:
        Pico(folder / "my-models").source(name)
    for name in ("a", "b", "c", "de-DE", "fr-FR", "nl-NL"):
        Pico(folder / "models").source(name)
    Pico(folder).base("my-base")
    write = {
        "zoo.csv": ["locale,model", *(f"{name},my-models/{name}" for name in LANGUAGES)],
        "texts.csv": [
            "locale,split,id,text,label",
            *(
                f"{r.locale},{r.partition},{r.id},{r.utt},{r.intent}"
                for name in (*LANGUAGES, "sq-AL")
                for r in rows_of(name)
            ),
        ],
        "raw-sq.txt": [row.utt for row in rows_of("sq-AL")],
        "de.txt": [row.utt for row in rows_of("de-DE")],
        "fr.txt": [row.utt for row in rows_of("fr-FR")],
        "few-sq.tsv": [f"{intent}\t{word} bala" for intent in INTENTS for word in markers(intent)],
        "recipe.yml": [RECIPE],
        "news.yaml": [NEWS],
    }
    for name, lines in write.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    for split in ("train", "validation", "test"):
        news = folder / "swh_Latn" / f"{split}.tsv"
        news.parent.mkdir(exist_ok=True)
        news.write_text(f"headline\tdesk\nkeme {split}\tpolitics\nlisu {split}\tsports\n", encoding="utf-8")
    massive = workshop.make_workshop(folder / "massive", (), ("en-US", "sq-AL")) / "data"
    with tarfile.open(folder / "massive-1.1.tar.gz", "w:gz") as archive:
        archive.add(massive, "1.1/data")
    return folder


def commands(page: str) -> list[tuple[str, str]]:
    """The command lines of a page, each with the file that its output goes to, or nothing."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line.partition(" > ") for block in blocks for line in block.splitlines()]
    return [(line.removeprefix("sprachbund "), out.strip()) for line, _, out in lines if line.startswith("sprachbund ")]


@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize("page", sorted(page.stem for page in PAGES.glob("*.md") if page.stem not in NEEDS_THE_HUB))
def test_the_commands_of_a_page_run(
    page: str, given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPRACHBUND_CACHE", str(tmp_path / "cache"))
    here = tmp_path / "here"
    here.mkdir()
    for path in given.iterdir():
        (here / path.name).symlink_to(path)
    monkeypatch.chdir(here)
    before = commands(BEFORE[page])[:1] if page in BEFORE else []
    for line, out in [*before, *commands(page)]:
        capsys.readouterr()
        status = run(shlex.split(line, comments=True))
        printed = capsys.readouterr()
        assert status == 0, f"sprachbund {line}\n{printed.err}"
        if out:
            Path(out).write_text(printed.out, encoding="utf-8")
