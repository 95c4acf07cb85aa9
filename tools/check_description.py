"""Whether what PyPI will show has a link that leads nowhere: PyPI knows no folder that a relative link could start from.

    python tools/check_description.py dist/*

The README has such links, for whoever reads it beside the code. The build makes them into text (``pyproject.toml``,
fancy-pypi-readme), since there is no public address that they could become. Exit status 1 if one is left.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

LINK = re.compile(r"\]\(\s*<?(?!https?://|mailto:|#)([^)\s>]*)|\b(?:href|src)=[\"'](?!https?://|mailto:|#)([^\"']*)")


def relative_links(text: str) -> list[str]:
    """Return where the links and pictures of a Markdown text lead that start from a folder."""
    return [markdown or html for markdown, html in LINK.findall(text)]


def description(path: Path) -> str:
    """Return the long description of a wheel or a source distribution."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            content = next(wheel.read(name) for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    else:
        with tarfile.open(path) as archive:
            member = archive.extractfile(f"{path.name.removesuffix('.tar.gz')}/PKG-INFO")
            assert member is not None, "it is an ordinary file"
            content = member.read()
    payload = message_from_bytes(content).get_payload(decode=True)
    assert isinstance(payload, bytes), "metadata has one part"
    return payload.decode()


def main(paths: list[str]) -> int:
    """Print each link that leads nowhere; return whether there is one, or nothing to look at."""
    texts = {path: description(Path(path)) for path in paths}
    found = [f"{path}: relative link to {link}" for path, text in texts.items() for link in relative_links(text)]
    found += [f"{path}: no description" for path, text in texts.items() if not text.strip()]
    print("\n".join(found) or f"{len(texts)} descriptions, no relative link")
    return int(bool(found) or not texts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
