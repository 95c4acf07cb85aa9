"""Type command lines into processes that are forked from one which has imported everything, see ``forking``.

A process of its own takes seconds to import torch and transformers, and the tests type a hundred lines. Here each line still
gets a process, with its own folder, environment, arguments and output, and one core. What only a new interpreter can show is
tested in ``tests/cli/test_processes.py`` and ``tests/test_light_imports.py``, several processes in ``tests/executors``.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from forking import Forks, serve

LOADED_LATE = ("transformers.models.xlm_roberta.modeling_xlm_roberta", "matplotlib.pyplot", "pyarrow.parquet")
"""By commands, when they come to it."""
APART = {"sprachbund.__main__", "sprachbund.executors.on_ray"}
"""Not imported by most."""


class Typist(Forks):
    """A process that runs command lines in children of its own."""

    program = Path(__file__)

    def type(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run ``sprachbund ARGUMENTS`` or ``SCRIPT.py ARGUMENTS`` in a folder."""
        done = self.ask(words=[*words], folder=str(folder), environment=dict(environment))
        return subprocess.CompletedProcess([*words], done["status"], done["out"], done["err"])


def typed(words: list[str], folder: str, environment: dict[str, str], out: int, err: int) -> int:
    """Be the process of a line; return its exit status."""
    from sprachbund import parallel
    from sprachbund.cli import main

    parallel.cores = lambda: 1  # several tests run at once; and workers would import everything anew
    for descriptor, here in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(descriptor, here)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = words
    try:
        if words[0].endswith(".py"):
            runpy.run_path(words[0], run_name="__main__")
        else:
            main()
    except SystemExit as stop:
        if isinstance(stop.code, str):  # as Python does
            print(stop.code, file=sys.stderr)
            return 1
        return stop.code or 0
    return 0


def import_all() -> None:
    """Import all of the package, and what it loads models and draws with."""
    import sprachbund

    modules = [module.name for module in pkgutil.walk_packages(sprachbund.__path__, "sprachbund.")]
    for name in (*modules, *LOADED_LATE):
        if name not in APART:
            importlib.import_module(name)


if __name__ == "__main__":
    import_all()
    serve(typed, ("out", "err"))
