"""What can be measured on checkpoints and data: zero-shot transfer, and how reliable sources look without a label."""

from sprachbund.measures import annotators, reliability
from sprachbund.measures.answers import AnswerStore
from sprachbund.measures.evidence import RELIABILITIES, Evidence, gather, reliabilities
from sprachbund.measures.transfer import evaluate_transfer, transfer_matrix

__all__ = [
    "RELIABILITIES",
    "AnswerStore",
    "Evidence",
    "annotators",
    "evaluate_transfer",
    "gather",
    "reliabilities",
    "reliability",
    "transfer_matrix",
]
