"""From a results folder to one long table: every record of one setup, and what should be there besides.

A *setup* is what makes results comparable: one data set in one revision, one split of it, one zoo of sources. Results
of different setups are never put side by side; where a folder holds several, somebody has to choose.

What should be there is every variant that anything is there of, in each of the 52 locales; and the three of the main job,
156 cells, as long as there is nothing else. A record that was written without a prefix has no variant: it is kept, but there
is no column for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sprachbund import locales
from sprachbund.errors import StoreError, UnknownName
from sprachbund.public import public_text
from sprachbund.store import DatasetInfo, Failure, Record, RunStore, Transfer, differences

__all__ = [
    "EXPECTED_VARIANTS",
    "HEADLINE_PAIRS",
    "MAJORITY",
    "ZERO_SHOT_BEST",
    "ZERO_SHOT_ENGLISH",
    "ZERO_SHOT_MEAN",
    "Cell",
    "Results",
    "Setup",
    "column",
    "compared",
    "load",
    "setups",
]

EXPECTED_VARIANTS = ("baseline", "similarity", "average")
"""The variants of the main job, in the order of its columns."""
HEADLINE_PAIRS = (("similarity", "average"), ("similarity", "baseline"), ("average", "baseline"))
"""What the main job asks, whatever else was run besides."""
ZERO_SHOT_MEAN, ZERO_SHOT_ENGLISH, ZERO_SHOT_BEST = "zero_shot_mean", "zero_shot_english", "zero_shot_best"
MAJORITY = "majority_rate"
TABLE = "file:"
"""Before the path of a similarity that is a table of one's own."""

Cell = tuple[str, str]
"""(variant, locale)"""


@dataclass(frozen=True, order=True)
class Setup:
    """What results must share to be compared."""

    data: str
    """Name of the data set."""
    revision: str
    split: str
    zoo: str

    @classmethod
    def of(cls, record: Record) -> Setup:
        """Return the setup that a record belongs to."""
        return cls(
            data=record.dataset_info.name,
            revision=record.dataset_info.revision,
            split=record.evaluation_info.split,
            zoo=record.model_info.zoo,
        )

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.data} ({self.revision}), {self.split} split, zoo {self.zoo}"


@dataclass(frozen=True)
class Results:
    """All that a results folder knows about one setup."""

    setup: Setup
    records: dict[Cell, Record]
    """Records with a variant, by column, then by locale in the order of the locale table."""
    folders: dict[Cell, Path]
    """Where these records stand, with their predictions."""
    unnamed: tuple[Record, ...]
    """Records written without a prefix."""
    failures: tuple[Failure, ...]
    """Of this setup's cells without a record."""
    transfers: tuple[Transfer, ...]
    """Sources in the order of the locale table, without the cells that were measured on other rows than the records."""
    left_out: int
    """How many transfer cells that were."""

    @property
    def everything(self) -> tuple[Record, ...]:
        """Every record, the unnamed ones last."""
        return (*self.records.values(), *self.unnamed)

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """Those that were run, as far as results or failures tell, the main job's first; all of its three if no other was."""
        run = {variant for variant, _ in self.records} | {failure.variant for failure in self.failures} - {""}
        others = sorted(run - set(EXPECTED_VARIANTS))
        return (*(variant for variant in EXPECTED_VARIANTS if variant in run or not others), *others)

    @property
    def expected(self) -> tuple[Cell, ...]:
        """Every variant in every locale; on data without any locale of the table, in those that have results."""
        return tuple((variant, place.name) for variant in self.variants for place in self.places)

    @property
    def places(self) -> tuple[locales.Locale, ...]:
        """All locales of the table, as far as the data may hold them, then others that have results or failures.

        A data set with locales of its own need not hold any of the table: only those of its own are listed.
        """
        seen = {record.evaluation_info.locale for record in self.everything} | {f.locale for f in self.failures}
        others = sorted(seen - set(locales.names()))
        table = [place for place in locales.LOCALES if not others or place.name in seen]
        return (*table, *map(locales.describe, others))

    @property
    def dataset(self) -> DatasetInfo:
        """What was predicted, as one of the records describes it."""
        return self.everything[0].dataset_info

    def public(self, text: str) -> str:
        """Return a text as it can be passed on: without where results, models and tables lie on this machine."""
        return public_text(text, self._places_here)

    @cached_property
    def _places_here(self) -> frozenset[str]:
        """The paths that texts may name: with blanks in them no pattern would know where they end."""
        zoo = self.setup.zoo
        named = {
            str(recipe["similarity"])
            for r in self.everything
            if (recipe := r.model_info.recipe or {}).get("similarity")
        }
        tables = {part.removeprefix(TABLE) for name in named for part in name.split("+") if part.startswith(TABLE)}
        roots = {str(folder.parent) for folder in self.folders.values()}
        return frozenset({*roots, *tables, zoo, zoo.partition("{locale}")[0].rstrip("/")} - {""})

    @property
    def demonstration(self) -> bool:
        """True if the figures say nothing about languages in the world."""
        return any(record.dataset_info.demonstration for record in self.everything)


def compared(variants: Sequence[str]) -> list[tuple[str, str]]:
    """Return which columns are compared: the main job's three, then others with them; each with what needs no merge."""
    others = [variant for variant in variants if variant not in EXPECTED_VARIANTS]
    references = (ZERO_SHOT_MEAN, ZERO_SHOT_ENGLISH, ZERO_SHOT_BEST)
    pairs = [
        *HEADLINE_PAIRS,
        *(("similarity", reference) for reference in references),
        *((variant, ZERO_SHOT_BEST) for variant in ("average", "baseline")),
        *((other, second) for other in others for second in ("similarity", "average", "baseline", *references)),
    ]
    return [pair for pair in pairs if {*pair} <= {*variants, *references}]


def setups(records: Iterable[Record]) -> dict[Setup, int]:
    """Return the setups among the records, the largest first, with their numbers of records."""
    counts: dict[Setup, int] = {}
    for record in records:
        setup = Setup.of(record)
        counts[setup] = counts.get(setup, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def load(results_dir: Path, *, data: str | None = None, zoo: str | None = None, split: str | None = None) -> Results:
    """Read the one setup in a results folder, or the one that ``data``, ``zoo`` and ``split`` leave.

    A filter that equals a name takes it; any other takes all names that it is a part of, in upper or lower case.

    Raises:
        StoreError: there are no results, several setups, or two results for one cell.
        UnknownName: a filter fits nothing that is there.
    """
    store = RunStore(results_dir)
    folders = dict(store.cells())
    records = list(folders.values())
    if not records:
        raise _nothing_in(store)
    setup = _only(setups(records), results_dir, data=data, zoo=zoo, split=split)
    members = [record for record in records if Setup.of(record) == setup]
    named = _by_cell(record for record in members if record.evaluation_info.variant)
    _check_one_recipe(named)
    digests = _data_digests(named)
    transfers = [t for t in store.transfers(setup.split) if (t.zoo, t.dataset) == (setup.zoo, setup.data)]
    same_data = [_on_same_data(transfer, digests) for transfer in transfers]
    return Results(
        setup=setup,
        records=named,
        folders=_folders(folders, named),
        unnamed=tuple(record for record in members if not record.evaluation_info.variant),
        failures=tuple(
            failure
            for failure in store.failures()
            if _may_be_of(failure, setup) and (failure.variant, failure.locale) not in named
        ),
        transfers=tuple(sorted(same_data, key=lambda transfer: _position(transfer.source))),
        left_out=sum(len(t.cells) for t in transfers) - sum(len(t.cells) for t in same_data),
    )


def _may_be_of(failure: Failure, setup: Setup) -> bool:
    """Return whether a failure is one of this setup; old ones do not say of which they are."""
    said = ((failure.dataset, setup.data), (failure.split, setup.split), (failure.zoo, setup.zoo))
    return all(own in ("", known) for own, known in said)


def _check_one_recipe(records: dict[Cell, Record]) -> None:
    """Refuse a column whose cells were made in different ways: its mean would be the mean of nothing."""
    firsts: dict[str, tuple[str, Record]] = {}
    for (variant, locale), record in records.items():
        first, other = firsts.setdefault(variant, (locale, record))
        different = differences(other.model_info.recipe, record.model_info.recipe)
        if different:
            raise StoreError(
                f"The results of {variant!r} were not all made in one way: {first} and {locale} differ in "
                f"{', '.join(different)}. Make them again with --overwrite, or keep them in two folders."
            )


def _nothing_in(store: RunStore) -> StoreError:
    failures = list(store.failures())
    if failures:
        first = failures[0]
        return StoreError(
            f"{store.root} holds no result, only {len(failures)} failed cells (the first: {first.variant} for "
            f"{first.locale}: {first.reason}): mend that and start run_large_scale_experiment.py again."
        )
    if store.root.exists() and not store.root.is_dir():
        return StoreError(
            f"{store.root} is a file, not a folder of results: name the folder that its results stand in."
        )
    what = "holds no results" if store.root.is_dir() else "does not exist"
    return StoreError(
        f"The results folder {store.root} {what}: name another, or run `sprachbund experiment` "
        "(`python run_large_scale_experiment.py`) first."
    )


def _only(
    counts: dict[Setup, int], results_dir: Path, *, data: str | None, zoo: str | None, split: str | None
) -> Setup:
    """Return the one setup that the filters leave."""
    left = _pick(list(counts), "data set", data, lambda setup: (setup.data, setup.revision))
    left = _pick(left, "zoo", zoo, lambda setup: (setup.zoo,))
    left = _pick(left, "split", split, lambda setup: (setup.split,))
    if len(left) == 1:
        return left[0]
    listing = "; ".join(f"{setup}: {counts[setup]} records" for setup in left)
    raise StoreError(
        f"{results_dir} holds results of {len(left)} setups, which are never compared ({listing}): "
        f"choose one with {_telling_flags(left)}."
    )


def _pick(
    left: Sequence[Setup], kind: str, wanted: str | None, names: Callable[[Setup], tuple[str, ...]]
) -> list[Setup]:
    """Return the setups with a name that equals what is wanted or, if there is none, with one that contains it."""
    if wanted is None:
        return list(left)
    exact = [setup for setup in left if wanted in names(setup)]
    found = exact or [setup for setup in left if wanted.lower() in " ".join(names(setup)).lower()]
    if not found:
        known = dict.fromkeys(names(setup)[0] for setup in left)
        raise UnknownName(kind, wanted, known, "These are the ones that there are results of.")
    return found


def _telling_flags(left: Sequence[Setup]) -> str:
    """Name the flags that tell these setups apart."""
    aspects = {
        "--data NAME (a part of the revision will do)": {f"{setup.data} {setup.revision}" for setup in left},
        "--zoo NAME (a part of it will do)": {setup.zoo for setup in left},
        "--split NAME": {setup.split for setup in left},
    }
    return " or ".join(flag for flag, values in aspects.items() if len(values) > 1)


def _by_cell(records: Iterable[Record]) -> dict[Cell, Record]:
    cells: dict[Cell, Record] = {}
    for record in records:
        cell = record.evaluation_info.variant, record.evaluation_info.locale
        other = cells.setdefault(cell, record)
        if other.identity != record.identity:
            raise StoreError(
                f"There are two results of {cell[0]} for {cell[1]} ({other.model_info.model}, "
                f"{other.evaluation_info.timestamp}; {record.model_info.model}, {record.evaluation_info.timestamp}): "
                "move one of them out of the results folder."
            )
    return dict(sorted(cells.items(), key=lambda item: (column(item[0][0]), _position(item[0][1]))))


def _folders(folders: dict[Path, Record], named: dict[Cell, Record]) -> dict[Cell, Path]:
    where = {id(record): folder for folder, record in folders.items()}
    return {cell: where[id(record)] for cell, record in named.items()}


def _data_digests(records: dict[Cell, Record]) -> dict[str, str]:
    """Return the digest of the rows that each locale was evaluated on."""
    known: dict[str, Record] = {}
    for (variant, locale), record in records.items():
        other = known.setdefault(locale, record)
        if other.dataset_info.digest != record.dataset_info.digest:
            raise StoreError(
                f"{other.evaluation_info.variant} and {variant} were evaluated on different rows of "
                f"{record.dataset_info.name} for {locale}, although its revision is the same: "
                "run one of them again with --overwrite."
            )
    return {locale: record.dataset_info.digest for locale, record in known.items()}


def _on_same_data(transfer: Transfer, digests: dict[str, str]) -> Transfer:
    """Return the row of one source without the cells that were measured on other data than the records."""
    kept = {
        target: cell
        for target, cell in transfer.cells.items()
        if cell.data_digest == digests.get(target, cell.data_digest)
    }
    return transfer.model_copy(update={"cells": kept})


def column(variant: str) -> tuple[int, str]:
    """Return where a variant stands among others, for sorting: the main job's first."""
    expected = variant in EXPECTED_VARIANTS
    return (EXPECTED_VARIANTS.index(variant) if expected else len(EXPECTED_VARIANTS), variant)


def _position(locale: str) -> tuple[int, str]:
    return locales.position(locale)
