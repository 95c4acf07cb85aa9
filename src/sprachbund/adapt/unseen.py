"""Whether a source has met the target: what its training, its making and its zoo say of labels.

A source is known by its name, the locale of what it was fine-tuned on; but a joint model was trained on several, a merge is
made of others, which may be merges again, and what was made for a target once may have seen its labels then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sprachbund.cards import BLEND, DETAILS, labels_met, read_details, trained_on
from sprachbund.checkpoints import TRAINING_CARD, Checkpoint, zoo_uses
from sprachbund.errors import UserError

__all__ = ["check_unseen"]

SO = "what is made for a target must not build on its labels a second time; take other sources."


def check_unseen(sources: Mapping[str, Checkpoint], targets: Collection[str]) -> None:
    """See that no source has met a label of a target whose own it is not, as far as anything beside it tells.

    Raises:
        UserError: one has, or says that it may have; says which, and how that is known.
    """
    for name, source in sources.items():
        met = _met(source)
        seen = _labels_in(zoo_uses(source))
        for target in targets:
            if target == name:
                continue
            if target in met:
                raise UserError(f"The source {name} {met[target].format(target=target)}: {SO}")
            if seen:
                raise UserError(
                    f"The zoo of {name} says that its sources have seen {', '.join(seen)}, labels of {target} among them: {SO}"
                )


def _met(source: Checkpoint) -> dict[str, str]:
    """Return for each locale whose labels a source has met how that is known, a sentence about the ``{target}``."""
    folder = source.origin
    found = dict.fromkeys(trained_on(folder), f"was trained on labels of {{target}}, as its {TRAINING_CARD} says")
    details = read_details(folder)
    for part in details.sources if details else ():
        found.setdefault(part.locale, f"is made of the source of {{target}} among others, as its {DETAILS} says")
    for name in labels_met(folder):
        found.setdefault(name, f"is made of what has met labels of {{target}}, as {DETAILS} or {BLEND} beside it says")
    if details and (own := _labels_in(details.uses)):
        found.setdefault(
            details.recipe.target, f"was made for {{target}} and has seen {', '.join(own)}, as its {DETAILS} says"
        )
    return found


def _labels_in(uses: Iterable[str]) -> list[str]:
    return [use for use in uses if use.startswith("target-")]
