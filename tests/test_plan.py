"""Which locales and variants are run, and whether their models have room."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from sprachbund import locales
from sprachbund.config import ExperimentConfig
from sprachbund.errors import StoreError, UnknownName, UserError
from sprachbund.plan import (
    Cell,
    check_disk,
    check_file,
    check_writable,
    chosen_locales,
    chosen_variants,
    groups,
    memory_for_merges,
)
from sprachbund.recipe import VARIANTS


def targets(**settings: Any) -> tuple[str, ...]:
    return chosen_locales(ExperimentConfig(**settings), locales.names())


def variants(**settings: Any) -> list[str]:
    return [variant.name for variant in chosen_variants(ExperimentConfig(**settings))]


def test_all_52_by_default() -> None:
    assert targets() == locales.names()


def test_start_from_counts_from_0_in_the_order_of_list_locales() -> None:
    assert targets(start_from=10, max_locales=1) == ("en-US",)
    assert targets(start_from=22, max_locales=2) == ("ja-JP", "jv-ID")
    assert targets(start_from=51) == ("zh-TW",)


def test_locales_then_start_from_then_max_locales() -> None:
    chosen = ("sq-AL", "af-ZA", "ja-JP", "de-DE")
    assert targets(locales=chosen) == chosen
    assert targets(locales=chosen, start_from=1) == ("af-ZA", "ja-JP", "de-DE")
    assert targets(locales=chosen, start_from=1, max_locales=2) == ("af-ZA", "ja-JP")
    assert targets(locales=chosen, max_locales=9) == chosen


def test_each_locale_once_in_its_own_spelling() -> None:
    assert targets(locales=("SQ-al", "de-DE", "sq-AL")) == ("sq-AL", "de-DE")


def test_a_start_beyond_the_end_and_an_unknown_locale() -> None:
    with pytest.raises(UserError, match=r"--start-from 2: the locales to run are numbered 0 to 1\."):
        targets(locales=("sq-AL", "de-DE"), start_from=2)
    with pytest.raises(UnknownName, match="Unknown locale 'sq-XX': did you mean .*sq-AL.* See --list-locales"):
        targets(locales=("sq-XX",))


def test_variants_without_those_that_are_skipped() -> None:
    assert variants() == ["baseline", "similarity", "average"]
    assert variants(skip_baseline=True) == ["similarity", "average"]
    assert variants(skip_similarity=True) == ["baseline", "average"]
    assert variants(skip_average=True) == ["baseline", "similarity"]
    assert variants(variants=("average-all", "baseline"), skip_average=True) == ["average-all", "baseline"]
    with pytest.raises(UserError, match="Every variant is skipped"):
        variants(skip_baseline=True, skip_similarity=True, skip_average=True)


# --- disk --------------------------------------------------------------------------------------------------------------


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_free(count: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 10**12 - count, count))

    return set_free


def cells_in(folder: Path, count: int) -> list[Cell]:
    """``count`` merges and one single source, which takes no room."""
    merges = [Cell(VARIANTS["average"], f"l{n}", {}, "", folder, folder / f"merged/l{n}") for n in range(count)]
    return [Cell(VARIANTS["baseline"], "l0", {}, "", folder, None), *merges]


@pytest.mark.parametrize(("count", "keep", "models"), [(10, True, 10), (10, False, 1), (0, True, 0), (0, False, 0)])
def test_the_room_that_merges_take_is_known_beforehand(
    count: int, keep: bool, models: int, tmp_path: Path, free: Any
) -> None:
    cells = cells_in(tmp_path, count)
    free(int(models * 1.1 * 10**9))
    check_disk(tmp_path, cells, 10**9, keep=keep)
    if models:
        free(int(models * 1.1 * 10**9) - 1)
        with pytest.raises(UserError, match="need"):
            check_disk(tmp_path, cells, 10**9, keep=keep)


def test_too_little_room_names_the_way_on(tmp_path: Path, free: Any) -> None:
    free(10 * 10**9)  # exactly as much as is needed is too little
    with pytest.raises(
        UserError, match=r"10 merged models need 10\.0 GB, but .* has 10\.0 GB free: keep none .*--keep-models none"
    ):
        check_disk(tmp_path / "new", cells_in(tmp_path, 10), 10**9, keep=True)
    free(10**9)
    with pytest.raises(
        UserError, match=r"A merged model needs 1\.0 GB, .*: make room, or choose another --output-dir\."
    ):
        check_disk(tmp_path, cells_in(tmp_path, 10), 10**9, keep=False)


@pytest.mark.parametrize(("there", "models"), [(5, 5), (9, 1), (10, 1)])
def test_models_that_are_there_need_no_room_but_for_one_that_is_replaced(
    there: int, models: int, tmp_path: Path, free: Any
) -> None:
    for number in range(there):
        (tmp_path / f"merged/l{number}").mkdir(parents=True)
    free(int(models * 1.1 * 10**9))
    check_disk(tmp_path, cells_in(tmp_path, 10), 10**9, keep=True)
    free(int(models * 1.1 * 10**9) - 1)
    with pytest.raises(UserError, match="need"):
        check_disk(tmp_path, cells_in(tmp_path, 10), 10**9, keep=True)


# --- may anything be written? ------------------------------------------------------------------------------------------


def test_a_folder_that_can_be_written_to_is_left_as_it_is(tmp_path: Path) -> None:
    check_writable(tmp_path, tmp_path / "not" / "there" / "yet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/run", "file/run/results"])
def test_below_a_file_nothing_can_be_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        UserError, match=rf"Nothing can be written to .*{name} \(Not a directory: .*/file\): name another"
    ):
        check_writable(tmp_path, tmp_path / name)


def test_a_file_to_be_written_is_looked_at_beforehand(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("mine")
    check_file(tmp_path / "not" / "yet" / "there.csv", overwrite=False)
    check_file(tmp_path / "file", overwrite=True)
    for path, words in {
        tmp_path / "folder.csv": r"--plot .*folder\.csv is a folder: name a file\.",
        Path("/dev/null"): r"--plot /dev/null is no ordinary file: name a file\.",
        tmp_path / "file" / "x.csv": r"Nothing can be written to .*/file \(Not a directory",
    }.items():
        with pytest.raises(UserError, match=words):
            check_file(path, "--plot", overwrite=True)
    with pytest.raises(StoreError, match=r"--out .*/file is there already: .*--overwrite\."):
        check_file(tmp_path / "file", overwrite=False)


def test_a_file_system_that_is_read_only_is_noticed_beforehand() -> None:
    """Whoever asks, root too: nobody makes files there."""
    if not Path("/proc/self").is_dir():
        pytest.skip("there is no /proc")
    with pytest.raises(UserError, match="Nothing can be written to /proc/run"):
        check_writable(Path("/proc/run"))


def test_targets_stand_together_as_long_as_memory_allows() -> None:
    bytes_of = {"a": 4, "b": 4, "c": 4, "d": 0, "e": 11, "f": 1}
    assert groups("abcdef", bytes_of, 10) == (("a", "b"), ("c", "d"), ("e",), ("f",))
    assert groups("abcdef", bytes_of, 1000) == (tuple("abcdef"),)
    assert groups("abcdef", bytes_of, 0.5) == (("a",), ("b",), ("c", "d"), ("e",), ("f",))
    assert groups("", {}, 10) == ()
    assert groups("abcdef", bytes_of, 1000, workers=2) == (("a",), ("b",), ("c",), ("d",), ("e",), ("f",))
    assert groups("abcdef" * 2, bytes_of, 1000, workers=2) == (("a", "b"), ("c", "d"), ("e", "f")) * 2
    share_of_memory = [*groups("abcdef" * 2, bytes_of, 20, workers=2)]
    assert share_of_memory == [*map(tuple, ("ab", "cd", "e", "fa", "bc", "d", "e", "f"))]


def test_memory_is_half_of_what_is_free_unless_somebody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=6_000_000_000))
    assert memory_for_merges(ExperimentConfig()) == 3e9
    assert memory_for_merges(ExperimentConfig(memory=1.5)) == 1.5e9
