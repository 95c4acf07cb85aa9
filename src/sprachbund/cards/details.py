"""``merge_details.json`` and ``blend.json``: how a model came about, for programs.

It is also how an evaluation learns what a folder is: it names the candidate by content (digests of the sources, weights,
method) and the digest of the file of tensors it was written for, so that it speaks for a copy of that, wherever it lies, and
for no others. What the header of that file says (``sprachbund_candidate``) would not do: tools that change tensors keep it.
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
    texts_of: str | None = None
    """The data set that set aside the texts of an adaptation; None for a file, and where it was not noted."""
    labels_of: str | None = None
    """The same for the few labels, where it has seen some."""
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
    tensors_digest: str = ""
    """SHA-256 of model.safetensors, filled in on writing; empty in what was written before it was noted."""
    written: tuple[int, int] | None = None
    """What was noted instead: size of model.safetensors in bytes, and when it was written in ns. No copy is known by that."""
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
    return details if details and _holds(folder, details.tensors_digest) else None


def read_blend(folder: Path) -> BlendDetails | None:
    """Return how the model in a folder was blended; None if it was not, or if the details belong to other tensors."""
    details = _read(folder / BLEND, BlendDetails)
    if details is None or details.tensors_digest:
        return details if details and _holds(folder, details.tensors_digest) else None
    return details if details.written and _when_written(folder) == tuple(details.written) else None


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


def _holds(folder: Path, digest: str) -> bool:
    """Return whether the tensors in a folder are those of a digest; they are read once on a machine, as any source's are."""
    weights = folder / WEIGHTS
    return weights.is_file() and digests.of_file(weights) == digest


def _when_written(folder: Path) -> tuple[int, int] | None:
    """Return size and modification time of the tensors in a folder, None if there are none."""
    try:
        status = (folder / WEIGHTS).stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns
