"""What a user can set: frozen, closed, each default and its help in one place. The command line is derived from these.

Fields that several commands share stand in a base class of their own, so that a flag means the same everywhere. Everything
here can also stand in a YAML file or in the environment; :func:`as_yaml` writes what was settled on in that form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationInfo, field_validator

from sprachbund.errors import UnknownName, UserError
from sprachbund.recipe import AVERAGE, SEED_VARIANTS, check_head_policy
from sprachbund.untrusted import Unreadable, parse_yaml
from sprachbund.weighting import DEFAULT_SHARPNESS

__all__ = [
    "EXACT",
    "AdaptConfig",
    "AggregateConfig",
    "AnyMergeConfig",
    "BaseConfig",
    "CardConfig",
    "CheckConfig",
    "CheckpointsConfig",
    "ChoiceConfig",
    "CompareConfig",
    "DataConfig",
    "EvaluateConfig",
    "ExperimentConfig",
    "ExportConfig",
    "HeadConfig",
    "InputsConfig",
    "MergeConfig",
    "MethodConfig",
    "PlotConfig",
    "PoolConfig",
    "Precision",
    "PrecisionConfig",
    "PredictConfig",
    "PushConfig",
    "ReportConfig",
    "ResultsConfig",
    "SimilarityConfig",
    "SimulationConfig",
    "Sort",
    "TransferConfig",
    "WatchConfig",
    "as_yaml",
    "wrong_setting",
]

Split = Literal["train", "dev", "test"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
"""In what numbers a model answers."""
EXACT: Precision = "fp32"
"""The default; and whatever decides how a candidate is made is always asked for in it."""
Sort = Literal["family", "gain"]
"""Rows by language family, or by what similarity gains over the baseline, the best first."""
_BOUNDS = {
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "above {gt:g}",
    "less_than_equal": "at most {le:g}",
    "less_than": "below {lt:g}",
}


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(_Config):
    """Which data."""

    data: str | None = Field(
        default=None,
        description="Data set: massive, massive:PATH, table:PATH, cldr, or split: before one of them. Default: massive.",
    )
    demo: bool = Field(
        default=False, description="Use the embedded models and data: no download; made here on first use (minutes)."
    )


class CheckpointsConfig(_Config):
    """In what formats checkpoints are read."""

    allow_pickle: bool = Field(
        default=False,
        description="Also read weights that are only there as pickles (pytorch_model.bin), as far as they hold nothing but "
        "tensors (torch's weights_only).",
    )


class ModelsConfig(CheckpointsConfig, DataConfig):
    """Which models, on which data."""

    models: str | None = Field(
        default=None,
        description="The sources: a template with {locale} in it, or a file with a row per locale (.csv, .tsv, .jsonl, "
        ".json, .yaml), each MODEL[@REVISION][:SUBFOLDER], where MODEL is a folder or a repository on the hub. "
        "Default: the published ones.",
    )


class InputsConfig(ModelsConfig):
    """Which models, on which data, and what if some are not there."""

    allow_missing: bool = Field(
        default=False,
        description="Go on without the sources that are missing or do not fit the others, and say which these are.",
    )


class BaseConfig(_Config):
    """What the models were fine-tuned from."""

    base: str | None = Field(
        default=None,
        description="The pre-trained model of the sources, for what needs it: a folder, or FOLDER:SUBFOLDER.",
    )


class PoolConfig(_Config):
    """Which sources there are to choose from."""

    sources: tuple[str, ...] = Field(
        default=(),
        description="Locales whose sources take part or may be chosen. Default: those that the file of --models names, else "
        "all 52, or those of a table.",
    )


class PrecisionConfig(_Config):
    """In what numbers models answer."""

    precision: Precision = Field(
        default=EXACT,
        description="Numbers in which the evaluated models answer: fp32, exact; bf16; fp16 (on a GPU); int8 (on a CPU). "
        "Results of one variant are all in one.",
    )


class CheckConfig(BaseConfig, PoolConfig, ModelsConfig):
    """What sources are, and whether they can be merged."""


class ChoiceConfig(PoolConfig):
    """How sources are chosen and weighted for a target."""

    similarity: str = Field(
        default="uriel:syntax_knn",
        description="Which similarity ranks the sources: uriel:…, file:matrix.csv, a measured one (transfer, overlap, …), "
        "or a sum, A+B (sprachbund similarity --list).",
    )
    selection: Literal["topk", "original", "all"] = Field(
        default="topk",
        description="topk: the most similar; original: as in the original experiment (Sinkhorn); all: every source.",
    )
    num_languages: int = Field(default=5, ge=1, description="How many sources to merge.")
    include_target: bool = Field(
        default=False, description="Let the target's own source take part (it has seen its labels)."
    )
    sharpness: float = Field(
        default=DEFAULT_SHARPNESS,
        ge=0,
        description="How much a difference in similarity counts, in 1 / unit of similarity; 0 is the average.",
    )


class HeadConfig(_Config):
    """What becomes of the classification heads."""

    head_policy: str = Field(
        default=AVERAGE,
        description="The classification heads of a merge: average: merged like all else; from:LOCALE: that of one source; "
        "wide: all, side by side; refit: one, fitted to unlabelled text (--data split:… or cldr).",
    )

    @field_validator("head_policy")
    @classmethod
    def _is_known(cls, policy: str) -> str:
        return check_head_policy(policy)  # now, and not once a similarity is measured


class MethodConfig(_Config):
    """How sources are merged."""

    method: str = Field(
        default="linear", description="How the sources are merged: linear, ties, … (sprachbund methods)."
    )
    set: tuple[str, ...] = Field(
        default=(),
        description="Options of the method, NAME=VALUE; [VALUE,VALUE] is one for each source (sprachbund methods).",
    )
    seed: int | None = Field(default=None, ge=0, description="Seed of methods that drop at random. Default: 0.")

    @property
    def options(self) -> dict[str, Any]:
        """The options that ``--set`` names; values are YAML.

        Raises:
            UserError: one is no NAME=VALUE, or stands there twice.
        """
        options: dict[str, Any] = {}
        for assignment in self.set:
            name, equals, value = assignment.partition("=")
            if not (name and equals and value):
                raise UserError(f"--set {assignment}: write NAME=VALUE, as in --set density=0.2.")
            if name in options:
                raise UserError(f"--set {name} stands there twice: write it once.")
            try:
                options[name] = parse_yaml(value)
            except Unreadable as error:
                raise UserError(
                    f"--set {assignment}: {value} is no value: write a number, a word, or [ONE,EACH]."
                ) from error
        return options


class _OutputConfig(_Config):
    output_dir: Path = Field(default=Path(), description="Where results/, merged_models/ and the progress files go.")
    overwrite: bool = Field(
        default=False, description="Replace results and models of something else that are in the way."
    )


class ExperimentConfig(
    PrecisionConfig, _OutputConfig, HeadConfig, MethodConfig, ChoiceConfig, BaseConfig, InputsConfig
):
    """All locales × variants."""

    locales: tuple[str, ...] = Field(default=(), description="Locales to run. Default: all that the data holds.")
    variants: tuple[str, ...] = Field(
        default=SEED_VARIANTS,
        description="Variants to run: baseline, similarity, average, auto, … (sprachbund variants lists them).",
    )
    skip_baseline: bool = Field(default=False, description="Leave out the target's own models.")
    skip_similarity: bool = Field(default=False, description="Leave out the similarity merges.")
    skip_average: bool = Field(default=False, description="Leave out the average merges.")
    start_from: int = Field(
        default=0,
        ge=0,
        description="Index (from 0, in the order of --list-locales) in the chosen locales to begin with.",
    )
    max_locales: int | None = Field(default=None, ge=1, description="Run at most so many locales.")
    split: Split = Field(default="test", description="Split to evaluate on.")
    keep_models: Literal["all", "none"] = Field(
        default="all", description="Keep merged models in merged_models/, or remove each once it is evaluated."
    )
    memory: float | None = Field(
        default=None,
        gt=0,
        description="GB of memory for merged models: those of as many targets as fit are made in one pass over the sources. "
        "Default: half of what is free.",
    )
    zero_shot: bool = Field(
        default=False, description="Also evaluate every source on every chosen locale; --demo does."
    )
    skip_zero_shot: bool = Field(default=False, description="With --demo: leave out the single sources.")
    jobs: int = Field(
        default=0,
        ge=0,
        description="Worker processes, or tasks of Ray at a time; 0: one per GPU or four cores, to ask single sources "
        "one per core; with Ray as many as it has room for.",
    )
    executor: Literal["local", "ray"] = Field(
        default="local",
        description="Where the work is done: processes of this machine, or tasks of Ray (sprachbund[ray]).",
    )
    ray_address: str | None = Field(
        default=None,
        description="Ray cluster to use: HOST:PORT, or auto for the one of this machine. Default: RAY_ADDRESS or, without "
        "that, a Ray of its own.",
    )
    threads: int = Field(default=1, ge=1, description="With Ray: cores that each task computes on.")
    join: bool = Field(
        default=False, description="Where another run works in the same folder: share the work with it, not refuse."
    )
    sort: Sort = Field(default="family", description="Order of the table's rows: by language family, or by gain.")
    track: str | None = Field(
        default=None,
        description="Also tell an experiment tracker: trackio:PROJECT (files on this machine) or wandb:PROJECT.",
    )

    @property
    def wants_zero_shot(self) -> bool:
        """Whether every source is to be evaluated on every chosen locale as well."""
        return (self.zero_shot or self.demo) and not self.skip_zero_shot


class SimulationConfig(_Config):
    """How a sweep would go on many workers."""

    shape: str | None = Field(
        default=None,
        description="With --simulate: models of this shape that need not be there, xlm-r-base or xlm-r-large, on MASSIVE.",
    )
    workers: tuple[PositiveInt, ...] = Field(
        default=(), description="With --simulate: numbers of workers (GPUs, or processes). Default: 1 8 64."
    )
    times: int | None = Field(
        default=None,
        ge=1,
        description="With --simulate: every variant so many times, as with other settings: 4 variants 5 times are 20.",
    )
    costs: Path | None = Field(
        default=None,
        description="With --simulate: YAML file of what things take, in place of what is measured here.",
    )


class MergeConfig(_OutputConfig, HeadConfig, MethodConfig, ChoiceConfig, BaseConfig, InputsConfig):
    """One merge for one target."""

    mode: Literal["similarity", "average", "manual"] = Field(
        description="similarity: weighted by similarity; average: the same sources, equally; manual: --sources and --weights."
    )
    target_lang: str = Field(description="Target: a locale (sq-AL) or a language code (sqi).")
    weights: tuple[float, ...] = Field(
        default=(),
        description="One weight per source; normalised to 1. Default: equal. For a target: with --mode manual.",
    )


class AnyMergeConfig(MergeConfig):
    """One merge: for a target, of checkpoints that are named, or as a recipe says."""

    mode: Literal["similarity", "average", "manual"] | None = Field(  # type: ignore[assignment]
        default=None, description=MergeConfig.model_fields["mode"].description
    )
    target_lang: str | None = Field(  # type: ignore[assignment]
        default=None, description=MergeConfig.model_fields["target_lang"].description
    )
    source: tuple[str, ...] = Field(
        default=(),
        description="Instead of a target: the checkpoints to merge, each MODEL[@REVISION][:SUBFOLDER], where MODEL is a folder "
        "or a repository on the hub.",
    )
    out: Path | None = Field(default=None, description="Folder of their merge.")
    lines: tuple[float, ...] = Field(
        default=(),
        description="ALPHA BETA: multiply the scale of task vectors by ALPHA + BETA · depth, which rises from 0 in the first "
        "layer to 1 in the last (LiNeS).",
    )
    layers: tuple[str, ...] = Field(
        default=(),
        description="Instead of --weights, weights for each part of the model: PART=NUMBER,NUMBER,… with one for each source; "
        "a part is embeddings, head, a layer from 0 (3), several (0-5), or rest.",
    )
    no_normalize: bool = Field(default=False, description="Take --weights as they are typed.")
    dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        default=None, description="Numbers to write. Default: the widest of the sources."
    )
    text: tuple[Path, ...] = Field(
        default=(),
        description="For methods that measure the sources (fisher, regmean): a UTF-8 file of texts for each, one text a line.",
    )
    layerwise: bool = Field(
        default=False,
        description="For regmean: measure each layer behind those that are merged already (RegMean++).",
    )


class AdaptConfig(PoolConfig, BaseConfig, InputsConfig):
    """One model for a target without labels."""

    target: str = Field(
        description="Target: a locale (sq-AL), or any language code; no source may have met its labels."
    )
    out: Path = Field(description="Folder of the model that is made.")
    unlabelled: Path | None = Field(
        default=None,
        description="Raw text of the target: a UTF-8 file, one text a line. Default: what the data (split:…, cldr; --demo) "
        "sets aside.",
    )
    labelled: Path | None = Field(
        default=None,
        description="A few labelled texts of the target, for methods that see some (few-head-5, …): a UTF-8 file, one text a "
        "line as intent, tab, text; or .csv with the columns intent and text. Default: what --data split:… sets aside.",
    )
    method: str = Field(
        default="auto",
        description="auto, merge-reliable, distilled-merge-uniform, … (sprachbund variants lists them).",
    )
    num_languages: int | None = Field(
        default=None, ge=1, description="How many sources take part, the most reliable ones. Default: all."
    )
    epochs: int | None = Field(default=None, ge=1, description="Passes of a student over the texts. Default: 10.")
    learning_rate: float | None = Field(
        default=None, gt=0, description="Peak learning rate of a student. Default: by the width of its encoder."
    )
    freeze_embeddings: bool = Field(default=False, description="Leave a student's embeddings as they are.")
    seed: int = Field(default=0, ge=0, description="Seed of whatever is trained.")
    jobs: int = Field(default=0, ge=0, description="Processes that ask the sources; 0: one per core, one on a GPU.")
    overwrite: bool = Field(default=False, description="Replace another model that is in the way.")


class EvaluateConfig(PrecisionConfig, CheckpointsConfig, DataConfig):
    """One checkpoint on one locale."""

    base_model: str = Field(description="Checkpoint: a folder, or a repository on the hub, MODEL[@REVISION].")
    model_dir: str | None = Field(default=None, description="Subfolder of it that holds the model.")
    locale: str | None = Field(default=None, description="Locale to evaluate on.")
    prefix: str | None = Field(default=None, description="Name of the experiment: results/{prefix}_{locale}.")
    list_models: bool = Field(default=False, description="List the model folders in the base model, and stop.")
    results_dir: Path = Field(default=Path("results"), description="The results folder.")
    split: Split = Field(default="test", description="Split to evaluate on.")
    overwrite: bool = Field(default=False, description="Replace a result of something else that is in the way.")


class TransferConfig(PrecisionConfig, PoolConfig, InputsConfig):
    """Every source on every locale."""

    locales: tuple[str, ...] = Field(
        default=(), description="Locales to evaluate on. Default: all that the data holds."
    )
    split: Split = Field(default="test", description="Split to evaluate on.")
    results_dir: Path = Field(default=Path("results"), description="The results folder.")
    overwrite: bool = Field(
        default=False,
        description="Replace what other models or data have left there; evaluate anew where only a figure was kept.",
    )
    jobs: int = Field(default=0, ge=0, description="Processes; 0: one per core.")


class ResultsConfig(_Config):
    """Which results of a folder: those of one data set, split and zoo are comparable."""

    results_dir: Path = Field(default=Path("results"), description="The results folder.")
    data: str | None = Field(default=None, description="Only results on this data set.")
    zoo: str | None = Field(default=None, description="Only results of models of this zoo.")
    split: Split | None = Field(default=None, description="Only results on this split.")
    demo: bool = Field(default=False, description="Only results of the embedded models.")


class AggregateConfig(ResultsConfig):
    """All results of a folder, as files."""

    output_dir: Path = Field(default=Path(), description="Where the files go.")
    format: Literal["csv", "json", "markdown", "parquet", "latex", "html", "all"] = Field(
        default="all",
        description="Which files to write; all: CSV, JSON and Markdown. The others are written only when asked for.",
    )
    long: bool = Field(
        default=False,
        description="Write the long table, a row a result, as JSON, Markdown and LaTeX too (results_aggregated_*); CSV and "
        "Parquet always have it.",
    )
    show_missing: bool = Field(default=False, description="List the experiments that are missing or failed.")
    sort: Sort = Field(
        default="family",
        description="Order of the locales, on the terminal, in Markdown and in LaTeX: by language family, or by gain.",
    )


class PlotConfig(ResultsConfig):
    """A picture of a results folder."""

    out: Path = Field(default=Path("dumbbell.svg"), description="The picture; its ending says the format (svg, png).")


class ReportConfig(ResultsConfig):
    """The results of a folder as one page."""

    out: Path = Field(
        default=Path("report.html"), description="The page: one file, which needs no other and no network."
    )
    texts: str | None = Field(
        default=None,
        description="Data set that was answered, as after --data of the experiment: examples are shown with their sentences.",
    )


class SimilarityConfig(ChoiceConfig, BaseConfig, InputsConfig):
    """Who would be merged for a target, and the similarity behind it."""

    jobs: int = Field(default=0, ge=0, description="Processes that measure; 0: one per core.")
    out: Path | None = Field(default=None, description="Write the similarity as a CSV table, which file:… reads.")
    plot: Path | None = Field(
        default=None,
        description="Draw the similarity as a heat map by language family; the ending says the format (svg, png).",
    )


class CompareConfig(_Config):
    """Two results folders."""

    variants: tuple[str, ...] = Field(
        default=(), description="What to compare: ONE, or ONE_IN_A:OTHER_IN_B. Default: all that both folders have."
    )
    data: str | None = Field(default=None, description="Only results on this data set.")
    zoo: tuple[str, ...] = Field(
        default=(), description="Only results of models of this zoo; two names are that of A and that of B."
    )
    split: Split | None = Field(default=None, description="Only results on this split.")
    out: Path | None = Field(default=None, description="Write a row for each variant and locale as CSV.")


class WatchConfig(_Config):
    """A run to look at."""

    output_dir: Path = Field(default=Path(), description="The folder of the run, as its own --output-dir names it.")
    interval: float = Field(default=1.0, gt=0, description="Seconds from one look to the next.")
    once: bool = Field(default=False, description="Look once, and stop; what is no terminal gets that anyway.")


class MadeConfig(_Config):
    """A model that was made here."""

    model: Path = Field(description="Folder of a model that sprachbund merge, adapt or experiment has made.")


class CardConfig(MadeConfig):
    """Its model card."""

    results_dir: Path | None = Field(
        default=None, description="Where results of this very model are looked for. Default: results, if it is there."
    )
    overwrite: bool = Field(default=False, description="Replace a card that was changed by hand.")


class PushConfig(MadeConfig):
    """Its way to the hub."""

    repo: str = Field(description="Repository on the hub, OWNER/NAME; made if it is not there.")
    private: bool = Field(default=False, description="Make the repository private.")
    revision: str | None = Field(default=None, description="Branch; made if it is not there. Default: main.")
    dry_run: bool = Field(default=False, description="Say what would be uploaded, and ask nobody.")


class ExportConfig(CheckpointsConfig):
    """The same model for another tool."""

    model: str = Field(
        description="The model: MODEL[@REVISION][:SUBFOLDER], where MODEL is a folder or a repository on the hub; for "
        "--mergekit, a folder that sprachbund merge or experiment has made."
    )
    mergekit: bool = Field(
        default=False,
        description="Write a recipe with which mergekit 0.1.5 makes the same tensors of the same sources.",
    )
    onnx: bool = Field(
        default=False, description="Write the classifier as ONNX, with its config and tokenizer, into a new folder."
    )
    out: Path | None = Field(
        default=None, description="File of the recipe (default: standard output), or folder of the ONNX model."
    )
    overwrite: bool = Field(
        default=False, description="Replace a recipe, or another ONNX model, that is there already."
    )


class PredictConfig(PrecisionConfig, CheckpointsConfig):
    """One classifier on any texts."""

    model: str = Field(
        description="The classifier: MODEL[@REVISION][:SUBFOLDER], where MODEL is a folder or a repository on the hub."
    )
    file: Path | None = Field(
        default=None,
        description="Texts: a UTF-8 file, one text a line; of a table (.csv, .tsv, .jsonl, .parquet), the column of texts.",
    )
    column: str | None = Field(
        default=None, description="That column of --file. Default: text, utt, utterance or sentence."
    )
    top: int = Field(default=1, ge=1, description="How many intents to print of each text, the most probable first.")
    out: Path | None = Field(
        default=None, description="Write the answers to this file, .csv or .jsonl, in the place of printing them."
    )
    overwrite: bool = Field(default=False, description="Replace a file of answers that is there already.")


_FORMS = {
    "gpus_per_node": (r"([\w.-]+:)?[1-9]\d*", "a number, or type:number (4, a100:4)"),
    "mem": (r"\d+[KMGT]?", "a number with K, M, G or T behind it (64G); 0 is all of a node"),
    "time": (r"\d+:\d{2}:\d{2}|\d+-\d+(:\d{2}){0,2}", "hours:minutes:seconds ('04:00:00') or days-hours (2-12)"),
}
"""How options of sbatch are written, and how that is said; no minutes, since YAML reads an unquoted 4:00:00 as 14400."""
_NAME = (r"[\w.,:=&|*()\[\]@%+/-]+", "one word of letters, digits and .,:=&|*()[]@%+/_-")


class SlurmConfig(_Config):
    """An allocation of Slurm for an experiment; options of sbatch have its own names and its own defaults."""

    nodes: int = Field(ge=1, description="Nodes of the allocation.")
    cpus_per_task: int | None = Field(default=None, ge=1, description="CPUs that the experiment has on each node.")
    gpus_per_node: str | None = Field(
        default=None, description="GPUs that the experiment has on each node: 4, or with their type a100:4."
    )
    mem: str | None = Field(default=None, description="Memory of each node, such as 64G.")
    time: str | None = Field(
        default=None,
        description="Time limit: hours:minutes:seconds, or days-hours. Two minutes before, it stops.",
    )
    partition: str | None = Field(default=None, description="Partition of the cluster.")
    account: str | None = Field(default=None, description="Account that pays.")
    qos: str | None = Field(default=None, description="Quality of service.")
    constraint: str | None = Field(default=None, description="Features that the nodes must have.")
    job_name: str = Field(default="sprachbund", description="Name of the job.")
    requeue: bool = Field(
        default=False,
        description="Back to the queue when the time is nearly up or a node fails, and on from there, until all is finished.",
    )
    setup: tuple[str, ...] = Field(
        default=(),
        description="Lines of shell to run first, such as 'module load cuda'; the folder of this sprachbund is in PATH "
        "before them.",
    )
    start_timeout: int = Field(default=600, ge=1, description="Seconds that all nodes have to join.")
    out: Path = Field(default=Path("run.sbatch"), description="The file.")
    overwrite: bool = Field(default=False, description="Replace another file that is in the way.")

    @field_validator("gpus_per_node", "mem", "time", "partition", "account", "qos", "constraint", "job_name")
    @classmethod
    def _is_written_so(cls, value: str | None, about: ValidationInfo) -> str | None:
        name = str(about.field_name)
        form, said = _FORMS.get(name, _NAME)
        if value is not None and not re.fullmatch(form, value, flags=re.ASCII):
            raise UserError(f"--{name.replace('_', '-')} {value!r} is not how sbatch takes it: write {said}.")
        return value

    @field_validator("setup")
    @classmethod
    def _are_lines(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        if broken := next((line for line in lines if not line.isprintable()), None):
            raise UserError(f"--setup {broken!r} is not one line of text: write each line by itself.")
        return lines

    @field_validator("out")
    @classmethod
    def _is_printable(cls, out: Path) -> Path:
        if not out.name or not out.name.isprintable():
            raise UserError(f"--out {str(out)!r} is no name for a file that people type: choose another.")
        return out


def as_yaml(settings: Mapping[str, Any]) -> str:
    """Write settings as YAML that ``--config`` reads back; what is not set (none, no locales) is left out."""
    plain: dict[str, Any] = TypeAdapter(dict[str, Any]).dump_python(dict(settings), mode="json")
    return yaml.safe_dump({key: value for key, value in plain.items() if value not in (None, [])}, sort_keys=False)


def wrong_setting(complaint: Mapping[str, Any], name: str, advice: str = "") -> str:
    """Return what is wrong with a setting, in our words.

    Args:
        complaint: one of the errors of a pydantic ValidationError.
        name: what the setting is called where it was set.
        advice: where to read more, for what we have no words of our own for.
    """
    kind, value, details = complaint["type"], complaint["input"], complaint.get("ctx", {})
    if kind == "missing":
        return f"{name} is needed. {advice}".rstrip()
    if kind == "literal_error":
        return str(UnknownName(name, str(value), re.findall(r"'([^']*)'", details["expected"])))
    if kind in _BOUNDS:
        return f"{name} is {value}, but must be {_BOUNDS[kind].format(**details)}."
    if kind == "finite_number":
        return f"{name}: {value!r} is not a finite number."
    if kind in {"int_parsing", "int_from_float", "int_type"}:
        return f"{name}: {value!r} is not a whole number."
    if kind in {"float_parsing", "float_type"}:
        return f"{name}: {value!r} is not a number."
    if kind in {"bool_parsing", "bool_type"}:
        return f"{name} is true or false, not {value!r}."
    if kind in {"tuple_type", "list_type"}:
        return f"{name} is {value!r}, but takes several values: give a list of them."
    if kind == "too_long":
        return f"{name} has {details['actual_length']} values, but takes {details['max_length']}."
    if kind in {"string_type", "path_type"}:
        return f"{name}: {value!r} is no text: write it as one."
    if kind in {"mapping_type", "dict_type", "dict_attributes_type"}:
        return f"{name} is {value!r}, but takes names with their values: give a dict."
    return f"{name}: {complaint['msg']}; got {value!r}. {advice}".rstrip()
