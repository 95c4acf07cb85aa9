"""Nothing in a file decides where something is written, or what of it reaches the terminal; archives cannot go off."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from hostile.parsers import PARSERS, ROW

from sprachbund.data import load, massive_archive
from sprachbund.errors import DataError, StoreError, UserError
from sprachbund.store import RunStore


@pytest.mark.parametrize("locale", ["../../x", "/etc/x", "a/b", "..", ".x", "a\\b", "a b", "x" * 65, "-x"])
def test_a_locale_that_is_no_file_name_is_refused(locale: str, tmp_path: Path) -> None:
    path = tmp_path / "news.csv"
    path.write_text(f"locale,split,text,label\n{locale},test,a,b\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 2: the locale .+ makes no file name"):
        load(f"table:{path}")


@pytest.mark.parametrize("locale", ["sw-KE", "yo", "swh_Latn", "zh-Hant-TW", "norsk.nb", "ქართული"])
def test_other_names_of_locales_are_fine(locale: str, tmp_path: Path) -> None:
    path = tmp_path / "news.csv"
    path.write_text(f"locale,split,text,label\n{locale},test,a,b\n", encoding="utf-8")
    assert load(f"table:{path}").locales == (locale,)


@pytest.mark.parametrize(
    ("prefix", "locale"), [("../x", "sq-AL"), ("a/b", "sq-AL"), ("base", "../../x"), ("a\\b", "c")]
)
def test_results_stay_in_their_folder(prefix: str, locale: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no name of a file in the results"):
        RunStore(tmp_path).folder(prefix, locale)
    with pytest.raises(StoreError, match="no name of a file in the results"):
        RunStore(tmp_path).transfer(f"{prefix}/{locale}", "test")


def test_a_message_stays_on_its_line_and_sends_no_codes_to_the_terminal() -> None:
    assert str(UserError("a\nb\x1b[2J\rc")) == r"a\nb\x1b[2J\rc"
    assert len(str(UserError("x" * 10**6))) < 5000


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as opened:
        for member, content in members:
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    return out.getvalue()


def test_only_rows_of_known_locales_leave_an_archive_wherever_they_say_they_go(tmp_path: Path) -> None:
    link = tarfile.TarInfo("el-GR.jsonl")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard = tarfile.TarInfo("de-DE.jsonl")
    hard.type, hard.linkname = tarfile.LNKTYPE, "sq-AL.jsonl"
    content = archive(
        (tarfile.TarInfo("../../sq-AL.jsonl"), ROW),
        (tarfile.TarInfo("../evil.py"), b"x"),
        (tarfile.TarInfo("/etc/cron.d/x"), b"x"),
        (link, b""),
        (hard, b""),
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "massive.tar.gz").write_bytes(content)
    massive_archive._keep(tmp_path / "in" / "massive.tar.gz", tmp_path / "in" / "out")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["massive.tar.gz", "sq-AL.parquet"]


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(massive_archive, "MOST_UNPACKED", 1_000_000)
    (tmp_path / "a.tar.gz").write_bytes(archive((tarfile.TarInfo("notes.txt"), bytes(5_000_000))))
    with pytest.raises(
        DataError, match=r"a\.tar\.gz cannot be read as a tar archive \(it holds more than 1,000,000 bytes"
    ):
        massive_archive._keep(tmp_path / "a.tar.gz", tmp_path / "out")


def test_a_name_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 3_000_000_000
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(100_000)))
    with pytest.raises(DataError, match="or a name of many"):
        massive_archive._keep(tmp_path / "a.tar.gz", tmp_path / "out")


def test_an_archive_of_very_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(massive_archive, "MOST_MEMBERS", 10)
    (tmp_path / "a.tar.gz").write_bytes(archive(*((tarfile.TarInfo(f"{number}"), b"") for number in range(11))))
    with pytest.raises(DataError, match="more than 10 files"):
        massive_archive._keep(tmp_path / "a.tar.gz", tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["record", "failure", "progress", "zero-shot row", "details of a merge", "details of a blend",
             "training card", "card of a zoo"]
)  # fmt: skip
def test_a_file_of_a_newer_version_is_refused_with_advice(name: str, tmp_path: Path) -> None:
    import json

    parser = PARSERS[name]
    newer = json.loads(parser.seed) | {"schema_version": 99, "from_the_future": 1}
    said = parser.feed(tmp_path, json.dumps(newer).encode())
    assert said is not None
    assert "was written by a newer sprachbund (schema 99, this one knows" in said
    assert said.endswith("update sprachbund.")
