"""Zero-shot transfer: what each source, as it is, reaches in each locale.

A measured similarity is read by *column*: how well does the source do in the target. (The original read the row, how well the
target's own model does elsewhere.) Rows of our matrices are targets, columns are sources, so ``values[target, source]`` it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sprachbund.checkpoints import Checkpoint
from sprachbund.config import Precision
from sprachbund.data import Partition
from sprachbund.evaluation import answered
from sprachbund.inference import encode, load_classifier, logits, ready
from sprachbund.measures.similarities import MEASURES, Context, FloatArray, Measure
from sprachbund.similarity import SimilarityMatrix
from sprachbund.store import Columns, Transfer, TransferCell

__all__ = ["evaluate_transfer", "transfer_matrix"]


def evaluate_transfer(
    checkpoint: Checkpoint,
    names: Sequence[str],
    partitions: Sequence[Partition],
    precision: Precision,
) -> tuple[dict[str, TransferCell], dict[str, Columns]]:
    """Return the accuracy of one source in each target's partition, and its answers; ``names`` are those of its logits."""
    model = ready(load_classifier(checkpoint.folder), precision)
    answers = {
        partition.locale: answered(logits(model, encode(checkpoint.folder, partition.texts)), names, partition)
        for partition in partitions
    }
    return {partition.locale: _cell(answers[partition.locale], partition) for partition in partitions}, answers


def _cell(answers: Columns, partition: Partition) -> TransferCell:
    return TransferCell(
        data_digest=partition.digest,
        correct=sum(gold == said for gold, said in zip(answers.gold, answers.predicted, strict=True)),
        total=len(partition),
        majority_rate=partition.majority_rate(),
        predictions_digest=answers.digest(),
    )


def transfer_matrix(transfers: Sequence[Transfer], targets: Sequence[str] = ()) -> SimilarityMatrix:
    """Return measured transfer as a similarity; every source must have been evaluated in every target.

    Without ``targets`` the rows are the locales of the sources.
    """
    by_source: Mapping[str, Transfer] = {transfer.source: transfer for transfer in transfers}
    rows = tuple(targets) or tuple(by_source)
    values = np.array([[transfer.cells[target].accuracy for transfer in by_source.values()] for target in rows])
    split = transfers[0].split
    return SimilarityMatrix(
        locales=tuple(by_source),
        values=values,
        name="transfer",
        provenance=f"zero-shot accuracy on {split} of {transfers[0].dataset}, sources {transfers[0].zoo}",
        uses=frozenset({f"target-{split}"}),
        targets=rows,
    )


def _transfer(context: Context) -> FloatArray:
    return transfer_matrix(context.transfers(tuple(context.sources), context.targets), context.targets).values


MEASURES.add("transfer", Measure(_transfer, hangs_on=None))  # the run store keeps it, source by source
