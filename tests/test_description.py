"""What PyPI shows: the README, without a link that leads nowhere there."""

from __future__ import annotations

import re
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tool(tool_named: Callable[[str], ModuleType]) -> ModuleType:
    return tool_named("check_description")


def built() -> str:
    """The description as the build makes it of its settings."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hook = settings["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    parts = [
        (ROOT / each["path"]).read_text(encoding="utf-8") if "path" in each else each["text"]
        for each in hook["fragments"]
    ]
    text = "".join(parts)
    for each in hook["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    return text


def test_relative_links_become_text_and_others_stay(tool: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"docs/inputs.md", "docs/images/demo.png", "CHANGELOG.md"} <= set(tool.relative_links(readme))
    text = built()
    assert tool.relative_links(text) == []
    assert "[MASSIVE](https://arxiv.org/abs/2204.08582)" in text
    assert "What goes in has the details" in text
    assert "![" not in text


def test_what_was_built_is_looked_into(tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def metadata(text: str) -> bytes:
        return f"Metadata-Version: 2.4\nName: x\n\n{text}".encode()

    wheel, source = tmp_path / "x-1-py3-none-any.whl", tmp_path / "x-1.tar.gz"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("x-1.dist-info/METADATA", metadata("Größe: [a page](docs/page.md), [a site](https://a.b)"))
    (tmp_path / "PKG-INFO").write_bytes(metadata('[here](#there) <img src="docs/a.png">'))
    with tarfile.open(source, "w:gz") as tar:
        tar.add(tmp_path / "PKG-INFO", "x-1/PKG-INFO")
    assert tool.main([str(wheel), str(source)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{wheel}: relative link to docs/page.md",
        f"{source}: relative link to docs/a.png",
    ]
    assert tool.main([]) == 1
