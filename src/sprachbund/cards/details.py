"""``merge_details.json`` and ``blend.json``: how a model came about, for programs.

It is also how an evaluation learns what a folder is: it names the candidate by content (digests of the sources, weights,
method) and the digest of the tensors it was written for, so that it cannot speak for any others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict

from sprachbund import digests
from sprachbund.adaptation import Adaptation
from sprachbund.checkpoints import WEIGHTS, open_checkpoint
from sprachbund.errors import CheckpointError
from sprachbund.recipe import Recipe
from sprachbund.untrusted import check_version, read_json

__all__ = [
    "BLEND",
    "CARD",
    "DETAILS",
    "DETAILS_TEXT",
    "BlendDetails",
    "BlendedModel",
    "Details",
    "MergeDetails",
    "MergedSource",
    "model_digest",
    "read_blend",
    "read_details",
    "when_written",
]

DETAILS, DETAILS_TEXT, CARD = "merge_details.json", "merge_details.txt", "README.md"
BLEND = "blend.json"
"""In the place of the first two beside a merge of any checkpoints, which has no target."""
DETAILS_VERSION = 1
"""Of both."""
_Read = TypeVar("_Read", bound=BaseModel)


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
    licence: str | None = None
    """As its model card says, see :mod:`origins`; None where it says nothing."""
    datasets: tuple[str, ...] = ()
    """What it was trained on, as far as it is known."""
    met: tuple[str, ...] = ()
    """Locales whose labels it has met, as far as it is known."""


class BlendedModel(BaseModel):
    """A source of a blend, or a base."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    digest: str
    weight: float | None = None
    """None for the base, and where it is not the same for all tensors."""
    licence: str | None = None
    datasets: tuple[str, ...] = ()
    met: tuple[str, ...] = ()
    """All three as of a :class:`MergedSource`."""


class MergeDetails(BaseModel):
    """How a merged or adapted model came about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = DETAILS_VERSION
    mode: str
    recipe: Recipe
    uses: tuple[str, ...]
    zoo: str
    sources: tuple[MergedSource, ...]
    asked: tuple[str, ...] = ()
    """All sources that an adaptation asked about its texts, those without a weight too; empty where none was asked."""
    base: BlendedModel | None = None
    """What the model was made with besides its sources; None where no base has a part in it."""
    effective_sources: float
    head_agreement: float | None
    warnings: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    """Why the model is what it is, where that was decided on the way."""
    trained: bool | None = None
    """Whether it was trained after the sources were put together; None where that is only told by the recipe."""
    candidate: dict[str, Any]
    """The content of the model, see :mod:`sprachbund.recipe`."""
    tensors_digest: str = ""
    """SHA-256 of model.safetensors, filled in on writing."""
    created: str
    version: str
    """Of sprachbund."""

    @property
    def is_trained(self) -> bool:
        """Whether gradients have changed the model since its sources were put together."""
        if self.trained is not None or self.recipe.adaptation is None:
            return bool(self.trained)
        return Adaptation.model_validate(self.recipe.adaptation).has_student


class BlendDetails(BaseModel):
    """How a merge of any checkpoints came about, see :mod:`sprachbund.blends`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = DETAILS_VERSION
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


Details: TypeAlias = MergeDetails | BlendDetails


def model_digest(details: Details) -> str:
    """Return the digest of a model's content: what records call it."""
    return digests.of_value(details.candidate)


def read_details(folder: Path) -> MergeDetails | None:
    """Return how the model in a folder was merged; None if it was not, or if the details belong to other tensors."""
    details = _read(folder / DETAILS, MergeDetails)
    weights = folder / WEIGHTS
    return details if details and weights.is_file() and digests.of_file(weights) == details.tensors_digest else None


def read_blend(folder: Path) -> BlendDetails | None:
    """Return how the model in a folder was blended; None if it was not, or if the details belong to other tensors."""
    details = _read(folder / BLEND, BlendDetails)
    return details if details and when_written(folder) == details.written else None


def details_of(folder: Path) -> Details:
    """Return how the model in a folder came about.

    Raises:
        CheckpointError: there is no such model, or it was not made here.
    """
    open_checkpoint(folder)
    details = read_details(folder) or read_blend(folder)
    if details is None:
        raise CheckpointError(
            f"{folder} is a model of which nothing says how it was made ({DETAILS} or {BLEND}, written for its "
            "tensors): name one that sprachbund merge, adapt or experiment has made."
        )
    return details


def _read(path: Path, kind: type[_Read]) -> _Read | None:
    if not path.is_file():
        return None
    try:
        told = read_json(path)
        check_version(told, DETAILS_VERSION, path, CheckpointError)
        return kind.model_validate(told)
    except ValueError as error:
        raise CheckpointError(
            f"{path} does not describe a merge of sprachbund: merge again, or remove the file to evaluate the model as it is."
        ) from error


def when_written(folder: Path) -> tuple[int, int] | None:
    """Return size and modification time of the tensors in a folder, None if there are none.

    Reading them again for a digest would take as long as many merges do.
    """
    try:
        status = (folder / WEIGHTS).stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns
