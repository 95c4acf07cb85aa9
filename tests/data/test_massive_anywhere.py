"""``--data massive`` without a path: the cache, the hub, the official address, in this order, each failure with its reason."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from hub_layout import write_hub
from huggingface_hub import constants
from huggingface_hub.errors import OfflineModeIsEnabled
from test_massive import all_rows, folder, tarball

from sprachbund import data
from sprachbund.data import massive_archive
from sprachbund.data.massive_archive import URL_VARIABLE
from sprachbund.errors import DataError


@dataclass
class Mirror:
    """A server of one file; each request takes the next of ``cuts``: so many bytes, and the connection ends."""

    content: bytes
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 200
    asked: list[str | None] = field(default_factory=list)
    """The Range header of each request."""


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small archive that counts as the official one; nobody asks the real address."""
    path = tarball(tmp_path / "official.tar.gz")
    monkeypatch.setattr(massive_archive, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:1/nobody")
    return path


@pytest.fixture
def mirror(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """The archive behind an address on this machine; the hub says no."""
    served = Mirror(archive.read_bytes())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Range"]
            served.asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and served.ranges else 0
            if served.status != 200 or start > len(served.content):
                self.send_error(416 if served.status == 200 else served.status)
                return
            rest = served.content[start:]
            self.send_response(206 if wanted and served.ranges else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: served.cuts.pop(0)] if served.cuts else rest)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv(URL_VARIABLE, f"http://127.0.0.1:{server.server_port}/massive.tar.gz")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(dataset_info=no_network))
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def no_network(*arguments: object, **more: object) -> None:
    raise OSError("no route to the hub")


def part(own_cache: Path) -> Path:
    return own_cache / "data/massive/amazon-massive-dataset-1.1.tar.part"


# --- the official address ----------------------------------------------------------------------------------------------


def test_the_official_archive_is_fetched_once(mirror: Mirror, archive: Path, tmp_path: Path) -> None:
    massive = data.load("massive")
    assert massive.notice.endswith("from the official archive.")
    assert all_rows(massive) == all_rows(data.load(f"massive:{folder(tmp_path / 'folder')}"))
    mirror.status = 500
    assert all_rows(data.load("massive")) == all_rows(massive)
    assert mirror.asked == [None]


def test_a_cut_download_goes_on_where_it_ended(mirror: Mirror, own_cache: Path) -> None:
    mirror.cuts = [100, 300]
    assert data.load("massive").locales == ("de-DE", "sq-AL")
    assert mirror.asked == [None, "bytes=100-", "bytes=400-"]
    assert not part(own_cache).exists()


def test_so_does_one_of_a_process_that_was_killed(mirror: Mirror, own_cache: Path) -> None:
    part(own_cache).parent.mkdir(parents=True)
    part(own_cache).write_bytes(mirror.content[:50])
    data.load("massive")
    assert mirror.asked == ["bytes=50-"]


def test_a_server_without_ranges_starts_again(mirror: Mirror) -> None:
    mirror.ranges, mirror.cuts = False, [100]
    data.load("massive")
    assert mirror.asked == [None, "bytes=100-"]


def test_too_much_of_a_download_is_thrown_away(mirror: Mirror, own_cache: Path) -> None:
    part(own_cache).parent.mkdir(parents=True)
    part(own_cache).write_bytes(b"x" * (len(mirror.content) + 1))
    data.load("massive")
    assert mirror.asked == [f"bytes={len(mirror.content) + 1}-", None]


def test_where_nothing_more_arrives_that_is_said_and_what_has_arrived_is_kept(mirror: Mirror, own_cache: Path) -> None:
    mirror.cuts = [100, 0, 0, 0]
    with pytest.raises(
        DataError, match=r"http://127\.0\.0\.1:\d+/massive\.tar\.gz: the connection was cut; name a copy"
    ):
        data.load("massive")
    assert part(own_cache).read_bytes() == mirror.content[:100]


def test_another_file_is_refused_and_not_kept(mirror: Mirror, own_cache: Path) -> None:
    mirror.content = mirror.content[:-1] + b"?"
    with pytest.raises(
        DataError, match=r"massive\.tar\.gz: it is not the official archive \(sha256 \w{12}…, not \w{12}…\)"
    ):
        data.load("massive")
    assert not [path for path in part(own_cache).parent.iterdir() if path.suffix in {".part", ".gz"}]


def test_an_archive_in_the_cache_is_checked_too(archive: Path, own_cache: Path) -> None:
    kept = part(own_cache).with_suffix(".gz")
    kept.parent.mkdir(parents=True)
    kept.write_bytes(archive.read_bytes())
    assert data.load("massive").locales == ("de-DE", "sq-AL")
    kept.write_bytes(b"something else")
    assert data.load("massive").locales == ("de-DE", "sq-AL"), "from what was made of it"


def test_a_server_that_says_no_is_quoted(mirror: Mirror) -> None:
    mirror.status = 403
    with pytest.raises(DataError, match=r"massive\.tar\.gz: it answered 403;"):
        data.load("massive")
    assert len(mirror.asked) == 1


# --- the hub -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parquet branch on a hub; the list grows by the files that are fetched."""
    rows = all_rows(data.load(f"massive:{folder(tmp_path / 'folder')}"))
    root, fetched, commit = write_hub(tmp_path / "hub", rows), list[str](), "c0ffee" * 6 + "abcd"
    names = [str(path.relative_to(root)) for path in root.rglob("*.parquet")]

    def info(repository: str, revision: str) -> SimpleNamespace:
        assert (repository, revision) == ("AmazonScience/massive", "refs/convert/parquet")
        return SimpleNamespace(sha=commit, siblings=[SimpleNamespace(rfilename=name) for name in [*names, "README.md"]])

    def download(repository: str, file: str, *, repo_type: str, revision: str) -> str:
        assert (repository, repo_type, revision) == ("AmazonScience/massive", "dataset", commit)
        fetched.append(file)
        return str(root / file)

    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(dataset_info=info))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return fetched


def test_from_the_hub_come_only_the_locales_and_splits_that_are_asked_for(hub: list[str], tmp_path: Path) -> None:
    massive = data.load("massive")
    assert massive.notice.endswith("from AmazonScience/massive on the hub, commit c0ffeec0ffee.")
    assert massive.locales == ("de-DE", "sq-AL")
    assert hub == []
    own = data.load(f"massive:{tmp_path}/folder")
    assert massive.partition("sq-AL", "dev").digest == own.partition("sq-AL", "dev").digest
    assert hub == ["sq-AL/validation/0000.parquet"]
    assert all_rows(massive) == all_rows(own)


def test_a_file_that_does_not_arrive_is_named(hub: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    massive = data.load("massive")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", no_network)
    with pytest.raises(
        DataError, match=r"^sq-AL/test/0000\.parquet of AmazonScience/massive could not be fetched from the"
    ):
        massive.partition("sq-AL", "test")


def test_what_was_fetched_before_is_read_without_the_network(
    hub: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = data.load("massive").partition("sq-AL", "test").digest
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(dataset_info=no_network))

    def kept(repository: str, file: str, *, revision: str, repo_type: str) -> str | None:
        assert (repository, repo_type, revision[:6]) == ("AmazonScience/massive", "dataset", "c0ffee")
        return str(tmp_path / "hub" / file) if file in hub else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", kept)
    massive = data.load("massive")
    assert massive.partition("sq-AL", "test").digest == before
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *names, **more: None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(DataError, match="the hub's AmazonScience/massive: no route to the hub"):
        data.load("massive")


def test_what_the_hub_s_client_has_kept_is_read_without_the_network(
    hub: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*arguments: object, **more: object) -> None:
        raise OfflineModeIsEnabled("no")

    def snapshot(repository: str, *, repo_type: str, revision: str, local_files_only: bool) -> str:
        assert local_files_only
        return str(tmp_path / "hub")

    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(dataset_info=offline))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    massive = data.load("massive")
    assert len(massive.partition("sq-AL", "test")) == 2
    assert "from AmazonScience/massive on the hub, commit" in massive.notice


# --- none of them ------------------------------------------------------------------------------------------------------


def test_what_was_tried_is_said_in_order(archive: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError) as caught:
        data.load("massive")
    assert str(caught.value) == (
        f"MASSIVE is not on this machine and cannot be fetched: the cache ({own_cache}/data/massive) lacks it; "
        "the hub's AmazonScience/massive: HF_HUB_OFFLINE is set; http://127.0.0.1:1/nobody: HF_HUB_OFFLINE is set; "
        "name a copy, --data massive:PATH."
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(dataset_info=no_network))
    with pytest.raises(DataError) as caught:
        data.load("massive")
    assert "Errno" not in str(caught.value)
    assert re.search(
        r"the hub's AmazonScience/massive: no route to the hub; http://127\.0\.0\.1:1/nobody: .*refused",
        str(caught.value),
    )
