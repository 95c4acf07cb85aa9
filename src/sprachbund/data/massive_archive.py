"""The official archive of MASSIVE: fetched once, read through once, kept in the cache as one Parquet file per locale.

A compressed tar cannot be entered midway, so that without this every command would unpack all 52 locales to read one. What is
kept is known by the SHA-256 of the archive and stands under its name whole or not at all.
"""

from __future__ import annotations

import bz2
import gzip
import http.client
import io
import lzma
import os
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sprachbund import __version__, cache, digests, files, locales, locks
from sprachbund.data.layouts import ParquetFolder, Reader, parse_lines, write_rows
from sprachbund.errors import DataError

__all__ = ["SHA256", "URL", "URL_VARIABLE", "from_cache", "from_the_net", "known_as", "open_archive"]

URL = "https://amazon-massive-nlu-dataset.s3.amazonaws.com/amazon-massive-dataset-1.1.tar.gz"
SHA256 = "4cba5faa11c71437928e17cb1b9b3d8b8e727e7ea363a3a9a8045e19c0491577"
URL_VARIABLE = "SPRACHBUND_MASSIVE_URL"
"""Names another address of the same archive, a mirror."""
FORMAT = 1
"""Raised when what is kept of an archive changes."""
TIMEOUT = 30
"""Seconds without a byte after which a connection counts as cut."""
ATTEMPTS = 3
"""How often in a row nothing may arrive."""
_CHUNK = 1 << 20
MOST_UNPACKED, MOST_AT_ONCE, MOST_MEMBERS = 4_000_000_000, 1 << 26, 10_000
"""Of an archive: bytes of all that is in it, bytes that are read at once, files; the official one has a tenth of them."""
_PACKED: Mapping[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
"""How files begin that are packed, and who unpacks them."""


def from_cache() -> tuple[Reader, str]:
    """Return what was kept of the official archive.

    Raises:
        DataError: the cache has neither that nor the archive.
    """
    if _kept(SHA256).is_dir():
        return ParquetFolder(_kept(SHA256)), _official()
    if _download().is_file():
        return _checked(_download(), str(_download())), _official()
    raise DataError(f"the cache ({_root()}) lacks it")


def from_the_net() -> tuple[Reader, str]:
    """Return the official archive, downloaded into the cache; a download that was cut is continued.

    Raises:
        DataError: it cannot be fetched, or is not the official archive.
    """
    from huggingface_hub import constants

    url = os.environ.get(URL_VARIABLE) or URL
    if constants.HF_HUB_OFFLINE:
        raise DataError(f"{url}: HF_HUB_OFFLINE is set")
    with locks.exclusive(_root(), "download", wait=lambda holder: None):
        if not _download().is_file():
            part = _download().with_suffix(".part")
            _fetch(url, part)
            _check_digest(part, url)
            os.replace(part, _download())
    return _checked(_download(), url), _official()


def open_archive(path: Path) -> ParquetFolder:
    """Return what reads the rows of an archive; the first time, it is read through.

    Raises:
        DataError: it is no archive, is damaged, or holds a file that is none of MASSIVE.
    """
    kept = _kept(digests.of_file(path))
    if not kept.is_dir():
        try:
            with locks.exclusive(kept.parent, kept.name, wait=lambda holder: None):
                files.remove_leftovers(kept.parent)
                if not kept.is_dir():
                    _keep(path, kept)
        except OSError as error:
            raise DataError(
                f"{path} cannot be kept in {kept.parent} ({error.strerror or error}): "
                f"make room there, or name another cache ({cache.VARIABLE})."
            ) from error
    return ParquetFolder(kept)


def known_as(path: Path) -> str:
    """Return how the notice names an archive."""
    digest = digests.of_file(path)
    return "the official one" if digest == SHA256 else f"sha256 {digest[:12]}"


# --- the cache -------------------------------------------------------------------------------------------------------


def _root() -> Path:
    return cache.folder() / "data" / "massive"


def _download() -> Path:
    return _root() / URL.rpartition("/")[2]


def _kept(digest: str) -> Path:
    return _root() / f"{digest[:16]}-{FORMAT}"


def _official() -> str:
    return "the official archive"


def _checked(path: Path, origin: str) -> ParquetFolder:
    _check_digest(path, origin)
    return open_archive(path)


def _check_digest(path: Path, origin: str) -> None:
    """Remove an archive that is not the official one.

    Raises:
        DataError: it was none.
    """
    digest = digests.of_file(path)
    if digest != SHA256:
        path.unlink()
        raise DataError(f"{origin}: it is not the official archive (sha256 {digest[:12]}…, not {SHA256[:12]}…)")


def _keep(archive: Path, folder: Path) -> None:
    """Write the rows of an archive into a folder, locale by locale: all of them, or nothing."""
    known = set(locales.names())
    with (
        files.atomic_folder(folder) as new,
        _reading(archive),
        _unpacked(archive) as stream,
        tarfile.open(fileobj=stream, mode="r:") as opened,
    ):
        try:
            for count, member in enumerate(opened):
                if count >= MOST_MEMBERS:
                    raise tarfile.TarError(f"it holds more than {MOST_MEMBERS:,} files")
                name = Path(member.name)
                if member.isfile() and name.suffix == ".jsonl" and name.stem in known:
                    content = opened.extractfile(member)
                    assert content is not None, "it is a file"
                    write_rows(parse_lines(content, f"{name.name} in {archive}"), new / f"{name.stem}.parquet")
        finally:  # where a row is none, it may be the archive that is damaged, and only its end tells
            _read_to_the_end(opened.fileobj)


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turn what the readers of archives complain of into one sentence; the disk's own complaints stay what they are."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(archive, error) from error


def _unpacked(archive: Path) -> _Bounded:
    """Return the tar in an archive, by what its first bytes say it is packed with."""
    with archive.open("rb") as stream:
        begin = stream.read(max(map(len, _PACKED)))
    opening = next((opening for magic, opening in _PACKED.items() if begin.startswith(magic)), open)
    return _Bounded(opening(archive, "rb"))


class _Bounded(io.RawIOBase):
    """A stream that ends with an error where an archive holds more than any of MASSIVE can: no bomb gets to go off."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET and offset > MOST_UNPACKED:
            raise _too_large()
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes; tarfile would take gigabytes at once, if what should be a name claims to have them."""
        if not 0 <= size <= MOST_AT_ONCE or self._stream.tell() + size > MOST_UNPACKED:
            raise _too_large()
        return self._stream.read(size)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _too_large() -> tarfile.TarError:
    return tarfile.TarError(f"it holds more than {MOST_UNPACKED:,} bytes, or a name of many")


def _read_to_the_end(stream: Any) -> None:
    """Read what follows the last member: tarfile stops before the end, where gzip keeps its checksum."""
    while stream.read(_CHUNK):
        pass


def _damaged(archive: Path, error: Exception) -> DataError:
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    return DataError(
        f"{archive} cannot be read as a tar archive ({reason}): download it again, or name the unpacked folder."
    )


# --- the download ----------------------------------------------------------------------------------------------------


def _fetch(url: str, part: Path) -> None:
    """Download into a file, going on where it ends, until all has arrived.

    Raises:
        DataError: the server says no, or nothing arrives any more; what has arrived stays, and the next call goes on.
    """
    failures = 0
    while failures < ATTEMPTS:
        before = _size(part)
        try:
            if _append(url, part):
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise DataError(f"{url}: it answered {error.code}") from error
            part.unlink(missing_ok=True)  # it is longer than the archive
            reason = "what had arrived was too long"
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = getattr(error, "reason", error)
            reason = getattr(cause, "strerror", None) or str(cause) or type(error).__name__
        failures = 0 if _size(part) > before else failures + 1
    raise DataError(f"{url}: {reason}")


def _append(url: str, part: Path) -> bool:
    """Ask for the rest of a file and append it; return whether this was all."""
    there = _size(part)
    headers = {"User-Agent": f"sprachbund/{__version__}", **({"Range": f"bytes={there}-"} if there else {})}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
        goes_on = answer.status == http.client.PARTIAL_CONTENT
        length = answer.headers.get("Content-Length")
        expected = None if length is None else int(length) + (there if goes_on else 0)
        with part.open("ab" if goes_on else "wb") as stream:
            while chunk := answer.read(_CHUNK):
                stream.write(chunk)
    return expected is None or _size(part) >= expected


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
