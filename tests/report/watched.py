"""A run as it looks from outside, to be looked at while it moves on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from results_folder import ResultsFolder

from sprachbund import files, store

VARIANTS = ("baseline", "auto")
NAMES = ("nl-NL", "af-ZA")
BEFORE, STARTED, LATER, LAST = (f"2026-11-23T20:{minute}:00+00:00" for minute in ("00", "10", "12", "15"))


@dataclass
class Run:
    """A run as it looks from outside: it announces cells and finishes one after the other."""

    folder: Path

    @property
    def results(self) -> ResultsFolder:
        return ResultsFolder(self.folder / store.RESULTS)

    def announce(
        self,
        started: str = STARTED,
        *,
        variants: Sequence[str] = VARIANTS,
        names: Sequence[str] = NAMES,
        zero_shot: Sequence[str] = (),
    ) -> None:
        progress = store.Progress(
            started=started,
            updated=started,
            cells={name: {variant: identity(variant, name) for variant in variants} for name in names},
            zero_shot=tuple(zero_shot),
            total_locales=len(names),
            completed_locales=(),
            remaining_locales=tuple(names),
            total_experiments=len(names) * len(variants),
            successful_experiments=0,
            failed_experiments=0,
            results={},
        )
        files.write_json(self.folder / store.PROGRESS, progress.model_dump())

    def finish(self, variant: str, locale: str, correct: int, at: str = LATER, **more: str) -> None:
        record = self.results.record(variant, locale, correct, **more)  # type: ignore[arg-type]
        info = record.evaluation_info.model_copy(update={"timestamp": at})
        changed = record.model_copy(update={"identity": identity(variant, locale), "evaluation_info": info})
        files.write_json(self.path(variant, locale, store.RECORD), changed.model_dump())

    def fail(self, variant: str, locale: str, reason: str, at: str = LATER) -> None:
        failure = self.results.failure(variant, locale, reason)
        changed = failure.model_copy(update={"identity": identity(variant, locale), "timestamp": at, "reason": reason})
        files.write_json(self.path(variant, locale, store.FAILURE), changed.model_dump())

    def path(self, variant: str, locale: str, name: str) -> Path:
        return self.results.root / f"{variant}_{locale}" / name


def identity(variant: str, locale: str) -> str:
    return f"{variant} for {locale}"
