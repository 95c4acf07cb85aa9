"""One cell: a checkpoint on one split of one locale, to a record.

Two roads lead here, the experiment and the evaluation of a single folder. Both describe the model by content, so that both
write the same record for the same model.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sprachbund import __version__, digests, inference, store
from sprachbund.candidates import InMemory
from sprachbund.cards import JOINED, MergeDetails, origin_of, read_details, trained_on
from sprachbund.checkpoints import Checkpoint, source_locale, zoo_name, zoo_uses
from sprachbund.config import Precision
from sprachbund.data import DataSet, Partition
from sprachbund.energy import Meter
from sprachbund.evaluation import answered, label_names, performance, predictions
from sprachbund.recipe import single
from sprachbund.store import DatasetInfo, EvaluationInfo, Example, ModelInfo, Prediction, Record, SourceInfo
from sprachbund.uses import TARGET_FEW, TARGET_TRAIN, union_of_uses

__all__ = ["Subject", "dataset_info", "describe", "evaluate", "record", "tokens_of"]

EXAMPLES = 10


@dataclass(frozen=True)
class Subject:
    """A checkpoint and what is known of how it was made."""

    checkpoint: Checkpoint
    locale: str
    """The locale it is evaluated in: the target of a merge, the language of a single source."""
    details: MergeDetails | None
    members: int = 1
    """How many such models answer together, in an ensemble."""

    @property
    def candidate(self) -> dict[str, Any]:
        """The model by content."""
        return self.details.candidate if self.details else single(self.checkpoint.digest)

    def identity(self, data_digest: str, split: str, precision: Precision) -> str:
        """Return the identity of its cell."""
        return store.cell_identity(self.candidate, data_digest=data_digest, split=split, precision=precision)

    @property
    def uses(self) -> tuple[str, ...]:
        """What the model has seen of the locale; who knows the locale's labels is the locale's own source."""
        seen = set(self.details.uses if self.details else zoo_uses(self.checkpoint))
        sources = [source.locale for source in self.details.sources] if self.details else self.source.split(JOINED)
        if self.details and self.details.recipe.target != self.locale:  # that was trained on labels of another locale
            seen -= {TARGET_FEW, TARGET_TRAIN}
        return union_of_uses(seen, [TARGET_TRAIN] if self.locale in sources else [])

    @property
    def source(self) -> str:
        """The locales that a single checkpoint was trained on, joined: as its card says, or its path.

        Where neither does, it is the one that it is evaluated in.
        """
        return JOINED.join(trained_on(self.checkpoint.origin)) or source_locale(self.checkpoint) or self.locale


def describe(checkpoint: Checkpoint, locale: str) -> Subject:
    """Return the checkpoint with its merge details, if they belong to its tensors."""
    return Subject(checkpoint, locale, read_details(checkpoint.folder))


def evaluate(
    subject: Subject,
    data: DataSet,
    split: str,
    variant: str,
    folder: Path,
    *,
    precision: Precision,
    started: float,
    meter: Meter | None = None,
    live: InMemory | None = None,
) -> Record:
    """Evaluate a model, write record and predictions into ``folder``, return the record.

    ``started`` is the monotonic time at which work on the cell began, and ``meter`` counts energy since then. A model that is
    ``live`` has its tensors in memory, and in its folder only what else there is to a checkpoint.

    Raises:
        IncompatibleError: the model was made for other labels.
        CheckpointError: it has changed in the meantime.
    """
    folder_of, texts = subject.checkpoint.folder, data.partition(subject.locale, split).texts
    if live is None:
        _ = subject.checkpoint.digest  # found out before it is read
        model, encoded = inference.load_classifier(folder_of), inference.encode(folder_of, texts)
    else:
        name, rows = subject.checkpoint.name, live.rows
        model = inference.live_classifier(folder_of, live.tensors, vocabulary_rows=rows, name=name)
        whole = rows is None
        encoded = inference.encode(folder_of, texts) if whole else tokens_of(subject.checkpoint, texts)[0]
    logits = inference.logits(inference.ready(model, precision), encoded)
    return record(subject, data, split, variant, folder, logits, precision=precision, started=started, meter=meter)


def tokens_of(checkpoint: Checkpoint, texts: Sequence[str]) -> tuple[inference.Encoded, npt.NDArray[np.int64]]:
    """Return texts as numbers of those tokens alone that occur in them, and the rows of the vocabulary that these are."""
    config = inference.config_of(checkpoint.folder)
    return inference.compact(inference.encode(checkpoint.folder, texts), inference.fixed_tokens(config))


def record(
    subject: Subject,
    data: DataSet,
    split: str,
    variant: str,
    folder: Path,
    logits: np.ndarray,
    *,
    precision: Precision,
    started: float,
    meter: Meter | None = None,
) -> Record:
    """Write record and predictions of a model that has answered with ``logits`` [rows, labels]; return the record.

    Raises:
        CheckpointError: the model has changed since it was read.
    """
    if not subject.details:
        subject.checkpoint.check_unchanged()
    partition = data.partition(subject.locale, split)
    checkpoint = subject.checkpoint
    rows = predictions(answered(logits, label_names(checkpoint.labels, data, checkpoint.name).names, partition))
    made = Record(
        identity=subject.identity(partition.digest, split, precision),
        evaluation_info=EvaluationInfo(
            variant=variant,
            locale=subject.locale,
            split=split,
            uses=subject.uses,
            timestamp=store.now(),
            seconds=round(time.monotonic() - started, 3),
            **_energy(meter),
            precision=precision,
            threads=torch.get_num_threads(),
            versions=_versions(),
        ),
        model_info=_model_info(subject),
        dataset_info=dataset_info(data, partition),
        performance=performance(rows, partition),
        examples=_examples(rows, partition),
    )
    return store.write_record(folder, made, rows)


def _energy(meter: Meter | None) -> dict[str, Any]:
    joules, names = meter.read() if meter else (None, ())
    return {"energy": None if joules is None else round(joules, 1), "energy_of": names}


def _model_info(subject: Subject) -> ModelInfo:
    checkpoint, details = subject.checkpoint, subject.details
    if details:
        told = ("locale", "weight", "digest", "score", "licence")
        sources = tuple(SourceInfo(**source.model_dump(include={*told})) for source in details.sources)
    else:
        licence = origin_of(checkpoint).licence
        sources = (SourceInfo(locale=subject.source, weight=1.0, digest=checkpoint.digest, licence=licence),)
    return ModelInfo(
        model=checkpoint.reference,
        zoo=details.zoo if details else zoo_name(checkpoint, subject.source),
        digest=digests.of_value(subject.candidate),
        sources=sources,
        recipe=details.recipe.model_dump() if details else None,
        effective_sources=details.effective_sources if details else 1.0,
        head_agreement=details.head_agreement if details else None,
        architecture=checkpoint.architecture,
        parameters=checkpoint.parameters * subject.members,
    )


def dataset_info(data: DataSet, partition: Partition) -> DatasetInfo:
    """Return what a record says of the rows that it is about."""
    return DatasetInfo(
        name=data.name,
        revision=data.revision,
        digest=partition.digest,
        licence=data.licence,
        notice=data.notice,
        demonstration=data.demonstration,
        examples=len(partition),
        intents=len(data.intents),
    )


def _examples(rows: Sequence[Prediction], partition: Partition) -> tuple[Example, ...]:
    """Return the first rows as they come: neither the best nor the worst."""
    return tuple(
        Example(**row.model_dump(), text=text, correct=row.gold == row.predicted)
        for row, text in zip(rows[:EXAMPLES], partition.texts, strict=False)
    )


def _versions() -> dict[str, str]:
    packages = ("torch", "transformers", "numpy")
    return {
        "sprachbund": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
