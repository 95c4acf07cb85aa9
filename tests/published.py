"""What the commands of the original experiment find on the hub, made up: 52 sources and MASSIVE, in the published layout.

The sources are pico models with ``LABEL_n`` for labels, in ``haryoaw/xlm-roberta-base_massive_k_{locale}``, each in its
subfolder, beside files that nobody needs. The data is that of ``workshop``: parquet files on the branch
``refs/convert/parquet``, where intents are numbers whose names stand in the schema.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hub import Files, Hub, tree_of
from pico import Pico
from workshop import rows

from sprachbund.data.massive import INTENTS

SOURCE, SUBFOLDER = "haryoaw/xlm-roberta-base_massive_k_{locale}", "alpha_0.5_{locale}_epoch-9"
DATA, BRANCH = "AmazonScience/massive", "refs/convert/parquet"
SPLITS = {"train": "train", "validation": "dev", "test": "test"}
"""Names of the folders, and what MASSIVE's own files call these rows."""


def publish_sources(hub: Hub, folder: Path, locales: Iterable[str]) -> None:
    """Make a source for each locale in ``folder``, and put it on the hub."""
    labels = [f"LABEL_{number}" for number in range(len(INTENTS))]
    for locale in locales:
        model = tree_of(Pico(folder).source(locale, labels=labels).folder)
        below = {f"{SUBFOLDER.format(locale=locale)}/{path}": content for path, content in model.items()}
        hub.add(SOURCE.format(locale=locale), {**below, "README.md": b"# A source\n", "log/events": locale.encode()})


def publish_data(hub: Hub, locales: Iterable[str]) -> None:
    """Put the rows of all locales on the hub."""
    hub.add(DATA, {"massive.py": b"# a loader that nobody runs any more\n"}, kind="datasets")
    files: Files = {}
    for locale in locales:
        found = [json.loads(line) for line in rows(locale)]
        for split, partition in SPLITS.items():
            files[f"{locale}/{split}/0000.parquet"] = _parquet([row for row in found if row["partition"] == partition])
    hub.add(DATA, files, kind="datasets", branch=BRANCH)


def _parquet(found: list[dict[str, str]]) -> bytes:
    texts = ("id", "locale", "partition", "utt", "annot_utt", "worker_id")
    columns = {name: pa.array([row.get(name, row["utt"]) for row in found], pa.string()) for name in texts}
    columns["scenario"] = pa.array([0] * len(found), pa.int64())
    columns["intent"] = pa.array([INTENTS.index(row["intent"]) for row in found], pa.int64())
    features = {
        **{name: {"dtype": "string", "_type": "Value"} for name in texts},
        "scenario": {"names": ["made-up"], "_type": "ClassLabel"},
        "intent": {"names": list(INTENTS), "_type": "ClassLabel"},
    }
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    with io.BytesIO() as stream:
        pq.write_table(table, stream)
        return stream.getvalue()
