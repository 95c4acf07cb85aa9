"""The four scripts at the root of the repository: the command of the same job under the name that users know."""

from __future__ import annotations

from sprachbund.cli.app import main

__all__ = ["script"]


def script(command: str) -> None:
    """Run a command with this process's arguments and exit with its status."""
    main(command)
