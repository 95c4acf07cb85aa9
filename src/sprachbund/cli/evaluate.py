"""``sprachbund evaluate``: one checkpoint on one locale (``evaluate_specific_model.py``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console, result, say
from sprachbund.config import EvaluateConfig
from sprachbund.errors import CheckpointError
from sprachbund.store import RECORD, Record

__all__ = ["evaluate"]


@app.command
def evaluate(*, config: Annotated[EvaluateConfig, Parameter(name="*")]) -> int:
    """Evaluate one model on one locale and write RESULTS_DIR/{prefix}_{locale}/results.json."""
    from sprachbund.commands import evaluate_one

    if config.list_models:
        return _list_models(config)
    with Reporter() as report:
        done = evaluate_one(config, report, say)
    result(lambda: done.record, lambda: _show(done.record, done.folder / RECORD))
    return 0


def _show(record: Record, path: Path) -> None:
    scores = record.performance
    console.print(
        f"{record.evaluation_info.locale} {record.evaluation_info.split}: "
        f"accuracy {scores.accuracy:.4f} ({scores.correct} of {scores.total}), "
        f"macro-F1 {scores.macro_f1:.4f} over {scores.macro_f1_intents} intents"
    )
    console.print(f"Results: {path}", soft_wrap=True)


def _list_models(config: EvaluateConfig) -> int:
    from sprachbund.checkpoints import models_in
    from sprachbund.inputs import embedded_if

    asked = config.base_model
    with Reporter() as report:
        embedded = embedded_if(config.demo, report, refused={"--data": config.data})
    itself, folders = models_in(embedded.local_name(asked) if embedded else asked)
    if itself:
        say(f"{asked} is itself a model: no --model-dir needed.")
    elif not folders:
        raise CheckpointError(f"{asked} holds no model: there is no config.json in it or in its subfolders.")
    result(lambda: folders, lambda: console.print("\n".join(folders), soft_wrap=True, end="\n" if folders else ""))
    return 0
