"""What stands beside a merged model: details for programs, details for people, a model card.

``merge_details.json`` is also how an evaluation learns what a folder is: it names the candidate by content (digests of the
sources, weights, method) and the digest of the tensors it was written for, so that it cannot speak for any others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from sprachbund import digests, files, locales
from sprachbund.adaptation import Adaptation
from sprachbund.checkpoints import CONFIG, WEIGHTS
from sprachbund.errors import CheckpointError
from sprachbund.recipe import GREEDY_SOUP, Recipe

__all__ = [
    "BLEND",
    "DETAILS",
    "DETAILS_TEXT",
    "BlendDetails",
    "BlendedModel",
    "MergeDetails",
    "MergedSource",
    "read_blend",
    "read_details",
    "write_blend",
    "write_details",
]

DETAILS, DETAILS_TEXT, CARD = "merge_details.json", "merge_details.txt", "README.md"
BLEND = "blend.json"
"""In the place of these beside a merge of any checkpoints, which has no target."""
_Details = TypeVar("_Details", bound=BaseModel)


class MergedSource(BaseModel):
    """One source of a merge."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    locale: str
    model: str
    digest: str
    weight: float
    score: float | None
    """Similarity to the target, or by what else it was chosen; None by nothing."""
    distance_from_base: float | None
    """‖θ − θ₀‖ / ‖θ₀‖ over the body; None where no base was given."""


class MergeDetails(BaseModel):
    """How a merged or adapted model came about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    mode: str
    recipe: Recipe
    uses: tuple[str, ...]
    zoo: str
    sources: tuple[MergedSource, ...]
    effective_sources: float
    head_agreement: float | None
    warnings: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    """Why the model is what it is, where that was decided on the way."""
    candidate: dict[str, Any]
    """The content of the model, see :mod:`sprachbund.recipe`."""
    tensors_digest: str = ""
    """SHA-256 of model.safetensors, filled in on writing."""
    created: str
    version: str
    """Of sprachbund."""


class BlendedModel(BaseModel):
    """A source of a blend, or its base."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    digest: str
    weight: float | None = None
    """None for the base, and where it is not the same for all tensors."""


class BlendDetails(BaseModel):
    """How a merge of any checkpoints came about, see :mod:`sprachbund.blends`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    method: str
    options: dict[str, Any]
    """All of them, defaults too."""
    sources: tuple[BlendedModel, ...]
    base: BlendedModel | None
    seed: int | None
    """None where nothing is drawn at random."""
    dtype: str | None
    asked: dict[str, Any]
    """What was asked for, with the names as they were typed."""
    warnings: tuple[str, ...]
    candidate: dict[str, Any]
    written: tuple[int, int] = (0, 0)
    """Size of model.safetensors in bytes, and when it was written in ns, filled in on writing: who changes it changes these."""
    created: str
    version: str
    """Of sprachbund."""


def read_details(folder: Path) -> MergeDetails | None:
    """Return how the model in a folder was merged; None if it was not, or if the details belong to other tensors."""
    details = _read(folder / DETAILS, MergeDetails)
    return details if details and _digest(folder) == details.tensors_digest else None


def read_blend(folder: Path) -> BlendDetails | None:
    """Return how the model in a folder was blended; None if it was not, or if the details belong to other tensors."""
    details = _read(folder / BLEND, BlendDetails)
    return details if details and _written(folder) == details.written else None


def _read(path: Path, kind: type[_Details]) -> _Details | None:
    if not path.is_file():
        return None
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path} does not describe a merge of sprachbund: merge again, or remove the file to evaluate the model as it is."
        ) from error


def _digest(folder: Path) -> str | None:
    """Return the digest of the tensors in a folder; None if there are none."""
    weights = folder / WEIGHTS
    return digests.of_file(weights) if weights.is_file() else None


def write_blend(folder: Path, details: BlendDetails) -> BlendDetails:
    """Write how the model in ``folder`` was blended; return the details as written."""
    complete = details.model_copy(update={"written": _written(folder)})
    files.write_json(folder / BLEND, complete.model_dump())
    return complete


def _written(folder: Path) -> tuple[int, int] | None:
    """Return size and modification time of the tensors in a folder, None if there are none.

    Reading them again for a digest would take as long as many merges do.
    """
    try:
        status = (folder / WEIGHTS).stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns


def write_details(folder: Path, details: MergeDetails) -> MergeDetails:
    """Write the three files beside the tensors in ``folder``; return the details as written."""
    complete = details.model_copy(update={"tensors_digest": digests.of_file(folder / WEIGHTS)})
    files.write_json(folder / DETAILS, complete.model_dump())
    files.write_text(folder / DETAILS_TEXT, details_text(complete))
    files.write_text(folder / CARD, model_card(complete, _intents(folder)))
    return complete


def _intents(folder: Path) -> Sequence[str]:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return list((config.get("id2label") or {}).values())


def details_text(details: MergeDetails) -> str:
    """Return the details for people."""
    recipe = details.recipe
    lines = [
        f"{_what(recipe)} for {_language(recipe.target)}",
        "",
        f"mode               {details.mode}",
        *_settings(recipe),
        f"method             {recipe.method}",
        f"selection          {recipe.selection}",
        *([] if recipe.adaptation else [f"similarity         {recipe.similarity or '-'}"]),
        f"weighting          {_weighting(recipe)}",
        *([] if recipe.adaptation else [f"head policy        {recipe.head_policy}"]),  # the reasons say it instead
        f"has seen           {', '.join(details.uses)} (of the target)",
        f"effective sources  {details.effective_sources:.2f} of {len(details.sources)}",
        f"head agreement     {_or_dash(details.head_agreement)} (smallest cosine between two heads)",
        f"sources from       {details.zoo}",
        "",
        f"{'source':<8}{'weight':>9}{_score(recipe):>12}{'from base':>11}  model",
    ]
    lines += [
        f"{s.locale:<8}{s.weight:>9.4f}{_or_dash(s.score):>12}{_or_dash(s.distance_from_base):>11}  {s.model}"
        for s in details.sources
    ]
    lines += ["", *details.reasons, *(f"Warning: {warning}" for warning in details.warnings)]
    lines += [f"Made by sprachbund {details.version}, {details.created}"]
    return "\n".join(lines) + "\n"


def model_card(details: MergeDetails, intents: Sequence[str]) -> str:
    """Return the model card: front matter for the hub, then what the model is."""
    from huggingface_hub import ModelCardData  # heavy, and only needed where a model is written

    recipe = details.recipe
    front = ModelCardData(
        language=sorted({_iso639_1(recipe.target), *(_iso639_1(s.locale) for s in details.sources)}),
        base_model=[s.model.partition("@")[0] for s in details.sources if _is_published(s.model)] or None,
        pipeline_tag="text-classification",
        library_name="transformers",
        tags=["merge", "sprachbund"],
    ).to_yaml()
    rows = "\n".join(
        f"| {s.locale} | {s.weight:.4f} | {_or_dash(s.score)} | `{_public_name(s.model)}` |" for s in details.sources
    )
    warnings = "".join(f"\n> **Warning.** {warning}\n" for warning in details.warnings)
    reasons = "".join(f"\n{reason}\n" for reason in details.reasons)
    return f"""---
{front}
---

# {_what(recipe)} for {_language(recipe.target)}

A classifier of {len(intents)} intents, made of {len(details.sources)} fine-tuned checkpoints by
sprachbund {details.version}: {_adaptation(recipe)}method `{recipe.method}`, selection `{recipe.selection}`,
weighting {_weighting(recipe)}{_head_policy(recipe)}. Of the target it has seen: {", ".join(details.uses)}.
{reasons}{warnings}
| source | weight | {_score(recipe)} | model |
|---|---|---|---|
{rows}

The weights amount to {details.effective_sources:.2f} equally weighted sources. `merge_details.json` holds the full recipe
and the digests of all sources. This card reports no score: evaluate the model on your own data before you rely on it.
"""


def _head_policy(recipe: Recipe) -> str:
    """Return the policy of a merge; what becomes of heads in an adaptation is decided on the way, and a reason says it."""
    return "" if recipe.adaptation else f", head policy `{recipe.head_policy}`"


def _what(recipe: Recipe) -> str:
    return "Adapted model" if recipe.adaptation else "Merged model"


def _score(recipe: Recipe) -> str:
    """Return what the sources' scores are: how like the target they are, how good they look on its texts, or are elsewhere."""
    if recipe.weighting == GREEDY_SOUP:
        return "accuracy"
    return "reliability" if recipe.adaptation else "similarity"


def _adaptation(recipe: Recipe) -> str:
    return f"adaptation `{recipe.adaptation['kind']}` to raw text of the target, " if recipe.adaptation else ""


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


def _is_published(model: str) -> bool:
    """Tell a hub repository, whose name in a record has the commit, from a folder on some machine."""
    return re.fullmatch(r"[^@:]+@[0-9a-f]{40}(:.+)?", model) is not None


def _public_name(model: str) -> str:
    """Return a name that can be shown to others: a local path says more about this machine than about the model."""
    return model if _is_published(model) else Path(model).name


def _weighting(recipe: Recipe) -> str:
    return recipe.weighting if recipe.sharpness is None else f"{recipe.weighting} (sharpness {recipe.sharpness:g})"


def _language(target: str) -> str:
    return f"{locales.locale(target).language} ({target})" if target in locales.names() else target


def _iso639_1(locale: str) -> str:
    return locale.split("-")[0]


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
