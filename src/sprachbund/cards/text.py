"""``merge_details.txt``: how a model came about, for people; and the words that the model card has in common with it."""

from __future__ import annotations

from sprachbund import locales
from sprachbund.adaptation import Adaptation
from sprachbund.cards.details import MergeDetails
from sprachbund.recipe import GREEDY_SOUP, Recipe

__all__ = ["details_text", "language_of", "or_dash", "score_of", "title_of", "weighting_of"]


def details_text(details: MergeDetails) -> str:
    """Return the details for people."""
    recipe = details.recipe
    lines = [
        f"{title_of(recipe)} for {language_of(recipe.target)}",
        "",
        f"mode               {details.mode}",
        *_settings(recipe),
        f"method             {recipe.method}",
        f"selection          {recipe.selection}",
        *([] if recipe.adaptation else [f"similarity         {recipe.similarity or '-'}"]),
        f"weighting          {weighting_of(recipe)}",
        *([] if recipe.adaptation else [f"head policy        {recipe.head_policy}"]),  # the reasons say it instead
        f"has seen           {', '.join(details.uses)} (of the target)",
        f"effective sources  {details.effective_sources:.2f} of {len(details.sources)}",
        f"head agreement     {or_dash(details.head_agreement)} (smallest cosine between two heads)",
        f"sources from       {details.zoo}",
        "",
        f"{'source':<8}{'weight':>9}{score_of(recipe):>12}{'from base':>11}  model",
    ]
    lines += [
        f"{s.locale:<8}{s.weight:>9.4f}{or_dash(s.score):>12}{or_dash(s.distance_from_base):>11}  {s.model}"
        for s in details.sources
    ]
    lines += ["", *details.reasons, *(f"Warning: {warning}" for warning in details.warnings)]
    lines += [f"Made by sprachbund {details.version}, {details.created}"]
    return "\n".join(lines) + "\n"


def _settings(recipe: Recipe) -> list[str]:
    """Return the lines about an adaptation, none about a merge."""
    if not recipe.adaptation:
        return []
    found = Adaptation.model_validate(recipe.adaptation)
    lines = [f"adaptation         {found.kind}, reliability {found.reliability}, sharpness {found.sharpness:g}"]
    if found.kind in ("distilled", "auto"):
        student = found.distillation
        lines.append(f"student            {student.epochs} epochs, taught by {found.teacher}, debias {found.debias:g}")
    return lines


def title_of(recipe: Recipe) -> str:
    """Return what a model is called."""
    return "Adapted model" if recipe.adaptation else "Merged model"


def score_of(recipe: Recipe) -> str:
    """Return what the sources' scores are: how like the target they are, how good they look on its texts, or are elsewhere."""
    if recipe.weighting == GREEDY_SOUP:
        return "accuracy"
    return "reliability" if recipe.adaptation else "similarity"


def weighting_of(recipe: Recipe) -> str:
    """Return the weighting with its sharpness, where it has one."""
    return recipe.weighting if recipe.sharpness is None else f"{recipe.weighting} (sharpness {recipe.sharpness:g})"


def language_of(target: str) -> str:
    """Return a target as people call it."""
    return f"{locales.locale(target).language} ({target})" if target in locales.names() else target


def or_dash(value: float | None) -> str:
    """Return a number with four digits, a dash for none."""
    return "-" if value is None else f"{value:.4f}"
