"""Classification heads: whether those of several sources agree, and what becomes of them in a merge."""

from sprachbund.heads.agreement import TOO_LOW, HeadAgreement, head_agreement, head_cosines
from sprachbund.heads.layout import head_tensors
from sprachbund.heads.policies import (
    AVERAGE,
    REFIT,
    finish,
    measured_policy,
    plain_tensors,
    unlabelled_for,
    weights_for,
    with_head_policy,
)
from sprachbund.heads.refit import can_fit, refit_to
from sprachbund.recipe import WIDE

__all__ = [
    "AVERAGE",
    "REFIT",
    "TOO_LOW",
    "WIDE",
    "HeadAgreement",
    "can_fit",
    "finish",
    "head_agreement",
    "head_cosines",
    "head_tensors",
    "measured_policy",
    "plain_tensors",
    "refit_to",
    "unlabelled_for",
    "weights_for",
    "with_head_policy",
]
