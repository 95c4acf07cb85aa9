"""Whether a source has met the target: what its training, its making and its zoo say of labels.

A source is known by its name, the locale of what it was fine-tuned on; but a joint model was trained on several, a merge is
made of others, and what was made for a target once may have seen its labels then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sprachbund.cards import BLEND, DETAILS, origin_of, read_details
from sprachbund.checkpoints import TRAINING_CARD, Checkpoint, zoo_uses
from sprachbund.errors import UserError
from sprachbund.training.jobs import trained_on

__all__ = ["check_unseen"]


def check_unseen(sources: Mapping[str, Checkpoint], target: str) -> None:
    """See that no source has met a label of the target, as far as anything beside it tells.

    Raises:
        UserError: one has, or says that it may have; says which, and how that is known.
    """
    for name, source in sources.items():
        met = origin_of(source).met
        if target in trained_on(source.origin):
            raise UserError(
                f"The source {name} was trained on labels of {target}, as its {TRAINING_CARD} says: "
                "what is made for a target must not build on its labels a second time; take other sources."
            )
        details = read_details(source.origin)
        if details and target in [part.locale for part in details.sources]:
            raise UserError(
                f"The source {name} is made of the source of {target} among others, as its {DETAILS} says: "
                "what is made for a target must not build on its labels a second time; take other sources."
            )
        if target in met:
            raise UserError(
                f"The source {name} is made of what has met labels of {target}, as {DETAILS} or {BLEND} beside it says: "
                "what is made for a target must not build on its labels a second time; take other sources."
            )
        if details and details.recipe.target == target and (own := _labels_in(details.uses)):
            raise UserError(
                f"The source {name} was made for {target} and has seen {', '.join(own)}, as its {DETAILS} says: "
                "what is made for a target must not build on its labels a second time; take other sources."
            )
        seen = _labels_in(zoo_uses(source))
        if seen:
            raise UserError(
                f"The zoo of {name} says that its sources have seen {', '.join(seen)}, labels of {target} among them: "
                "what is made for a target must not build on its labels a second time; take other sources."
            )


def _labels_in(uses: Iterable[str]) -> list[str]:
    return [use for use in uses if use.startswith("target-")]
