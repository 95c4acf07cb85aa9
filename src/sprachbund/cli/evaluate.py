"""``sprachbund evaluate``: one checkpoint on one locale (``evaluate_specific_model.py``)."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sprachbund import locales
from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console, result, say
from sprachbund.config import EvaluateConfig
from sprachbund.errors import CheckpointError, UserError
from sprachbund.store import RECORD, Record

__all__ = ["evaluate"]


@app.command
def evaluate(*, config: Annotated[EvaluateConfig, Parameter(name="*")]) -> int:
    """Evaluate one model on one locale and write RESULTS_DIR/{prefix}_{locale}/results.json."""
    from sprachbund import cells, inference, store
    from sprachbund.evaluation import label_names
    from sprachbund.inputs import notes_on, open_one
    from sprachbund.plan import check_writable

    inference.quieten()
    if config.list_models:
        return _list_models(config)
    if not config.locale:
        raise UserError(
            "--locale is needed: the locale to evaluate on. See --list-locales of run_large_scale_experiment.py."
        )
    inference.check_precision(config.precision)
    check_writable(config.results_dir)
    started = time.monotonic()
    with Reporter() as report:
        checkpoint, dataset = open_one(config, report)
    locale = locales.find(config.locale, dataset.locales).name
    say(dataset.notice)
    for said in notes_on([checkpoint]):
        say(said)
    note = label_names(checkpoint.labels, dataset, checkpoint.name).note
    if note:
        say(note)
    subject = cells.describe(checkpoint, locale)
    folder = config.results_dir / _folder_name(config, locale)
    identity = subject.identity(dataset.partition(locale, config.split).digest, config.split, config.precision)
    record = store.find_record(folder, identity, overwrite=config.overwrite)
    if record is None:
        record = cells.evaluate(
            subject,
            dataset,
            config.split,
            config.prefix or "",
            folder,
            precision=config.precision,
            started=started,
        )
    result(lambda: record, lambda: _show(record, folder / RECORD))
    return 0


def _show(record: Record, path: Path) -> None:
    scores = record.performance
    console.print(
        f"{record.evaluation_info.locale} {record.evaluation_info.split}: "
        f"accuracy {scores.accuracy:.4f} ({scores.correct} of {scores.total}), "
        f"macro-F1 {scores.macro_f1:.4f} over {scores.macro_f1_intents} intents"
    )
    console.print(f"Results: {path}", soft_wrap=True)


def _folder_name(config: EvaluateConfig, locale: str) -> str:
    """Return ``{prefix}_{locale}``, without a prefix ``{base_name}_{model_dir}_{locale}``."""
    parts = [config.prefix] if config.prefix else [_base_name(config.base_model), config.model_dir]
    return "_".join([*(part.replace("/", "_") for part in parts if part), locale])


def _base_name(model: str) -> str:
    """Return the name of a folder without where it is, of a repository without its owner."""
    from sprachbund.checkpoints import on_the_hub

    place = on_the_hub(model)
    if place is None:
        return Path(model).name
    return str(replace(place, repository=place.repository.rpartition("/")[2])).replace(":", "_")


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
