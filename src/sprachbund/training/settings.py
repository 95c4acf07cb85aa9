"""Everything that decides what training yields. A trained checkpoint is cached under the digest of these."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from sprachbund.checkpoints import PUBLISHED

__all__ = ["CODE_VERSION", "LAYOUT", "FinetuneSettings", "PretrainSettings"]

CODE_VERSION = 3
"""Raised when a change to this package makes other models from the same settings."""
LAYOUT = PUBLISHED.rpartition("/")[2].replace(":", "/")
"""The published layout under any root: ``xlm-roberta-base_massive_k_{locale}/alpha_0.5_{locale}_epoch-9``."""

SMALL_WIDTH, SMALL_RATE = 256, 1.5e-3
LARGE_WIDTH, LARGE_RATE = 768, 2e-5
"""Of XLM-R-base."""


class PretrainSettings(BaseModel):
    """A small XLM-R from scratch: its shape, and how long it learns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabulary: int = Field(default=8000, ge=300, description="Subwords of the tokenizer.")
    tokenizer_texts: int = Field(
        default=100_000, ge=1, description="Texts, drawn by lot from all, that the tokenizer is trained on."
    )
    hidden: int = Field(default=96, ge=8, description="Width of the encoder.")
    layers: int = Field(default=2, ge=1, description="Layers of the encoder.")
    heads: int = Field(default=4, ge=1, description="Attention heads per layer.")
    intermediate: int = Field(default=192, ge=8, description="Width of the feed-forward blocks.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout everywhere.")
    max_tokens: int = Field(default=128, ge=16, description="Positions: longer texts are cut.")
    mlm_steps: int = Field(default=300, ge=0, description="Steps of masked and translation language modelling.")
    mlm_batch: int = Field(default=128, ge=1, description="Sequences per step of language modelling.")
    ranking_steps: int = Field(default=600, ge=0, description="Steps of translation ranking.")
    ranking_batch: int = Field(default=192, ge=2, description="Pairs per step of translation ranking.")
    temperature: float = Field(default=0.05, gt=0, description="Temperature of translation ranking.")
    learning_rate: float = Field(default=3e-3, gt=0, description="Peak learning rate.")
    seed: int = Field(default=0, ge=0, description="Seed of initialisation, masking and sampling.")


class FinetuneSettings(BaseModel):
    """From a base to the classifier of one locale."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    came_later: ClassVar = ("accumulate", "precision", "patience")
    """Fields that models were trained without: at their defaults they change nothing."""

    epochs: int = Field(default=7, ge=1, description="Passes over the train split.")
    batch: int = Field(default=16, ge=1, description="Texts per step.")
    accumulate: int = Field(
        default=1,
        ge=1,
        description="Batches whose gradients add up to one step: --batch 8 --accumulate 2 learns as --batch 16 does.",
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Peak learning rate. Default: 1.5e-3 for small bases made by pretrain; for wider ones 2e-5 × 768 / width.",
    )
    dropout: float | None = Field(default=None, ge=0, lt=1, description="Dropout everywhere; default: the base's.")
    head_seed: int = Field(default=0, ge=0, description="Seed of the classification head: one for all locales.")
    seed: int = Field(default=0, ge=0, description="Seed from which each locale derives its data order and dropout.")
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="Of what is computed in training; the weights are kept and saved in fp32."
    )
    patience: int = Field(
        default=0,
        ge=0,
        description="Stop after so many epochs without a better dev accuracy, and save the best epoch; 0: train all epochs.",
    )

    def at_width(self, width: int) -> Self:
        """Return the settings for a base of a width, with the learning rate that it wants where none is set.

        What learns from scratch on a few texts takes large steps; a large pre-trained model forgets what it knows by them.
        Above the small ones the rate falls with the width (Yang et al. 2022, "Tensor Programs V", arXiv:2203.03466).
        """
        rate = SMALL_RATE if width <= SMALL_WIDTH else LARGE_RATE * LARGE_WIDTH / width
        return self if self.learning_rate else self.model_copy(update={"learning_rate": rate})

    def deciding(self) -> dict[str, Any]:
        """Return what decides what is trained: what came later counts only where it is set, so that old models are found."""
        idle = {name for name in self.came_later if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump(exclude=idle)
