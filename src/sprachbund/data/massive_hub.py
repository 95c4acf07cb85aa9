"""MASSIVE on the hub: ``AmazonScience/massive`` is a script, which nobody runs any more; its parquet branch has the rows.

One question tells the commit and the files; then one file is fetched for each locale and split that is asked for, and kept
where the hub's client keeps everything. ``HF_ENDPOINT``, ``HF_HOME`` and ``HF_HUB_OFFLINE`` mean what they always mean: without
the network, what was fetched before is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sprachbund.data.layouts import HUB_SPLITS, HubFolder, Reader, hub_rows
from sprachbund.data.schema import PARTITIONS, Row
from sprachbund.errors import DataError

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
                if file.startswith(f"{locale}/{HUB_SPLITS[name]}/"):
                    yield from hub_rows(self._fetched(file), locale, name)

    def _fetched(self, file: str) -> Path:
        from huggingface_hub import hf_hub_download

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

    try:
        found = HfApi().dataset_info(REPOSITORY, revision=REVISION)
    except _failures() as error:
        return _before(error)
    names = tuple(sibling.rfilename for sibling in found.siblings or ())
    hub = Hub(found.sha or REVISION, names)
    if not hub.locales:
        raise DataError(f"{_PLACE}: it has no Parquet files")
    return hub, _origin(hub.commit)


def _before(error: Exception) -> tuple[Reader, str]:
    """Return what the hub's client has kept; ``error`` is why the hub itself could not be asked."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(REPOSITORY, repo_type="dataset", revision=REVISION, local_files_only=True))
    except _failures():
        raise DataError(f"{_PLACE}: {_reason(error)}") from error
    reader = HubFolder(folder)
    if not reader.locales:
        raise DataError(f"{_PLACE}: {_reason(error)}") from error
    return reader, _origin(folder.name)


def _origin(commit: str) -> str:
    return f"{REPOSITORY} on the hub, commit {commit[:12]}"


def _failures() -> tuple[type[Exception], ...]:
    """Return what the hub's client raises where the hub cannot be reached, says no, or has no such file."""
    from huggingface_hub.errors import HfHubHTTPError

    transport = next(
        kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError" and kind is not HfHubHTTPError
    )
    return (transport, OSError, ValueError)


def _reason(error: Exception) -> str:
    """Return why, in a few words of the client's many."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"it answered {status}" if status else (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
