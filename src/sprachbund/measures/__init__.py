"""What can be measured on checkpoints and data: so far, zero-shot transfer."""

from sprachbund.measures.transfer import evaluate_transfer, transfer_matrix

__all__ = ["evaluate_transfer", "transfer_matrix"]
