"""``sprachbund cluster``: files that run an experiment on a cluster."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from sprachbund.cli.app import app, understood
from sprachbund.cli.console import console, result
from sprachbund.config import ExperimentConfig, SlurmConfig
from sprachbund.errors import StoreError, UserError

__all__ = ["cluster", "slurm"]

EXPERIMENT = "experiment"
EXAMPLE = "as in sprachbund cluster slurm --nodes 2 -- experiment --data massive"
NOT_FOR_A_JOB = ("list_locales", "dry_run")
"""What an experiment answers at once."""

cluster = App(name="cluster", help="Write a file that runs an experiment on a cluster.")
app.command(cluster)


@cluster.command
def slurm(*words: str, config: Annotated[SlurmConfig, Parameter(name="*")]) -> int:
    """Write the file that sbatch takes: it starts Ray on all nodes, runs the experiment, and stops Ray.

    What stands behind -- is the experiment with its own flags, which are checked now: sprachbund cluster slurm --nodes 2 --
    experiment --data massive. Submitted again, the file goes on from what is finished. All nodes must see the same folders.
    """
    from sprachbund import files
    from sprachbund.cluster import sbatch_file
    from sprachbund.plan import check_writable

    if not words or words[0] != EXPERIMENT:
        raise UserError(f"What the job runs is an experiment: write it behind --, {EXAMPLE}.")
    if any(word.partition("=")[0] == "--executor" for word in words):
        raise UserError(
            "--executor: leave it out, since the job starts a Ray of its own and says so to the experiment."
        )
    words = (*words, "--executor", "ray")
    _check_experiment(words, config)
    check_writable(config.out.parent)
    text = sbatch_file(config, words, Path.cwd())
    content = os.fsencode(text)  # names of files may be no text
    if not config.overwrite and config.out.exists() and config.out.read_bytes() != content:
        raise StoreError(
            f"{config.out} is there already and says something else: choose another --out, or --overwrite it."
        )
    files.write_bytes(config.out, content)
    submit = shlex.join(["sbatch", str(config.out)])
    result(
        lambda: {"file": config.out, "submit": submit},
        lambda: console.print(f"Job: {config.out}. Submit it: {submit}", soft_wrap=True, markup=False),
    )
    return 0


def _check_experiment(words: Sequence[str], slurm: SlurmConfig) -> None:
    """Complain of the flags of an experiment now rather than when a queue has been waited in.

    Raises:
        CycloptsError, UserError: it would not be begun.
    """
    from sprachbund.choosing import check_method
    from sprachbund.methods import METHODS
    from sprachbund.plan import chosen_variants

    _, arguments = understood(words)
    if idle := next((name for name in NOT_FOR_A_JOB if arguments[name]), None):
        raise UserError(f"--{idle.replace('_', '-')} is answered at once, and needs no cluster: leave it out.")
    config: ExperimentConfig = arguments["config"]
    if config.ray_address:
        raise UserError(f"--ray-address {config.ray_address}: leave it out, since the job starts a Ray of its own.")
    if slurm.cpus_per_task and config.threads > slurm.cpus_per_task:
        raise UserError(
            f"--threads {config.threads} is more than --cpus-per-task {slurm.cpus_per_task}, so that no node could do a task: "
            "raise the one, or lower the other."
        )
    chosen_variants(config)
    check_method(config)
    METHODS[config.method].settle(config.options, config.num_languages)
