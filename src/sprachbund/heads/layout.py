"""Of which layers a classification head is made: a hidden one, an elementwise activation and a linear one, or that alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sprachbund.checkpoints import Checkpoint
from sprachbund.errors import IncompatibleError

__all__ = ["Layout", "head_tensors", "layout_of"]


@dataclass(frozen=True)
class Layout:
    """The layers of a head, each by the name of its tensors without ``.weight`` and ``.bias``."""

    hidden: str | None
    """None where the head is linear."""
    last: str


_ROBERTA = Layout("classifier.dense", "classifier.out_proj")
_LAYOUTS: Mapping[str, Layout] = {
    "albert": Layout("albert.pooler", "classifier"),
    "bert": Layout("bert.pooler.dense", "classifier"),
    "deberta-v2": Layout("pooler.dense", "classifier"),
    "distilbert": Layout("pre_classifier", "classifier"),
    "electra": _ROBERTA,
    "modernbert": Layout(None, "classifier"),  # the layers before it come from the base, see checkpoints.compatibility
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}
"""By model type; each has been compared with what transformers computes."""


def layout_of(source: Checkpoint) -> Layout:
    """Return how the head of a source is made.

    Raises:
        IncompatibleError: nobody has looked at heads of its kind.
    """
    kind = str(source.config.get("model_type"))
    found = _LAYOUTS.get(kind)
    layers = [layer for layer in (found.hidden, found.last) if layer] if found else []
    if found is None or any(f"{layer}.weight" not in source.tensors for layer in layers):
        raise IncompatibleError(
            f"How the head of {source.name} ({kind}) is made is not known, only that of {', '.join(sorted(_LAYOUTS))}: "
            "choose --head-policy average, or the head of one source, from:…"
        )
    return found


def head_tensors(source: Checkpoint) -> frozenset[str]:
    """Return the names of all tensors of a source's head: with the layer before the last, wherever its model has it."""
    layout = _LAYOUTS.get(str(source.config.get("model_type")))
    hidden = (f"{layout.hidden}.",) if layout and layout.hidden else ()
    return frozenset(source.head) | {name for name in source.tensors if name.startswith(hidden)}
