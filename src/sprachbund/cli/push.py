"""``sprachbund push``: a model that was made here, to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from sprachbund.cli.app import app
from sprachbund.cli.console import console, result, say
from sprachbund.config import PushConfig
from sprachbund.plan import size

__all__ = ["push"]


@app.command
def push(*, config: Annotated[PushConfig, Parameter(name="*")]) -> int:
    """Upload a model with its card to the hub: the files that make it, and no other; paths of this machine are cut."""
    from sprachbund.cards import CARD, details_of, lacks_results, published_files
    from sprachbund.checkpoints.publishing import check_repository, check_revision
    from sprachbund.checkpoints.publishing import push as upload

    check_repository(config.repo)
    if config.revision is not None:
        check_revision(config.revision)
    details = details_of(config.model)
    contents = published_files(config.model, details)
    sizes = {name: _bytes(content) for name, content in contents.items()}
    if lacks_results(config.model):
        say(f"{CARD} tells of no result: sprachbund card --model {config.model} adds those of a results folder.")
    where = config.repo + (f"@{config.revision}" if config.revision else "")
    value = {"repository": config.repo, "revision": config.revision, "private": config.private, "files": sizes}
    if config.dry_run:
        result(
            lambda: {**value, "pushed": None}, lambda: _show(sizes, f"would go to {where}; nothing was asked or sent")
        )
        return 0
    say(f"Pushing {size(sum(sizes.values()))} to {where} …")
    message = f"Made by sprachbund {details.version}"
    done = upload(contents, config.repo, private=config.private, revision=config.revision, message=message)
    result(lambda: {**value, "pushed": done}, lambda: _show(sizes, f"are at {done.url}, commit {done.commit}"))
    return 0


def _bytes(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _show(sizes: dict[str, int], said: str) -> None:
    table = Table("file", box=None, pad_edge=False)
    table.add_column("size", justify="right")
    for name, count in sizes.items():
        table.add_row(name, size(count))
    console.print(table)
    console.print(f"{len(sizes)} files, {size(sum(sizes.values()))}, {said}", soft_wrap=True, markup=False)
