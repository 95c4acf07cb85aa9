"""What can be measured on checkpoints and data: similarities of locales, and how reliable sources look without a label."""

from sprachbund.measures import agreement, annotators, embedding, overlap, reliability, task_vector
from sprachbund.measures.answers import AnswerStore
from sprachbund.measures.evidence import RELIABILITIES, Evidence, gather, reliabilities
from sprachbund.measures.similarities import MEASURES, Context, measure
from sprachbund.measures.transfer import evaluate_transfer, transfer_matrix

__all__ = [
    "MEASURES",
    "RELIABILITIES",
    "AnswerStore",
    "Context",
    "Evidence",
    "agreement",
    "annotators",
    "embedding",
    "evaluate_transfer",
    "gather",
    "measure",
    "overlap",
    "reliabilities",
    "reliability",
    "task_vector",
    "transfer_matrix",
]
