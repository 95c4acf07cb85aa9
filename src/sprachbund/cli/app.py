"""The command line: ``sprachbund COMMAND``, and the four scripts that users know by name.

A command is a thin module beside this one; its flags, defaults and help come from its config class. Heavy libraries are
imported inside commands, so that ``--help`` and ``--list-locales`` answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App, CycloptsError, Parameter
from pydantic import ValidationError

from sprachbund import __version__
from sprachbund.errors import SprachbundError

__all__ = ["app", "main", "run"]

INTERRUPTED = 130

# Threads that wait by spinning can bring a machine that is busy otherwise to a standstill: let them sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _shown(default: Any) -> Any:
    """Hide defaults that say nothing: off, none, empty."""
    return None if default in (None, False, (), "") else " ".join(default) if isinstance(default, tuple) else default


app = App(
    name="sprachbund",
    help="Merge fine-tuned checkpoints, one per language, into the best one for the language you need.",
    version=f"sprachbund {__version__}",
    help_format="plaintext",
    default_parameter=Parameter(consume_multiple=True, negative=(), show_default=_shown),
    result_action="return_value",
)


def main() -> None:
    """Run the command line and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit status: 0 done, 1 some cells failed, 2 the user can mend it."""
    try:
        return app(list(arguments), exit_on_error=False, print_error=False) or 0
    except CycloptsError as error:
        return _complain(_sentence(error), 2)
    except SprachbundError as error:
        return _complain(str(error), error.exit_status)
    except OSError as error:  # no space, no permission, no such folder: the system's own words name the file
        return _complain(f"{error}. What is finished is kept.", 2)
    except KeyboardInterrupt:
        return _complain("Interrupted. What is finished is kept: the same command goes on from here.", INTERRUPTED)


def _complain(message: str, status: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status


def _sentence(error: CycloptsError) -> str:
    """Return what is wrong with the command line, in one sentence that names the flag."""
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        first = cause.errors()[0]
        flag = f"--{'-'.join(str(part) for part in first['loc'][:1]).replace('_', '-')}"
        if first["type"] == "missing":
            return f"{flag} is needed. See --help."
        return f"{flag}: {first['msg']}; got {first['input']!r}. See --help."
    return f"{error} See --help." if str(error) else f"{type(error).__name__}. See --help."
