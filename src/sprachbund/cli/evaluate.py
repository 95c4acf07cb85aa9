"""``sprachbund evaluate``: one checkpoint on one locale (``evaluate_specific_model.py``)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sprachbund import locales
from sprachbund.cli.app import app
from sprachbund.cli.console import Reporter, console, say
from sprachbund.config import EvaluateConfig
from sprachbund.errors import CheckpointError, UserError

__all__ = ["evaluate"]


@app.command
def evaluate(*, config: Annotated[EvaluateConfig, Parameter(name="*")]) -> int:
    """Evaluate one model on one locale and write RESULTS_DIR/{prefix}_{locale}/results.json."""
    from sprachbund import cells, data, inference, store
    from sprachbund.checkpoints import locate
    from sprachbund.evaluation import label_names
    from sprachbund.inputs import DEFAULT_DATA, embedded_if

    inference.quieten()
    with Reporter() as report:
        embedded = embedded_if(config.demo, report, refused={"--data": config.data})
    model = embedded.local_name(config.base_model) if embedded else config.base_model
    if config.list_models:
        return _list_models(Path(model), config.base_model)
    if not config.locale:
        raise UserError(
            "--locale is needed: the locale to evaluate on. See --list-locales of run_large_scale_experiment.py."
        )

    started = time.monotonic()
    locale = locales.find(config.locale).name
    checkpoint = locate(model, config.model_dir or "")
    dataset = data.load(embedded.data if embedded else config.data or DEFAULT_DATA)
    say(dataset.notice)
    note = label_names(checkpoint.labels, dataset, checkpoint.name).note
    if note:
        say(note)
    subject = cells.describe(checkpoint, locale)
    folder = config.results_dir / _folder_name(config, locale)
    identity = subject.identity(dataset.partition(locale, config.split).digest, config.split)
    record = store.find_record(folder, identity, overwrite=config.overwrite)
    if record is None:
        record = cells.evaluate(subject, dataset, config.split, config.prefix or "", folder, started=started)
    result = record.performance
    console.print(
        f"{locale} {config.split}: accuracy {result.accuracy:.4f} ({result.correct} of {result.total}), "
        f"macro-F1 {result.macro_f1:.4f} over {result.macro_f1_intents} intents"
    )
    console.print(f"Results: {folder / store.RECORD}", soft_wrap=True)
    return 0


def _folder_name(config: EvaluateConfig, locale: str) -> str:
    """Return ``{prefix}_{locale}``, without a prefix ``{base_name}_{model_dir}_{locale}``."""
    parts = [config.prefix] if config.prefix else [Path(config.base_model).name, config.model_dir]
    return "_".join([*(part.replace("/", "_") for part in parts if part), locale])


def _list_models(root: Path, asked: str) -> int:
    from sprachbund.checkpoints import CONFIG, sub_checkpoints

    if not root.is_dir():
        raise CheckpointError(
            f"{asked} is not a folder on this machine, and checkpoints cannot be fetched from the hub yet."
        )
    folders = [path.name for path in sub_checkpoints(root)]
    if (root / CONFIG).is_file():
        console.print(f"{asked} is itself a model: no --model-dir needed.", soft_wrap=True)
    elif not folders:
        raise CheckpointError(f"{asked} holds no model: there is no config.json in it or in its subfolders.")
    for folder in folders:
        console.print(folder, soft_wrap=True)
    return 0
