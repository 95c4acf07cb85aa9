"""MASSIVE on the hub: ``AmazonScience/massive`` is a script, which nobody runs any more; its parquet branch has the rows.

One question tells the commit and the files; then one file is fetched for each locale and split that is asked for, and kept
where the hub's client keeps everything. ``HF_ENDPOINT``, ``HF_HOME`` and ``HF_HUB_OFFLINE`` mean what they always mean: without
the network, what was fetched before is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sprachbund import cache, files
from sprachbund.data.layouts import HUB_SPLITS, HubFolder, Reader, hub_rows
from sprachbund.data.schema import PARTITIONS, Row
from sprachbund.errors import DataError, HubError
from sprachbund.hub_answers import COMMIT, distrust, listing

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo

__all__ = ["REPOSITORY", "REVISION", "open_hub"]

REPOSITORY, REVISION = "AmazonScience/massive", "refs/convert/parquet"
_PLACE = f"the hub's {REPOSITORY}"
_FILE = re.compile(rf"([^/]+)/({'|'.join(HUB_SPLITS.values())})/[^/]+\.parquet")


@dataclass(frozen=True)
class Hub:
    """The parquet branch at one commit."""

    commit: str
    files: tuple[str, ...]
    """As in the repository: ``sq-AL/test/0000.parquet``."""

    apart = True

    @property
    def locales(self) -> frozenset[str]:
        """The locales that have files."""
        return frozenset(match[1] for name in self.files if (match := _FILE.fullmatch(name)))

    def rows(self, locale: str, split: str | None = None) -> Iterator[Row]:
        """Yield the rows of one split, or of all; files that are not there yet are fetched."""
        for name in PARTITIONS if split is None else (split,):
            for file in sorted(self.files):
                if _FILE.fullmatch(file) and file.startswith(f"{locale}/{HUB_SPLITS[name]}/"):
                    yield from hub_rows(self._fetched(file), locale, name)

    def _fetched(self, file: str) -> Path:
        from huggingface_hub import hf_hub_download

        distrust()
        try:
            return Path(hf_hub_download(REPOSITORY, file, repo_type="dataset", revision=self.commit))
        except _failures() as error:
            raise DataError(
                f"{file} of {REPOSITORY} could not be fetched from the hub ({_reason(error)}): "
                "start again, which goes on where this ended, or name a copy, --data massive:PATH."
            ) from error


def open_hub() -> tuple[Reader, str]:
    """Return what reads the parquet branch or, where the hub cannot be asked, what was fetched from it before.

    Raises:
        DataError: neither can be had.
    """
    from huggingface_hub import HfApi

    distrust()
    try:
        with listing():
            hub = _told(HfApi().dataset_info(REPOSITORY, revision=REVISION))
    except _failures() as error:
        reader = _remembered() or _downloaded()
        if reader is None:
            raise DataError(f"{_PLACE}: {_reason(error)}") from error
        return reader
    with suppress(OSError):  # a cache that cannot be written costs no more than this
        files.write_json(_note(), asdict(hub))
    return hub, _origin(hub.commit)


def _told(found: DatasetInfo) -> Hub:
    """Return the branch that the hub tells of.

    Raises:
        DataError: it is at no commit, or has no rows.
    """
    if not COMMIT.fullmatch(found.sha or ""):
        raise DataError(f"{_PLACE}: {found.sha!r:.100} is no commit")
    hub = Hub(str(found.sha), tuple(sibling.rfilename for sibling in found.siblings or ()))
    if not hub.locales:
        raise DataError(f"{_PLACE}: it has no Parquet files")
    return hub


def _note() -> Path:
    """Return where commit and names of files are kept: the client keeps files by commit, and forgets which one it was."""
    return cache.folder() / "data" / "massive" / "hub.json"


def _remembered() -> tuple[Reader, str] | None:
    """Return the branch as it was when it was last asked, if the hub's client still has a file of it."""
    from huggingface_hub import try_to_load_from_cache

    try:
        known = json.loads(_note().read_text(encoding="utf-8"))
        hub = Hub(known["commit"], tuple(known["files"]))
    except (OSError, ValueError, KeyError, TypeError):  # nothing was kept, or it is none of ours
        return None
    for file in hub.files:
        if isinstance(try_to_load_from_cache(REPOSITORY, file, revision=hub.commit, repo_type="dataset"), str):
            return hub, _origin(hub.commit)
    return None


def _downloaded() -> tuple[Reader, str] | None:
    """Return the branch as somebody has downloaded it as a whole (``hf download``)."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(REPOSITORY, repo_type="dataset", revision=REVISION, local_files_only=True))
    except _failures():
        return None
    reader = HubFolder(folder)
    return (reader, _origin(folder.name)) if reader.locales else None


def _origin(commit: str) -> str:
    return f"{REPOSITORY} on the hub, commit {commit[:12]}"


_ODD = (LookupError, TypeError, AttributeError, AssertionError, RecursionError)
"""What the client ends in where an answer is not what a hub answers: it reads what it is told without a doubt."""


def _failures() -> tuple[type[Exception], ...]:
    """Return what the hub's client raises where the hub cannot be reached, says no, is none, or has no such file."""
    from huggingface_hub.errors import HfHubHTTPError

    transport = next(
        kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError" and kind is not HfHubHTTPError
    )
    return (transport, OSError, ValueError, HubError, *_ODD)


def _reason(error: Exception) -> str:
    """Return why, in a few words of the client's many."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, _ODD):
        return f"its answer cannot be understood ({type(error).__name__})"
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"it answered {status}" if status else (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
