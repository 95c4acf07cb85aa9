"""The diagonal of the Fisher information of a classifier: on which of its numbers its answers depend, and how much.

Matena & Raffel 2022, "Merging Models with Fisher-Weighted Averaging", arXiv:2111.09832:

    F = 1/N Σₓ E_y (∂ log p(y|x) / ∂θ)²,   y ~ p(y|x),

the mean over texts of squared gradients, which is not the square of a mean gradient: texts go through the model one by one, and
each gradient is squared and added as soon as it is there. Memory holds the model and F, of the token embeddings only the rows
that occur in the texts; all other rows of F are 0.

- With labels, y is the label of the text (the empirical Fisher information): one backward pass a text.
- Without, the expectation is over what the model itself answers. It is a sum over labels, p(c) (∂ log p(c))², one backward
  pass for each; exact, where there are no more labels than ``passes``. Else it is estimated: the squared gradient of
  Σ ε_c √p(c) log p(c), with random signs ε, has the same expectation, since all cross terms have mean 0. The mean over
  ``passes`` draws of signs is without bias, and each draw has a relative variance of 2 at most. (To draw y itself would not
  do: for a classifier that is sure, nearly all of F comes of labels that would nearly never be drawn. To leave out the signs,
  as some implementations do, keeps the cross terms.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from sprachbund import digests
from sprachbund.checkpoints import Checkpoint, TensorFile, TensorInfo, unchanged
from sprachbund.errors import CheckpointError, DataError
from sprachbund.inference import Encoded
from sprachbund.statistics.classifiers import answer, encoded_for, load, saved_names
from sprachbund.statistics.kept import DTYPE, check_texts, kept, put, writer

__all__ = ["PASSES", "Fisher", "diagonal_fisher", "fisher_file"]

PASSES = 4
"""Backward passes for each text without a label: over 256 texts, a number is off by some 4 % then, as far as signs go."""


def fisher_file(
    checkpoint: Checkpoint,
    texts: Sequence[str],
    labels: Sequence[str] | None = None,
    *,
    passes: int = PASSES,
    seed: int = 0,
) -> TensorFile:
    """Return the Fisher information of a classifier on texts, for each of its tensors; found out now, or before and kept.

    Of tensors that the classifier makes no use of it is 0.

    Raises:
        DataError: there are no texts, or the labels are not theirs or not the classifier's.
        CheckpointError: the checkpoint is no classifier, or answers with NaN or infinite numbers.
    """
    check_texts(checkpoint, texts)
    gold = None if labels is None else _numbers(checkpoint, texts, labels)
    drawn = {} if gold is not None or len(checkpoint.labels) <= passes else {"passes": passes, "seed": seed}

    def make(folder: Path) -> None:
        with unchanged([checkpoint]):
            model = load(checkpoint)
            encoded = encoded_for(model, checkpoint, texts)
        _write(folder, checkpoint, model, diagonal_fisher(model, encoded, gold, passes=passes, seed=seed))

    made_of = {"checkpoint": checkpoint.digest, "texts": digests.of_value(list(texts)), "labels": gold, **drawn}
    return kept("fisher", made_of, make, ["fisher"])[0]


def _numbers(checkpoint: Checkpoint, texts: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Return the labels as the classifier counts them."""
    if len(labels) != len(texts):
        raise DataError(f"{checkpoint.name}: got {len(texts)} texts and {len(labels)} labels; give one label a text.")
    numbers = {label: number for number, label in enumerate(checkpoint.labels)}
    for label in labels:
        if label not in numbers:
            raise DataError(
                f"{checkpoint.name} has no label {label!r}: give texts of its own task, or leave out their labels."
            )
    return [numbers[label] for label in labels]


class Fisher:
    """The diagonal, being added up: by parameter, and for the token embeddings by the tokens that occur."""

    def __init__(self, model: torch.nn.Module, encoded: Encoded) -> None:
        self.embedding: torch.nn.Embedding = model.get_input_embeddings()  # type: ignore[operator]
        table = self.embedding.weight
        self.dense = {each: torch.zeros_like(each) for each in model.parameters() if each is not table}
        self.tokens = torch.tensor(sorted({token for text in encoded for token in text}))
        """Those that occur, ascending."""
        self.rows = table.new_zeros(len(self.tokens), table.shape[1])
        """Of these tokens."""
        self._looked_up: list[torch.Tensor] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Square and add gradients in the moment that they are there, inside the block; what they were is forgotten."""
        for each in self.dense:
            each.requires_grad_(True)
        handles = [
            each.register_post_accumulate_grad_hook(self._add)  # type: ignore[no-untyped-call]
            for each in self.dense
        ]
        handles.append(self.embedding.register_forward_hook(self._look_up))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for each in self.dense:
                each.requires_grad_(False)

    def _add(self, parameter: torch.Tensor) -> None:
        gradient = parameter.grad
        assert gradient is not None
        self.dense[parameter].addcmul_(gradient, gradient)  # type: ignore[index]
        parameter.grad = None

    def _look_up(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], states: torch.Tensor) -> torch.Tensor:
        """Take gradients at what was looked up: a gradient of the whole table would be a gigabyte of zeros for each text."""
        leaf = states.detach().requires_grad_()
        self._looked_up.append(leaf)
        return leaf

    def forget_looked_up(self) -> None:
        """Make ready for the next text."""
        self._looked_up.clear()

    def add_rows(self, tokens: torch.Tensor) -> None:
        """Add what the backward pass of one text left at its token embeddings; a token that occurs twice has one gradient."""
        if not self._looked_up:
            raise CheckpointError("The classifier does not look up its tokens in its embeddings: it cannot be asked.")
        present, places = torch.unique(tokens, return_inverse=True)
        gradient = self.rows.new_zeros(len(present), self.rows.shape[1])
        for leaf in self._looked_up:
            assert leaf.grad is not None
            gradient.index_add_(0, places.reshape(-1), leaf.grad.reshape(places.numel(), -1))
            leaf.grad = None
        if self.embedding.padding_idx is not None:
            gradient[present == self.embedding.padding_idx] = 0  # which is not trained
        self.rows.index_add_(0, torch.searchsorted(self.tokens, present), gradient.square())

    def divide(self, texts: int) -> None:
        """Make means of sums."""
        for each in (*self.dense.values(), self.rows):
            each /= texts


def diagonal_fisher(
    model: torch.nn.Module, encoded: Encoded, gold: Sequence[int] | None = None, *, passes: int = PASSES, seed: int = 0
) -> Fisher:
    """Return the diagonal of the Fisher information on texts, in the dtype of the model; see the module."""
    if passes < 1:
        raise ValueError(f"there is nothing to be found out in {passes} passes")
    fisher, lot = Fisher(model, encoded), torch.Generator().manual_seed(seed)
    with fisher.listening():
        for number, text in enumerate(encoded):
            ids = torch.tensor([text])
            fisher.forget_looked_up()
            log_p = torch.log_softmax(answer(model, ids)[0], dim=-1)
            roots = [log_p[gold[number]]] if gold is not None else list(_roots(log_p, passes, lot))
            for left, root in zip(reversed(range(len(roots))), roots, strict=True):
                root.backward(retain_graph=left > 0)  # type: ignore[no-untyped-call]
                fisher.add_rows(ids)
    fisher.divide(len(encoded))
    return fisher


def _roots(log_p: torch.Tensor, passes: int, lot: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield scalars whose squared gradients add up to E_y (∂ log p(y))², exactly or in expectation."""
    scaled = log_p.detach().mul(0.5).exp() * log_p  # √p log p
    if len(log_p) <= passes:
        yield from scaled
        return
    for _ in range(passes):
        signs = torch.randint(0, 2, log_p.shape, generator=lot).to(log_p) * 2 - 1
        yield (signs * scaled).sum() / passes**0.5


def _write(folder: Path, checkpoint: Checkpoint, model: torch.nn.Module, fisher: Fisher) -> None:
    parameters = saved_names(model, checkpoint)
    shapes = {name: info.shape for name, info in checkpoint.tensors.items() if info.is_float}
    with writer(folder, "fisher", shapes) as out:
        for name in shapes.keys() & parameters.keys():
            info, parameter = TensorInfo(name, DTYPE, shapes[name]), parameters[name]
            if parameter is not fisher.embedding.weight:
                put(out, checkpoint, info, fisher.dense[parameter])
                continue
            for token, row in zip(fisher.tokens.tolist(), fisher.rows, strict=True):
                put(out, checkpoint, info, row, start=token * len(row))
