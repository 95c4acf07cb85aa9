"""What a page is made of, and what several of its sections ask of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sprachbund import locales, similarity
from sprachbund.errors import SprachbundError
from sprachbund.public import public_similarity
from sprachbund.report.analysis import Analysis
from sprachbund.report.answers import Answers
from sprachbund.report.summary import LocaleRow, Summary, by_language_family
from sprachbund.report.table import EXPECTED_VARIANTS, Results
from sprachbund.similarity import SimilarityMatrix

__all__ = ["Material", "Texts", "anchor"]

SIMILARITY = "similarity"
MAIN_PAIR = (SIMILARITY, "average")
"""The merges that this project is about."""
FEW_PAIRS = 3
"""So many pairs are drawn where nobody ran the main job's."""


@dataclass(frozen=True)
class Texts:
    """The sentences that were answered, as far as they are known."""

    by_locale: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By locale and id."""
    said: str = ""
    """Whose they are, or why there are none."""


@dataclass(frozen=True)
class Material:
    """All that a page shows."""

    results: Results
    summary: Summary
    answers: Answers
    analysis: Analysis
    texts: Texts

    @cached_property
    def rows(self) -> tuple[LocaleRow, ...]:
        """The locales with results, by language family."""
        return tuple(row for _, rows in by_language_family(self.summary.evaluated) for row in rows)

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """What columns are called."""
        return {column.name: column.title for column in self.summary.columns}

    @cached_property
    def answered(self) -> tuple[str, ...]:
        """The columns that there are predictions of, in the order of the tables."""
        there = {variant for variant, _ in self.answers.predicted}
        return tuple(column.name for column in self.summary.columns if column.name in there)

    @cached_property
    def main_pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs that are looked at closely: similarity and average, and each other variant with similarity."""
        found = [
            pair
            for pair in self.analysis.contrasts
            if pair == MAIN_PAIR or (pair[1] == SIMILARITY and pair[0] not in EXPECTED_VARIANTS)
        ]
        return tuple(found or list(self.analysis.contrasts)[:FEW_PAIRS])

    @cached_property
    def weights(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        """Merge coefficients by variant, target and source, of variants with more than one source anywhere."""
        found: dict[str, dict[str, Mapping[str, float]]] = {}
        for (variant, locale), record in self.results.records.items():
            weights = {source.locale: source.weight for source in record.model_info.sources}
            found.setdefault(variant, {})[locale] = weights
        return {variant: by for variant, by in found.items() if any(len(weights) > 1 for weights in by.values())}

    @cached_property
    def transfer(self) -> Mapping[str, Mapping[str, float]]:
        """Zero-shot accuracy by source and target."""
        return {
            row.source: {target: cell.accuracy for target, cell in row.cells.items()} for row in self.results.transfers
        }

    @cached_property
    def similarity_name(self) -> str | None:
        """The similarity by which sources were chosen, as the first recipe that has one says."""
        recipes = (record.model_info.recipe or {} for record in self.results.records.values())
        return next((str(recipe["similarity"]) for recipe in recipes if recipe.get("similarity")), None)

    @cached_property
    def similarity_title(self) -> str:
        """What it is called on a page that is passed on."""
        return public_similarity(self.similarity_name or "")

    @cached_property
    def similarity(self) -> SimilarityMatrix | str:
        """The similarity of the recipes, as far as it is about the locales at hand; or why it is not here."""
        name = self.similarity_name
        if name is None:
            return "No recipe names a similarity."
        try:
            if similarity.is_measured(name):
                return (
                    f"The similarity {public_similarity(name)} was measured on models and texts, and these results do not "
                    "hold it: `sprachbund similarity --plot` draws it."
                )
            return similarity.load(name)
        except (SprachbundError, OSError) as error:
            return f"The similarity {public_similarity(name)} cannot be had here: {self.results.public(str(error))}"

    @cached_property
    def kept(self) -> Mapping[tuple[str, str], float]:
        """The similarity of target and source as records hold it: of those sources that were chosen by it."""
        return {
            (target, source.locale): source.score
            for (_, target), record in self.results.records.items()
            if self._is_by_similarity(record.model_info.recipe or {})
            for source in record.model_info.sources
            if source.score is not None
        }

    def _is_by_similarity(self, recipe: Mapping[str, Any]) -> bool:
        """Return whether scores are similarities as they are: those of the original selection are normalised."""
        by = recipe.get("similarity")
        return by is not None and by == self.similarity_name and recipe.get("selection") != "original"

    @cached_property
    def similarity_said(self) -> str:
        """What the similarity is and has seen: the whole matrix or, where that cannot be had, what records hold of it."""
        if not isinstance(self.similarity, str):
            return f"{self.results.public(self.similarity.provenance)}. Has seen: {', '.join(sorted(self.similarity.uses))}."
        found = [each for part in similarity.parts(self.similarity_name or "") if (each := similarity.measured(part))]
        seen = sorted({use for each in found for use in each.uses}) or ["what the table has"]
        said = "; ".join(each.description for each in found) or "a table of one's own"
        return f"As the results hold it, of those sources that were chosen by it: {said}. Has seen: {', '.join(seen)}."

    def similar(self, target: str, source: str) -> float | None:
        """Return how similar two locales are, None where nothing says."""
        matrix = self.similarity
        if isinstance(matrix, str):
            return self.kept.get((target, source))
        if target not in matrix.targets or source not in matrix.locales:
            return None
        return matrix.score(target, source)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The locales whose sources were merged or asked, in the order of the locale table."""
        merged = {name for by in self.weights.values() for weights in by.values() for name in weights}
        return tuple(sorted(merged | {*self.transfer}, key=locales.position))

    def grid(self, value: Callable[[str, str], float | None]) -> npt.NDArray[np.float64]:
        """Return what a function of target and source says, [rows, sources]; nan where it says nothing."""
        found = [[value(row.locale.name, source) for source in self.sources] for row in self.rows]
        return np.array(found, dtype=np.float64).reshape(len(self.rows), len(self.sources))


def anchor(locale: str) -> str:
    """Return the id of a locale's section; a character that cannot stand in a link becomes its number."""
    return "locale-" + re.sub(r"[^A-Za-z0-9-]", lambda found: f"_{ord(found[0]):x}_", locale)
