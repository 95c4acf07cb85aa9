"""What the papers say, in float64, with sorts and loops: for comparison alone, and so nothing here is fast or shared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sprachbund.methods.registry import Array


def elected(deltas: Array, weights: Sequence[float]) -> Array:
    """TIES' last two steps, element by element."""
    merged = np.zeros(deltas.shape[1:])
    for at in np.ndindex(*merged.shape):
        column = deltas[(slice(None), *at)]
        positive = column.sum() >= 0
        votes = [i for i, delta in enumerate(column) if delta != 0 and (delta > 0) == positive]
        if votes:
            merged[at] = sum(column[i] for i in votes) / sum(weights[i] for i in votes)
    return merged


def combined(deltas: Array, weights: Sequence[float], elect: bool) -> Array:
    weighted = np.stack([weight * delta for weight, delta in zip(weights, deltas, strict=True)])
    return elected(weighted, weights) if elect else weighted.sum(axis=0)


def trimmed(tau: Array, first: int, last: int) -> Array:
    """Return tau with the magnitudes at positions [first, last) in ascending order, and zeros."""
    flat = tau.ravel().astype(np.float64)
    kept = np.argsort(np.abs(flat), kind="stable")[first:last]
    masked = np.zeros_like(flat)
    masked[kept] = flat[kept]
    return masked.reshape(tau.shape)


def ties(taus: Array, weights: Sequence[float], density: Sequence[float]) -> Array:
    m = taus[0].size
    deltas = [trimmed(tau, m - max(1, int(d * m)), m) for tau, d in zip(taus, density, strict=True)]
    return combined(np.stack(deltas), weights, elect=True)


def breadcrumbs(
    taus: Array, weights: Sequence[float], density: Sequence[float], gamma: Sequence[float], elect: bool
) -> Array:
    m, deltas = taus[0].size, []
    for tau, d, g in zip(taus, density, gamma, strict=True):
        keep, top = int(d * m), int(g * m)
        bottom = max(0, m - keep - top)
        deltas.append(trimmed(tau, bottom, bottom + keep))
    return combined(np.stack(deltas), weights, elect)


def dare(taus: Array, weights: Sequence[float], masks: Array, density: Sequence[float], elect: bool) -> Array:
    deltas = [mask * tau.astype(np.float64) / d for tau, mask, d in zip(taus, masks, density, strict=True)]
    return combined(np.stack(deltas), weights, elect)


def della_probabilities(tau: Array, density: float, epsilon: float) -> Array:
    """Return the probabilities of a matrix; the paper's, as mergekit parametrises them."""
    probabilities = np.zeros(tau.shape)
    for row, tau_row in enumerate(tau):
        for rank, column in enumerate(np.argsort(np.abs(tau_row), kind="stable")):
            probabilities[row, column] = (density - epsilon) + 2 * epsilon * rank / (len(tau_row) - 1)
    return probabilities


def sce(taus: Array, select_topk: float) -> Array:
    taus = taus.astype(np.float64)
    if select_topk < 1:
        variances = taus.var(axis=0).ravel()
        k = int(select_topk * np.count_nonzero(variances))
        mask = np.zeros(variances.size)
        mask[np.argsort(variances, kind="stable")[variances.size - k :]] = 1
        taus = taus * mask.reshape(taus.shape[1:])
    squares = np.array([(tau**2).sum() for tau in taus])
    coefficients = squares / squares.sum()
    positive = taus.sum(axis=0) >= 0
    agree = (taus != 0) & ((taus > 0) == positive)
    above = sum(c * a * tau for c, a, tau in zip(coefficients, agree, taus, strict=True))
    below = sum(c * a for c, a in zip(coefficients, agree, strict=True))
    return np.divide(above, below, out=np.zeros(taus.shape[1:]), where=below > 0)


def pcb(taus: Array, density: float) -> Array:
    """As the authors' code has it, on flat vectors."""
    n, m = len(taus), taus[0].size
    flat = taus.reshape(n, m).astype(np.float64)
    above, below = np.zeros(m), np.zeros(m)
    for tau in flat:
        sizes = np.sort(np.abs(tau))
        clamped = np.clip(np.abs(tau), sizes[int(m * 1e-4)], sizes[int(m * (1 - 1e-4) - 1)])
        norm = (clamped - clamped.min()) / (clamped.max() - clamped.min())
        score = np.exp(n * norm**2) * np.tanh(tau * flat.sum(axis=0))
        ordered = np.sort(score)
        dropped = np.clip(score, ordered[int(m * (1 - density))], ordered[-1])
        beta = (dropped - dropped.min()) / (dropped.max() - dropped.min())
        above += beta * np.sign(tau) * clamped
        below += beta
    return np.divide(above, below, out=np.zeros(m), where=below > 0).reshape(taus.shape[1:])
