"""Classification heads: whether those of several sources agree, and what becomes of them in a merge."""

from sprachbund.heads.agreement import TOO_LOW, HeadAgreement, head_agreement, head_cosines
from sprachbund.heads.policies import (
    AVERAGE,
    REFIT,
    finish,
    plain_tensors,
    unlabelled_for,
    weights_for,
    with_head_policy,
)
from sprachbund.heads.refit import refit_to

__all__ = [
    "AVERAGE",
    "REFIT",
    "TOO_LOW",
    "HeadAgreement",
    "finish",
    "head_agreement",
    "head_cosines",
    "plain_tensors",
    "refit_to",
    "unlabelled_for",
    "weights_for",
    "with_head_policy",
]
