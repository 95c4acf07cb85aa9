"""Gram matrices of what comes into the linear layers of a classifier: G = XᵀX / rows, [in, in] for each weight [out, in].

They are all that RegMean (Jin et al. 2023, arXiv:2212.09849) needs of the texts. X has a row for each token, special ones
included, where a layer works on tokens, and a row for each text where it works on texts, as heads do. Padding is in none:
texts of one length make a batch. What comes into a layer otherwise (the table of relative positions, in DeBERTa) is no row.
G is a mean over rows, so that sources with more or longer texts don't count more: that is what weights are for.

One forward pass over the texts finds all matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from sprachbund import digests
from sprachbund.checkpoints import Checkpoint, TensorFile, TensorInfo, unchanged
from sprachbund.inference import Encoded
from sprachbund.statistics.classifiers import Batch, answer, batches, encoded_for, load
from sprachbund.statistics.kept import DTYPE, check_texts, kept, put, writer

__all__ = ["GramSums", "gram_file", "gram_matrices", "linear_layers"]

Linears = Mapping[str, torch.nn.Linear]
"""Linear layers by the names of their weights."""


def gram_file(checkpoint: Checkpoint, texts: Sequence[str]) -> TensorFile:
    """Return the Gram matrix of each linear layer's inputs on texts; found out now, or before and kept.

    Raises:
        DataError: there are no texts.
        CheckpointError: the checkpoint is no classifier, or makes NaN or infinite numbers of the texts.
    """
    check_texts(checkpoint, texts)

    def make(folder: Path) -> None:
        with unchanged([checkpoint]):
            model = load(checkpoint)
            encoded = encoded_for(model, checkpoint, texts)
        found = gram_matrices(model, linear_layers(model, checkpoint), encoded)
        shapes = {name: tuple(matrix.shape) for name, matrix in found.items()}
        with writer(folder, "gram", shapes) as out:
            for name, matrix in found.items():
                put(out, checkpoint, TensorInfo(name, DTYPE, shapes[name]), matrix)

    made_of = {"checkpoint": checkpoint.digest, "texts": digests.of_value(list(texts))}
    return kept("gram", made_of, make, ["gram"])[0]


def linear_layers(model: torch.nn.Module, checkpoint: Checkpoint) -> Linears:
    """Return the linear layers whose weights are in a checkpoint."""
    named = ((f"{name}.weight", module) for name, module in model.named_modules())
    return {name: each for name, each in named if isinstance(each, torch.nn.Linear) and name in checkpoint.tensors}


def gram_matrices(model: torch.nn.Module, linears: Linears, encoded: Encoded) -> dict[str, torch.Tensor]:
    """Return G for each of these layers that tokens or texts come into, in the dtype of the model."""
    sums = GramSums(linears)
    with sums.listening(), torch.inference_mode():
        for batch in batches(encoded):
            sums.expect(batch)
            answer(model, batch.ids)
    return sums.means()


class GramSums:
    """Gram matrices of the inputs of linear layers, being added up while a model runs."""

    def __init__(self, linears: Linears) -> None:
        self._linears = linears
        self._sums: dict[str, torch.Tensor] = {}
        self._rows: dict[str, int] = {}
        self._texts, self._shape = 0, torch.Size()

    def expect(self, batch: Batch) -> None:
        """Say on what the model is run next."""
        self._texts, self._shape = batch.texts, batch.ids.shape

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Add up what comes into the layers while the block runs."""
        handles = [
            each.register_forward_pre_hook(lambda _, inputs, name=name: self._add(name, inputs[0]))
            for name, each in self._linears.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _add(self, name: str, inputs: torch.Tensor) -> None:
        if inputs.shape[:-1] not in (self._shape, self._shape[:1]):
            return
        rows = inputs[: self._texts].reshape(-1, inputs.shape[-1])
        if name not in self._sums:
            self._sums[name], self._rows[name] = rows.new_zeros(rows.shape[1], rows.shape[1]), 0
        self._sums[name].addmm_(rows.T, rows)
        self._rows[name] += len(rows)

    def means(self) -> dict[str, torch.Tensor]:
        """Return G for each layer that something came into, in the order of the layers; the sums are made into them."""
        with torch.inference_mode():
            return {name: self._sums.pop(name).div_(self._rows[name]) for name in self._linears if name in self._sums}
