"""What parser, types and operating system complain of is said in our words; more of it is in tests/bad_input.py."""

from __future__ import annotations

import errno
import os
import shlex

import pytest

from sprachbund.cli import run
from sprachbund.cli.sentences import of_system


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("experiment --skip-baseline=7", "--skip-baseline is there or not and takes no value: leave out '7'."),
        ("experiment --split dev --split test", "--split stands there twice: write it once."),
        (
            "similarity sq-AL de-DE",
            "'de-DE' belongs to no flag: write its flag before it, or leave it out. See --help.",
        ),
        (
            "similarity",
            "TARGET is needed, or what else is wanted of the similarity: --list, --out FILE, --plot FILE.",
        ),
        ("similarity sq-AL --sharpness much", "--sharpness: 'much' is not a number."),
        ("similarity sq-AL --sharpness nan", "--sharpness is nan, but must be at least 0."),
        ("similarity sq-AL --num-languages 1.5", "--num-languages: '1.5' is not a whole number."),
        ("train --base b --out o --data cldr --jobs two", "--jobs: 'two' is not a whole number."),
        ("train --base b --out o --data cldr --learning-rate 0", "--learning-rate is 0, but must be above 0."),
        ("experiment --quite", "Unknown flag '--quite': did you mean --quiet? See --help."),
        ("experiment --locale=sq-AL", "Unknown flag '--locale': did you mean --locales? See --help."),
        (
            "--quite experiment",
            "Unknown flag '--quite': did you mean --quiet? A command's own flags come after it. See --help.",
        ),
        ("experiment --locales", "--locales needs a value. See --help."),
    ],
)
def test_a_command_line_that_cannot_be_read(line: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shlex.split(line)) == 2
    assert capsys.readouterr().err == f"error: {sentence}\n"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            "No space left on device. Make room, or name another folder; ",
        ),
        (
            OSError(errno.EROFS, os.strerror(errno.EROFS), "run/results/.results.json.12-ab@host.abcdefgh.partial"),
            "Read-only file system: run/results. Make room, or name another folder; ",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/merged/.m.12-ab@host.abcdefgh.partial/new/model"),
            "No space left on device: run/merged. Make room, or name another folder; ",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "run/results"),
            "Permission denied: run/results. Get the right to read and write there, or name another folder; ",
        ),
        (
            FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), b"run/results"),
            "No such file or directory: run/results. Check the names of the folders and files; ",
        ),
        (OSError("odd"), "odd. Check the disk and the names of the files; "),
    ],
)
def test_what_the_system_refuses_names_the_place_that_users_know(error: OSError, sentence: str) -> None:
    assert of_system(error) == f"{sentence}what is finished is kept, and the same command goes on from here."
