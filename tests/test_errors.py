"""Errors: one tree, an exit status each, and names that help."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sprachbund import errors
from sprachbund.errors import (
    CellsFailed,
    DataError,
    SprachbundError,
    UnknownName,
    UserError,
    is_no_memory,
    is_no_room,
    naming,
    nearest,
    of_memory,
)


def test_what_the_user_can_mend_exits_with_2_and_what_went_wrong_with_1() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        if not isinstance(kind, type):
            continue
        assert issubclass(kind, SprachbundError)
        assert kind.exit_status == (2 if issubclass(kind, UserError) else 1)
    assert CellsFailed.exit_status == 1


def test_incompatible_checkpoints_are_unreadable_ones_of_a_kind() -> None:
    assert issubclass(errors.IncompatibleError, errors.CheckpointError)


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("liner", ["linear", "ties"], "Unknown method 'liner': did you mean linear?"),
        ("LINEAR", ["linear", "ties"], "Unknown method 'LINEAR': did you mean linear?"),
        ("xyz", ["linear", "ties"], "Unknown method 'xyz': known: linear, ties."),
        ("xyz", [f"m{n:02}" for n in range(20)], "Unknown method 'xyz': 20 are known, m00 to m19."),
        ("avg", ["average", "Average"], "Unknown method 'avg': did you mean average or Average?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, known: list[str], message: str) -> None:
    assert str(UnknownName("method", name, known)) == message


def test_what_begins_so_is_meant_before_what_looks_alike() -> None:
    assert nearest("en", ["te-IN", "en-US"]) == "did you mean en-US?"
    assert nearest("zh", ["zh-CN", "sq-AL", "zh-TW"]) == "did you mean zh-CN or zh-TW?"
    assert nearest("--model", ["--demo", "--models", "--keep-models"]) == "did you mean --models?"


def test_hyphens_of_flags_are_no_likeness() -> None:
    assert nearest("--foo", ["--jobs", "--zoo", "--all"]) == "did you mean --zoo?"
    assert nearest("--xyz", ["--jobs", "--all"]) == "known: --jobs, --all."


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EROFS, "Read-only file system"), True),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (OSError("No space left on device"), False),
        (ValueError(errno.ENOSPC), False),
    ],
)
def test_where_there_is_no_room_the_next_try_fares_no_better(error: Exception, expected: bool) -> None:
    assert is_no_room(error) is expected


def test_an_error_of_writing_learns_the_name_of_its_file() -> None:
    with pytest.raises(OSError, match="No space") as caught, naming(Path("a/b")):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == "a/b"
    with pytest.raises(FileNotFoundError) as missing, naming(Path("a/b")):
        Path("nowhere/at/all").read_bytes()
    assert missing.value.filename == "nowhere/at/all"
    with pytest.raises(OSError, match=r"^odd$"), naming(Path("a/b")):
        raise OSError("odd")


def test_advice_comes_last() -> None:
    assert (
        str(UnknownName("method", "xyz", ["linear"], "See the docs."))
        == "Unknown method 'xyz': known: linear. See the docs."
    )


# --- memory ------------------------------------------------------------------------------------------------------------

ON_CPU = (
    "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 400 bytes. Error code 12 (Cannot allocate memory)"
)
WHAT_HELPS = ": close other programs, use fewer --jobs, or a machine that has more."


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "Memory ran out"),
        (MemoryError("Unable to allocate 2.00 GiB for an array"), "Memory ran out when 2.00 GiB more were asked for"),
        (RuntimeError(ON_CPU), "Memory ran out when 400 bytes more were asked for"),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of …"),
            "The memory of the GPU ran out when 1.50 GiB more were asked for",
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling …"), "The memory of the GPU ran out"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Memory ran out"),
    ],
)
def test_memory_that_runs_out_is_known_whoever_says_it(error: Exception, sentence: str) -> None:
    assert is_no_memory(error)
    assert of_memory(error) == f"{sentence}{WHAT_HELPS}"


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), KeyError("x"), DataError("of memory: out of memory"), KeyboardInterrupt()]
)
def test_nothing_else_is_put_down_to_memory(error: BaseException) -> None:
    assert not is_no_memory(error)
