"""Type command lines into processes that are forked from one which has imported everything: a start takes no time.

A process of its own takes seconds to import torch and transformers, and the tests type a hundred lines. Here each line still
gets a process, with its own folder, environment, arguments and output. What only a new interpreter can show is tested in
``tests/cli/test_processes.py`` and ``tests/test_light_imports.py``.

    python tests/typist.py     reads one JSON request a line, forks, and answers with one line
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from killing import read_all, threads

Done = subprocess.CompletedProcess[str]


class Typist:
    """A process that runs command lines in children of its own."""

    def __enter__(self) -> Typist:
        alone = {
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "JE_ARROW_MALLOC_CONF": "background_thread:false",
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **alone},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def type(self, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Done:
        """Run ``sprachbund ARGUMENTS`` or ``SCRIPT.py ARGUMENTS`` in a folder."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"words": [*words], "folder": str(folder), "environment": dict(environment)}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        return Done([*words], answer["status"], answer["out"], answer["err"])


def serve() -> None:
    """Fork for each request; the output of children is kept apart from the answers."""
    import_all()
    for line in sys.stdin:
        request = json.loads(line)
        out, err = os.memfd_create("out"), os.memfd_create("err")
        assert threads() == 1, "to fork beside threads is to inherit their locks"
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(err, 2)
            serve_one(**request)
        _, status = os.waitpid(child, 0)
        answer = {"status": os.waitstatus_to_exitcode(status), "out": read_all(out), "err": read_all(err)}
        print(json.dumps(answer), flush=True)


def serve_one(words: list[str], folder: str, environment: dict[str, str]) -> None:
    from sprachbund.cli import main

    status: Any = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.argv = words
        if words[0].endswith(".py"):
            runpy.run_path(words[0], run_name="__main__")
        else:
            main()
    except SystemExit as stop:
        status = stop.code
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)


def import_all() -> None:
    """Import all of the package, and what it loads models and draws with."""

    import sprachbund

    for module in pkgutil.walk_packages(sprachbund.__path__, "sprachbund."):
        if module.name not in {"sprachbund.__main__", "sprachbund.executors.on_ray"}:
            importlib.import_module(module.name)


if __name__ == "__main__":
    serve()
