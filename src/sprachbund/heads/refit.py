"""Least squares: an ordinary head that answers unlabelled texts as much like something else as one can.

Of the features φ(x) that a hidden layer makes of the texts, the last layer is fitted anew to wanted logits R, by ridge
regression with a free intercept,

    min over V, b of Σ ‖V φ(x) + b − R(x)‖² + λ ‖V‖²

in closed form and float64. λ is the one with the smallest leave-one-out error, which has a closed form, too: with the hat
matrix H, text i is missed by (R − HR)ᵢ / (1 − Hᵢᵢ) where it takes no part (Allen 1974, "The relationship between variable
selection and data augmentation and a method for prediction", Technometrics 16: PRESS).

Texts may count differently: with row weights w the sum is Σ wᵢ ‖…‖², that is, the same of rows √wᵢ (φ − φ̄) and √wᵢ (R − R̄) with
weighted means, and Hᵢᵢ = wᵢ / Σ w + what is left of the row in the shrunk basis.

What is wanted are the answers of the wide head (:func:`refit_head`, with the hidden layer of the source with the largest
weight), or whatever else one has to say of the texts (:func:`refit_to`, with the hidden layer that is there). No gradient is
computed. The adaptation ``distilled-head`` is another thing: it trains a whole head by gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sprachbund.checkpoints import Checkpoint, open_checkpoint
from sprachbund.heads.layout import layout_of
from sprachbund.heads.wide import WideHead, replace_tensors, wide_head

__all__ = ["Fit", "best_ridge", "can_fit", "refit_head", "refit_to", "ridge"]

if TYPE_CHECKING:
    from torch.nn import Module

FloatArray = npt.NDArray[np.float64]
PENALTIES = tuple(10.0**power for power in range(-6, 2))
"""λ as multiples of the mean variance sum of a feature, Σ (φ − φ̄)² / width."""
TINY = 1e-12


@dataclass(frozen=True)
class Fit:
    """A linear layer, and how it does on texts that it was not fitted to."""

    weight: FloatArray
    """[labels, features]."""
    bias: FloatArray
    """[labels]."""
    left_out: FloatArray
    """[n, labels]: what the layer fitted to all other texts answers to each."""


def can_fit(texts: int, labels: int) -> bool:
    """Return whether so many texts are enough to fit a head of so many labels to: one a label, and at least two."""
    return texts >= max(2, labels)


def ridge(features: FloatArray, wanted: FloatArray, penalty: float, row_weights: FloatArray | None = None) -> Fit:
    """Fit a linear layer of ``features`` [n, features] to ``wanted`` [n, labels], n ≥ 2, with λ = ``penalty``.

    ``row_weights`` [n] say how much each row counts, 1 without.
    """
    return _Centred.of(features, wanted, row_weights).fit(penalty)


@dataclass(frozen=True)
class _Centred:
    """The singular values of centred, weighted features, with which every λ is cheap: √w (φ − φ̄) = U diag(s) Z."""

    u: FloatArray
    s: FloatArray
    z: FloatArray
    feature_mean: FloatArray
    wanted: FloatArray
    row_weights: FloatArray

    @classmethod
    def of(cls, features: FloatArray, wanted: FloatArray, row_weights: FloatArray | None = None) -> _Centred:
        counts = np.ones(len(wanted)) if row_weights is None else row_weights
        mean = np.average(features, axis=0, weights=counts)
        u, s, z = np.linalg.svd(np.sqrt(counts)[:, None] * (features - mean), full_matrices=False)
        kept = s > TINY * max(float(s[0]), 1.0)
        return cls(u[:, kept], s[kept], z[kept], mean, wanted, counts)

    def fit(self, penalty: float) -> Fit:
        root = np.sqrt(self.row_weights)[:, None]
        mean = np.average(self.wanted, axis=0, weights=self.row_weights)
        along = self.u.T @ (root * (self.wanted - mean))
        shrunk = self.s**2 / (self.s**2 + penalty)
        weight = ((shrunk / self.s)[:, None] * along).T @ self.z
        fitted = mean + self.u @ (shrunk[:, None] * along) / root
        hat = self.row_weights / self.row_weights.sum() + (self.u**2 * shrunk).sum(axis=1)
        missed = (self.wanted - fitted) / np.maximum(1 - hat, TINY)[:, None]
        return Fit(weight, mean - weight @ self.feature_mean, self.wanted - missed)

    def error(self, fit: Fit) -> float:
        """Return how much a fit misses of what it leaves out, each row as much as it counts."""
        return float((self.row_weights @ np.square(fit.left_out - self.wanted)).sum())


def best_ridge(features: FloatArray, wanted: FloatArray, row_weights: FloatArray | None = None) -> Fit:
    """Return the fit with the penalty that misses least what it leaves out."""
    centred = _Centred.of(features, wanted, row_weights)
    unit = max(float(np.square(centred.s).sum()) / features.shape[1], TINY)
    return min((centred.fit(penalty * unit) for penalty in PENALTIES), key=centred.error)


def refit_to(folder: Path, texts: Sequence[str], wanted: FloatArray, row_weights: FloatArray | None = None) -> float:
    """Fit the last layer of the model in a folder to the logits ``wanted`` [n, labels] for n texts, n ≥ 2.

    ``row_weights`` [n] say how much each text counts, 1 without. All other layers stay as they are. Returns the share of the
    texts that it answers as wanted, each by a fit to all others.

    Raises:
        IncompatibleError: how the head is made is not known.
    """
    from sprachbund import inference

    last = layout_of(open_checkpoint(folder)).last
    features = _features(inference.ready(inference.load_classifier(folder)), folder, last, texts)
    fit = best_ridge(features, wanted, row_weights)
    replace_tensors(folder, {f"{last}.weight": fit.weight, f"{last}.bias": fit.bias})
    return _alike(fit, wanted)


def _alike(fit: Fit, wanted: FloatArray) -> float:
    return float((fit.left_out.argmax(axis=1) == wanted.argmax(axis=1)).mean())


def refit_head(
    folder: Path, names: Sequence[str], sources: Sequence[Checkpoint], weights: Sequence[float], texts: Sequence[str]
) -> str:
    """Give the merged model in a folder the head that answers the texts most like the wide head; say how much like it.

    ``names`` are those of the sources for people: paths say more about a machine than about a model.

    Raises:
        IncompatibleError: how the heads are made is not known.
    """
    head = wide_head(sources, weights)
    if head.hidden is None:
        replace_tensors(folder, head.tensors)
        return "The heads are linear: their weighted mean is the wide head, and nothing had to be fitted."
    features = _features(_widened(folder, head), folder, head.last, texts)
    wanted = features @ head.tensors[f"{head.last}.weight"].T + head.tensors.get(f"{head.last}.bias", 0.0)
    kept = int(np.argmax(weights))
    width = head.width // len(sources)
    own = slice(kept * width, (kept + 1) * width)
    fit = best_ridge(features[:, own], wanted)
    hidden = {name: head.tensors[name][own] for name in head.tensors if name.startswith(f"{head.hidden}.")}
    replace_tensors(folder, {**hidden, f"{head.last}.weight": fit.weight, f"{head.last}.bias": fit.bias})
    return (
        f"The head was fitted to the wide head's answers to {len(texts)} texts, with the hidden layer of "
        f"{names[kept]}; it answers {_alike(fit, wanted):.3f} of them alike, each by a fit to all others."
    )


def _widened(folder: Path, head: WideHead) -> Module:
    """Return the model in a folder with the hidden layer of a wide head, which gives the sources' features side by side."""
    import torch

    from sprachbund import inference
    from sprachbund.checkpoints.modeling_wide import widen

    assert head.hidden is not None
    model = inference.load_classifier(folder)
    widen(model, head.hidden, head.last, head.width)
    hidden = model.get_submodule(head.hidden)
    hidden.load_state_dict(
        {part: torch.from_numpy(head.tensors[f"{head.hidden}.{part}"]).float() for part in hidden.state_dict()}
    )
    return model


def _features(model: Module, folder: Path, last: str, texts: Sequence[str]) -> FloatArray:
    """Return what the layer ``last`` of a model reads for each text, in the tokens of a folder; the model loses that layer."""
    import torch

    from sprachbund import inference
    from sprachbund.checkpoints.modeling_wide import replace_layer

    replace_layer(model, last, torch.nn.Identity())  # the features are the answer
    return inference.logits(model.eval(), inference.encode(folder, texts)).astype(np.float64)
