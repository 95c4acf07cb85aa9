"""Every prediction of one setup, side by side: what statistics count, and what pages show.

The best single foreign source of each locale, and the English one, stand among the variants, under the names of their columns
in the report, as far as the zero-shot stage kept what sources answer. Of all foreign sources together there is one number an
id: how many of them are right.

Columns of numbers instead of rows of values: an intent is its place among all intents, and every answer to an id stands at the
same place, whatever the locale and the variant. 156 files of 2,974 rows are read in a fraction of a second.

A file is read only if it is the one that its record vouches for: no figure can come from predictions of something else. What
cannot be read is left out, cell by cell, and named with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from sprachbund.errors import StoreError
from sprachbund.report.summary import (
    ENGLISH,
    ZERO_SHOT_BEST,
    ZERO_SHOT_ENGLISH,
    ZERO_SHOT_MEAN,
    LocaleRow,
    summarise,
)
from sprachbund.report.table import Cell, Results
from sprachbund.store import PREDICTION_COLUMNS, PREDICTIONS, Columns, Hits, Record, RunStore, checked_predictions

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]

__all__ = ["NO_ANSWERS", "Answers", "read_answers"]

Codes = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float32]
Shares = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
N = TypeVar("N", np.int16, np.float32, np.float64)

MISSING = -1

NOT_KEPT = (
    "what the source answers was not kept (older versions did not) or is gone: run the zero-shot stage again with --overwrite "
    "(`sprachbund transfer`, or the experiment), and it is evaluated anew."
)


@dataclass(frozen=True)
class Answers:
    """Every prediction of one setup, aligned by id."""

    ids: tuple[str, ...]
    """All ids of the setup, in the order of the first locale that has them."""
    intents: tuple[str, ...]
    """All gold and predicted intents, sorted; what is answered is a place in them."""
    gold: Mapping[str, Codes]
    """By locale, [ids]; -1 where the locale lacks the id."""
    predicted: Mapping[Cell, Codes]
    """By variant and locale, [ids]; -1 likewise. ``("zero_shot_best", locale)`` is the best foreign source, where known, and
    ``("zero_shot_english", locale)`` the English one."""
    confidence: Mapping[Cell, Floats]
    """Probability of the predicted intent, [ids]; nan where the locale lacks the id."""
    gold_probability: Mapping[Cell, Floats]
    """Probability of the gold intent, [ids], nan likewise; only of cells whose files have it."""
    right_sources: Mapping[str, Shares] = field(default_factory=dict)
    """By locale: the share of all foreign sources that answer rightly, [ids]; nan where the locale lacks the id."""
    left_out: Mapping[Cell, str] = field(default_factory=dict)
    """Why, of cells that have a figure and whose answers cannot be read."""


NO_ANSWERS = Answers((), (), {}, {}, {}, {})


def read_answers(results_dir: Path, results: Results) -> Answers:
    """Read the predictions of all records that have a variant, and of foreign sources in their locales.

    Those that are missing or damaged are left out.

    Raises:
        StoreError: two variants of a locale did not answer the same rows.
    """
    store = RunStore(results_dir)
    evaluated = summarise(results).evaluated
    found = dict([*_of_records(results), *_of_single_sources(store, results, evaluated)])
    order = {place.name: number for number, place in enumerate(results.places)}
    rows = {cell: found[cell] for cell in sorted(found, key=lambda cell: order[cell[1]])}
    means = _of_all_sources(store, results, evaluated)
    return _side_by_side(
        {cell: each for cell, each in rows.items() if isinstance(each, _Rows)},
        {locale: each for locale, each in means.items() if isinstance(each, _RightSources)},
        {cell: each for cell, each in rows.items() if isinstance(each, str)}
        | {(ZERO_SHOT_MEAN, locale): each for locale, each in means.items() if isinstance(each, str)},
    )


@dataclass(frozen=True)
class _Intents:
    """A column of intents: each number is a place in ``names``."""

    names: list[str]
    numbers: npt.NDArray[np.int32]

    def among(self, places: Mapping[str, int]) -> Codes:
        """Return their places among all intents."""
        return np.array([places[name] for name in self.names], dtype=np.int16)[self.numbers]


@dataclass(frozen=True)
class _Rows:
    """The predictions of one cell, column by column, in the order of their file."""

    ids: pyarrow.Array
    gold: _Intents
    predicted: _Intents
    confidence: Floats
    gold_probability: Floats | None


@dataclass(frozen=True)
class _RightSources:
    """How many of a locale's foreign sources are right, in the order of the data set."""

    ids: pyarrow.Array
    share: Shares


def _of_records(results: Results) -> Iterator[tuple[Cell, _Rows | str]]:
    """Yield what each record was computed from, or why it cannot be read."""
    for cell, record in results.records.items():
        try:
            yield cell, _read(results.folders[cell], record)
        except StoreError as error:
            yield cell, str(error)


def _read(folder: Path, record: Record) -> _Rows:
    """Return what a record was computed from."""
    import pyarrow
    from pyarrow import csv

    content = checked_predictions(folder, record)
    text, intent, number = pyarrow.string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string()), pyarrow.float32()
    types = {"id": text, "gold": intent, "predicted": intent, "confidence": number, "gold_probability": number}
    try:
        table = csv.read_csv(
            pyarrow.BufferReader(content),
            read_options=csv.ReadOptions(use_threads=False, block_size=len(content)),  # in one piece; files are small
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(column_types=types),
        )
        rows = _rows(table)
    except (pyarrow.ArrowException, KeyError) as error:
        raise StoreError(
            f"{folder / PREDICTIONS} is no table of {', '.join(PREDICTION_COLUMNS)}: make the result again with --overwrite."
        ) from error
    if len(rows.ids.unique()) < len(rows.ids):
        raise StoreError(f"{folder / PREDICTIONS} holds an id twice: make the result again with --overwrite.")
    return rows


def _of_single_sources(
    store: RunStore, results: Results, evaluated: Sequence[LocaleRow]
) -> Iterator[tuple[Cell, _Rows | str]]:
    """Yield what the best foreign source of each locale that has records answered, and the English one; or why not."""
    best = {row.locale.name: row.best_source for row in evaluated}
    for transfer in results.transfers:
        wanted = [(ZERO_SHOT_BEST, locale) for locale, source in best.items() if source == transfer.source]
        if transfer.source == ENGLISH:
            wanted += [(ZERO_SHOT_ENGLISH, name) for name in best if name in transfer.cells and name != ENGLISH]
        try:
            found, reason = store.transfer_answers(transfer, dict.fromkeys(locale for _, locale in wanted)), NOT_KEPT
        except StoreError as error:
            found, reason = {}, str(error)
        for column, locale in wanted:
            yield (column, locale), _of_source(found[locale]) if locale in found else reason


def _of_all_sources(
    store: RunStore, results: Results, evaluated: Sequence[LocaleRow]
) -> dict[str, _RightSources | str]:
    """Return how many foreign sources are right in each locale that has records, or why that cannot be known."""
    places = [row.locale.name for row in evaluated]
    found: dict[str, list[Hits]] = {}
    reasons: dict[str, str] = {}
    for transfer in results.transfers:
        wanted = [locale for locale in places if locale in transfer.cells and locale != transfer.source]
        try:
            kept, reason = store.transfer_hits(transfer, wanted), NOT_KEPT
        except StoreError as error:
            kept, reason = {}, str(error)
        for locale in wanted:
            if locale in kept:
                found.setdefault(locale, []).append(kept[locale])
            else:
                reasons.setdefault(locale, reason)
    return {
        locale: reasons.get(locale) or _right_sources(found[locale])
        for locale in places
        if locale in found or locale in reasons
    }


def _right_sources(found: Sequence[Hits]) -> _RightSources | str:
    first = found[0]
    if any(not first.ids.equals(hits.ids) for hits in found) or len(first.ids.unique()) < len(first.ids):
        return NOT_KEPT
    return _RightSources(first.ids, np.mean([hits.right for hits in found], axis=0))


def _of_source(answers: Columns) -> _Rows:
    """Return what a source answered as if it had been read from a record's file."""
    import pyarrow

    return _rows(
        pyarrow.table(
            {
                "id": pyarrow.array(answers.ids, "string"),
                "gold": pyarrow.array(answers.gold, "string").dictionary_encode(),
                "predicted": pyarrow.array(answers.predicted, "string").dictionary_encode(),
                "confidence": pyarrow.array(answers.confidence, "float32"),
                "gold_probability": pyarrow.array(answers.gold_probability, "float32"),
            }
        )
    )


def _rows(table: pyarrow.Table) -> _Rows:
    """Take the columns that predictions have, by name, out of a table."""
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    intents = {
        name: _Intents(columns[name].dictionary.to_pylist(), columns[name].indices.to_numpy())
        for name in ("gold", "predicted")
    }
    has_gold_probability = "gold_probability" in columns
    return _Rows(
        ids=columns["id"],
        gold=intents["gold"],
        predicted=intents["predicted"],
        confidence=columns["confidence"].to_numpy(),
        gold_probability=columns["gold_probability"].to_numpy() if has_gold_probability else None,
    )


def _side_by_side(
    rows: Mapping[Cell, _Rows], means: Mapping[str, _RightSources], left_out: Mapping[Cell, str]
) -> Answers:
    """Give all cells the same ids and the same numbers for intents; ids are met in the order of the cells."""
    ids, places = _aligned({**rows, **{(ZERO_SHOT_MEAN, locale): found for locale, found in means.items()}})
    intents = tuple(sorted({name for found in rows.values() for name in (*found.gold.names, *found.predicted.names)}))
    numbers = {intent: number for number, intent in enumerate(intents)}
    gold = {cell: _spread(found.gold.among(numbers), places[cell], len(ids)) for cell, found in rows.items()}
    return Answers(
        ids=ids,
        intents=intents,
        gold=_agreed(gold, ids, intents),
        predicted={
            cell: _spread(found.predicted.among(numbers), places[cell], len(ids)) for cell, found in rows.items()
        },
        confidence={cell: _spread(found.confidence, places[cell], len(ids), np.nan) for cell, found in rows.items()},
        gold_probability={
            cell: _spread(found.gold_probability, places[cell], len(ids), np.nan)
            for cell, found in rows.items()
            if found.gold_probability is not None
        },
        right_sources={
            locale: _spread(found.share, places[ZERO_SHOT_MEAN, locale], len(ids), np.nan)
            for locale, found in means.items()
        },
        left_out=left_out,
    )


def _aligned(rows: Mapping[Cell, _Rows | _RightSources]) -> tuple[tuple[str, ...], dict[Cell, Places]]:
    """Return all ids, and where among them the rows of each cell belong."""
    numbers: dict[str, int] = {}
    known: list[tuple[pyarrow.Array, Places]] = []  # most cells have the ids of another one, in the same order
    places: dict[Cell, Places] = {}
    for cell, found in rows.items():
        place = next((place for ids, place in known if ids.equals(found.ids)), None)
        if place is None:
            listed = found.ids.to_pylist()
            place = np.array([numbers.setdefault(id_, len(numbers)) for id_ in listed], dtype=np.intp)
            known.append((found.ids, place))
        places[cell] = place
    return tuple(numbers), places


def _spread(values: npt.NDArray[N], places: Places, length: int, missing: float = MISSING) -> npt.NDArray[N]:
    """Put values at their places among all ids."""
    spread = np.full(length, missing, dtype=values.dtype)
    spread[places] = values
    return spread


def _agreed(gold: Mapping[Cell, Codes], ids: tuple[str, ...], intents: tuple[str, ...]) -> dict[str, Codes]:
    """Return the gold intents of each locale, in which all its cells must agree."""
    firsts: dict[str, tuple[str, Codes]] = {}
    for (variant, locale), ours in gold.items():
        first, theirs = firsts.setdefault(locale, (variant, ours))
        if not np.array_equal(ours, theirs):
            place = int(np.flatnonzero(ours != theirs)[0])
            one, two = (intents[codes[place]] if codes[place] != MISSING else "missing" for codes in (theirs, ours))
            raise StoreError(
                f"{first} and {variant} answered different rows for {locale} (id {ids[place]} is {one} there and {two} here), "
                "and cannot be compared: make one of them again with --overwrite."
            )
    return {locale: codes for locale, (_, codes) in firsts.items()}
