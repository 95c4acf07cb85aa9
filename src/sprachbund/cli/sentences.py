"""What others complain of, in our words: one sentence that says what is wrong, where, and what to do next.

Errors of ours are sentences already. Those of the command line's parser, of the settings' types and of the operating system
are made into some here, so that nobody has to read how this program is built to learn what to type.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)
from pydantic import ValidationError

from sprachbund.config import wrong_setting
from sprachbund.errors import UnknownName, is_no_room
from sprachbund.files import PARTIAL

__all__ = ["SEE_HELP", "of_command_line", "of_system"]

SEE_HELP = "See --help."
_NUMBERS = {int: "a whole number", float: "a number"}


def of_command_line(error: CycloptsError, everywhere: Sequence[str] = ()) -> str:
    """Return what is wrong with the command line; ``everywhere`` names the flags that every command has."""
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        complaint = cause.errors()[0]
        flag = f"--{'-'.join(str(part) for part in complaint['loc'][:1]).replace('_', '-')}"
        return wrong_setting(complaint, flag, SEE_HELP)
    match error:
        case UnknownOptionError():
            flags = [name for argument in error.argument_collection for name in argument.names if argument.parse]
            flags = [*everywhere, *flags]
            typed = (error.token.keyword or error.token.value).partition("=")[0]
            return str(UnknownName("flag", typed, flags, SEE_HELP))
        case UnknownCommandError(unused_tokens=[typed, *_]) if typed.startswith("-"):
            return str(UnknownName("flag", typed, everywhere, f"A command's own flags come after it. {SEE_HELP}"))
        case UnknownCommandError(unused_tokens=[typed, *_], app=app) if app is not None:
            commands = [name for name in app if not name.startswith("-")]
            return str(UnknownName("command", typed, commands, SEE_HELP))
        case UnusedCliTokensError(unused_tokens=[typed, *_]):
            return f"{typed!r} belongs to no flag: write its flag before it, or leave it out. {SEE_HELP}"
        case MissingArgumentError(argument=argument) if argument is not None:
            typed_flag = error.keyword or next((token.keyword for token in argument.tokens if token.keyword), None)
            name = argument.name if argument.field_info.is_keyword_only else argument.name.lstrip("-").upper()
            return f"{typed_flag} needs a value. {SEE_HELP}" if typed_flag else f"{name} is needed. {SEE_HELP}"
        case RepeatArgumentError(token=token):
            return f"{token.keyword} stands there twice: write it once."
        case CoercionError(token=token, target_type=kind) if token is not None and kind in _NUMBERS:
            return f"{token.keyword}: {token.value!r} is not {_NUMBERS[kind]}."
        case CoercionError(token=token, target_type=kind) if token is not None and kind is bool:
            return f"{token.keyword} is there or not and takes no value: leave out {token.value!r}."
    return f"{error} {SEE_HELP}" if str(error) else f"This command line cannot be read. {SEE_HELP}"


def of_system(error: OSError) -> str:
    """Return what the operating system refused, about which file, and what to do; what is finished is never lost."""
    what = error.strerror or str(error) or "The operating system refused"
    where = f": {_shown(os.fsdecode(error.filename))}" if error.filename else ""
    return f"{what}{where}. {_advice(error)}; what is finished is kept, and the same command goes on from here."


def _shown(path: str) -> str:
    """Return the path without what stands in a temporary place: people know the folder that it is in."""
    parts = Path(path).parts
    temporary = next((place for place, part in enumerate(parts) if part.endswith(PARTIAL)), len(parts))
    return str(Path(*parts[:temporary]))


def _advice(error: OSError) -> str:
    if is_no_room(error):
        return "Make room, or name another folder"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "Get the right to read and write there, or name another folder"
    if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}:
        return "Check the names of the folders and files"
    return "Check the disk and the names of the files"
