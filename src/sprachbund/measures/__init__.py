"""What can be measured on checkpoints and data: similarities, how reliable sources look, and greedy soups."""

from sprachbund.measures import agreement, annotators, embedding, overlap, reliability, task_vector
from sprachbund.measures.answers import AnswerStore
from sprachbund.measures.evidence import RELIABILITIES, Evidence, gather, reliabilities
from sprachbund.measures.similarities import MEASURES, Context, measure
from sprachbund.measures.soup import Kitchen, Soup, answers_of_merge, find_soup
from sprachbund.measures.transfer import evaluate_transfer, transfer_matrix

__all__ = [
    "MEASURES",
    "RELIABILITIES",
    "AnswerStore",
    "Context",
    "Evidence",
    "Kitchen",
    "Soup",
    "agreement",
    "annotators",
    "answers_of_merge",
    "embedding",
    "evaluate_transfer",
    "find_soup",
    "gather",
    "measure",
    "overlap",
    "reliabilities",
    "reliability",
    "task_vector",
    "transfer_matrix",
]
