"""Where settings come from: defaults < file (``--config``) < environment < flags.

A file is one command's settings, ``flag: value`` with underscores for hyphens, and closed: a key that is no flag is an error
that names the nearest one. The environment is ``SPRACHBUND_{COMMAND}_{FLAG}`` and just as closed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict, Env
from pydantic import BaseModel

from sprachbund.errors import UnknownName, UserError

__all__ = ["PREFIX", "SettingsFile", "environment", "resolved"]

PREFIX = "SPRACHBUND_"
MODES = ("quiet", "verbose", "json")
OTHERS = {"SPRACHBUND_DEMO_SIZE"}
"""Variables that look like a flag's and are none."""


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
            content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except FileNotFoundError as error:
            raise UserError(f"--config {path}: there is no such file.") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"--config {path} is not YAML ({_one_line(error)}): mend it.") from error
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
        defaults = _defaults(arguments)
        given = {}
        for key, value in self.content.items():
            flag = key.replace("_", "-")
            if flag not in defaults:
                raise UnknownName(f"key in {self.path}", key, [name.replace("-", "_") for name in defaults])
            if value not in (None, defaults[flag]):
                given[key] = value
        nested: Mapping[str, Any] = given
        for command in reversed(commands):
            nested = {command: nested}
        Dict(dict(nested), source=str(self.path))(app, commands, arguments)


def environment(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Give the values of ``SPRACHBUND_{COMMAND}_{FLAG}`` to those arguments that no flag has set."""
    prefix = PREFIX + "".join(f"{command.upper()}_" for command in commands)
    if not commands:
        return
    known = {prefix + name.upper().replace("-", "_") for name in _defaults(arguments)}
    for variable in os.environ:
        if variable.startswith(prefix) and variable not in known | OTHERS:
            raise UnknownName("environment variable", variable, known)
    Env(PREFIX)(app, commands, arguments)


def resolved(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of a command in one mapping, the fields of config objects beside the other flags."""
    settings: dict[str, Any] = {}
    for name, value in arguments.items():
        settings |= dict(value) if isinstance(value, BaseModel) else {name: value}
    return settings


def _defaults(arguments: ArgumentCollection) -> dict[str, Any]:
    """Return the default of each flag, named without the hyphens in front; each field of a config object is a flag."""
    return {
        argument.name.lstrip("-"): argument.field_info.default
        for argument in arguments
        if argument.show and argument.name.startswith("--")
    }


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
