"""MASSIVE from each layout: the same rows and label names, and what is said about files that are none of it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from hub_layout import write_hub

from sprachbund import data, digests
from sprachbund.data import PARTITIONS, DataSet, Row
from sprachbund.data.massive import INTENTS
from sprachbund.errors import DataError

SPLITS = {"train": 3, "dev": 1, "test": 2}


def lines(locale: str, **changes: str) -> str:
    """A file of six rows in the official layout; ``changes`` go into the last."""
    partitions = [name for name, count in SPLITS.items() for _ in range(count)]
    rows = [
        {
            "id": str(number),
            "locale": locale,
            "partition": partition,
            "scenario": "alarm",
            "intent": ("alarm_set", "alarm_query")[number % 2],
            "utt": f"{locale} größe {number}",
            "annot_utt": "",
            "worker_id": "1",
        }
        for number, partition in enumerate(partitions)
    ]
    rows[-1].update(changes)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def folder(root: Path, place: str = "", **changes: str) -> Path:
    (root / place).mkdir(parents=True, exist_ok=True)
    for locale in ("sq-AL", "de-DE"):
        (root / place / f"{locale}.jsonl").write_text(lines(locale, **changes), encoding="utf-8")
    return root


def tarball(path: Path, mode: str = "w:gz", changed: Mapping[str, str] = MappingProxyType({})) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in {
            "1.1/LICENSE": "CC BY 4.0",
            "1.1/data/sq-AL.jsonl": lines("sq-AL"),
            "1.1/data/._sq-AL.jsonl": "rubbish that macOS packs",
            "1.1/data/de-DE.jsonl": lines("de-DE"),
            **changed,
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content.encode())
            archive.addfile(member, io.BytesIO(content.encode()))
    return path


@pytest.mark.parametrize("place", ["", "data", "1.1/data"])
def test_reads_a_folder_wherever_in_it_the_files_stand(place: str, tmp_path: Path) -> None:
    massive = data.load(f"massive:{folder(tmp_path, place)}")
    assert massive.locales == ("de-DE", "sq-AL")
    assert {name: len(massive.partition("sq-AL", name)) for name in SPLITS} == SPLITS
    test = massive.partition("sq-AL", "test")
    assert test.ids == ("4", "5")
    assert test.texts == ("sq-AL größe 4", "sq-AL größe 5")
    assert test.intents == ("alarm_set", "alarm_query")


def all_rows(massive: DataSet) -> list[Row]:
    return [row for locale in massive.locales for row in massive.rows(locale)]


def all_digests(massive: DataSet) -> list[str]:
    return [partition.digest for name in PARTITIONS for partition in massive.partitions(name)]


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2", "w"])
def test_a_tarball_is_the_same_data_as_a_folder(mode: str, tmp_path: Path) -> None:
    packed = data.load(f"massive:{tarball(tmp_path / 'massive.tar', mode)}")
    unpacked = data.load(f"massive:{folder(tmp_path / 'folder')}")
    assert packed.locales == unpacked.locales
    assert all_rows(packed) == all_rows(unpacked)
    assert all_digests(packed) == all_digests(unpacked)


def test_the_layout_of_the_hub_is_the_same_data_as_a_folder(tmp_path: Path) -> None:
    unpacked = data.load(f"massive:{folder(tmp_path / 'folder')}")
    hub = data.load(f"massive:{write_hub(tmp_path / 'hub', all_rows(unpacked))}")
    assert (hub.name, hub.revision, hub.intents, hub.locales) == ("massive", "1.1", INTENTS, unpacked.locales)
    assert all_rows(hub) == all_rows(unpacked)
    assert all_digests(hub) == all_digests(unpacked)


def test_labels_are_taken_by_the_names_that_the_file_gives_its_numbers(tmp_path: Path) -> None:
    unpacked = data.load(f"massive:{folder(tmp_path / 'folder')}")
    hub = data.load(f"massive:{write_hub(tmp_path / 'hub', all_rows(unpacked), sorted(INTENTS))}")
    assert all_rows(hub) == all_rows(unpacked)


def test_of_the_hub_s_layout_only_the_split_is_read_that_is_asked_for(tmp_path: Path) -> None:
    unpacked = data.load(f"massive:{folder(tmp_path / 'folder')}")
    root = write_hub(tmp_path / "hub", all_rows(unpacked))
    (root / "sq-AL/train/0000.parquet").write_bytes(b"no Parquet")
    massive = data.load(f"massive:{root}")
    assert massive.partition("sq-AL", "test").ids == ("4", "5")
    with pytest.raises(DataError, match=r"sq-AL/train/0000\.parquet cannot be read as Parquet: download or make it"):
        massive.partition("sq-AL", "train")


def test_a_row_of_one_split_that_stands_in_another_too_is_found_where_splits_lie_apart(tmp_path: Path) -> None:
    rows = [Row("1", "sq-AL", partition, "alarm", "alarm_set", "zgjo") for partition in ("train", "test")]
    massive = data.load(f"massive:{write_hub(tmp_path, rows)}")
    massive.partition("sq-AL", "train")
    with pytest.raises(DataError, match="'massive', sq-AL, id 1 stands there twice"):
        massive.partition("sq-AL", "test")


def test_a_parquet_file_that_is_none_of_massive_is_given_by_name(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "sq-AL/test/0000.parquet"
    path.parent.mkdir(parents=True)
    parquet.write_table(pyarrow.table({"id": ["1"], "text": ["zgjo"]}), path)
    with pytest.raises(DataError, match=r"0000\.parquet has no column 'scenario', only id, text: take the file of the"):
        data.load(f"massive:{tmp_path}").partition("sq-AL", "test")
    numbered = {"id": ["1", "2"], "scenario": ["a", "b"], "intent": [3, 4], "utt": ["zgjo", "fle"]}
    parquet.write_table(pyarrow.table(numbered), path)
    with pytest.raises(DataError, match=r"0000\.parquet, row 1 has no text under 'intent': mend or remove it"):
        data.load(f"massive:{tmp_path}").partition("sq-AL", "test")


def test_an_archive_is_read_through_once(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tarball(tmp_path / "massive.tar.gz")
    first = all_rows(data.load(f"massive:{path}"))
    (kept,) = (own_cache / "data/massive").glob("*-1")
    assert kept.name.startswith(digests.of_file(path)[:16])
    assert {file.name for file in kept.iterdir()} == {"de-DE.parquet", "sq-AL.parquet"}
    monkeypatch.setattr(tarfile, "open", lambda *arguments: pytest.fail("the archive was opened again"))
    assert all_rows(data.load(f"massive:{path}")) == first


def test_another_archive_of_the_same_name_is_read_anew(tmp_path: Path) -> None:
    path = tarball(tmp_path / "massive.tar.gz")
    data.load(f"massive:{path}")
    tarball(path, changed={"1.1/data/sq-AL.jsonl": lines("sq-AL", utt="fle")})
    assert data.load(f"massive:{path}").partition("sq-AL", "test").texts[-1] == "fle"


def test_of_an_archive_that_is_damaged_nothing_is_kept(tmp_path: Path, own_cache: Path) -> None:
    path = tarball(tmp_path / "massive.tar", "w", {"1.1/data/sq-AL.jsonl": "{"})
    with pytest.raises(DataError):
        data.load(f"massive:{path}")
    assert [file for file in own_cache.rglob("*") if file.suffix in {".parquet", ".partial"}] == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, own_cache: Path) -> None:
    own_cache.mkdir()
    (own_cache / "data").write_text("a file in the way")
    with pytest.raises(
        DataError, match=r"massive\.tar cannot be kept in .*the cache/data/massive .* \(SPRACHBUND_CACHE\)"
    ):
        data.load(f"massive:{tarball(tmp_path / 'massive.tar')}")


def test_ids_that_differ_between_locales_are_found_before_work(tmp_path: Path) -> None:
    folder(tmp_path)
    massive = data.load(f"massive:{tmp_path}")
    massive.check(massive.locales, PARTITIONS)
    (tmp_path / "sq-AL.jsonl").write_text(lines("sq-AL", id="9"), encoding="utf-8")
    massive = data.load(f"massive:{tmp_path}")
    massive.check(massive.locales, ["train", "dev"])
    with pytest.raises(
        DataError, match=r"'massive', test: id 5 stands in de-DE and not in sq-AL, but all locales must"
    ):
        massive.check(massive.locales, ["test"])
    more = lines("sq-AL") + lines("sq-AL", id="9").splitlines()[-1]
    (tmp_path / "sq-AL.jsonl").write_text(more, encoding="utf-8")
    massive = data.load(f"massive:{tmp_path}")
    with pytest.raises(DataError, match=r"'massive', test: id 9 stands in sq-AL and not in de-DE"):
        massive.check(["de-DE", "sq-AL"], ["test"])


def test_labels_of_one_id_that_differ_are_found_before_work(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "sq-AL.jsonl").write_text(lines("sq-AL", intent="alarm_remove"), encoding="utf-8")
    split_data = data.load(f"split:massive:{tmp_path}")
    split_data.check(["sq-AL"], PARTITIONS)
    with pytest.raises(
        DataError, match=r"'split:massive', test: id 5 is alarm_query in de-DE and alarm_remove in sq-AL"
    ):
        split_data.check(["de-DE", "sq-AL"], ["test"])


def test_says_where_it_came_from_and_under_which_licence(tmp_path: Path) -> None:
    massive = data.load(f"massive:{folder(tmp_path)}")
    assert massive.licence == "CC-BY-4.0"
    assert "Amazon" in massive.notice
    assert "SLURP" in massive.notice
    assert not massive.demonstration


def test_a_partition_that_is_missing_is_said(tmp_path: Path) -> None:
    (tmp_path / "sq-AL.jsonl").write_text("".join(lines("sq-AL").splitlines(keepends=True)[:4]), encoding="utf-8")
    massive = data.load(f"massive:{tmp_path}")
    assert len(massive.partition("sq-AL", "train")) == 3
    with pytest.raises(DataError, match="Data set 'massive' has no test rows for sq-AL"):
        massive.partition("sq-AL", "test")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "is not JSON, perhaps cut off"),
        ("[]", "is not a row of MASSIVE, it has no text under 'id'"),
        ("7", "is not a row of MASSIVE, it has no text under 'id'"),
        ('{"id": "9", "locale": "sq-AL"}', "is not a row of MASSIVE, it has no text under 'partition'"),
        ('{"id": 9}', "is not a row of MASSIVE, it has no text under 'id'"),
    ],
    ids=["cut off", "a list", "a number", "columns missing", "a number for a text"],
)
def test_a_row_that_is_none_is_given_by_file_and_line(line: str, reason: str, tmp_path: Path) -> None:
    (folder(tmp_path) / "sq-AL.jsonl").write_text(lines("sq-AL") + line + "\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        data.load(f"massive:{tmp_path}").partition("sq-AL", "test")
    assert str(caught.value).startswith(f"{tmp_path}/sq-AL.jsonl, line 7 {reason}: ")


def test_in_a_tarball_the_archive_is_named_too(tmp_path: Path) -> None:
    path = tarball(tmp_path / "massive.tar", "w", {"1.1/data/sq-AL.jsonl": "{"})
    with pytest.raises(DataError, match=r"sq-AL\.jsonl in .*/massive\.tar, line 1 is not JSON"):
        data.load(f"massive:{path}").partition("sq-AL", "test")


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: f"\ufeff{text}",
        lambda text: f"{text}\n\n",
        lambda text: text.rstrip("\n"),
        lambda text: f"\ufeff{text}".replace("\n", "\r\n"),
    ],
    ids=["CRLF", "byte order mark", "empty lines at the end", "no newline at the end", "Notepad"],
)
def test_what_editors_do_to_a_file_changes_no_row(edit: Callable[[str], str], tmp_path: Path) -> None:
    before = data.load(f"massive:{folder(tmp_path)}").partition("sq-AL", "test").digest
    (tmp_path / "sq-AL.jsonl").write_bytes(edit(lines("sq-AL")).encode())
    assert data.load(f"massive:{tmp_path}").partition("sq-AL", "test").digest == before


def test_an_empty_file_is_given_by_name(tmp_path: Path) -> None:
    (folder(tmp_path) / "sq-AL.jsonl").write_text("")
    with pytest.raises(DataError, match=r"/sq-AL\.jsonl is empty: download or unpack it again\."):
        data.load(f"massive:{tmp_path}").partition("sq-AL", "test")


def test_a_file_of_another_encoding_is_given_by_name(tmp_path: Path) -> None:
    (folder(tmp_path) / "sq-AL.jsonl").write_bytes(lines("sq-AL").encode("latin-1"))
    with pytest.raises(DataError, match=r"sq-AL\.jsonl"):
        data.load(f"massive:{tmp_path}").partition("sq-AL", "test")


def test_an_unknown_intent_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sq-AL, id 5: intent 'cook_dinner' is not among its 60 intents"):
        data.load(f"massive:{folder(tmp_path, intent='cook_dinner')}").partition("sq-AL", "test")


def test_no_path_no_file_no_locale(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data massive:/no/where: there is no /no/where, check the path\."):
        data.load("massive:/no/where")
    (tmp_path / "xx-YY.jsonl").touch()
    with pytest.raises(DataError, match=r"there is no file such as sq-AL\.jsonl in it"):
        data.load(f"massive:{tmp_path}")


def damaged(content: bytes, kind: str) -> bytes:
    if kind == "truncated":
        return content[: len(content) // 2]
    if kind == "a bit flipped":
        middle = len(content) // 2
        return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]
    return b"<html>404 Not Found</html>"


@pytest.mark.parametrize("kind", ["truncated", "a bit flipped", "a web page"])
def test_a_broken_tarball_is_one_sentence(kind: str, tmp_path: Path) -> None:
    path = tarball(tmp_path / "massive.tar.gz")
    path.write_bytes(damaged(path.read_bytes(), kind))
    with pytest.raises(DataError, match=r"massive\.tar\.gz cannot be read as a tar archive .* download it again, or"):
        data.load(f"massive:{path}")


def test_sixty_intents_in_the_order_of_the_hub() -> None:
    assert len(INTENTS) == len(set(INTENTS)) == 60
    assert list(INTENTS) != sorted(INTENTS)
    assert (INTENTS[0], INTENTS[59]) == ("datetime_query", "lists_query")


def test_intents_are_those_of_the_shared_list(shared: Path) -> None:
    listed = (shared / "data/massive_intents.txt").read_text(encoding="utf-8").split()
    assert list(INTENTS) == listed


def test_the_real_archive_in_each_layout(shared: Path, tmp_path: Path) -> None:
    """One locale unpacked, and written as the hub has it, split by split: row for row what the archive gives."""
    path = shared / "data/massive-1.1.tar.gz"
    packed = data.load(f"massive:{path}")
    with tarfile.open(path) as archive:
        archive.extract("1.1/data/sq-AL.jsonl", tmp_path / "unpacked", filter="data")
    expected = list(packed.rows("sq-AL"))
    assert len(expected) == 16_521
    unpacked = data.load(f"massive:{tmp_path}/unpacked")
    assert list(unpacked.rows("sq-AL")) == expected
    for name in PARTITIONS:
        assert unpacked.partition("sq-AL", name).digest == packed.partition("sq-AL", name).digest
    hub = data.load(f"massive:{write_hub(tmp_path / 'hub', expected)}")
    assert list(hub.rows("sq-AL")) == sorted(expected, key=lambda row: PARTITIONS.index(row.partition))
    assert hub.partition("sq-AL", "test").digest == packed.partition("sq-AL", "test").digest
    packed.check(packed.locales[:3], ["test"])


def test_the_real_archive(shared: Path) -> None:
    massive = data.load(f"massive:{shared}/data/massive-1.1.tar.gz")
    assert len(massive.locales) == 52
    ids = set()
    for locale in ("sq-AL", "ja-JP", "en-US"):
        sizes = [len(massive.partition(locale, name)) for name in ("train", "dev", "test")]
        assert sizes == [11_514, 2_033, 2_974]
        ids.add(massive.partition(locale, "test").ids)
    assert len(ids) == 1  # the same rows in the same order
    assert massive.partition("sq-AL", "test").texts[0] == "mv zgjo në pesë të mëngjesit këtë javë"
    assert len(set(massive.partition("en-US", "test").intents)) == 59
