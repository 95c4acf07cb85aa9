"""Where settings come from: defaults < file (``--config``) < environment < flags.

A file is one command's settings, ``flag: value`` with underscores for hyphens, and closed: a key that is no flag is an error
that names the nearest one. The environment is ``SPRACHBUND_{COMMAND}_{FLAG}``, ``SPRACHBUND_{FLAG}`` for the flags of every
command, and just as closed: a variable that nobody reads is an error, one of another command is not looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from cyclopts import App, Argument, ArgumentCollection
from cyclopts.config import Dict, Env
from pydantic import BaseModel, TypeAdapter, ValidationError

from sprachbund.errors import UnknownName, UserError
from sprachbund.untrusted import read_yaml

__all__ = [
    "PREFIX",
    "SettingsFile",
    "common_environment",
    "environment",
    "expand_home",
    "mode_of_environment",
    "resolved",
    "settle_mode",
]

PREFIX = "SPRACHBUND_"
MODES = ("quiet", "verbose", "json")
FOR_USERS = ("SPRACHBUND_CACHE", "SPRACHBUND_DEMO_SIZE", "SPRACHBUND_MASSIVE_URL")
FOR_DEVELOPERS = ("SPRACHBUND_SHARED", "SPRACHBUND_WRITE_DOCS")
"""What only the tests read."""


@dataclass(frozen=True)
class SettingsFile:
    """The settings of one command from a YAML file."""

    path: Path
    content: Mapping[str, Any] = field(default_factory=dict)
    mode: Mapping[str, bool] = field(default_factory=dict)
    """What every command knows: quiet, verbose, json."""

    @classmethod
    def read(cls, path: Path) -> SettingsFile:
        """Read a file.

        Raises:
            UserError: there is none, or it is not a mapping of flags to values.
        """
        try:
            content = read_yaml(path) or {}
        except FileNotFoundError as error:
            raise UserError(f"--config {path}: there is no such file.") from error
        except OSError as error:
            raise UserError(f"--config {path} cannot be read ({error.strerror}): name a YAML file.") from error
        except ValueError as error:
            raise UserError(f"--config {path} is not YAML ({error}): mend it.") from error
        if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
            raise UserError(
                f"--config {path} must hold lines `flag: value`, as sprachbund COMMAND --print-config shows."
            )
        mode = {key: content.pop(key) for key in MODES if key in content}
        for key, value in mode.items():
            if not isinstance(value, bool):
                raise UserError(f"{key} in {path} is true or false, not {value!r}.")
        return cls(path, content, mode)

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Give the values to those arguments that neither flags nor environment have set.

        What holds anyway (nothing, the default) is not given: commands refuse what somebody typed and what has no effect
        beside the other settings, and a file of all settings, as ``--print-config`` writes it, does not mean to type them.
        """
        flags = _flags(arguments)
        written: dict[str, str] = {}
        given = {}
        for key, value in self.content.items():
            flag = key.replace("_", "-")
            if flag not in flags:
                raise UnknownName(f"key in {self.path}", key, [name.replace("-", "_") for name in flags])
            if flag in written:
                raise UserError(f"{self.path} sets one flag twice, as {written[flag]} and as {key}: write it once.")
            written[flag] = key
            if value is not None and not _is_default(value, flags[flag]):
                given[key] = self._fitting(key, value, flags[flag])
        nested: Mapping[str, Any] = given
        for command in reversed(commands):
            nested = {command: nested}
        Dict(dict(nested), source=str(self.path))(app, commands, arguments)

    def _fitting(self, key: str, value: Any, argument: Argument) -> Any:
        """Return the value in the form that its flag takes: one value or, as in the environment, words with blanks between.

        Raises:
            UserError: it has another form: a mapping, a list for one value, an empty entry.
        """
        _, many = argument.token_count()
        if many and isinstance(value, str):
            return value.split()
        entries = value if many and isinstance(value, list) else [value]
        if any(entry is None or isinstance(entry, dict | list | set) for entry in entries):
            form = f"{key}: [one, another]" if many else f"{key}: value"
            raise UserError(f"{key} in {self.path} has another form than its flag takes: write `{form}`.")
        return value


def environment(root: App, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Give the values of ``SPRACHBUND_{COMMAND}_{FLAG}`` to those arguments that no flag has set.

    Raises:
        UnknownName: a variable belongs to nothing that ``root`` knows, or names a flag that this command has not.
    """
    if not commands:
        return
    own, prefix = _variables(arguments, *commands), _prefix(*commands)
    others = tuple(_prefix(name) for name in _commands(root))
    known = {*own, *_variables(root.meta.assemble_argument_collection()), *FOR_USERS, *FOR_DEVELOPERS}
    for variable in sorted(os.environ):
        if not variable.startswith(PREFIX) or variable in known:
            continue
        if variable.startswith(prefix):
            raise UnknownName("environment variable", variable, own)
        if not variable.startswith(others):
            raise UnknownName("environment variable", variable, _all_variables(root))
    Env(PREFIX)(app, commands, arguments)


def common_environment(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Give the values of ``SPRACHBUND_{FLAG}`` to the flags of every command, but for those of :func:`settle_mode`."""
    rest = [argument for name, argument in _flags(arguments).items() if name not in MODES]
    Env(PREFIX, show=False)(app, commands, ArgumentCollection(rest))  # type: ignore[no-untyped-call]


def mode_of_environment() -> dict[str, bool]:
    """Return what the environment says of quiet, verbose and json.

    Raises:
        UserError: it says neither yes nor no.
    """
    said = {name: f"{PREFIX}{name.upper()}" for name in MODES}
    return {name: _truth(variable, os.environ[variable]) for name, variable in said.items() if variable in os.environ}


def settle_mode(*layers: Mapping[str, bool]) -> dict[str, bool]:
    """Return quiet, verbose and json; later layers win, and one that asks for less or for more settles both."""
    mode: dict[str, bool] = {}
    for layer in layers:
        if layer.get("quiet") or layer.get("verbose"):
            mode |= {"quiet": False, "verbose": False}
        mode |= layer
    return mode


def expand_home(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Let ``~`` in paths be the user's folder, wherever they come from: shells do that only for some that are typed."""
    for argument in arguments:
        if Path in (argument.hint, *get_args(argument.hint)):
            argument.tokens[:] = [token.evolve(value=os.path.expanduser(token.value)) for token in argument.tokens]


QUESTIONS = ("list", "list_locales", "dry_run", "simulate")
"""Flags that ask for something else than what the command does: where they are off there is nothing to say."""
ANOTHER_LINE = "words"
"""What stands behind --: the command line of another command, and no setting of this one."""


def resolved(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of a command in one mapping, the fields of config objects beside the other flags.

    What an experiment settles on is what ``plan`` reads.
    """
    settings: dict[str, Any] = {}
    for name, value in arguments.items():
        if name == ANOTHER_LINE:
            continue
        settings |= dict(value) if isinstance(value, BaseModel) else {name.rstrip("_"): value}
    return {name: value for name, value in settings.items() if value or name not in QUESTIONS}


def _flags(arguments: ArgumentCollection) -> dict[str, Argument]:
    """Return the flags by their names without the hyphens in front; each field of a config object is one."""
    return {
        argument.name.lstrip("-"): argument
        for argument in arguments
        if argument.show and argument.name.startswith("--")
    }


def _is_default(value: Any, argument: Argument) -> bool:
    """Return whether a value is the flag's default; 0 and False are equal in Python, but not to who writes them."""
    default = argument.field_info.default
    return isinstance(value, bool) == isinstance(default, bool) and bool(value == default)


def _prefix(*commands: str) -> str:
    return PREFIX + "".join(f"{command.upper().replace('-', '_')}_" for command in commands)


def _variables(arguments: ArgumentCollection, *commands: str) -> list[str]:
    """Return the environment variables of these flags."""
    return [_prefix(*commands) + name.upper().replace("-", "_") for name in _flags(arguments)]


def _commands(root: App) -> list[str]:
    return [name for name in root if not name.startswith("-")]


def _all_variables(root: App) -> list[str]:
    """Return every variable that a user can set."""
    return sorted(chain(_of_commands(root), _variables(root.meta.assemble_argument_collection()), FOR_USERS))


def _of_commands(parent: App, *names: str) -> Iterator[str]:
    """Yield the environment variables of all commands, those of a group of commands included."""
    for name in _commands(parent):
        command = parent[name]
        if command.default_command:
            yield from _variables(command.assemble_argument_collection(), *names, name)
        yield from _of_commands(command, *names, name)


def _truth(variable: str, value: str) -> bool:
    try:
        return TypeAdapter(bool).validate_python(value)
    except ValidationError as error:
        raise UserError(f"{variable} is true or false, not {value!r}.") from error
