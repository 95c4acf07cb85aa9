"""A process that has imported everything, and forks for each request: a start takes milliseconds instead of seconds.

Who asks (:class:`Forks`) sends a line of JSON and gets one back; who serves (:func:`serve`) is a program of its own,
``python tests/killing.py`` or ``python tests/typist.py``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

SECONDS = 600
"""A child that takes longer is ended."""
ALONE = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "HF_HUB_OFFLINE": "1",
}
"""Without threads: to fork beside threads is to inherit their locks."""


class Forks:
    """Whom to ask; ``program`` serves."""

    program: Path

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, self.program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ALONE},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Return what a child came to: its ``status`` and, by name, all that it wrote."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def serve(child: Callable[..., int], names: Sequence[str]) -> None:
    """Fork for each line; the child gets the request, and under each name the descriptor of a file to write to."""
    for line in sys.stdin:
        outs = {name: os.memfd_create(name) for name in names}
        assert threads() == 1, "to fork beside threads is to inherit their locks"
        process = os.fork()
        if process == 0:
            _end(child, {**json.loads(line), **outs})
        _, status = os.waitpid(process, 0)
        answer = {"status": os.waitstatus_to_exitcode(status)}
        print(json.dumps(answer | {name: read_all(out) for name, out in outs.items()}), flush=True)


def _end(child: Callable[..., int], request: dict[str, Any]) -> None:
    """Do what was asked for, and be no more."""
    status = 1
    signal.alarm(SECONDS)
    try:
        status = child(**request)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def threads() -> int:
    """Return how many threads this process has; 1 where nobody says."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 1


def read_all(descriptor: int) -> str:
    """Return what was written to a file, and close it."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as stream:
        return stream.read()
