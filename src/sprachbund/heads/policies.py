"""What becomes of the classification heads, while the bodies are merged: a policy.

- ``average``: they are merged like the bodies;
- ``from:LOCALE``: the head of one of the sources is taken as it is;
- ``wide``: all of them are kept, logits = Σ wᵢ headᵢ(h), in a model with one wider head (:mod:`wide`);
- ``refit``: an ordinary head is fitted to the wide one's answers to unlabelled text of the target (:mod:`refit`).

A merge of one source is that source, head and all, whatever the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sprachbund import locales
from sprachbund.checkpoints import Checkpoint
from sprachbund.choosing import Choice
from sprachbund.data import DataSet
from sprachbund.errors import DataError, MixError, UserError
from sprachbund.heads.agreement import TOO_LOW, HeadAgreement
from sprachbund.heads.layout import head_tensors
from sprachbund.heads.refit import can_fit, refit_head
from sprachbund.heads.wide import wide_head, write_wide_head
from sprachbund.merging import WeightsOf
from sprachbund.recipe import AVERAGE, FROM, OWN, REFIT, WIDE, check_head_policy
from sprachbund.uses import UNLABELLED, union_of_uses

__all__ = ["AVERAGE", "REFIT", "finish", "measured_policy", "unlabelled_for", "weights_for", "with_head_policy"]


def with_head_policy(choice: Choice, policy: str) -> Choice:
    """Return the choice with a head policy in its recipe; the target's own source alone keeps its head.

    Raises:
        UnknownName: there is no such policy.
        MixError: the source whose head is wanted does not take part.
    """
    check_head_policy(policy)
    if choice.recipe.selection == OWN:
        return choice
    sources = choice.mix.sources
    if policy.startswith(FROM):
        named = locales.find(policy.removeprefix(FROM), sources).name
        if named not in sources:
            raise MixError(
                f"--head-policy {policy}: {named} is none of the sources merged for {choice.recipe.target} "
                f"({' '.join(sources)}): name one of these, or have it chosen (--sources, --num-languages)."
            )
        policy = f"{FROM}{named}"
    sees = [UNLABELLED] if policy == REFIT and len(sources) > 1 else []
    return replace(
        choice,
        recipe=choice.recipe.model_copy(update={"head_policy": policy}),
        uses=union_of_uses(choice.uses, sees),
    )


def measured_policy(agreement: HeadAgreement | None, texts: int, labels: int) -> tuple[str, str]:
    """Return the policy for heads that agree so much, where there are so many texts and labels, and why.

    Heads that agree are averaged. Of those that do not, what their sources say is fitted to the texts, as an ordinary head; of
    fewer texts than labels nothing can be fitted, and all heads are kept.
    """
    if agreement is None or agreement.cosine >= TOO_LOW:
        least = f" (cosine at least {agreement.cosine:.2f})" if agreement else ""
        return AVERAGE, f"The heads agree{least}: they were averaged."
    strangers = f"The heads do not agree (cosine {agreement.cosine:.2f}): averaged, they would cancel; "
    if can_fit(texts, labels):
        return REFIT, f"{strangers}one was fitted to what the sources say together."
    return WIDE, f"{strangers}all were kept, as {texts} texts are too few to fit one to."


def unlabelled_for(policy: str, target: str, data: DataSet | None) -> tuple[str, ...]:
    """Return the texts of the target that a policy needs: none but for ``refit``.

    Raises:
        UserError: no data is named, or there are too few texts to fit a head to.
    """
    if policy != REFIT:
        return ()
    if data is None:
        raise UserError(
            "--head-policy refit needs unlabelled text of the target: name data that sets some aside (--data split:…)."
        )
    texts = data.unlabelled(target)
    if not can_fit(len(texts), len(data.intents)):
        raise DataError(
            f"Data set {data.name!r} sets {len(texts)} unlabelled texts of {target} aside, fewer than it has labels: "
            "a head cannot be fitted to so few; choose --head-policy wide."
        )
    return texts


def weights_for(
    policy: str, names: Sequence[str], weights: Sequence[float], lead: Checkpoint
) -> Sequence[float] | WeightsOf:
    """Return what the engine merges by: the weights, or those of each tensor where the head has others than the body.

    ``names`` are those of the sources, by one of which ``from:NAME`` calls the one with the head; ``lead`` is one of them.
    """
    if not policy.startswith(FROM):
        return weights
    one = np.eye(len(names))[names.index(policy.removeprefix(FROM))]
    head = head_tensors(lead)
    return lambda tensor: one if tensor in head else weights


def plain_tensors(policy: str, lead: Checkpoint) -> frozenset[str]:
    """Return the tensors that stay out of the method's hands: a head that is taken as it is."""
    return head_tensors(lead) if policy.startswith(FROM) else frozenset()


def finish(
    policy: str,
    names: Sequence[str],
    sources: Sequence[Checkpoint],
    weights: Sequence[float],
    folder: Path,
    texts: Sequence[str] = (),
) -> tuple[str, ...]:
    """Do what a policy asks for once the sources are merged into ``folder``; return what is to be said of it.

    Raises:
        IncompatibleError: how the heads are made is not known, where a policy has to know it.
    """
    if len(sources) == 1 or policy not in (REFIT, WIDE):
        return ()
    if policy == REFIT:
        return (refit_head(folder, names, sources, weights, texts),)
    head = wide_head(sources, weights)
    write_wide_head(head, folder)
    return () if head.hidden else ("The heads are linear: their weighted mean is the wide head.",)
