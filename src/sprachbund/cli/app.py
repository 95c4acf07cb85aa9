"""The command line: ``sprachbund COMMAND``, and the four scripts that users know by name.

A command is a thin module beside this one; its flags, defaults and help come from its config class. Heavy libraries are
imported inside commands, so that ``--help`` and ``--list-locales`` answer at once.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter

from sprachbund import __version__
from sprachbund.cli.console import console, result, set_mode
from sprachbund.cli.ending import of_interrupt, told_to_end, undisturbed
from sprachbund.cli.sentences import of_command_line, of_system
from sprachbund.cli.settings import (
    SettingsFile,
    common_environment,
    environment,
    expand_home,
    mode_of_environment,
    resolved,
    settle_mode,
)
from sprachbund.config import as_yaml
from sprachbund.errors import SprachbundError, UserError, is_no_memory, of_memory

__all__ = ["app", "main", "run", "understood"]

UNREAD = 141
"""Who read the output left before its end (``| head``). As of programs that SIGPIPE ends: 128 + 13, and no message."""

# Threads that wait by spinning can bring a machine that is busy otherwise to a standstill: let them sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _shown(default: Any) -> Any:
    """Hide defaults that say nothing: off, none, empty."""
    return None if default in (None, False, (), "") else " ".join(default) if isinstance(default, tuple) else default


app = App(
    name="sprachbund",
    help="Merge fine-tuned checkpoints, one per language, into the best one for the language you need.",
    help_epilogue="Every flag can also stand in a file (--config FILE.yaml) or in the environment "
    "(SPRACHBUND_{COMMAND}_{FLAG}): defaults < file < environment < flags.",
    version=f"sprachbund {__version__}",
    console=console,
    help_format="plaintext",
    default_parameter=Parameter(consume_multiple=1, negative=(), show_default=_shown),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.meta.suppress_keyboard_interrupt = False  # run() says what is kept, and how to go on


EVERYWHERE = Group("Every command")


@app.meta.default
def launch(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[
        Path | None, Parameter(group=EVERYWHERE, help="YAML file with the command's flags; flags typed here win.")
    ] = None,
    print_config: Annotated[
        bool, Parameter(group=EVERYWHERE, help="Print all settings of the command as YAML, and stop.")
    ] = False,
    quiet: Annotated[
        bool | None, Parameter(group=EVERYWHERE, help="No progress and no notes: results and errors.")
    ] = None,
    verbose: Annotated[bool | None, Parameter(group=EVERYWHERE, help="Say more of what is being done.")] = None,
    json: Annotated[
        bool | None, Parameter(group=EVERYWHERE, help="The result as one JSON document, for programs.")
    ] = None,
) -> int:
    """Read what every command has in common, then run the command."""
    file = SettingsFile.read(config) if config else None
    typed = {"quiet": quiet, "verbose": verbose, "json": json}
    said = {name: value for name, value in typed.items() if value is not None}
    set_mode(**settle_mode(file.mode if file else {}, mode_of_environment(), said))
    app.config = _layers(file)
    if print_config:
        return _print_config(words)
    return app(list(words), exit_on_error=False, print_error=False) or 0


def _layers(file: SettingsFile | None) -> Sequence[Any]:
    """Return what gives values to flags that are not typed, and mends those that are."""
    return [partial(environment, app), *([file] if file else []), expand_home]


def understood(words: Sequence[str]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the command that a line names and its arguments, settled as if it were run now; nothing is run.

    Raises:
        CycloptsError, UserError: the line cannot be read, its --config FILE neither; or it only asks how to write one.
    """
    _, common, _ = app.meta.parse_args(list(words), exit_on_error=False, print_error=False)
    common.apply_defaults()
    if common.arguments.get("print_config", True):  # where it is not even there, help is what is asked for
        raise UserError("--help, --version and --print-config are answered at once: leave them out here.")
    path = common.arguments["config"]
    before, app.config = app.config, _layers(SettingsFile.read(path) if path else None)
    try:
        command, bound, _ = app.parse_args(list(common.arguments["words"]), exit_on_error=False, print_error=False)
    finally:
        app.config = before
    bound.apply_defaults()
    return command, bound.arguments


def _print_config(words: Sequence[str]) -> int:
    command, bound, _ = app.parse_args(list(words), exit_on_error=False, print_error=False)
    if isinstance(getattr(command, "__self__", None), App):  # help or version: asked for, or there is no command
        return app(list(words), exit_on_error=False, print_error=False) or 0
    bound.apply_defaults()
    settings = resolved(bound.arguments)
    result(lambda: settings, lambda: console.print(as_yaml(settings), end="", markup=False, soft_wrap=True))
    return 0


def main(command: str | None = None) -> None:
    """Run the command line, or a command with the arguments of this process, and exit with its status."""
    atexit.register(gc.freeze)  # else Python looks through all objects of all libraries before it ends: a second or two
    try:
        status = run([*([command] if command else []), *sys.argv[1:]])
        sys.stdout.flush()
    except BrokenPipeError:
        status = UNREAD
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit status.

    That is 0 done, 1 some cells failed, 2 the user can mend it, 130 Ctrl-C, 143 SIGTERM.

    Raises:
        BrokenPipeError: who read the output has left.
    """
    with told_to_end():
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    app.config = ()
    app.meta.config = [common_environment, expand_home]
    try:
        return _command(arguments)
    except CycloptsError as error:
        everywhere = [argument.name for argument in app.meta.assemble_argument_collection() if argument.show]
        return _complain(of_command_line(error, [*app.help_flags, *everywhere]), 2)
    except SprachbundError as error:
        return _complain(str(error), error.exit_status)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt as interrupt:
        what, status = of_interrupt(interrupt)
        return _complain(f"{what}. What is finished is kept: the same command goes on from here.", status)
    except Exception as error:
        if is_no_memory(error):
            return _complain(f"{of_memory(error)} What is finished is kept, and the same command goes on from here.", 2)
        if isinstance(error, OSError):  # no space, no permission, no such folder
            return _complain(of_system(error), 2)
        raise


def _command(arguments: Sequence[str]) -> int:
    try:
        return app.meta(list(arguments), exit_on_error=False, print_error=False) or 0
    finally:
        undisturbed()


def _complain(message: str, status: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status
