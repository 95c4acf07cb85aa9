"""PCB-Merging: parameters compete within their source and between sources (Du et al. 2024, arXiv:2410.02396).

With n sources, |τ| clamped between its 0.0001 and 0.9999 quantiles (τ̄, the sign kept) and Norm the min–max normalisation to
[0, 1]:

    sᵢ = exp(n · Norm(|τ̄ᵢ|)²) · tanh(τᵢ Σⱼ τⱼ)                intra-balancing · inter-balancing
    βᵢ = (sᵢ − lᵢ) / (max sᵢ − lᵢ), at least 0               drop: lᵢ is the 1 − ``density`` quantile of sᵢ
    τ  = Σ βᵢ τ̄ᵢ / Σ βᵢ                                      rescale

The paper writes softmaxes where its authors' code, which this follows, has exp and tanh. Like the paper's, quantiles and norms
are over the whole model unless ``scope`` says tensor. There are no weights. Scores below 0, of elements that pull against the
sum of all, count as 0; where all scores of a source are the same, so are its β.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from sprachbund.methods.blocks import blocks, in_blocks
from sprachbund.methods.election import total
from sprachbund.methods.quantiles import kth_smallest, lower_counts, magnitudes, upper_counts
from sprachbund.methods.registry import Array, Pass, Scale, Scope, tensor_method

__all__ = ["pcb"]

OUTLIERS = 1e-4
"""Fraction of the magnitudes that is clamped at either end."""

Kept = Annotated[float, Field(gt=0, le=1, description="Fraction of each source's elements that take part.")]


def _count_upper_magnitudes(taus: Array, weights: Array, summary: Mapping[str, Array]) -> dict[str, Array]:
    return {"upper magnitudes": upper_counts(taus)}


def _count_lower_magnitudes(taus: Array, weights: Array, summary: Mapping[str, Array]) -> dict[str, Array]:
    upper = summary["upper magnitudes"]
    return {"lower magnitudes": lower_counts(taus, upper, _magnitude_ks(upper))}


def _count_upper_scores(taus: Array, weights: Array, summary: Mapping[str, Array]) -> dict[str, Array]:
    return {"upper scores": upper_counts(_scores(taus, _limits(summary)))}


def _count_lower_scores(taus: Array, weights: Array, summary: Mapping[str, Array], density: float) -> dict[str, Array]:
    upper = summary["upper scores"]
    return {"lower scores": lower_counts(_scores(taus, _limits(summary)), upper, _score_ks(upper, density))}


def _magnitude_ks(upper: Array) -> Array:
    elements = upper.sum(axis=-1)
    last = np.maximum(0, elements * (1 - OUTLIERS) - 1)
    return np.stack([elements * OUTLIERS, last], axis=-1).astype(np.int64)


def _score_ks(upper: Array, density: float) -> Array:
    elements = upper.sum(axis=-1)
    return np.stack([elements * (1 - density), elements - 1], axis=-1).astype(np.int64)


def _limits(summary: Mapping[str, Array]) -> Array:
    """Return [n, 2], between which a source's magnitudes are clamped."""
    upper = summary["upper magnitudes"]
    return kth_smallest(upper, summary["lower magnitudes"], _magnitude_ks(upper))


def _scores(taus: Array, limits: Array) -> Array:
    """Return sᵢ, at least 0, of taus [n, m], each source's times exp(−n), which no β depends on, so that nothing overflows."""
    scores = np.empty(taus.shape, dtype=np.float32)
    for block, into in zip(blocks(taus), blocks(scores), strict=True):
        added = total(block)
        for tau, (low, high), score in zip(block, limits.tolist(), into, strict=True):
            intra = (np.clip(magnitudes(tau), low, high) - low) / ((high - low) or 1)
            score[...] = np.exp(len(taus) * (np.square(intra) - 1)) * np.tanh(tau * added)
            score *= score > 0
    return scores


@tensor_method(
    "pcb",
    granularity="element",
    passes=[
        Pass("upper halves of magnitudes", _count_upper_magnitudes),
        Pass("lower halves of magnitudes", _count_lower_magnitudes),
        Pass("upper halves of scores", _count_upper_scores),
        Pass("lower halves of scores", _count_lower_scores),
    ],
    formula="θ = θ₀ + λ Σ βᵢ τᵢ / Σ βᵢ, βᵢ from exp(n Norm(|τᵢ|)²) tanh(τᵢ Σⱼ τⱼ)",
    paper="arXiv:2410.02396",
    reference="float64, from the paper",
    uses_weights=False,
)
def pcb(
    taus: Array,
    weights: Array,
    summary: Mapping[str, Array],
    *,
    density: Kept = 0.1,
    scope: Scope = "model",
    scale: Scale = 1.0,
) -> Array:
    """Return the task vector [m] of taus [n, m]."""
    limits, upper = _limits(summary), summary["upper scores"]
    spans = kth_smallest(upper, summary["lower scores"], _score_ks(upper, density))

    def merged(block: Array) -> Array:
        weighted, betas = np.zeros((2, block.shape[-1]), dtype=block.dtype)
        for tau, (low, high), score, (least, most) in zip(
            block, limits.tolist(), _scores(block, limits), spans.tolist(), strict=True
        ):
            beta = np.maximum(score - least, 0) / (most - least) if most > least else np.ones_like(score)
            betas += beta
            weighted += beta * np.sign(tau) * np.clip(np.abs(tau), low, high)
        betas += betas == 0
        weighted /= betas
        return weighted

    return scale * in_blocks(merged, taus)
