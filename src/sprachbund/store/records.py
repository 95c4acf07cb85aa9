"""The run store: a folder of records, the only truth about results.

    {results}/{prefix}_{locale}/results.json       the record of a finished cell, written last and atomically
    {results}/{prefix}_{locale}/predictions.csv    every prediction: id, gold, predicted, confidence, gold_probability
    {results}/{prefix}_{locale}/failure.json       instead of them: why the cell failed
    {results}/transfer/{split}/{source}.json       the zero-shot accuracy of one source in every locale
    {results}/transfer/{split}/{source}.parquet    what it answered there, see :mod:`sprachbund.store.columns`
    {results}/../experiment_progress.json          beside the results: what the last run is about, and how far it has come

A cell is done if and only if there is a valid record with its identity. A record of another identity is never overwritten
unasked. A run holds the lock of the folder (``.lock``) while it writes.

Schema version 2 has what calibration needs: the probability of the gold intent in predictions, NLL and ECE in records; and
digests of a source's predictions in its zero-shot row. Version 3 has what a source was ranked by, its licence, the energy
that a cell took, and on how many threads it was computed. Older files are read as ever, and lack these.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sprachbund import digests, files, locks
from sprachbund.errors import StoreError
from sprachbund.parallel import Failed
from sprachbund.store import columns
from sprachbund.store.columns import Columns, Hits
from sprachbund.untrusted import Unreadable, check_version, read_json

__all__ = [
    "FAILURE",
    "PREDICTIONS",
    "PREDICTION_COLUMNS",
    "PROGRESS",
    "RECORD",
    "RESULTS",
    "SCHEMA_VERSION",
    "DatasetInfo",
    "EvaluationInfo",
    "Example",
    "Failure",
    "ModelInfo",
    "Performance",
    "Prediction",
    "Progress",
    "Record",
    "RunStore",
    "SourceInfo",
    "Transfer",
    "TransferCell",
    "cell_identity",
    "checked_predictions",
    "differences",
    "failure_of",
    "find_record",
    "now",
    "read_failure",
    "read_predictions",
    "read_progress",
    "read_record",
    "renamed",
    "write_failure",
    "write_record",
]

SCHEMA_VERSION = 3
M = TypeVar("M", bound=BaseModel)

RECORD, PREDICTIONS, FAILURE = "results.json", "predictions.csv", "failure.json"
RESULTS, PROGRESS = "results", "experiment_progress.json"
"""Of a run, in its folder: the run store, and how far it has come."""
ANSWERS = ".parquet"
PREDICTION_COLUMNS = ("id", "gold", "predicted", "confidence", "gold_probability")
"""The last one is not there in files of schema version 1."""


CLAIMS = ".claims"
"""Folder of empty files, one for each piece of work that somebody has begun; what counts is who holds the lock of one."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EvaluationInfo(_Section):
    """What was asked, and of whom."""

    variant: str
    """The prefix: ``baseline``, ``similarity``, … or what users typed after ``--prefix``; empty without one."""
    locale: str
    split: str
    uses: tuple[str, ...]
    """What the candidate has seen of the target, see the glossary."""
    timestamp: str
    """ISO 8601, UTC."""
    seconds: float
    """Wall time of making and evaluating the candidate."""
    energy: float | None = None
    """Joules by the counters of ``energy_of`` in that time, all else that they feed included.

    None where there was no counter, where other workers shared the machine, and in records before schema version 3.
    """
    energy_of: tuple[str, ...] = ()
    """What was counted: ``GPU NVIDIA H200``, ``CPU package-0``."""
    precision: str
    threads: int | None = None
    """On how many threads torch computed on the CPU, which the last bits of sums hang on; None before schema version 3.

    Not part of the cell's identity: it is the same cell, whoever computes it.
    """
    versions: dict[str, str]


class SourceInfo(_Section):
    """One source of a candidate."""

    locale: str
    weight: float
    digest: str
    score: float | None = None
    """What it was ranked by: similarity to the target, in a soup or an adaptation how good it looked there.

    None where nothing ranked it, and in records before schema version 3.
    """
    licence: str | None = None
    """As its model card says; None where that says nothing, and in records before schema version 3."""


class ModelInfo(_Section):
    """The candidate, by name and by content."""

    model: str
    """The checkpoint as the user named it, or its folder."""
    zoo: str
    """The family of sources that it stems from: their template or, for embedded models, their name and digest."""
    digest: str
    """Of the candidate: equal content, equal digest."""
    sources: tuple[SourceInfo, ...]
    """In recipe order; one for a single checkpoint."""
    recipe: dict[str, Any] | None
    """None for a checkpoint that nobody says how it was made."""
    effective_sources: float
    """1 / Σ weight², in [1, number of sources]."""
    head_agreement: float | None
    """Smallest cosine between the classification heads of two sources; None for one source."""
    architecture: str
    parameters: int


class DatasetInfo(_Section):
    """What was predicted."""

    name: str
    revision: str
    digest: str
    """Of the rows of this locale and split."""
    licence: str
    notice: str
    demonstration: bool
    examples: int
    intents: int


class Performance(_Section):
    """The metrics, by label name."""

    accuracy: float
    """Fraction in [0, 1]."""
    correct: int
    total: int
    macro_f1: float
    """Mean F1 over the intents that occur in the gold labels of this split, fraction in [0, 1]."""
    macro_f1_intents: int
    """How many intents that are."""
    mean_confidence: float
    majority_rate: float
    """Accuracy of always answering the most frequent intent."""
    nll: float | None = None
    """Mean negative log likelihood of the gold intents, in nats; None in records of schema version 1."""
    ece: float | None = None
    """Expected calibration error, fraction in [0, 1]; None in records of schema version 1."""


class Prediction(_Section):
    """One row of predictions.csv."""

    id: str
    gold: str
    predicted: str
    confidence: float
    """Probability of the predicted intent, fraction in (0, 1], to six decimals."""
    gold_probability: float | None = None
    """Probability of the gold intent, fraction in [0, 1], to six significant digits; 0 where the model lacks it.

    None in files of schema version 1.
    """


class Example(Prediction):
    """A prediction with its text, for people."""

    text: str
    correct: bool


class Record(_Section):
    """results.json."""

    schema_version: int = SCHEMA_VERSION
    identity: str
    predictions_digest: str = ""
    """SHA-256 of predictions.csv, filled in by the store."""
    evaluation_info: EvaluationInfo
    model_info: ModelInfo
    dataset_info: DatasetInfo
    performance: Performance
    examples: tuple[Example, ...]


class Failure(_Section):
    """failure.json: a cell that could not be finished; it is tried again on resume."""

    schema_version: int = SCHEMA_VERSION
    variant: str
    locale: str
    dataset: str = ""
    split: str = ""
    zoo: str = ""
    """Of what it is; the first failures, of schema version 1, do not say."""
    identity: str | None = None
    """None where the cell had none yet, in schema version 1."""
    reason: str
    traceback: str
    timestamp: str


class TransferCell(_Section):
    """One source in one locale."""

    data_digest: str
    correct: int
    total: int
    majority_rate: float
    predictions_digest: str = ""
    """Of its predictions in the Parquet file beside the row; empty where none were kept."""

    @property
    def accuracy(self) -> float:
        """Fraction in [0, 1]."""
        return self.correct / self.total


class Transfer(_Section):
    """What one source, as it is, reaches in each locale."""

    schema_version: int = SCHEMA_VERSION
    source: str
    digest: str
    zoo: str
    split: str
    dataset: str
    """Name of the data set."""
    uses: tuple[str, ...] = ("nothing",)
    """What the source has seen of any other locale."""
    precision: str = "fp32"
    """In what numbers it answered; rows from before there was a choice do not say."""
    cells: dict[str, TransferCell] = Field(default_factory=dict)

    def without_answers(self) -> Transfer:
        """Return the row as it stands where predictions are not kept."""
        bare = {locale: cell.model_copy(update={"predictions_digest": ""}) for locale, cell in self.cells.items()}
        return self.model_copy(update={"cells": bare})


class Progress(_Section):
    """experiment_progress.json: what the last run in a folder is about, and what it has come to; for people and onlookers."""

    schema_version: int = SCHEMA_VERSION
    started: str
    updated: str
    cells: dict[str, dict[str, str]] = Field(default_factory=dict)
    """All that the run is to do: the identities of its cells, by locale and variant."""
    split: str = "test"
    zero_shot: tuple[str, ...] = ()
    """Sources that are evaluated in all of these locales besides, after the cells."""
    total_locales: int
    completed_locales: tuple[str, ...]
    remaining_locales: tuple[str, ...]
    total_experiments: int
    successful_experiments: int
    failed_experiments: int
    results: dict[str, Any]


def cell_identity(candidate: Mapping[str, Any], *, data_digest: str, split: str, precision: str) -> str:
    """Return what makes a cell this cell and no other."""
    return digests.of_value({"candidate": dict(candidate), "data": data_digest, "split": split, "precision": precision})


def now() -> str:
    """Return the time as records write it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class RunStore:
    """The records in one results folder."""

    root: Path

    @contextmanager
    def exclusive(self, *, instead: str = "--output-dir") -> Iterator[None]:
        """Keep other processes out while the block runs, and before and after it clear away what killed ones have left.

        Raises:
            StoreError: another process is at work; says who, and to choose another folder with the flag ``instead``.
        """
        with locks.exclusive(self.root, instead=instead):
            self._remove_leftovers()
            try:
                yield
            finally:
                self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        inside = [path for pattern in ("*", "transfer/*") for path in self.root.glob(pattern) if path.is_dir()]
        files.remove_leftovers(self.root, *inside)

    def check_free(self, *, instead: str = "--output-dir") -> None:
        """Complain if another process works here; nothing is made for it.

        Raises:
            StoreError: says who it is.
        """
        with suppress(OSError):  # what cannot be locked is told when it is needed
            if self.root.is_dir():
                locks.check_free(self.root, instead=instead)

    @contextmanager
    def claim(self, what: str) -> Iterator[bool]:
        """Tell whether a piece of the work is ours while the block runs: not if another process is at it."""
        with locks.claim(self.root / CLAIMS, what) as ours:
            yield ours

    def wait_for_claim(self, what: str) -> None:
        """Wait until nobody is at a piece of the work."""
        locks.wait_for_claim(self.root / CLAIMS, what)

    def folder(self, prefix: str, locale: str) -> Path:
        """Return where a cell's files stand: directly in the results, whatever it is called.

        Raises:
            StoreError: prefix and locale make no name of a folder.
        """
        return self.root / _one_name(f"{prefix}_{locale}")

    def records(self) -> Iterator[Record]:
        """Yield all valid records, in order of their folders' names."""
        for _, record in self.cells():
            yield record

    def cells(self) -> Iterator[tuple[Path, Record]]:
        """Yield all valid records with the folders that they stand in, in order of these."""
        for path in sorted(self.root.glob(f"*/{RECORD}")):
            yield path.parent, read_record(path.parent)

    def failures(self) -> Iterator[Failure]:
        """Yield the failures that no success has followed."""
        for path in sorted(self.root.glob(f"*/{FAILURE}")):
            if not (path.parent / RECORD).exists():
                yield _parse(Failure, path)

    def transfers(self, split: str) -> Iterator[Transfer]:
        """Yield what is known of each source's zero-shot accuracy on a split."""
        for path in sorted((self.root / "transfer" / split).glob("*.json")):
            yield _parse(Transfer, path)

    def transfer(self, source: str, split: str) -> Transfer | None:
        """Return what is known of one source, or None."""
        path = self._transfer_path(source, split)
        return _parse(Transfer, path) if path.exists() else None

    def write_transfer(self, transfer: Transfer, answers: Mapping[str, Columns] | None = None) -> None:
        """Write or replace one source's row; before it, what the source answers to some of its locales.

        What it answered to others of them is kept. What a killed process has written ahead of its row is not.
        """
        path = self._transfer_path(transfer.source, transfer.split)
        if answers:
            columns.write(path.with_suffix(ANSWERS), {**self.transfer_answers(transfer), **answers})
        row = transfer.model_copy(update={"schema_version": SCHEMA_VERSION})
        files.write_json(path, row.model_dump())

    def transfer_answers(self, transfer: Transfer, locales: Iterable[str] | None = None) -> dict[str, Columns]:
        """Return what a source answers to these locales (default: all of its row), as far as that was kept.

        Raises:
            StoreError: the file is damaged.
        """
        wanted = transfer.cells if locales is None else [locale for locale in locales if locale in transfer.cells]
        digests = {locale: transfer.cells[locale].predictions_digest for locale in wanted}
        return columns.read(self._transfer_path(transfer.source, transfer.split).with_suffix(ANSWERS), digests)

    def transfer_hits(self, transfer: Transfer, locales: Iterable[str]) -> dict[str, Hits]:
        """Return where a source is right in these locales, as far as that was kept and is as often as its row says.

        Raises:
            StoreError: the file is damaged.
        """
        cells = {locale: transfer.cells[locale] for locale in locales if locale in transfer.cells}
        path = self._transfer_path(transfer.source, transfer.split).with_suffix(ANSWERS)
        found = columns.hits(path, {locale: cell.predictions_digest for locale, cell in cells.items()})
        return {
            locale: hits
            for locale, hits in found.items()
            if (int(hits.right.sum()), len(hits.right)) == (cells[locale].correct, cells[locale].total)
        }

    def lost_answers(self, transfer: Transfer) -> set[str]:
        """Return the locales whose predictions a row names, and that are not there: they are to be made anew.

        Raises:
            StoreError: the file is damaged.
        """
        there = columns.digests_in(self._transfer_path(transfer.source, transfer.split).with_suffix(ANSWERS))
        named = {locale: cell.predictions_digest for locale, cell in transfer.cells.items()}
        return {locale for locale, digest in named.items() if digest and there.get(locale) != digest}

    def _transfer_path(self, source: str, split: str) -> Path:
        return self.root / "transfer" / _one_name(split) / _one_name(f"{source}.json")


def _one_name(name: str) -> str:
    if Path(name).name != name or "\\" in name or "\0" in name:
        raise StoreError(f"{name!r} is no name of a file in the results: name prefix and locale without slashes.")
    return name


def find_record(folder: Path, identity: str, *, overwrite: bool = False) -> Record | None:
    """Return the finished record of a cell, None if there is none yet.

    Raises:
        StoreError: the folder holds a record of another identity and ``overwrite`` is off.
    """
    if not (folder / RECORD).exists():
        return None
    record = read_record(folder)
    if record.identity == identity:
        return record if _predictions_intact(folder, record) else None
    if overwrite:
        return None
    raise StoreError(
        f"{folder} holds the result of something else ({_described(record)}): "
        "choose another --output-dir or --results-dir, or replace it with --overwrite."
    )


def renamed(
    folder: Path,
    record: Record,
    *,
    zoo: str,
    data: DatasetInfo,
    recipe: Mapping[str, Any] | None = None,
    uses: Sequence[str] | None = None,
    scores: Mapping[str, float | None] | None = None,
    licences: Mapping[str, str | None] | None = None,
) -> Record:
    """Return the record of a cell under the names that its sources and data go by now; the file follows.

    Models and data are known by content, and may have been moved since; results under two names would never be compared.
    ``recipe``, ``uses`` and the ``scores`` of its sources are those by which the model is chosen now: two similarities may
    choose the same one, and have not seen the same. ``scores`` are by locale; ``licences``, what the sources' cards say now, by
    digest.
    """
    made: dict[str, Any] = {"zoo": zoo} | ({"recipe": dict(recipe)} if recipe else {})
    scores, licences = scores or {}, licences or {}
    made["sources"] = tuple(
        source.model_copy(
            update={
                "score": scores.get(source.locale, source.score),
                "licence": licences.get(source.digest, source.licence),
            }
        )
        for source in record.model_info.sources
    )
    asked = {"uses": tuple(uses)} if uses else {}
    now_called = record.model_copy(
        update={
            "model_info": record.model_info.model_copy(update=made),
            "dataset_info": data,
            "evaluation_info": record.evaluation_info.model_copy(update=asked),
        }
    )
    if now_called != record:
        now_called = now_called.model_copy(update={"schema_version": SCHEMA_VERSION})
        files.write_json(folder / RECORD, now_called.model_dump())
    return now_called


def differences(recipe: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> list[str]:
    """Return in which settings two recipes differ, their targets aside."""
    one, two = dict(recipe or {}), dict(other or {})
    return [key for key in {**one, **two} if key != "target" and one.get(key) != two.get(key)]


def _described(record: Record) -> str:
    return f"{record.model_info.model} on {record.dataset_info.name}, {record.evaluation_info.timestamp}"


def _predictions_intact(folder: Path, record: Record) -> bool:
    path = folder / PREDICTIONS
    return path.exists() and digests.of_file(path) == record.predictions_digest


def read_record(folder: Path) -> Record:
    """Return the record in a folder.

    Raises:
        StoreError: it is no record, or one of a newer version.
    """
    return _parse(Record, folder / RECORD)


def read_failure(folder: Path) -> Failure:
    """Return why the cell in a folder failed.

    Raises:
        StoreError: what is there is no failure, or one of a newer version.
    """
    return _parse(Failure, folder / FAILURE)


def read_progress(output_dir: Path) -> Progress:
    """Return how far the last run in a folder has come.

    Raises:
        StoreError: what is there says nothing of that, or is of a newer version.
    """
    return _parse(Progress, output_dir / PROGRESS)


def read_predictions(folder: Path) -> list[Prediction]:
    """Return every prediction of a cell, in the order of the data set.

    Raises:
        StoreError: it is no table of predictions.
    """
    path = folder / PREDICTIONS
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return [Prediction.model_validate(row) for row in csv.DictReader(stream)]
    except (ValidationError, csv.Error, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path} holds no predictions: start the run that made this result again, and it is made anew."
        ) from error


def checked_predictions(folder: Path, record: Record) -> bytes:
    """Return predictions.csv as it stands in the folder of a record, which vouches for it.

    Raises:
        StoreError: it is not there, or not the one that the record was computed from.
    """
    path = folder / PREDICTIONS
    again = "start the run that made this result again, and it is made anew."
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing: {again}") from error
    if hashlib.sha256(content).hexdigest() != record.predictions_digest:
        raise StoreError(f"{path} is damaged, it is not what {RECORD} beside it was computed from: {again}")
    return content


def write_record(folder: Path, record: Record, predictions: Sequence[Prediction]) -> Record:
    """Write predictions, then the record that makes the cell done; return the record as written.

    A record that is replaced goes first: it must never stand beside predictions that are not its own. A failure goes before
    the record comes: nothing is done in a cell that is done, so that it would stay for ever.
    """
    text = _csv(predictions)
    complete = record.model_copy(update={"predictions_digest": hashlib.sha256(text.encode()).hexdigest()})
    files.remove_leftovers(folder)
    (folder / RECORD).unlink(missing_ok=True)
    files.write_text(folder / PREDICTIONS, text)
    (folder / FAILURE).unlink(missing_ok=True)
    files.write_json(folder / RECORD, complete.model_dump())
    return complete


def failure_of(error: BaseException | Failed, **cell: Any) -> Failure:
    """Describe why a cell failed; ``cell`` names its variant, locale, dataset, split, zoo and identity."""
    failed = error if isinstance(error, Failed) else Failed.by(error)
    return Failure(**cell, reason=failed.reason, traceback=failed.traceback, timestamp=now())


def write_failure(folder: Path, failure: Failure) -> Failure:
    """Record why a cell failed; what was to be replaced goes: its figures must not stand for the new attempt."""
    files.write_json(folder / FAILURE, failure.model_dump())
    for name in (RECORD, PREDICTIONS):
        (folder / name).unlink(missing_ok=True)
    return failure


def _csv(predictions: Sequence[Prediction]) -> str:
    """Return predictions as a table; what is known of none of them has no column."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    complete = all(p.gold_probability is not None for p in predictions)
    writer.writerow(PREDICTION_COLUMNS if complete else PREDICTION_COLUMNS[:-1])
    for p in predictions:
        likelihood = [f"{p.gold_probability:.6g}"] if complete else []
        writer.writerow([p.id, p.gold, p.predicted, f"{p.confidence:.6f}", *likelihood])
    return stream.getvalue()


def _parse(model: type[M], path: Path) -> M:
    try:
        value = read_json(path)
        check_version(value, SCHEMA_VERSION, path, StoreError)
        return model.model_validate(value)
    except (Unreadable, UnicodeDecodeError, ValidationError) as error:
        raise StoreError(
            f"{path} is not a record of sprachbund ({_first_line(error)}): move it away and run again."
        ) from error


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, Unreadable):
        return f"no JSON at line {error.line}" if error.line else str(error)
    return "no text"
