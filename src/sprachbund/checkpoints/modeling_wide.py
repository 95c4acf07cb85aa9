"""A classifier with a wide head: several heads side by side, whose weighted sum it answers.

Each head is a hidden layer, an elementwise activation f and a linear layer. So their weighted sum is one such head, with a
hidden layer that is as wide as all of them together:

    Σ wᵢ (Vᵢ f(Aᵢ h + aᵢ) + bᵢ) = [w₁V₁ … wₙVₙ] f([A₁; …; Aₙ] h + [a₁; …; aₙ]) + Σ wᵢ bᵢ

No architecture of transformers has such a head, so this file, which is part of sprachbund, also stands beside each model that
has one, where transformers finds it:

    AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)

All but the width of two layers is the classifier of the model's own architecture; torch and transformers are all it imports.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)

__all__ = ["WideHeadForSequenceClassification", "replace_layer", "widen"]


class WideHeadForSequenceClassification(PreTrainedModel):  # type: ignore[no-untyped-call]
    """What ``auto_map`` names; what it loads is a classifier of the config's own architecture, with the wide head."""

    @classmethod
    def from_pretrained(cls, name: Any, *args: Any, config: Any = None, **options: Any) -> Any:  # type: ignore[override]
        """Load a model whose config says ``sprachbund_wide_head``, as all models of transformers are loaded."""
        config = config or AutoConfig.from_pretrained(name, trust_remote_code=False)
        return _widened(config).from_pretrained(name, *args, config=config, **options)

    @classmethod
    def from_config(cls, config: Any, **_: Any) -> Any:
        """Make the model that such a config asks for, as all models of transformers are made."""
        return _widened(config)(config)


def _widened(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """Return the classifier of an architecture as a class whose head is as wide as the config says."""
    stock: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]

    def initialise(self: PreTrainedModel, config: PreTrainedConfig) -> None:
        stock.__init__(self, config)
        wide: Any = config
        widen(self, **wide.sprachbund_wide_head)

    name = WideHeadForSequenceClassification.__name__
    # With ``_auto_class`` a model that is saved again takes this file along.
    own = {"__init__": initialise, "__module__": __name__, "_auto_class": AutoModelForSequenceClassification.__name__}
    made: type[PreTrainedModel] = type(name, (stock,), own)
    return made


def widen(model: nn.Module, hidden: str, last: str, width: int) -> None:
    """Give a classifier new layers ``hidden`` and ``last`` with so many features between them."""
    before, after = (_linear(model, name) for name in (hidden, last))
    replace_layer(model, hidden, nn.Linear(before.in_features, width, bias=before.bias is not None))
    replace_layer(model, last, nn.Linear(width, after.out_features, bias=after.bias is not None))


def replace_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Put another layer in the place of one; ``name`` is its path in the model."""
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, layer)


def _linear(model: nn.Module, name: str) -> nn.Linear:
    layer = model.get_submodule(name)
    if not isinstance(layer, nn.Linear):
        raise ValueError(f"{name} is no linear layer")
    return layer
