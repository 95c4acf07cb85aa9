"""Task arithmetic, θ = θ₀ + λ Σ wᵢ τᵢ (Ilharco et al. 2023, arXiv:2212.04089), with a weight for each source."""

from __future__ import annotations

from sprachbund.methods.registry import Array, Scale, coefficient_method

__all__ = ["task_arithmetic"]


@coefficient_method(
    "task_arithmetic", of="taus", formula="θ = θ₀ + λ Σ wᵢ τᵢ", paper="arXiv:2212.04089", reference="mergekit 0.1.5"
)
def task_arithmetic(weights: Array, *, scale: Scale = 1.0) -> Array:
    """Return the weights, times ``scale``."""
    return scale * weights
