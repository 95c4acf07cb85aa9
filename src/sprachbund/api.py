"""What the commands do, for Python: the same settings, the same records, the same errors.

Keywords are the flags of the commands with underscores for hyphens, and the same defaults; what a message calls ``--base``
is the parameter ``base``. Errors are those of ``sprachbund.errors``, above all ``sprachbund.errors.UserError``: a
sentence that says what is wrong, where, and what to do next; an argument of a wrong kind is one of them. Notes (where data
comes from and under which licence, what is odd about a merge) go to the logger ``sprachbund`` as warnings, which Python shows
on standard error unless told otherwise.

``progress`` is called with a stage, and how much of how much is done.

Some of the work is shared out over processes. In a script, as with all that starts processes in Python, let it begin under
``if __name__ == "__main__":``; a notebook needs nothing.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypedDict, TypeVar, Unpack

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from sprachbund import commands
from sprachbund.commands import Merged
from sprachbund.config import (
    EvaluateConfig,
    ExperimentConfig,
    MergeConfig,
    MethodConfig,
    Precision,
    ResultsConfig,
    Split,
    wrong_setting,
)
from sprachbund.errors import UnknownName, UserError
from sprachbund.parallel import Report

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]

    from sprachbund import report
    from sprachbund.blends import Dtype
    from sprachbund.cards import BlendDetails, MergeDetails
    from sprachbund.estimate import Estimate
    from sprachbund.store import Record

__all__ = ["Experiment", "MergeSettings", "Merged", "Results", "evaluate", "load_results", "merge", "merge_for"]

_note = logging.getLogger("sprachbund").warning

LINEAR: str = MethodConfig.model_fields["method"].default
TEST: Split = EvaluateConfig.model_fields["split"].default
EXACT: Precision = EvaluateConfig.model_fields["precision"].default
"""Defaults, which live in ``config``."""

Settings = TypeVar("Settings", bound=BaseModel)


PARAMETERS: Mapping[str, str] = {"base_model": "model", "target_lang": "target"}
"""Settings whose parameter has another name here."""


def _as_text(value: object) -> object:
    """Return a path as text, which is what names a checkpoint; all else stays as it is."""
    return str(value) if isinstance(value, Path) else value


_Checkpoint = Annotated[str, BeforeValidator(_as_text)]


class _Blended(BaseModel):
    """The arguments of :func:`merge`, so that they are of the kind that they should be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[_Checkpoint, ...]
    out: Path
    method: str
    weights: tuple[float, ...]
    normalize: bool
    layers: dict[str, tuple[float, ...]]
    lines: tuple[float, float] | None
    options: dict[str, Any]
    base: _Checkpoint | None
    dtype: Literal["float32", "float16", "bfloat16"] | None
    seed: Annotated[int, Field(ge=0)] | None
    text: tuple[Path, ...]
    layerwise: bool
    overwrite: bool
    allow_pickle: bool


def _silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def merge(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    method: str = LINEAR,
    weights: Sequence[float] = (),
    normalize: bool = True,
    layers: Mapping[str, Sequence[float]] | None = None,
    lines: tuple[float, float] | None = None,
    options: Mapping[str, Any] | None = None,
    base: str | Path | None = None,
    dtype: Dtype | None = None,
    seed: int | None = None,
    text: Sequence[str | Path] = (),
    layerwise: bool = False,
    overwrite: bool = False,
    allow_pickle: bool = False,
    progress: Report = _silent,
) -> Merged[BlendDetails]:
    """Merge any checkpoints into the folder ``out``, by any method, as ``sprachbund merge --source`` does.

    Examples:
        >>> import sprachbund
        >>> made = sprachbund.merge(
        ...     ["models/de-DE", "models/fr-FR"], "merged", method="ties", base="models/base", weights=[3, 1],
        ...     options={"density": 0.5},
        ... )
        >>> {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in made.folder.iterdir()}
        True
        >>> [source.weight for source in made.details.sources]
        [0.75, 0.25]

        The same merge, asked for again, is left as it is; anything else in the way is an error unless ``overwrite`` is on:

        >>> sprachbund.merge(["models/de-DE", "models/fr-FR"], "merged")
        Traceback (most recent call last):
        sprachbund.errors.StoreError: merged holds another model: choose another --out, or replace it with --overwrite.

    Args:
        sources: checkpoints, each ``MODEL[@REVISION][:SUBFOLDER]``, where MODEL is a folder or a repository on the hub.
        out: the folder of the merge.
        method: linear, ties, … (``sprachbund methods`` lists them).
        weights: one for each source; by default all count the same.
        normalize: divide the weights by their sum.
        layers: instead of ``weights``, some for each part of the model: ``embeddings``, ``head``, a layer from ``0``, several
            (``0-5``), or ``rest``.
        lines: (α, β): the scale of task vectors is multiplied by α + β · depth.
        options: of the method, by name.
        base: the pre-trained model of the sources, for methods on task vectors.
        dtype: numbers to write; by default the widest of the sources.
        seed: of methods that drop at random; by default 0.
        text: for methods that measure the sources, a UTF-8 file of texts for each, one text a line.
        layerwise: for ``regmean``: measure each layer behind those that are merged already.
        overwrite: replace another model that is in the way.
        allow_pickle: also read weights that are only there as pickles (``pytorch_model.bin``), with torch's ``weights_only``.
        progress: told of what takes time.

    Raises:
        UserError: says what stands in the way, or which argument is wrong; nothing was written. Its kinds: UnknownName,
            CheckpointError, IncompatibleError, MixError, DataError, StoreError.
    """
    asked = _checked(
        _Blended,
        sources=sources,
        out=out,
        method=method,
        weights=weights,
        normalize=normalize,
        layers=layers or {},
        lines=lines,
        options=options or {},
        base=base,
        dtype=dtype,
        seed=seed,
        text=text,
        layerwise=layerwise,
        overwrite=overwrite,
        allow_pickle=allow_pickle,
    )
    if not asked.sources:
        raise UserError("There are no sources: name the checkpoints to merge.")
    wanted = commands.blend_of(
        asked.sources,
        method=asked.method,
        weights=asked.weights,
        normalize=asked.normalize,
        layers=asked.layers,
        lines=asked.lines,
        options=asked.options,
        base=asked.base,
        dtype=asked.dtype,
        seed=asked.seed,
        layerwise=asked.layerwise,
    )
    return commands.merge_any(
        wanted,
        asked.text,
        asked.out,
        overwrite=asked.overwrite,
        allow_pickle=asked.allow_pickle,
        report=progress,
        say=_note,
    )


class MergeSettings(TypedDict, total=False):
    """What can be said about a merge for a target: the fields of ``sprachbund.config.MergeConfig``."""

    models: str
    allow_pickle: bool
    data: str
    demo: bool
    allow_missing: bool
    base: str
    sources: Sequence[str]
    weights: Sequence[float]
    similarity: str
    selection: Literal["topk", "original", "all"]
    num_languages: int
    include_target: bool
    sharpness: float
    head_policy: str
    method: str
    set: Sequence[str]
    seed: int
    output_dir: str | Path
    overwrite: bool


def merge_for(
    target: str,
    mode: Literal["similarity", "average", "manual"] = "similarity",
    *,
    progress: Report = _silent,
    **settings: Unpack[MergeSettings],
) -> Merged[MergeDetails]:
    """Choose, weigh and merge sources for a target language, as ``sprachbund merge --mode … --target-lang …`` does.

    Examples:
        >>> import sprachbund
        >>> made = sprachbund.merge_for(
        ...     "sq-AL", models="models/{locale}", sources=["de-DE", "el-GR", "fr-FR"], num_languages=2
        ... )
        >>> print(made.folder)
        merged_models/similarity_merge_sq-AL
        >>> [source.locale for source in made.details.sources]
        ['el-GR', 'fr-FR']
        >>> made.details.uses
        ('nothing',)

    Args:
        target: a locale (``sq-AL``), or a language code (``sqi``).
        mode: ``similarity``, weighted by similarity; ``average``, the same sources, equally; ``manual``, ``sources`` and
            ``weights``.
        progress: told of what takes time.
        settings: the flags of ``sprachbund merge``, with their defaults.

    Raises:
        UserError: says what stands in the way, or which argument is wrong; nothing was written. Its kinds: UnknownName,
            CheckpointError, IncompatibleError, MixError, DataError, StoreError.
    """
    config = _checked(MergeConfig, mode=mode, target_lang=target, **settings)
    return commands.merge_for_target(config, progress, _note)


def evaluate(
    model: str | Path,
    data: str,
    locale: str,
    split: Split = TEST,
    *,
    precision: Precision = EXACT,
    results_dir: str | Path | None = None,
    prefix: str | None = None,
    overwrite: bool = False,
    allow_pickle: bool = False,
    progress: Report = _silent,
) -> Record:
    """Evaluate one checkpoint on one split of one locale, as ``sprachbund evaluate`` does.

    Examples:
        >>> import sprachbund
        >>> record = sprachbund.evaluate("models/de-DE", "table:texts.csv", "de-DE")
        >>> record.performance.total
        24
        >>> record.performance.accuracy == record.performance.correct / record.performance.total
        True
        >>> record.evaluation_info.uses
        ('target-train',)

    Args:
        model: ``MODEL[@REVISION][:SUBFOLDER]``, where MODEL is a folder or a repository on the hub.
        data: as ``--data`` takes it: ``massive``, ``massive:PATH``, ``table:PATH``, ``cldr``, or ``split:`` before one of them.
        locale: where to evaluate.
        split: ``train``, ``dev`` or ``test``.
        precision: numbers in which the model answers.
        results_dir: where the record and every prediction are kept, and found the next time; by default nowhere.
        prefix: the record's folder is ``{prefix}_{locale}``; by default it is named after the model.
        overwrite: replace a result of something else that is in the way.
        allow_pickle: also read weights that are only there as a pickle (``pytorch_model.bin``), with torch's ``weights_only``.
        progress: told of what takes time.

    Raises:
        UserError: says what stands in the way, or which argument is wrong. Its kinds: UnknownName, CheckpointError,
            IncompatibleError, DataError, StoreError.
    """
    with tempfile.TemporaryDirectory() as nowhere:
        config = _checked(
            EvaluateConfig,
            base_model=_as_text(model),
            data=data,
            locale=locale,
            split=split,
            precision=precision,
            results_dir=nowhere if results_dir is None else results_dir,
            prefix=prefix,
            overwrite=overwrite,
            allow_pickle=allow_pickle,
        )
        return commands.evaluate_one(config, progress, _note).record


class Experiment(ExperimentConfig):
    """All locales × variants: the settings of ``sprachbund experiment`` as keywords, with their defaults.

    Examples:
        >>> import sprachbund
        >>> experiment = sprachbund.Experiment(
        ...     models="models/{locale}", data="table:texts.csv", sources=["de-DE", "el-GR", "fr-FR"],
        ...     locales=["de-DE", "el-GR"], num_languages=2, output_dir="out",
        ... )
        >>> experiment.plan().cells
        6
        >>> results = experiment.run()
        >>> [(row["variant"], row["locale"]) for row in results.rows[:3]]
        [('baseline', 'de-DE'), ('baseline', 'el-GR'), ('similarity', 'de-DE')]

        What is finished is never done again, whatever moment a run was killed at: the same lines go on from there.

        >>> sprachbund.Experiment(num_language=2)
        Traceback (most recent call last):
        sprachbund.errors.UnknownName: Unknown setting 'num_language': did you mean num_languages?
    """

    @model_validator(mode="wrap")
    @classmethod
    def _in_our_words(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            raise _refused(cls, error) from error

    def plan(self, *, progress: Report = _silent) -> Estimate:
        """Say what a run would do and what it takes: cells, sources, bytes, memory, time. Nothing is written.

        Raises:
            UserError: says what stands in the way.
        """
        found = commands.plan_experiment(self, progress, _note)
        if found is None:
            raise UserError(commands.NOT_MADE)
        return found

    def run(self, *, progress: Report = _silent) -> Results:
        """Do what is missing and return all results of this setup in the output folder, those from before among them.

        A cell that fails stops no other: see ``Results.failures``.

        Raises:
            UserError: says what stands in the way, or that every cell failed.
        """
        prepared, outcome = commands.run_experiment(self, progress, _note, lambda line: None)
        found = load_results(prepared.store.root, data=prepared.inputs.data.name, zoo=prepared.zoo, split=self.split)
        return replace(found, failures={**found.failures, **outcome.reasons})


@dataclass(frozen=True)
class Results:
    """The results of one setup: one data set, split and zoo of sources, so that they can be compared."""

    folder: Path
    """Where they are."""
    found: report.Results
    """The records themselves, by variant and locale."""
    failures: Mapping[str, str]
    """Why something has no result, by what it is called: ``sq-AL average``, ``zero-shot of ja-JP``."""

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The long table: one row a record, with its locale, variant, scores, sources and what it has seen of its target."""
        from sprachbund.report.aggregate import long_rows

        return long_rows(self.found)

    @cached_property
    def comparison(self) -> list[dict[str, Any]]:
        """One row a locale, variants and zero-shot figures side by side, with their intervals; what is missing is None."""
        from sprachbund.report.aggregate import comparison_rows

        return comparison_rows(self.summary, self.analysis)

    @cached_property
    def summary(self) -> report.Summary:
        """Columns, statistics over locales, differences."""
        from sprachbund.report import summarise

        return summarise(self.found)

    @cached_property
    def analysis(self) -> report.Analysis:
        """Intervals and tests, computed from every prediction (seconds for 156 results)."""
        from sprachbund.report import analysis_of

        return analysis_of(self.folder, self.found)

    @property
    def headline(self) -> str:
        """What came out, in words, with how sure it is."""
        from sprachbund.report import headline

        return headline(self.summary, self.analysis)

    def table(self) -> pyarrow.Table:
        """Return the long table as an Arrow table; ``.to_pandas()`` makes a data frame of it where pandas is installed."""
        from sprachbund.report.aggregate import arrow_table

        return arrow_table(self.rows)

    def plot(self, out: str | Path) -> Path:
        """Draw all locales with their variants into a picture, whose ending says the format (svg, png); return its path.

        Raises:
            UserError: it has another ending, or no file can be written there.
        """
        from sprachbund.plan import check_file
        from sprachbund.report import check_format, dumbbell

        place = Path(out)
        check_format(place)
        check_file(place, "out", overwrite=True)
        return dumbbell(self.summary, place)


def load_results(
    results_dir: str | Path, *, data: str | None = None, zoo: str | None = None, split: Split | None = None
) -> Results:
    """Return the results that a run left in a folder, as ``sprachbund aggregate`` reads them; no model is loaded.

    Examples:
        >>> import sprachbund
        >>> results = sprachbund.load_results("out/results")
        >>> results.table().num_rows, results.summary.counts.done
        (6, 6)
        >>> [row["locale"] for row in results.comparison if row["baseline"] is not None]
        ['de-DE', 'el-GR']
        >>> print(results.plot("picture.svg"))
        picture.svg

    Args:
        results_dir: the folder, as a rule ``results`` in that of an experiment.
        data: only results on this data set; a part of its name or revision will do.
        zoo: only results of models of this zoo; a part of its name will do.
        split: only results on this split.

    Raises:
        StoreError: there are no results, or several setups, and which of them is meant is not said.
        UserError: an argument is none of those that it can be.
    """
    from sprachbund import report

    asked = _checked(ResultsConfig, results_dir=results_dir, data=data, zoo=zoo, split=split)
    found = report.load(asked.results_dir, data=asked.data, zoo=asked.zoo, split=asked.split)
    return Results(
        asked.results_dir, found, {f"{failure.locale} {failure.variant}": failure.reason for failure in found.failures}
    )


def _checked(kind: type[Settings], **settings: Any) -> Settings:
    """Return settings of this kind.

    Raises:
        UserError: one of them is unknown or has a value that it cannot have.
    """
    try:
        return kind(**settings)
    except ValidationError as error:
        raise _refused(kind, error) from error


def _refused(kind: type[BaseModel], error: ValidationError) -> UserError:
    complaint = error.errors()[0]
    name = ".".join(str(part) for part in complaint["loc"][:1])
    name = PARAMETERS.get(name, name)
    if complaint["type"] == "extra_forbidden":
        return UnknownName("setting", name, kind.model_fields)
    return UserError(wrong_setting(dict(complaint), name))
