"""Model Stock: the angle between sources says how far to trust their mean (Jang et al. 2024, arXiv:2403.19522).

Fine-tuned weights lie as if on a thin shell around a centre that is better than any of them. With c the mean cosine between
the task vectors of n sources, the point on the line from θ₀ to their mean that is nearest to that centre is

    θ = θ₀ + t · mean(τᵢ),   t = n c / (1 + (n − 1) c)

Sources that agree (c = 1) give their mean, sources at right angles give the base. The paper's proof has equal angles; the mean
over all pairs is mergekit's way. A source equal to the base counts with cosine 0. The formula is not held to [0, 1]: sources
that pull apart (c < 0) give t < 0, in mergekit as well; where t has no bounds, 1 + (n − 1) c < 10⁻⁶, the base stays as it is.
One source stays itself.

``model_stock`` takes a tensor as one vector, ``model_stock_filter_wise`` each row of it (mergekit's ``filter_wise: true``).
All sources count the same: the derivation knows no weights.
"""

from __future__ import annotations

import numpy as np

from sprachbund.methods.registry import Array, Scale, coefficient_method, tensor_method
from sprachbund.methods.sphere import lengths_and_cosines

__all__ = ["model_stock", "model_stock_filter_wise"]

SINGULAR = 1e-6
FORMULA = "θ = θ₀ + λ t mean(τᵢ),  t = n c / (1 + (n − 1) c),  c = mean cos(τᵢ, τⱼ)"


@coefficient_method(
    "model_stock",
    of="taus",
    formula=FORMULA,
    paper="arXiv:2403.19522",
    reference="mergekit 0.1.5",
    uses_weights=False,
)
def model_stock(weights: Array, products: Array, *, scale: Scale = 1.0) -> Array:
    """Return λ t/n for each source."""
    n = len(weights)
    return np.full(n, scale * trust(products) / n)


@tensor_method(
    "model_stock_filter_wise",
    granularity="row",
    formula=f"{FORMULA}, for each row",
    paper="arXiv:2403.19522",
    reference="mergekit 0.1.5",
    uses_weights=False,
)
def model_stock_filter_wise(taus: Array, weights: Array, *, scale: Scale = 1.0) -> Array:
    """Return λ t mean(τᵢ) [rows, width] with a t of its own for each row; products of rows are summed in float64."""
    rows = taus.swapaxes(0, 1).astype(np.float64)  # [rows, n, width]
    t = trust(rows @ rows.swapaxes(1, 2))
    return np.asarray(scale * t[:, None] * rows.mean(axis=1))


def trust(products: Array) -> Array:
    """Return t of products [n, n]; of stacked ones [*, n, n] a t for each."""
    n = products.shape[-1]
    if n == 1:
        return np.ones(products.shape[:-2])
    _, cosines = lengths_and_cosines(products)
    c = cosines[..., *np.triu_indices(n, k=1)].mean(axis=-1)
    denominator = 1 + (n - 1) * c
    return np.asarray(np.divide(n * c, denominator, out=np.zeros_like(c), where=denominator > SINGULAR))
