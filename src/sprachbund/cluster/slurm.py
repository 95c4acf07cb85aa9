"""The file that runs an experiment on an allocation of Slurm.

It starts Ray on every node, waits for all of them, runs the experiment on the first one and stops Ray again; its status is
that of the experiment. Ray has a command of its own for this, ``ray symmetric-run``. It is not used, since as of Ray 2.60 it
exits with 0 where Ray could not be started, does not hear the signal that Slurm sends before the time is up, and ends with
``ray stop``, which stops each Ray of the user on a node, those of other jobs too.

What users type becomes words of a shell, whatever stands in it: all of it is quoted here, and nowhere else.
"""

from __future__ import annotations

import shlex
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from sprachbund import __version__
from sprachbund.config import SlurmConfig

__all__ = ["OPTIONS", "sbatch_file"]

OPTIONS = (
    "job_name",
    "nodes",
    "cpus_per_task",
    "gpus_per_node",
    "mem",
    "time",
    "partition",
    "account",
    "qos",
    "constraint",
)
"""The settings that are options of sbatch, under its own names."""

TEMPLATE = "run.sbatch.j2"


def sbatch_file(config: SlurmConfig, words: Sequence[str], folder: Path) -> str:
    """Return what stands in the file.

    Args:
        config: what is asked of Slurm.
        words: the command line that is run, without the name of the program.
        folder: where it is run: what relative paths in ``words`` start from.
    """
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = (files(__package__) / "templates" / TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(template).render(
        version=__version__,
        file=shlex.quote(config.out.name),
        options=list(_options(config)),
        requeue=config.requeue,
        folder=shlex.quote(str(folder)),
        programs=shlex.quote(sysconfig.get_path("scripts")),
        setup=config.setup,
        start_timeout=config.start_timeout,
        command=shlex.join(words),
    )


def _options(config: SlurmConfig) -> Iterator[tuple[str, object]]:
    """Yield options of sbatch with their values: those that are set, and one task a node, which is Ray."""
    for name in OPTIONS:
        value = getattr(config, name)
        if value is not None:
            yield name.replace("_", "-"), value
    yield "ntasks-per-node", 1
