"""What can be measured on checkpoints and data: zero-shot transfer, and how reliable sources look without a label."""

from sprachbund.measures import annotators, reliability
from sprachbund.measures.evidence import RELIABILITIES, Evidence
from sprachbund.measures.transfer import evaluate_transfer, transfer_matrix

__all__ = ["RELIABILITIES", "Evidence", "annotators", "evaluate_transfer", "reliability", "transfer_matrix"]
