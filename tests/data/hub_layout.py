"""Writes rows as the hub's parquet branch has them: a file per locale and split, labels as numbers, named in the schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow
from pyarrow import parquet

from sprachbund.data import Row
from sprachbund.data.layouts import HUB_SPLITS
from sprachbund.data.massive import INTENTS


def write_hub(root: Path, rows: Iterable[Row], intents: Sequence[str] = INTENTS) -> Path:
    """Write ``{locale}/{train,validation,test}/0000.parquet``."""
    parts: dict[Path, list[Row]] = {}
    for row in rows:
        parts.setdefault(root / row.locale / HUB_SPLITS[row.partition] / "0000.parquet", []).append(row)
    for path, part in parts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(_table(part, intents), path)
    return root


def _table(rows: Sequence[Row], intents: Sequence[str]) -> pyarrow.Table:
    scenarios = sorted({row.scenario for row in rows})
    columns = {
        "id": [row.id for row in rows],
        "locale": [row.locale for row in rows],
        "partition": [row.partition for row in rows],
        "scenario": [scenarios.index(row.scenario) for row in rows],
        "intent": [intents.index(row.intent) for row in rows],
        "utt": [row.utt for row in rows],
        "annot_utt": ["" for _ in rows],
    }
    labels = {"scenario": scenarios, "intent": list(intents)}
    features = {
        name: {"names": labels[name], "_type": "ClassLabel"}
        if name in labels
        else {"dtype": "string", "_type": "Value"}
        for name in columns
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pyarrow.table(columns).replace_schema_metadata(metadata)
