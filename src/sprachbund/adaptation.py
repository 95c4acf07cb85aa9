"""How a model for a target is made of sources and raw text: settings, no work.

An adaptation scores the sources on the target's unlabelled texts (its *reliability*), and makes of them, by kind,

- ``pick``: the source that looks best, as it is;
- ``merge``: all of them, weighted by how good they look; no gradient is computed;
- ``learned``: a merge whose coefficients were learned on the texts;
- ``distilled``: a student that was trained on the texts towards a teacher;
- ``auto``: the single source, the merge or the student, whichever the texts speak for;
- ``ensemble``: no model at all, but what the sources say together: the ceiling.

None of these sees a label of the target. Four more kinds see a few, so many per intent, and say so (``target-few``):

- ``few-soup``: a uniform merge of those sources that a greedy soup keeps by its accuracy on the few;
- ``few-coefficients``: a merge whose coefficients were learned on the few;
- ``few-head``: a merge whose last layer was fitted to the ensemble's answers to the texts, and to the few;
- ``few-finetuned``: what they are to be compared with: the source that looks best, or the merge, fine-tuned on the few.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

__all__ = ["ADAPTATIONS", "Adaptation", "CoefficientSettings", "DistillationSettings", "Groups", "Heads"]

Kind = Literal[
    "pick",
    "merge",
    "learned",
    "distilled",
    "auto",
    "ensemble",
    "few-soup",
    "few-coefficients",
    "few-head",
    "few-finetuned",
]
FEW = "few-"
"""What the kinds that see a few labels of the target begin with."""
Groups = Literal["model", "layer", "tensor"]
Objective = Literal["entropy", "infomax", "teacher"]
Start = Literal["base", "pick", "merge"]
Teacher = Literal["pick", "uniform", "reliability"]
Combination = Literal["probabilities", "logits", "majority"]
Heads = Literal["measured", "average", "wide", "refit"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CoefficientSettings(_Settings):
    """How merge coefficients are learned."""

    groups: Groups = Field(
        default="layer", description="What has coefficients of its own: the model, each layer, each tensor."
    )
    objective: Objective = Field(
        default="teacher",
        description="entropy: the merged model should be sure; infomax: and of many labels; teacher: as the ensemble.",
    )
    steps: int = Field(default=150, ge=1, description="Steps of learning at most.")
    batch: int = Field(default=32, ge=1, description="Texts per step of learning.")
    learning_rate: float = Field(default=0.05, gt=0, description="Of the scores whose softmax the coefficients are.")
    seed: int = Field(default=0, ge=0, description="Seed of the order of the texts.")


class DistillationSettings(_Settings):
    """How a student learns."""

    epochs: int = Field(default=10, ge=1, description="Passes of the student over the unlabelled texts.")
    batch: int = Field(default=32, ge=1, description="Texts per step of the student.")
    learning_rate: float | None = Field(
        default=None, gt=0, description="Peak learning rate of the student. Default: by the width of its encoder."
    )
    token_dropout: float = Field(
        default=0.3,
        ge=0,
        lt=1,
        description="Share of a text's tokens that the student does not see, others each time; the teacher saw them all.",
    )
    sharpening: float = Field(
        default=2.0,
        gt=0,
        description="Power that the teacher's probabilities are raised to; 1 leaves them as they are.",
    )
    freeze_embeddings: bool = Field(default=False, description="Leave the student's embeddings as they are.")
    head_only: bool = Field(default=False, description="Leave all of the student but its head as it is.")
    precision: Literal["fp32", "bf16"] | None = Field(
        default=None,
        description="Of products of matrices while the student learns. Default: by the width of its encoder.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the order of the texts.")


class Adaptation(_Settings):
    """One way to make a model of sources and raw text."""

    kind: Kind
    reliability: str = Field(
        default="dawid-skene",
        description="What scores the sources; several joined with + count equally (overlap+dawid-skene).",
    )
    sharpness: float = Field(
        default=0.7, ge=0, description="How much reliability counts, in 1 / its standard deviation; 0 is the average."
    )
    num_languages: int | None = Field(
        default=None, ge=1, description="How many sources take part, the most reliable ones. Default: all."
    )
    debias: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="How far the teachers' preferences for some labels are taken back; 0 not at all, 1 entirely.",
    )
    vocabulary: bool = Field(
        default=False,
        description="In a merge, weigh each row of the embedding by how often each source met its token in training.",
    )
    heads: Heads = Field(
        default="measured",
        description="What becomes of the heads in a merge: average; wide: all are kept; refit: the last layer is fitted to "
        "what the sources say together, by least squares; measured: average where they agree, refit where they do not.",
    )
    start: Start = Field(default="merge", description="What the student starts as.")
    teacher: Teacher = Field(default="reliability", description="Whom the student follows.")
    coefficients: CoefficientSettings = CoefficientSettings()
    distillation: DistillationSettings = DistillationSettings()

    ensemble: Combination = Field(default="probabilities", description="How an ensemble adds up its sources.")
    labels: int = Field(
        default=0,
        ge=0,
        description="How many labelled texts of the target per intent it sees at most; 0: it sees none.",
    )
    label_weight: float = Field(
        default=1.0,
        gt=0,
        description="How much a labelled text counts beside an unlabelled one, where a head is fitted to both.",
    )

    @property
    def has_student(self) -> bool:
        """Whether a student is trained."""
        return self.kind in ("distilled", "auto", "few-finetuned")

    @property
    def asks_overlap(self) -> bool:
        """Whether its reliability asks which tokens the sources met in training."""
        return "overlap" in self.reliability.split("+")

    @model_validator(mode="after")
    def _sees_labels_if_it_says_so(self) -> Adaptation:
        if (self.labels > 0) != self.kind.startswith(FEW):
            raise ValueError(f"{self.kind} with {self.labels} labels per intent: those of few-… take some, others none")
        return self

    @model_serializer(mode="wrap")
    def _without_labels(self, settings_of: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Say nothing of labels where there are none: such a model is the one that it was before there could be any."""
        settings: dict[str, Any] = settings_of(self)
        unsaid = () if self.labels else ("labels", "label_weight")
        return {name: value for name, value in settings.items() if name not in unsaid}


_STARTS: tuple[Start, ...] = ("base", "pick", "merge")
_TEACHERS: tuple[Teacher, ...] = ("pick", "uniform", "reliability")
_LABELS_ALONE = DistillationSettings(token_dropout=0.0, sharpening=1.0)
_FEW: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "few-soup": ({"kind": "few-soup"}, "a uniform merge of the sources that a greedy soup keeps, by"),
    "few-coefficients": (
        {
            "kind": "few-coefficients",
            "reliability": "overlap+confidence+dawid-skene",
            "sharpness": 3.0,
            "coefficients": CoefficientSettings(learning_rate=0.02),
        },
        "a merge whose coefficients were learned on",
    ),
    "few-head": (
        {"kind": "few-head", "debias": 0.7},
        "a merge whose head was fitted to the ensemble's answers, and to",
    ),
    "few-finetuned": (
        {"kind": "few-finetuned", "start": "pick", "distillation": _LABELS_ALONE},
        "for comparison: the source that looks best, fine-tuned on",
    ),
    "few-finetuned-merge": (
        {
            "kind": "few-finetuned",
            "reliability": "overlap+confidence+dawid-skene",
            "sharpness": 3.0,
            "start": "merge",
            "distillation": _LABELS_ALONE,
        },
        "a merge, fine-tuned on",
    ),
}
"""What sees a few labels, by the name of its variants without their number; settings, and what it is."""
ADAPTATIONS: Mapping[str, tuple[Adaptation, str]] = {
    "pick-overlap": (
        Adaptation(kind="pick", reliability="overlap"),
        "the source that met most of the target's tokens in training",
    ),
    "pick-confidence": (Adaptation(kind="pick", reliability="confidence"), "the source that is surest of its answers"),
    "zero-shot-agreement": (
        Adaptation(kind="pick", reliability="agreement"),
        "the source that agrees most with the mean of all others",
    ),
    "pick-dawid-skene": (
        Adaptation(kind="pick", reliability="dawid-skene"),
        "the source that truth inference (Dawid and Skene) trusts most",
    ),
    "pick-bayesian": (
        Adaptation(kind="pick", reliability="bayesian"),
        "the source that truth inference (Rahimi et al.) trusts most",
    ),
    "merge-overlap": (
        Adaptation(kind="merge", reliability="overlap", sharpness=1.0),
        "all sources, weighted by the tokens that they met in training",
    ),
    "merge-reliable": (
        Adaptation(kind="merge", reliability="overlap+confidence+dawid-skene", sharpness=3.0),
        "all sources, weighted by tokens met, confidence and truth inference",
    ),
    "merge-top-3": (
        Adaptation(kind="merge", num_languages=3),
        "the three sources that truth inference trusts most, weighted by it",
    ),
    "merge-vocabulary": (
        Adaptation(kind="merge", reliability="overlap+confidence+dawid-skene", sharpness=3.0, vocabulary=True),
        "the same, each row of the embedding weighted by how often the sources met its token",
    ),
    "merge-refit": (
        Adaptation(kind="merge", debias=0.7, heads="refit"),
        "all sources, weighted by truth inference; the last layer fitted to what they say together, in closed form",
    ),
    "merge-wide": (
        Adaptation(kind="merge", heads="wide"),
        "the same bodies, and the heads of all sources kept side by side",
    ),
    "distilled-head": (
        Adaptation(kind="distilled", debias=0.7, distillation=DistillationSettings(head_only=True, learning_rate=5e-3)),
        "a merge whose head alone is trained to answer as the ensemble",
    ),
    "learned-entropy": (
        Adaptation(kind="learned", coefficients=CoefficientSettings(objective="entropy")),
        "a merge whose coefficients make it sure of its answers (AdaMerging)",
    ),
    "learned-infomax": (
        Adaptation(kind="learned", coefficients=CoefficientSettings(objective="infomax")),
        "the same, and of many labels over all texts",
    ),
    "learned-teacher": (
        Adaptation(kind="learned", debias=0.7),
        "a merge whose coefficients make it answer as the ensemble",
    ),
    **{
        f"distilled-{start}-{teacher}": (
            Adaptation(kind="distilled", start=start, teacher=teacher, debias=0.7),
            f"a student that starts as the {start}, taught by the {teacher}",
        )
        for start in _STARTS
        for teacher in _TEACHERS
    },
    "ensemble-uniform": (Adaptation(kind="ensemble", teacher="uniform"), "mean probabilities of all sources"),
    "ensemble-logits": (
        Adaptation(kind="ensemble", teacher="uniform", ensemble="logits"),
        "mean logits of all sources",
    ),
    "ensemble-majority": (
        Adaptation(kind="ensemble", teacher="uniform", ensemble="majority"),
        "what most sources answer",
    ),
    "ensemble-reliability": (Adaptation(kind="ensemble"), "mean probabilities, weighted by reliability"),
    "ensemble-debiased": (
        Adaptation(kind="ensemble", debias=0.7),
        "the same, with each source's preferences for some labels taken back",
    ),
    "auto": (Adaptation(kind="auto", debias=0.7), "single source, merge or student: what the texts speak for"),
    **{
        f"{name}-{labels}": (
            Adaptation(labels=labels, **settings),
            f"{what} {labels} labelled {'text' if labels == 1 else 'texts'} per intent",
        )
        for name, (settings, what) in _FEW.items()
        for labels in (1, 5, 20)
    },
}
"""By the name of their variant, each with what it is in a line."""
